"""Wrappers that make any image-to-image network a colorizer (predicts Lab chroma) or an inpainter (fills holes)."""

import torch
from torch import Tensor

from ..config import Spec
from ..game import ImageToImage
from ..imaging.colour import merge_lab, to_lab
from ..imaging.fill import diffuse
from . import unet
from .layers import to_float32
from .reduced import check_side, enlarge_to, reduce_side


class Colorizer(ImageToImage):
    """Colorizer: lightness (N, 1, H, W) in [-1, 1] to sRGB images (N, 3, H, W), by chroma in Lab (Zhang et al. 2016).

    The lightness is kept exactly, except for colours outside sRGB.  With `side` the network sees the lightness reduced,
    and its chroma is enlarged, since colours change more slowly and a scene is recognised as a whole.
    """

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        net: Spec = Spec(unet.Generator, norm="instance", dropout=0.0),  # lightness to two chroma maps in [-1, 1]
        side: int = 0,  # shorter side of the reduced lightness, in pixels; 0: it is seen at its own size
    ):
        super().__init__()
        self.side = check_side(side, 0)
        self.net = net.build(resolution=resolution, channels=2, source_channels=1, scale=1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.side:  # nothing compares sizes, so that they stay free in an ONNX file
            return merge_lab(x, self.net(x))
        return merge_lab(x, enlarge_to(self.net(reduce_side(x, self.side)), x))

    def on_images(self) -> ImageToImage:
        """The network for images (N, 3, H, W) with or without colours."""
        return ColorizerOnImages(self)


class ColorizerOnImages(ImageToImage):
    """A colorizer applied to the lightness of images (N, 3, H, W) in [-1, 1]."""

    colours = True

    def __init__(self, network: Colorizer):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        image: Tensor = self.network(to_lab(x)[:, :1])
        return image


class Inpainter(ImageToImage):
    """Inpainter: images with a mask (N, channels + 1, H, W) to images without holes (Yu et al. 2019, section 3).

    The mask is the last channel: 1 in a hole, -1 elsewhere.  Pixels outside the holes are kept exactly.  More source
    channels are a guide between the image and the mask: `imaging.guide`.
    """

    masked = True

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        source_channels: int = 0,
        net: Spec = Spec(unet.Generator, norm="instance", dropout=0.0),  # images with mask to images in [-1, 1]
        sweeps: int = 0,  # of a diffusion at each scale that fills the holes for the network; 0: they stay mid-grey
    ):
        super().__init__()
        self.sweeps, self.channels = sweeps, channels
        self.guide = max(source_channels - channels - 1, 0)
        inputs = channels + self.guide + 1
        self.net = net.build(resolution=resolution, channels=channels, source_channels=inputs, scale=1)

    def forward(self, x: Tensor) -> Tensor:
        known, hole = to_float32(x[:, : self.channels]), (to_float32(x[:, -1:]) + 1) / 2
        if self.sweeps:
            x = torch.cat([diffuse(known, hole, self.sweeps), to_float32(x[:, self.channels :])], 1)
        return torch.lerp(known, to_float32(self.net(x)), hole)
