"""The networks of semi-supervised GANs (Salimans et al. 2016): weight norm, noise at every layer, dropout.

Published weights begin normalised by the data of a first batch (Salimans and Kingma 2016); here the gain sqrt(2) of
rectifiers stands for it, so that nothing depends on which batch comes first.  The fully connected networks count
pixels from 0 to 1 inside, as published: on mostly black images it makes the difference between learning and not.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, linear, relu

from ..config import Spec
from ..game import BaseDiscriminator, Head, Scores
from .class_and_code_heads import Classes
from .label_inputs import LabelledGenerator
from .layers import Init, as_size, check_size, initialise


def apply_weight_norm(weight: Tensor, gain: Tensor) -> Tensor:
    """Weight norm: the direction of every output's weights (O, ...) times a learnt length (O,)."""
    shape = (-1, *[1] * (weight.ndim - 1))
    return weight * (gain / weight.flatten(1).norm(dim=1)).view(shape)


class NormedLinear(nn.Linear):
    """A linear map (N, inputs) to (N, outputs) under weight norm."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs)
        self.gain = nn.Parameter(torch.full((outputs,), math.sqrt(2)))

    def forward(self, x: Tensor) -> Tensor:
        length = self.weight.norm(dim=1)
        return linear(x, self.weight) * (self.gain / length) + self.bias  # a batch is smaller than the weights


class NormedConv(nn.Conv2d):
    """A convolution under weight norm that keeps the size, or halves it with stride 2."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__(inputs, outputs, kernel, stride, kernel // 2)
        self.gain = nn.Parameter(torch.full((outputs,), math.sqrt(2)))

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, apply_weight_norm(self.weight, self.gain), self.bias, self.stride, self.padding)


class Noise(nn.Module):
    """Additive Gaussian noise in training."""

    def __init__(self, deviation: float):
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        return x + self.deviation * torch.randn_like(x) if self.training and self.deviation else x


class Generator(LabelledGenerator):
    """Semi-supervised GAN's fully connected generator: noise (N, latent) to images (N, channels, H, W) in [-1, 1].

    Salimans et al. 2016, for MNIST: softplus and batch norm.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        width: int = 500,  # units of both hidden layers
        init: Init = "xavier",  # initialisation of the weights
        **base: Any,
    ):
        super().__init__(channels=channels, **base)
        self.shape = (channels, *self.resolution)
        widths = [self.inputs, width, width]
        layers: list[nn.Module] = []
        for i, o in zip(widths, widths[1:]):
            layers += [nn.Linear(i, o, bias=False), nn.BatchNorm1d(o), nn.Softplus()]
        self.body = nn.Sequential(*layers)
        initialise(self, init)
        self.output = NormedLinear(width, math.prod(self.shape))
        nn.init.ones_(self.output.gain)
        nn.init.zeros_(self.output.bias)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return 2 * torch.sigmoid(self.output(self.body(self.join(z, label)))).view(-1, *self.shape) - 1


class DenseDiscriminator(BaseDiscriminator):
    """Semi-supervised GAN's fully connected discriminator, with noise at every layer: images to `Scores`.

    Images (N, channels, H, W).  Salimans et al. 2016, for MNIST: 1000-500-250-250-250 rectifiers.
    The features that generators match carry no noise.
    """

    head: Head

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 1,
        classes: int = 0,
        attributes: int = 0,
        width: int = 1000,  # units of the first layer; halved, and halved again for the last three
        image_noise: float = 0.3,  # standard deviation of the noise on the image, black and white being 1 apart
        noise: float = 0.5,  # standard deviation of the noise on hidden units
        init: Init = "kaiming",  # initialisation of the weights
        head: Spec = Spec(Classes),  # last layers: features to `Scores`
    ):
        super().__init__()
        quarter = max(width // 4, 1)
        widths = [channels * math.prod(as_size(resolution)), width, max(width // 2, 1), *[quarter] * 3]
        self.layers = nn.ModuleList(NormedLinear(i, o) for i, o in zip(widths, widths[1:]))
        self.noise = nn.ModuleList([Noise(image_noise), *[Noise(noise) for _ in self.layers]])
        self.head = head.build(features=quarter, classes=classes, attributes=attributes)
        initialise(self.layers, init)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: the layers."""
        return list(self.layers)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        h = (x.flatten(1) + 1) / 2
        for noise, layer in zip(self.noise, self.layers):
            h = relu(layer(noise(h)))
        return self.head(self.noise[-1](h), label)._replace(features=(h,))


class ConvDiscriminator(BaseDiscriminator):
    """Semi-supervised GAN's convolutional discriminator: images of at least 8x8 to `Scores`.

    Salimans et al. 2016, for CIFAR-10: dropout and mean pooling (there `width` is 96); the third group is
    padded like the others.
    """

    head: Head

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
        width: int = 32,  # channels of the first three maps; the others have twice as many
        image_dropout: float = 0.2,  # share of the pixels dropped in training
        dropout: float = 0.5,  # share of the hidden units dropped in training
        init: Init = "kaiming",  # initialisation of the weights
        head: Spec = Spec(Classes),  # last layers: features to `Scores`
    ):
        super().__init__()
        check_size(as_size(resolution), "This discriminator needs images")
        double = 2 * width
        groups = [
            [NormedConv(channels, width, 3), NormedConv(width, width, 3), NormedConv(width, width, 3, 2)],
            [NormedConv(width, double, 3), NormedConv(double, double, 3), NormedConv(double, double, 3, 2)],
            [NormedConv(double, double, 3), NormedConv(double, double, 1), NormedConv(double, double, 1)],
        ]
        self.groups = nn.ModuleList(nn.ModuleList(group) for group in groups)
        self.dropout = nn.ModuleList([nn.Dropout(image_dropout), nn.Dropout(dropout), nn.Dropout(dropout)])
        self.head = head.build(features=double, classes=classes, attributes=attributes)
        initialise(self.groups, init)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: the convolutions."""
        return [layer for group in self.groups for layer in group]  # type: ignore[attr-defined]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        for dropout, group in zip(self.dropout, self.groups):
            x = dropout(x)
            for layer in group:  # type: ignore[attr-defined]
                x = leaky_relu(layer(x), 0.2)
        return self.head(x.mean((2, 3)), label)
