"""ESRGAN's generator: residual-in-residual dense blocks (Wang et al. 2018).

Names of weights are those of Real-ESRGAN's files; the older layouts are in `checkpoints.layouts`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..game import ImageToImage
from .layers import Init, initialise, to_float32
from .superres_base import from_unit, init_kaiming, reflect_to_multiple, to_unit, upsampling_steps

DEFAULT_UNSHUFFLE = {1: 4, 2: 2}


def leaky(x: Tensor) -> Tensor:
    """LeakyReLU 0.2 in place."""
    return F.leaky_relu(x, 0.2, inplace=True)


class DenseBlock(nn.Module):
    """Dense block: five convolutions of all maps before them; a fifth of the last is added (figure 4 of the paper)."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        for k in range(1, 6):
            outputs = width if k == 5 else growth
            self.add_module(f"conv{k}", nn.Conv2d(width + (k - 1) * growth, outputs, 3, padding=1))
        init_kaiming(*self.children())  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        first, *middle, last = self.children()
        more = leaky(first(x))
        maps = torch.cat([x.to(more.dtype), more], 1)  # in the convolutions' format; only the sum below is wide
        for conv in middle:
            maps = torch.cat([maps, leaky(conv(maps))], 1)  # (N, width + k growth, H, W)
        return torch.add(x, last(maps), alpha=0.2)


class RRDB(nn.Module):
    """Residual-in-residual dense block: three dense blocks, a fifth of whose output is added to the input."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=0.2)


class RRDBNet(ImageToImage):
    """ESRGAN's generator: images (N, channels, H, W) to (N, channels, scale H, scale W) (Wang et al. 2018).

    With `unshuffle` the body works on a smaller map whose pixels are squares of the image's, as in Real-ESRGAN (Wang
    et al. 2021); sizes that do not divide are padded by reflection and cropped.  It works in [0, 1] inside.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        scale: int = 4,  # side of the output as a multiple of the input: 1, 2, 3, 4 or 8
        width: int = 64,  # channels between blocks
        growth: int = 32,  # channels that every convolution of a dense block adds
        blocks: int = 23,  # residual-in-residual blocks
        unshuffle: int | None = None,  # side of the squares that become channels; none: 4 at x1, 2 at x2, else 1
        init: Init | None = None,  # initialisation of the weights; none: as published
    ):
        super().__init__()
        self.scale = scale
        self.multiple = DEFAULT_UNSHUFFLE.get(scale, 1) if unshuffle is None else unshuffle
        if self.multiple not in (1, 2, 4) or (scale == 3 and self.multiple > 1):
            raise UsageError(f"RRDBNet folds squares of 1, 2 or 4 pixels (of 1 at x3), not {self.multiple}.")
        self.steps = upsampling_steps(scale) + upsampling_steps(self.multiple)
        self.conv_first = nn.Conv2d(channels * self.multiple**2, width, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(width, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        for k in range(1, len(self.steps) + 1):
            self.add_module(f"conv_up{k}", nn.Conv2d(width, width, 3, padding=1))
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, channels, 3, padding=1)
        initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        # float32 between blocks: in bf16, what 69 of them add to it would be rounded as often
        folded = F.pixel_unshuffle(reflect_to_multiple(to_unit(x), self.multiple), self.multiple)
        h = to_float32(self.conv_first(folded))
        h = h + self.conv_body(self.body(h))
        for k, step in enumerate(self.steps, 1):
            h = leaky(self.get_submodule(f"conv_up{k}")(F.interpolate(h, scale_factor=step, mode="nearest")))
        image = self.conv_last(leaky(self.conv_hr(h)))  # (N, channels, >= scale H, >= scale W)
        return from_unit(image[:, :, : height * self.scale, : width * self.scale])
