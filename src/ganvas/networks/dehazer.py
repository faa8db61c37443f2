"""Dehazing by the scattering model, whose two maps a network reads from a reduced image."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import Spec
from ..game import ImageToImage
from .layers import to_float32
from .reduced import check_side, enlarge_to, reduce_side
from .residual_unet import ResidualUNet

DARKEST = 4  # pixels of a side, of a patch whose darkest value is seen
AIRLIGHT = 0.7  # in [-1, 1], with which a training begins


class Dehazer(ImageToImage):
    """Dehazer: hazy images (N, C, H, W) to clear ones in about [-1, 1], by the scattering model.

    I = J t + A (1 - t) (Narasimhan and Nayar 2002), solved for the clear image J: transmission t and airlight A change
    slowly, so a network predicts -log t and A of each channel from the image reduced to a small side, beside its dark
    channel (He et al. 2009), and they are enlarged.  With colours a training begins with the image as it is.
    """

    keeps_alpha = True

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        source_channels: int = 0,
        net: Spec = Spec(ResidualUNet, widths=[32, 64, 96, 128], blocks=1),  # reduced images and dark channel to maps
        side: int = 64,  # shorter side of the reduced image, in pixels
    ):
        super().__init__()
        self.side = check_side(side, 1)
        self.net = net.build(resolution=resolution, channels=2 * channels, source_channels=channels + 1, scale=1)

    def forward(self, x: Tensor) -> Tensor:
        x = to_float32(x)
        depth, air = enlarge_to(to_float32(self.net(self.look(x))), x).chunk(2, 1)
        air = AIRLIGHT + air
        return (x - air) * depth.clamp(max=4).exp() + air

    def look(self, x: Tensor) -> Tensor:
        """The reduced image and its dark channel, (N, C + 1, h, w).

        Dark patches are of the image at four times the side, whatever its size, so that they are the same share of it.
        """
        darkness = (-reduce_side(x, DARKEST * self.side)).amax(1, keepdim=True)
        small = reduce_side(x, self.side)
        return torch.cat([small, -F.adaptive_max_pool2d(darkness, small.shape[2:])], 1)
