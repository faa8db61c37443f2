"""Encoders: from images to the noise of a generator."""

import math

from torch import Tensor, nn

from .dcgan import NORMS, Norm, downward, widths_for
from .layers import Init, as_size, initialise, stages_of


class Encoder(nn.Module):
    """Encoder of DCGAN's shape: images (N, channels, H, W) to codes (N, outputs) (Donahue et al. 2017, section 4)."""

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        outputs: int = 1,
        width: int = 64,  # channels of the first map; doubled with every halving
        max_width: int = 1024,  # no map has more channels than this
        norm: Norm = "batch",  # after every stage but the first
        init: Init = "normal",  # initialisation of the weights
    ):
        super().__init__()
        size = as_size(resolution)
        widths = widths_for(size, width, max_width)
        self.body = downward(channels, widths, NORMS[norm])
        self.read = nn.Linear(widths[-1] * math.prod(side >> len(widths) for side in size), outputs)
        initialise(self, init)

    def stages(self) -> list[nn.Module]:
        """The parts with features, from the image on: a convolution and what follows it."""
        return stages_of(self.body)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        return self.read(self.body(x).permute(0, 2, 3, 1).flatten(1))
