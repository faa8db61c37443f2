"""The residual networks of WGAN-GP, SNGAN, projection GANs and SAGAN, at 32x32 as published, layer for layer.

Nearest upsampling and mean pooling are merged into the 3x3 convolution beside them, and the 1x1 convolutions of the
shortcuts work on the smaller map: the same functions with half the multiplications.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from ..config import Spec
from ..game import Scores, Space
from .attention import SelfAttention
from .heads import Plain
from .label_inputs import LabelledDiscriminator
from .layers import Init, as_size, check_size, crop_center, halvings, initialise
from .norms import ConditionalBatchNorm2d, spectral
from .strided_conv import ConvPool, UpsampleConv


class UpBlock(nn.Module):
    """Residual block that doubles a map: (N, I, h, w) -> (N, O, 2h, 2w).

    `condition` has the options of `ConditionalBatchNorm2d`.
    """

    def __init__(self, inputs: int, outputs: int, condition: dict[str, int], attention: bool = False):
        super().__init__()
        self.norm1 = ConditionalBatchNorm2d(inputs, **condition)
        self.conv1 = UpsampleConv(inputs, outputs)
        self.norm2 = ConditionalBatchNorm2d(outputs, **condition)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1)
        self.attention = SelfAttention(outputs) if attention else None

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        h = self.conv1(relu(self.norm1(x, condition), inplace=True))
        h = self.conv2(relu(self.norm2(h, condition), inplace=True))
        h = h + interpolate(self.skip(x), scale_factor=2.0)
        return h if self.attention is None else self.attention(h)


class DownBlock(nn.Module):
    """Residual block that halves a map if `down`: (N, I, H, W) -> (N, O, H // 2, W // 2).

    The `first` block of a network has no rectifier before its first convolution: that would hide half of the image.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, *, down: bool, first: bool, attention: bool):
        super().__init__()
        self.first, self.down = first, down
        self.conv1 = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.conv2 = ConvPool(hidden, outputs) if down else nn.Conv2d(hidden, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if down or inputs != outputs else nn.Identity()
        self.attention = SelfAttention(outputs) if attention else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(x if self.first else relu(x))
        h = self.conv2(relu(h, inplace=True))
        h = h + self.skip(avg_pool2d(x, 2) if self.down else x)
        return h if self.attention is None else self.attention(h)


def stages_for(resolution: tuple[int, int], smallest: int) -> int:
    """The number of halvings to a map of at least `smallest` pixels a side, at least 1."""
    check_size(resolution, "The residual networks need images", "ones")
    return max(halvings(resolution, smallest), 1)


def nearest_index(sides: Sequence[int], target: int) -> int:
    """The index of the side nearest to the target as a ratio; -1 for target 0."""
    return min(range(len(sides)), key=lambda k: abs(math.log(sides[k] / target))) if target else -1


def init_residual(network: nn.Module, init: Init, normalised: bool) -> None:
    """Initialise a network, then apply spectral norm if `normalised`.

    With `xavier` the 3x3 convolutions inside the blocks get the gain sqrt(2) of the published networks.
    """
    initialise(network, init)
    for block in network.modules():
        if isinstance(block, (UpBlock, DownBlock)) and init in ("xavier", "glorot"):
            for conv in (block.conv1, block.conv2):
                conv.weight.data *= math.sqrt(2)
    if normalised:
        spectral(network)


class Upward(nn.Module):
    """Body of residual generators: vectors (N, inputs), and a condition for each block, to images in [-1, 1]."""

    def __init__(
        self,
        inputs: int,
        resolution: tuple[int, int],
        channels: int,
        *,
        width: int,
        growth: int,
        attention: int,
        condition: dict[str, int],
    ):
        super().__init__()
        self.resolution = resolution
        stages = stages_for(resolution, 4)
        self.base = tuple(-(-side // 2**stages) for side in resolution)  # rounded up, cropped at the end
        widths = [width * min(2**k, growth) for k in reversed(range(stages + 1))]
        chosen = nearest_index([min(self.base) << k for k in range(1, stages + 1)], attention)
        self.project = nn.Linear(inputs, widths[0] * self.base[0] * self.base[1])
        self.blocks = nn.ModuleList(
            UpBlock(wide, narrow, condition, k == chosen) for k, (wide, narrow) in enumerate(zip(widths, widths[1:]))
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        self.out = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, z: Tensor, conditions: Sequence[Tensor | None]) -> Tensor:
        h = self.project(z).view(z.shape[0], *self.base, -1).permute(0, 3, 1, 2)  # (N, C, h, w), channels-last as it is
        for block, condition in zip(self.blocks, conditions):
            h = block(h, condition)
        image = self.out(relu(self.norm(h), inplace=True))
        return crop_center(torch.tanh(image), self.resolution)


class Generator(nn.Module):
    """Residual generator: noise (N, latent) to images (N, channels, H, W) in [-1, 1] (Miyato et al. 2018, table 4).

    Its batch norms follow the label, if there are labels (Miyato and Koyama 2018); with attention it is SAGAN's (Zhang
    et al. 2019); WGAN-GP's is the same with width 128 (Gulrajani et al. 2017, appendix C).
    """

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
        latent: int = 128,  # size of the noise
        width: int = 256,  # channels of the largest map
        growth: int = 1,  # most channels of a map as a multiple of `width`; doubled with every halving
        attention: int = 0,  # shorter side of the map (or the nearest there is) with self-attention; 0: none
        spectral: bool = False,  # divide every weight by its largest singular value
        init: Init = "xavier",  # initialisation of the weights
    ):
        super().__init__()
        self.latent = latent
        condition = {"classes": classes, "attributes": attributes}
        shape = {"width": width, "growth": growth, "attention": attention}
        self.body = Upward(latent, as_size(resolution), channels, condition=condition, **shape)
        init_residual(self, init, spectral)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.body(z, [label] * len(self.body.blocks))

    def spaces(self) -> dict[str, Space]:
        """The noise `z` alone: labels only scale and shift maps."""
        return {"z": Space(self.latent, self.forward, weights=lambda: [self.body.project.weight])}


class Discriminator(LabelledDiscriminator):
    """Residual discriminator without norms: images (N, channels, H, W) to `Scores` (Miyato et al. 2018, table 4).

    WGAN-GP's is the same with `pooling=mean` and without `spectral` (Gulrajani et al. 2017, appendix C).
    """

    def __init__(
        self,
        *,
        width: int = 128,  # channels of the first map
        growth: int = 1,  # most channels of a map as a multiple of `width`; doubled with every halving
        smallest: int = 8,  # the map is halved while its shorter side stays at least this
        flat: int = 2,  # blocks after that, which keep its size
        wide: bool = False,  # the first convolution of a block widens, not the second
        pooling: Literal["sum", "mean"] = "sum",  # pooling of the last map to features
        attention: int = 0,  # shorter side of the map (or the nearest there is) with self-attention; 0: none
        spectral: bool = True,  # divide every weight by its largest singular value
        init: Init = "xavier",  # initialisation of the weights
        head: Spec = Spec(Plain, bias=True),  # last layers: features to `Scores`
        **base: Any,
    ):
        super().__init__(**base)
        downs, self.pooling = stages_for(self.resolution, smallest), pooling
        places = [min(k, downs - 1) for k in range(downs + flat)]
        widths = [self.inputs, *(width * min(2**k, growth) for k in places)]
        chosen = nearest_index([min(self.resolution) >> (k + 1) for k in places], attention)
        self.body = nn.Sequential()
        for k, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            hidden = outputs if wide or not k else inputs
            block = DownBlock(inputs, hidden, outputs, down=k < downs, first=not k, attention=k == chosen)
            self.body.append(block)
        self.head = head.build(features=widths[-1], **self.facts)
        init_residual(self, init, spectral)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: the blocks."""
        return list(self.body)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        h = relu(self.body(self.join(x, label)))  # (N, C, h, w)
        return self.head(h.sum((2, 3)) if self.pooling == "sum" else h.mean((2, 3)), label)
