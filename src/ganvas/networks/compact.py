"""Compact, the small network of Real-ESRGAN (SRVGG): a chain of convolutions, upsampled after the last one."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..game import ImageToImage
from .layers import Init, initialise, to_float32
from .superres_base import to_unit, upsampling_steps

Activation = Literal["prelu", "relu", "leakyrelu"]


ACTIVATIONS: dict[
    str, Callable[[int], nn.Module]
] = {  # by name, for a map of so many channels: PReLU learns a slope for each
    "prelu": nn.PReLU,
    "relu": lambda width: nn.ReLU(inplace=True),
    "leakyrelu": lambda width: nn.LeakyReLU(0.1, inplace=True),
}


class Compact(ImageToImage):
    """Real-ESRGAN's compact network: images (N, channels, H, W) to (N, channels, scale H, scale W).

    After Wang et al. 2021 (SRVGGNetCompact in its code); the image with every pixel repeated is added at the end.
    It works in [0, 1] inside.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        scale: int = 4,  # side of the output as a multiple of the input: 1, 2, 3, 4 or 8
        width: int = 64,  # channels of every map
        convolutions: int = 16,  # between the first and the last one
        activation: Activation = "prelu",  # after every convolution but the last
        init: Init | None = None,  # of the weights, the last layer's ten times smaller; none: PyTorch's default
    ):
        super().__init__()
        upsampling_steps(scale)  # refuses others
        self.scale, self.activation = scale, activation
        layers: list[nn.Module] = []
        for inputs in (channels, *[width] * convolutions):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), ACTIVATIONS[activation](width)]
        last = nn.Conv2d(width, channels * scale**2, 3, padding=1)
        self.body = nn.Sequential(*layers, last)
        if init is not None:
            initialise(self, init)
            last.weight.data *= 0.1  # training begins at the enlarged image

    def forward(self, x: Tensor) -> Tensor:
        maps = to_float32(self.body(to_unit(x))).mul_(2)  # (N, channels scale^2, H, W)
        # 2 (maps + to_unit(x)) - 1, before the pixels are moved: the largest maps of the network are touched once
        squares = maps.unflatten(1, (-1, self.scale**2))
        if torch.jit.is_tracing():  # for engines that do not write into parts of a map
            return F.pixel_shuffle((squares + x[:, :, None]).flatten(1, 2), self.scale)
        squares.add_(x[:, :, None])
        return F.pixel_shuffle(maps, self.scale)
