"""DCGAN (Radford, Metz and Chintala 2015): strided convolutions, batch norm, nothing else.

At 64x64 it is the published network, weight for weight; at other sizes the number of stages follows from the
shorter side, and a generator crops the few pixels that its stages give too many.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..config import Spec
from ..game import Scores
from .heads import Plain
from .label_inputs import LabelledDiscriminator, LabelledGenerator
from .layers import Init, check_size, crop_center, halvings, initialise, stages_of
from .norms import spectral
from .strided_conv import DownConv, UpConv

Norm = Literal["batch", "spectral", "layer", "none"]
Norms = Callable[[int], list[nn.Module]]
NORMS: dict[str, Norms] = {  # the norm of a map of so many channels
    "batch": lambda channels: [nn.BatchNorm2d(channels)],
    "layer": lambda channels: [nn.GroupNorm(1, channels)],  # each image by its own statistics (Ba et al. 2016)
    "spectral": lambda channels: [],  # of the weights instead
    "none": lambda channels: [],
}


def widths_for(resolution: tuple[int, int], width: int, max_width: int) -> list[int]:
    """Channels of the maps, largest map first: one for every halving that leaves at least 4 pixels a side."""
    check_size(resolution, "DCGAN needs images", "recipe `gan`")
    return [min(width << k, max_width) for k in range(halvings(resolution))]


def upward(widths: list[int], channels: int, norms: Norms) -> nn.Sequential:
    """A body that doubles a map with every stage, to the image before its tanh; `widths` begin at the smallest map."""
    layers: list[nn.Module] = [*norms(widths[0]), nn.ReLU(inplace=True)]
    for wide, narrow in zip(widths, widths[1:]):
        layers += [UpConv(wide, narrow), *norms(narrow), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, UpConv(widths[-1], channels))


def downward(channels: int, widths: list[int], norms: Norms) -> nn.Sequential:
    """A body that halves an image of so many channels with every stage; the first stage has no norm."""
    layers: list[nn.Module] = []
    for k, (narrow, wide) in enumerate(zip([channels, *widths], widths)):
        between = norms(wide)
        # with neither norm nor bias anywhere D(s x) = s D(x): blind to contrast
        layers.append(DownConv(narrow, wide, bias=not between or len(widths) == 1))
        layers += [*(between if k else []), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers)


class Generator(LabelledGenerator):
    """DCGAN's generator: noise (N, latent) to images (N, channels, H, W) in [-1, 1] (Radford et al. 2015)."""

    def __init__(
        self,
        *,
        width: int = 64,  # channels of the last hidden map; doubled with every halving
        max_width: int = 1024,  # no map has more channels than this
        init: Init = "normal",  # initialisation of the weights
        **base: Any,
    ):
        super().__init__(**base)
        widths = widths_for(self.resolution, width, max_width)[::-1]
        self.base = tuple(-(-side // 2 ** len(widths)) for side in self.resolution)  # rounded up, cropped at the end
        self.project = nn.Linear(self.inputs, widths[0] * self.base[0] * self.base[1], bias=False)
        self.body = upward(widths, self.channels, NORMS["batch"])
        initialise(self, init)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        h = self.project(self.join(z, label)).view(z.shape[0], *self.base, -1)  # (N, h, w, C): channels-last as it is
        image = torch.tanh(self.body(h.permute(0, 3, 1, 2)))  # (N, channels, >= H, >= W)
        return crop_center(image, self.resolution)


class Discriminator(LabelledDiscriminator):
    """DCGAN's discriminator: images (N, channels, H, W) to `Scores` (Radford et al. 2015)."""

    def __init__(
        self,
        *,
        width: int = 64,  # channels of the first map; doubled with every halving
        max_width: int = 1024,  # no map has more channels than this
        norm: Norm = "batch",  # after every stage but the first; `spectral` and `none` give every stage a bias
        init: Init = "normal",  # initialisation of the weights
        head: Spec = Spec(Plain),  # last layers: features to `Scores`
        **base: Any,
    ):
        super().__init__(**base)
        widths = widths_for(self.resolution, width, max_width)
        self.body = downward(self.inputs, widths, NORMS[norm])
        features = widths[-1] * math.prod(side >> len(widths) for side in self.resolution)
        self.head = head.build(features=features, **self.facts)
        initialise(self, init)
        if norm == "spectral":
            spectral(self)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: a convolution and what follows it."""
        return stages_of(self.body)

    def features(self, x: Tensor, label: Tensor | None) -> Tensor:
        """The last map, flat: (N, F)."""
        return self.body(self.join(x, label)).permute(0, 2, 3, 1).flatten(1)  # channels-last as it is

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        return self.head(self.features(x, label), label)
