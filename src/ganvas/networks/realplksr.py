"""RealPLKSR: partial large kernels for super-resolution of real photographs (Lee et al. 2024, as neosr trains it).

Names of weights are those of its published files.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle

from ..errors import UsageError
from ..game import ImageToImage
from .layers import Init, initialise, to_float32
from .superres_base import from_unit, to_unit, upsampling_steps

DEVIATION = 0.02  # of the truncated normal distribution that published weights begin from


class PartialConv(nn.Module):
    """A convolution with a large kernel on the first channels; the others stay (section 3.2)."""

    def __init__(self, width: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        part = self.conv.in_channels
        changed = self.conv(x[:, :part])
        return torch.cat([changed, x[:, part:].to(changed.dtype)], 1)


class Attention(nn.Module):
    """Every element times a sigmoid of its surroundings (section 3.3)."""

    def __init__(self, width: int):
        super().__init__()
        self.f = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.f(x)


class PLKBlock(nn.Module):
    """Channels mixed, a partial large kernel, attention, group norm; added to the input."""

    def __init__(self, width: int, kernel: int, part: int, groups: int, attention: bool):
        super().__init__()
        self.channel_mixer = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, padding=1), nn.Mish(), nn.Conv2d(2 * width, width, 3, padding=1)
        )
        self.lk = PartialConv(part, kernel)
        self.attn = Attention(width) if attention else nn.Identity()
        self.refine = nn.Conv2d(width, width, 1)
        self.norm = nn.GroupNorm(groups, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(to_float32(self.refine(self.attn(self.lk(self.channel_mixer(x))))))


class RealPLKSR(ImageToImage):
    """RealPLKSR's generator: images (N, channels, H, W) to (N, channels, scale H, scale W).

    After Lee et al. 2024 with the norm of neosr; 7,389,680 weights at x4.  The image with every pixel repeated is added
    at the end.  Its group norm looks at the whole image.  It works in [0, 1] inside.
    """

    tileable = True

    def __init__(
        self,
        *,
        channels: int = 3,
        scale: int = 4,  # side of the output as a multiple of the input: 1, 2, 3, 4 or 8
        width: int = 64,  # channels of every map
        blocks: int = 28,  # between the first and the last convolution
        kernel: int = 17,  # side of the large kernels, odd
        part: int = 0,  # channels that a large kernel sees; 0: a quarter of the width
        groups: int = 4,  # of the group norm; published files do not say them
        attention: bool = True,  # multiply every element by a sigmoid of its surroundings
        init: Init | None = None,  # initialisation of the weights; none: as published
    ):
        super().__init__()
        upsampling_steps(scale)  # refuses others
        part = part or max(width // 4, 1)
        if kernel % 2 == 0 or not 0 < part <= width or width % groups:
            raise UsageError(
                f"kernel is odd, part at most the width, groups divide it: {kernel}, {part}, {groups} of {width}."
            )
        self.scale = scale
        first, last = nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, channels * scale**2, 3, padding=1)
        body = [PLKBlock(width, kernel, part, groups, attention) for _ in range(blocks)]
        self.feats = nn.Sequential(first, *body, nn.Identity(), last)  # a dropout of 0 in published files
        if init is None:
            self._initialise_as_published()
        initialise(self, init)

    def _initialise_as_published(self) -> None:
        """A truncated normal distribution for all convolutions but the first of every mixer, PyTorch's default."""
        usual = {block.channel_mixer[0] for block in self.feats if isinstance(block, PLKBlock)}
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer not in usual:
                nn.init.trunc_normal_(layer.weight, std=DEVIATION)

    def forward(self, x: Tensor) -> Tensor:
        x = to_unit(x)
        maps = to_float32(self.feats(x)) + x.repeat_interleave(self.scale**2, 1)
        return from_unit(pixel_shuffle(maps, self.scale))
