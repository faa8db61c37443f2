"""The fully connected GAN (Goodfellow et al. 2014), with the sizes of its published MNIST model.

Generator 1200-1200 rectifiers, discriminator two maxout layers of 240 units with five pieces, dropout 0.2 on
the input and 0.5 inside.  The data here lie in [-1, 1], so the published sigmoid output becomes a tanh.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..config import Spec
from ..game import BaseDiscriminator, Head, Scores
from .heads import Plain
from .label_inputs import JoinImage, JoinNoise
from .layers import Init, as_size, initialise
from .norms import spectral as with_spectral_norm


class Maxout(nn.Module):
    """Maxout: the largest of several linear maps, unit by unit: (N, inputs) -> (N, units) (Goodfellow et al. 2013)."""

    def __init__(self, inputs: int, units: int, pieces: int):
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(inputs, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)


class Generator(nn.Module):
    """Fully connected generator: noise (N, latent) to images (N, channels, H, W) in [-1, 1].

    Goodfellow et al. 2014.
    """

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 1,
        classes: int = 0,
        attributes: int = 0,
        latent: int = 100,  # size of the noise
        label_size: int = 50,  # size of the label embedding beside the noise, if there are labels
        width: int = 1200,  # units of each hidden layer
        depth: int = 2,  # hidden layers
        init: Init = "xavier",  # initialisation of the weights
    ):
        super().__init__()
        self.latent = latent
        self.shape = (channels, *as_size(resolution))
        self.join = JoinNoise(classes, attributes, label_size)
        widths = [latent + self.join.size, *[width] * depth]
        layers = [layer for i, o in zip(widths, widths[1:]) for layer in (nn.Linear(i, o), nn.ReLU(inplace=True))]
        self.body = nn.Sequential(*layers, nn.Linear(widths[-1], math.prod(self.shape)))
        initialise(self, init)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.tanh(self.body(self.join(z, label))).view(-1, *self.shape)


class Discriminator(BaseDiscriminator):
    """Fully connected maxout discriminator: images (N, channels, H, W) to `Scores`.

    Goodfellow et al. 2014.
    """

    head: Head

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 1,
        classes: int = 0,
        attributes: int = 0,
        width: int = 240,  # maxout units of each hidden layer
        pieces: int = 5,  # linear maps a maxout unit chooses from
        depth: int = 2,  # hidden layers
        input_dropout: float = 0.2,  # share of the pixels dropped in training
        dropout: float = 0.5,  # share of the hidden units dropped in training
        spectral: bool = False,  # divide every weight by its largest singular value
        join: bool = False,  # show the label as one more channel of the image
        init: Init = "xavier",  # initialisation of the weights
        head: Spec = Spec(Plain, bias=True),  # last layers: features to `Scores`
    ):
        super().__init__()
        height, wide = as_size(resolution)
        self.join = JoinImage(classes, attributes, (height, wide), join)
        widths = [(channels + self.join.channels) * height * wide, *[width] * depth]
        layers: list[nn.Module] = [nn.Flatten(), nn.Dropout(input_dropout)]
        for i, o in zip(widths, widths[1:]):
            layers += [Maxout(i, o, pieces), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers)
        self.head = head.build(features=widths[-1], classes=classes, attributes=attributes)
        initialise(self, init)
        if spectral:
            with_spectral_norm(self)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: the maxout layers."""
        return [layer for layer in self.body if isinstance(layer, Maxout)]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        return self.head(self.body(self.join(x, label)), label)


class Frequencies(nn.Module):
    """Positional encoding: inputs (N, C, H, W) and their sines and cosines at pi, 2 pi, 4 pi, ... (Tancik et al. 2020).

    (N, (1 + 2 count) C H W), all multiplied by `gain`.  It lets a plain network resolve detail, mostly of points.
    """

    def __init__(self, count: int, gain: float = 1.0):
        super().__init__()
        self.gain = gain
        self.factors = [math.pi * 2**k for k in range(count)]

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        waves = [wave(flat * factor) for factor in self.factors for wave in (torch.sin, torch.cos)]
        return self.gain * torch.cat([flat, *waves], 1)


class LeakyDiscriminator(BaseDiscriminator):
    """Fully connected LeakyReLU discriminator for points and small images: (N, channels, H, W) to `Scores`.

    As the toy critics of Gulrajani et al. 2017, appendix: no dropout, smooth enough for gradient penalties.
    """

    head: Head

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 1,
        classes: int = 0,
        attributes: int = 0,
        width: int = 256,  # units of each hidden layer
        depth: int = 3,  # hidden layers
        frequencies: int = 0,  # octaves of sines and cosines appended to every input
        spectral: bool = False,  # divide every weight by its largest singular value
        gain: float = 1.0,  # factor of the inputs; under spectral norm, the largest slope
        join: bool = False,  # show the label as one more channel of the image
        init: Init = "kaiming",  # initialisation of the weights
        head: Spec = Spec(Plain, bias=True),  # last layers: features to `Scores`
    ):
        super().__init__()
        height, wide = as_size(resolution)
        self.join = JoinImage(classes, attributes, (height, wide), join)
        seen = (channels + self.join.channels) * height * wide * (1 + 2 * frequencies)
        widths = [seen, *[width] * depth]
        layers: list[nn.Module] = [Frequencies(frequencies, gain)]
        for i, o in zip(widths, widths[1:]):
            layers += [nn.Linear(i, o), nn.LeakyReLU(0.2, inplace=True)]
        self.body = nn.Sequential(*layers)
        self.head = head.build(features=widths[-1], classes=classes, attributes=attributes)
        initialise(self, init)
        if spectral:
            with_spectral_norm(self)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: the linear layers."""
        return [layer for layer in self.body if isinstance(layer, nn.Linear)]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        return self.head(self.body(self.join(x, label)), label)
