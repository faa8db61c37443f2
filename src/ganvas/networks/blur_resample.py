"""Upsampling and downsampling through a low-pass filter, differentiable any number of times.

Both are depthwise convolutions with a fixed separable kernel, zero beyond the edges.  The taps (1, 3, 3, 1) are
those of StyleGAN and R3GAN, and double as bilinear interpolation does.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import UsageError
from .grouped_conv import convolve, transpose


class Resample(nn.Module):
    """Base: a separable kernel (1, 1, K, K) whose sum is `gain`; not part of the saved state."""

    kernel: Tensor

    def __init__(self, taps: Sequence[float], gain: float):
        super().__init__()
        if not len(taps) > 1 or not sum(taps) > 0:
            raise UsageError(f"taps are at least two numbers with a positive sum, got {list(taps)}.")
        self.side = (len(taps) - 1) // 2
        row = torch.tensor(taps, dtype=torch.float32)
        self.register_buffer("kernel", torch.outer(row, row)[None, None] * (gain / row.sum() ** 2), persistent=False)

    def spread(self, x: Tensor) -> Tensor:
        """The kernel repeated for every channel of x, in its dtype."""
        return self.kernel.to(x.dtype).expand(x.shape[1], -1, -1, -1)


class Blur(Resample):
    """Low-pass filter: (N, C, H, W) -> (N, C, H', W'), sizes changed by the taps and the `padding` of each side."""

    def __init__(self, *, padding: int, gain: float = 1.0, taps: Sequence[float] = (1, 3, 3, 1)):
        super().__init__(taps, gain)
        self.side = padding

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.spread(x), padding=self.side, groups=x.shape[1])


class Upsample(Resample):
    """Upsampling by 2: (N, C, h, w) -> (N, C, 2h, 2w); away from the edges a constant is unchanged."""

    def __init__(self, taps: Sequence[float] = (1, 3, 3, 1)):
        super().__init__(taps, 4.0)

    def forward(self, x: Tensor) -> Tensor:
        size = (2 * x.shape[2], 2 * x.shape[3])
        return transpose(x, self.spread(x), size, stride=2, padding=self.side, groups=x.shape[1])


class Downsample(Resample):
    """Downsampling by 2, (N, C, H, W) -> (N, C, H / 2, W / 2): rounded up for an odd number of taps, else down."""

    def __init__(self, taps: Sequence[float] = (1, 3, 3, 1)):
        super().__init__(taps, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.spread(x), stride=2, padding=self.side, groups=x.shape[1])
