"""The DCGANs of two public lessons: 5x5 or 4x4 convolutions padded as TensorFlow pads, LeakyReLU, dropout.

With its defaults and images of 28x28 it is that of tensorflow.org ("Deep Convolutional Generative Adversarial
Network"); `LESSON_OF_FACES` holds the options of that of keras.io ("DCGAN to generate face images", 64x64).
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import Spec
from ..errors import UsageError
from ..game import Scores
from .heads import Plain
from .label_inputs import LabelledDiscriminator, LabelledGenerator
from .layers import Init, check_size, crop_center, initialise, stages_of

Norm = Literal["batch", "none"]
EPSILON, MOMENTUM = 1e-3, 0.01  # of Keras' batch norm; its momentum 0.99 is the share of the old average
LESSON_OF_FACES: dict[str, dict[str, Any]] = {
    "generator": {
        "latent": 128,
        "width": 128,
        "multiples": (1, 1, 2, 4),
        "strides": (2, 2, 2, 1),
        "kernel": 4,
        "norm": "none",
        "slope": 0.2,
    },
    "discriminator": {
        "multiples": (1, 2, 2),
        "kernel": 4,
        "slope": 0.2,
        "dropout": 0.2,
        "dropout_every": False,
        "unit_range": True,
    },
}


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a side, by TensorFlow's padding SAME: windows for ceil(side / stride) pixels."""
    total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding, an odd zero after: (N, I, H, W) -> (N, O, ceil(H/s), ceil(W/s))."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, bias: bool = True):
        super().__init__(inputs, outputs, kernel, stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        height, width = (same_padding(x.shape[k], self.kernel_size[0], self.stride[0]) for k in (2, 3))
        return super().forward(F.pad(x, (*width, *height)))


class SameUpConv(nn.ConvTranspose2d):
    """A transposed convolution with TensorFlow's SAME padding: (N, I, H, W) -> (N, O, s H, s W).

    It is the gradient of `SameConv`: where an odd number of rows is cut, the last is cut, not the first.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, bias: bool = True):
        if kernel < stride:
            raise UsageError(f"A transposed convolution of stride {stride} needs a kernel of as many, not {kernel}.")
        super().__init__(inputs, outputs, kernel, stride, padding=(kernel - stride) // 2, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        height, width = x.shape[2] * self.stride[0], x.shape[3] * self.stride[1]
        return super().forward(x)[:, :, :height, :width]


class Generator(LabelledGenerator):
    """Generator of Keras' DCGAN lessons: noise (N, latent) to images (N, channels, H, W) in [-1, 1].

    A dense layer gives the smallest map, and `strides` say how much each transposed convolution enlarges it; of sides
    that their product does not divide, the middle is cut out.  Source: the lesson of tensorflow.org.
    """

    def __init__(
        self,
        *,
        width: int = 64,  # channels that `multiples` multiply
        multiples: tuple[int, ...] = (4, 2, 1),  # channels of the hidden maps, the smallest map first
        strides: tuple[int, ...] = (1, 2, 2),  # of the transposed convolutions: as many as multiples
        kernel: int = 5,  # side of the transposed convolutions
        last_kernel: int = 5,  # side of the one that gives the image
        norm: Norm = "batch",  # after every layer but the last; none: biases, and the dense layer is linear
        slope: float = 0.3,  # of LeakyReLU for negative numbers
        init: Init = "xavier_uniform",  # initialisation of the weights
        **base: Any,
    ):
        super().__init__(**base)
        if len(multiples) != len(strides) or min(*multiples, *strides, kernel, last_kernel) < 1:
            raise UsageError(f"multiples and strides are as many whole numbers from 1, got {multiples} and {strides}.")
        check_size(self.resolution, "Keras' DCGAN needs images", "recipe `gan`")
        bias, widths = norm == "none", [width * m for m in multiples]
        self.slope, factor = slope, math.prod(strides)
        self.base = tuple(-(-side // factor) for side in self.resolution)
        units = widths[0] * math.prod(self.base)
        self.project = nn.Sequential(nn.Linear(self.inputs, units, bias=bias))
        if norm == "batch":
            self.project.extend([nn.BatchNorm1d(units, EPSILON, MOMENTUM), nn.LeakyReLU(slope, inplace=True)])
        layers: list[nn.Module] = []
        for wide, narrow, stride in zip(widths, widths[1:], strides):
            layers.append(SameUpConv(wide, narrow, kernel, stride, bias))
            layers += [nn.BatchNorm2d(narrow, EPSILON, MOMENTUM)] if norm == "batch" else []
            layers.append(nn.LeakyReLU(slope, inplace=True))
        self.body = nn.Sequential(*layers, SameUpConv(widths[-1], self.channels, last_kernel, strides[-1], bias))
        initialise(self, init)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        h = self.project(self.join(z, label)).view(z.shape[0], *self.base, -1)  # (N, h, w, C), as Keras
        return crop_center(torch.tanh(self.body(h.permute(0, 3, 1, 2))), self.resolution)


class Discriminator(LabelledDiscriminator):
    """Discriminator of Keras' DCGAN lessons: images (N, channels, H, W) to `Scores`; biases, dropout, no norm.

    Source: the lesson of tensorflow.org.
    """

    def __init__(
        self,
        *,
        width: int = 64,  # channels that `multiples` multiply
        multiples: tuple[int, ...] = (1, 2),  # channels of the maps, the largest map first, each half as large
        kernel: int = 5,  # side of the convolutions
        slope: float = 0.3,  # of LeakyReLU for negative numbers
        dropout: float = 0.3,  # share of a map's numbers dropped in training
        dropout_every: bool = True,  # after every convolution; false: before the head alone
        unit_range: bool = False,  # the convolutions see the images in [0, 1]
        init: Init = "xavier_uniform",  # initialisation of the weights
        head: Spec = Spec(Plain, bias=True),  # last layers: features to `Scores`
        **base: Any,
    ):
        super().__init__(**base)
        check_size(self.resolution, "Keras' DCGAN needs images", "recipe `gan`")
        widths, layers = [self.inputs, *(width * m for m in multiples)], []
        for narrow, wide in zip(widths, widths[1:]):
            layers += [SameConv(narrow, wide, kernel, 2), nn.LeakyReLU(slope, inplace=True)]
            layers += [nn.Dropout(dropout)] if dropout_every else []
        self.body = nn.Sequential(*layers, *([] if dropout_every else [nn.Dropout(dropout)]))
        self.unit_range = unit_range
        features = widths[-1] * math.prod(-(-side // 2 ** len(multiples)) for side in self.resolution)
        self.head = head.build(features=features, **self.facts)
        initialise(self, init)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: a convolution and what follows it."""
        return stages_of(self.body)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        x = self.join(x, label)
        h = self.body(x / 2 + 0.5 if self.unit_range else x)
        return self.head(h.permute(0, 2, 3, 1).flatten(1), label)  # (N, h, w, C), as Keras
