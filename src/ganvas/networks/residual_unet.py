"""A residual U-Net for restoration at the size of the image, after DRUNet (Zhang et al. 2021)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..game import ImageToImage
from .layers import Init, initialise, to_float32
from .srresnet import ResidualBlock
from .superres_base import reflect_to_multiple


class ResidualUNet(ImageToImage):
    """Residual U-Net: images (N, source_channels, H, W) to images (N, channels, H, W) in about [-1, 1].

    Zhang et al. 2021 (DRUNet, section 3.2): residual blocks without norm, 2x2 convolutions that halve, 2x2 transposes
    that double, skips that are added.  Unlike theirs, the first map has half the sides, from pixels unshuffled by 2
    (Zhang et al. 2018, FFDNet), so that a step costs a quarter, and the result is added to the first `channels` of the
    input where there are as many; the last layer begins at zero, so a training begins with the image as it is.
    """

    keeps_alpha = True

    def __init__(
        self,
        *,
        channels: int = 3,
        source_channels: int = 0,
        widths: Sequence[int] = (32, 64, 128),  # channels of the maps, from the largest; each has half the sides
        blocks: int = 2,  # residual blocks at each size, downwards and upwards
        init: Init | None = None,  # initialisation of the weights; none: a tenth of Kaiming's
    ):
        super().__init__()
        if not widths or min(*widths, blocks) < 1:
            raise UsageError(f"ResidualUNet needs widths and blocks of at least 1, not {list(widths)} and {blocks}.")
        inputs = source_channels or channels
        self.channels, self.adds, self.multiple = channels, inputs >= channels, 2 ** len(widths)
        self.first = nn.Conv2d(4 * inputs, widths[0], 3, padding=1)
        self.inwards = nn.ModuleList(_blocks(width, blocks) for width in widths)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 2, 2) for a, b in zip(widths, widths[1:]))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in zip(widths, widths[1:]))
        self.outwards = nn.ModuleList(_blocks(width, blocks) for width in widths[:-1])
        self.last = nn.Conv2d(widths[0], 4 * channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        h, skipped = self.first(F.pixel_unshuffle(reflect_to_multiple(x, self.multiple), 2)), []
        for k, part in enumerate(self.inwards):
            if k:
                skipped.append(h)
                h = self.downs[k - 1](h)
            h = part(h)
        for k in reversed(range(len(self.ups))):
            h = self.outwards[k](self.ups[k](h) + skipped[k])
        image = F.pixel_shuffle(to_float32(self.last(h)), 2)[..., :height, :width]
        return to_float32(x[:, : self.channels]) + image if self.adds else image


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))
