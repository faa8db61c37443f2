"""DCGAN (Radford, Metz and Chintala 2015): strided convolutions, batch norm, nothing else.

At 64x64 it is the published network, weight for weight; at other sizes the number of stages follows from the
shorter side, and a generator whose stages give a few pixels more than asked crops them evenly.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ..config import Spec
from ..errors import UsageError
from ..game import BaseDiscriminator, Head, Scores
from .heads import Plain
from .label_inputs import JoinImage, JoinNoise
from .layers import Init, as_size, cropped, halvings, initialise
from .norms import Reference, VirtualBatchNorm2d, spectral
from .strided_conv import DownConv, UpConv

Norm = Literal["batch", "spectral", "virtual", "layer", "none"]


def stages_for(resolution: tuple[int, int]) -> int:
    """How many times the image is halved on the way to a map of at least 4 pixels a side.

    Raises `UsageError` under 8 pixels.
    """
    if min(resolution) < 8:
        height, width = resolution
        raise UsageError(
            f"DCGAN needs images of at least 8x8 pixels, these are {width}x{height};"
            " for points and tiny images use the fully connected recipe `gan`."
        )
    return halvings(resolution)


def norm_layers(norm: str, channels: int, reference: int) -> list[nn.Module]:
    """The layer that normalises a map of so many channels, if one does."""
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "layer":  # one group: each image by its own mean and deviation (Ba et al. 2016)
        return [nn.GroupNorm(1, channels)]
    return [VirtualBatchNorm2d(channels, reference)] if norm == "virtual" else []


def dense(inputs: int, outputs: int, norm: str, reference: int, activation: nn.Module) -> nn.Sequential:
    """A fully connected layer, normalised as maps are: (N, inputs) -> (N, outputs)."""
    between = norm_layers(norm, outputs, reference)
    layer = nn.Linear(inputs, outputs, bias=not between)
    return nn.Sequential(layer, nn.Unflatten(1, (outputs, 1, 1)), *between, activation, nn.Flatten())


class Generator(nn.Module):
    """DCGAN's generator: noise (N, latent) to images (N, channels, H, W) in [-1, 1] (Radford et al. 2015)."""

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
        latent: int = 100,  # size of the noise
        label_size: int = 50,  # numbers that stand for the label beside the noise, if there are labels
        hidden: int = 0,  # units of a fully connected layer before the first map, as in InfoGAN; 0: none
        width: int = 64,  # channels of the last hidden map; doubled with every halving
        max_width: int = 1024,  # no map has more channels than this
        norm: Literal["batch", "virtual"] = "batch",  # how maps are normalised: by their batch, or a fixed one
        reference: int = 64,  # images of the fixed batch of virtual batch norm
        init: Init = "normal",  # how the weights begin
    ):
        super().__init__()
        self.latent, self.resolution = latent, as_size(resolution)
        stages = stages_for(self.resolution)
        self.base = tuple(-(-side // 2**stages) for side in self.resolution)  # rounded up, cropped at the end
        widths = [min(width << k, max_width) for k in reversed(range(stages))]
        self.widest = widths[0]
        self.join = JoinNoise(classes, attributes, label_size)
        start = latent + self.join.size
        self.hidden = dense(start, hidden, norm, reference, nn.ReLU(inplace=True)) if hidden else None
        self.project = nn.Linear(hidden or start, self.widest * self.base[0] * self.base[1], bias=False)
        layers: list[nn.Module] = [*norm_layers(norm, self.widest, reference), nn.ReLU(inplace=True)]
        for narrow, wide in zip(widths[1:], widths):
            layers += [UpConv(wide, narrow), *norm_layers(norm, narrow, reference), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers, UpConv(widths[-1], channels))
        facts = {"classes": classes, "attributes": attributes}
        self.reference = Reference(reference, (latent,), **facts) if norm == "virtual" else None
        initialise(self, init)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        lead = 0 if self.reference is None else self.reference.size
        if self.reference is not None:
            z, label = self.reference(z, label)
        z = self.join(z, label)
        z = z if self.hidden is None else self.hidden(z)
        h = self.project(z).view(len(z), *self.base, self.widest)  # (N, h, w, C): channels-last as it is
        image = torch.tanh(self.body(h.permute(0, 3, 1, 2))[lead:])  # (N, channels, >= H, >= W)
        return cropped(image, self.resolution)


class Discriminator(BaseDiscriminator):
    """DCGAN's discriminator: images (N, channels, H, W) to `Scores` (Radford et al. 2015)."""

    head: Head

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
        width: int = 64,  # channels of the first map; doubled with every halving
        max_width: int = 1024,  # no map has more channels than this
        hidden: int = 0,  # units of a fully connected layer after the last map, as in InfoGAN; 0: none
        norm: Norm = "batch",  # after every stage but the first; `spectral` and `none` give every stage a bias instead
        reference: int = 64,  # images of the fixed batch of virtual batch norm
        join: bool = False,  # show the label as one more channel of the image
        init: Init = "normal",  # how the weights begin
        head: Spec = Spec(Plain),  # how features become a verdict
    ):
        super().__init__()
        size = as_size(resolution)
        stages = stages_for(size)
        self.join = JoinImage(classes, attributes, size, join)
        widths = [channels + self.join.channels, *(min(width << k, max_width) for k in range(stages))]
        layers: list[nn.Module] = []
        for k, (narrow, wide) in enumerate(zip(widths, widths[1:])):
            between = norm_layers(norm, wide, reference) if k else []
            # with neither norm nor bias anywhere D(s x) = s D(x): blind to contrast
            bias = norm in ("spectral", "none") or stages == 1
            layers += [DownConv(narrow, wide, bias=bias), *between, nn.LeakyReLU(0.2, inplace=True)]
        self.body = nn.Sequential(*layers)
        features = widths[-1] * (size[0] >> stages) * (size[1] >> stages)
        facts = {"classes": classes, "attributes": attributes}
        leaky = nn.LeakyReLU(0.2, inplace=True)
        self.hidden = dense(features, hidden, norm, reference, leaky) if hidden else None
        self.head = head.build(features=hidden or features, **facts)
        self.reference = Reference(reference, (channels, *size), **facts) if norm == "virtual" else None
        initialise(self, init)
        if norm == "spectral":
            spectral(self)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: a convolution and what follows it."""
        starts = [k for k, layer in enumerate(self.body) if isinstance(layer, DownConv)]
        return [self.body[a:b] for a, b in zip(starts, [*starts[1:], len(self.body)])]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        lead, joined = 0, (x, label)
        if self.reference is not None:
            lead, joined = self.reference.size, self.reference(x, label)
        h = self.body(self.join(*joined)).permute(0, 2, 3, 1).flatten(1)  # (N, h w C)
        h = h if self.hidden is None else self.hidden(h)
        return self.head(h[lead:], label)
