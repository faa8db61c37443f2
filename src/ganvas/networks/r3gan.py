"""R3GAN's networks (Huang et al. 2024): residual blocks of grouped convolutions and no normalisation anywhere.

Their initialisation keeps them stable: every block is the identity, and the weights inside it are scaled by the number
of blocks (Fixup; Zhang et al. 2019).  The mirror image of the generator is the discriminator.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..config import Spec
from ..errors import UsageError
from ..game import Scores
from .blur_resample import Downsample, Upsample
from .grouped_conv import GroupedConv
from .heads import Plain
from .label_inputs import LabelledDiscriminator, LabelledGenerator
from .layers import Init, check_size, crop_center, halvings, initialise

TAPS = (1, 3, 3, 1)  # [1, 2, 1] convolved with [1, 1], as in the authors' code
GAIN = math.sqrt(2 / (1 + 0.2**2))  # of LeakyReLU 0.2 (He et al. 2015)


def init_scaled(layer: nn.Linear | nn.Conv2d, gain: float = 1.0) -> None:
    """Initialise with normal weights that keep the variance, times a gain, and zero bias (He et al. 2015, eq. 10)."""
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Block(nn.Module):
    """Residual block: 1x1 to more channels, grouped 3x3, 1x1 back; (N, C, h, w) to the same shape (section 4.2)."""

    def __init__(self, width: int, expansion: int, groups: int, blocks: int):
        super().__init__()
        hidden = width * expansion
        self.wider = nn.Conv2d(width, hidden, 1)
        self.across = GroupedConv(hidden, hidden, 3, groups)
        self.back = nn.Conv2d(hidden, width, 1, bias=False)
        self.activation = nn.LeakyReLU(0.2, inplace=True)
        gain = GAIN * blocks ** (-1 / 4)  # L^(-1 / (2m - 2)) of Fixup, m = 3 convolutions
        init_scaled(self.wider, gain)
        init_scaled(self.across, gain)
        init_scaled(self.back, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        h = self.activation(self.wider(x))
        return x + self.back(self.activation(self.across(h)))


def pointwise(inputs: int, outputs: int) -> nn.Module:
    """A 1x1 convolution between maps of different width, nothing between equal ones."""
    if inputs == outputs:
        return nn.Identity()
    layer = nn.Conv2d(inputs, outputs, 1, bias=False)
    init_scaled(layer)
    return layer


def widths_for(stages: int, width: int, growth: int) -> list[int]:
    """Channels of each stage, from the largest map to the smallest."""
    return [width * min(2**k, growth) for k in range(stages)]


def stage(width: int, blocks: int, expansion: int, cardinality: int, total: int) -> nn.Sequential:
    """Some blocks of one width; raises `UsageError` if the groups do not divide it."""
    if width * expansion % cardinality:
        raise UsageError(f"cardinality {cardinality} does not divide the {width * expansion} channels inside a block.")
    return nn.Sequential(*(Block(width, expansion, cardinality, total) for _ in range(blocks)))


class Generator(LabelledGenerator):
    """R3GAN's generator: noise (N, latent) to images (N, channels, H, W), about [-1, 1] and not squashed.

    Huang et al. 2024, config E.  The published CIFAR-10 network is width 768, cardinality 96 and latent 64; the default
    is sized for images of 32 pixels and a processor.
    """

    written = ("taps",)

    def __init__(
        self,
        *,
        latent: int = 64,  # size of the noise
        label_size: int = 64,  # size of the label embedding beside the noise, if there are labels
        width: int = 128,  # channels of the largest map
        growth: int = 1,  # most channels of a map as a multiple of `width`; doubled with every halving
        blocks: int = 2,  # residual blocks at each size
        expansion: int = 2,  # channels inside a block as a multiple of its own
        cardinality: int = 16,  # groups of a block's 3x3 convolution
        taps: tuple[float, ...] = TAPS,  # resampling filter; [1, 2, 1] in runs of 0.1 before December 2026
        init: Init | None = None,  # initialisation of the weights; none: as published
        **base: Any,
    ):
        super().__init__(latent=latent, label_size=label_size, **base)
        check_size(self.resolution, "R3GAN's networks need images", "ones")
        halved = halvings(self.resolution)
        self.base = tuple(-(-side // 2**halved) for side in self.resolution)  # rounded up, cropped at the end
        widths = widths_for(halved + 1, width, growth)[::-1]
        total = blocks * len(widths)
        self.basis = nn.Parameter(torch.randn(widths[0], *self.base))
        self.mix = nn.Linear(self.inputs, widths[0], bias=False)
        init_scaled(self.mix)
        self.body = nn.Sequential(stage(widths[0], blocks, expansion, cardinality, total))
        for wide, narrow in zip(widths, widths[1:]):
            self.body.append(pointwise(wide, narrow))
            self.body.append(Upsample(taps))
            self.body.append(stage(narrow, blocks, expansion, cardinality, total))
        self.out = nn.Conv2d(widths[-1], self.channels, 1, bias=False)
        init_scaled(self.out)
        initialise(self, init)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        amounts = self.mix(self.join(z, label))  # (N, C): how much of each learnt map
        h = (amounts[:, None, None] * self.basis.to(amounts.dtype).permute(1, 2, 0)).permute(0, 3, 1, 2)
        return crop_center(self.out(self.body(h)), self.resolution)


class Discriminator(LabelledDiscriminator):
    """R3GAN's discriminator, which mirrors the generator: images (N, channels, H, W) to `Scores`.

    Huang et al. 2024.  With labels, the head `projection` adds the published inner product with the label's embedding.
    """

    written = ("taps",)

    def __init__(
        self,
        *,
        width: int = 128,  # channels of the first map
        growth: int = 1,  # most channels of a map as a multiple of `width`; doubled with every halving
        blocks: int = 2,  # residual blocks at each size
        expansion: int = 2,  # channels inside a block as a multiple of its own
        cardinality: int = 16,  # groups of a block's 3x3 convolution
        taps: tuple[float, ...] = TAPS,  # resampling filter; [1, 2, 1] in runs of 0.1 before December 2026
        init: Init | None = None,  # initialisation of the weights; none: as published
        head: Spec = Spec(Plain),  # last layers: features to `Scores`
        **base: Any,
    ):
        super().__init__(**base)
        check_size(self.resolution, "R3GAN's networks need images", "ones")
        halved = halvings(self.resolution)
        widths = widths_for(halved + 1, width, growth)
        total = blocks * len(widths)
        self.read = nn.Conv2d(self.inputs, widths[0], 1, bias=False)
        init_scaled(self.read)
        self.body = nn.Sequential(stage(widths[0], blocks, expansion, cardinality, total))
        for narrow, wide in zip(widths, widths[1:]):
            down = nn.Sequential(Downsample(taps), pointwise(narrow, wide))
            self.body.append(nn.Sequential(down, stage(wide, blocks, expansion, cardinality, total)))
        last = [-(-side // 2**halved) if len(taps) % 2 else side // 2**halved for side in self.resolution]
        self.basis = nn.Parameter(torch.randn(widths[-1], *last) / math.sqrt(last[0] * last[1]))
        self.head = built = head.build(features=widths[-1], **self.facts)
        for layer in built.modules():
            if isinstance(layer, nn.Linear):
                init_scaled(layer)
        initialise(self, init)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: the input layer, then each size."""
        return [self.read, *self.body]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        h = self.body(self.read(self.join(x, label)))
        return self.head((h * self.basis.to(h.dtype)).sum((2, 3)), label)
