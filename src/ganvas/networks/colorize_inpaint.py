"""Networks that find again what an image has lost, colour or regions, around any network from images to images."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import Spec
from ..game import ImageToImage
from ..imaging.colour import coloured, to_lab
from . import unet
from .layers import widened


class Colouriser(ImageToImage):
    """Lightness (N, 1, H, W) in [-1, 1] to sRGB images (N, 3, H, W): chroma is predicted in Lab (Zhang et al. 2016).

    The lightness stays exactly as it was given, but for colours that sRGB has not.
    """

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        net: Spec = Spec(unet.Generator, norm="instance", dropout=0.0),  # lightness to two maps in [-1, 1]
    ):
        super().__init__()
        self.net = net.build(resolution=resolution, channels=2, source_channels=1, scale=1)

    def forward(self, x: Tensor) -> Tensor:
        return coloured(x, self.net(x))

    def on_images(self) -> ImageToImage:
        """The network for images (N, 3, H, W) with or without colours."""
        return Recoloured(self)


class Recoloured(ImageToImage):
    """Images (N, 3, H, W) in [-1, 1] to the same with colours by a network from lightness to images."""

    colours = True

    def __init__(self, network: Colouriser):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.network(to_lab(x)[:, :1])
        return made


class Inpainter(ImageToImage):
    """Images with holes (N, channels + 1, H, W), the last channel 1 in a hole and -1 elsewhere, to whole ones.

    What is outside the holes stays exactly as it was given (Yu et al. 2019, section 3).
    """

    masked = True

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        net: Spec = Spec(unet.Generator, norm="instance", dropout=0.0),  # all of it to images in [-1, 1]
    ):
        super().__init__()
        self.net = net.build(resolution=resolution, channels=channels, source_channels=channels + 1, scale=1)

    def forward(self, x: Tensor) -> Tensor:
        known, hole = widened(x[:, :-1]), (widened(x[:, -1:]) + 1) / 2
        return torch.lerp(known, widened(self.net(x)), hole)
