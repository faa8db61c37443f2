"""The fully connected GAN (Goodfellow et al. 2014), with the sizes of its published MNIST model.

Generator 1200-1200 rectifiers, discriminator two maxout layers of 240 units with five pieces, dropout 0.2 on
the input and 0.5 inside.  The data here lie in [-1, 1], so the published sigmoid output becomes a tanh.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..config import Spec
from ..game import Scores
from .heads import Plain
from .label_inputs import LabelledDiscriminator, LabelledGenerator
from .layers import Init, initialise
from .norms import spectral as with_spectral_norm

Activation = Literal["relu", "leaky_relu", "elu", "tanh", "sigmoid"]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class Maxout(nn.Module):
    """Maxout: the largest of several linear maps, unit by unit: (N, inputs) -> (N, units) (Goodfellow et al. 2013)."""

    def __init__(self, inputs: int, units: int, pieces: int):
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(inputs, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)


class Generator(LabelledGenerator):
    """Fully connected generator: noise (N, latent) to images (N, channels, H, W) in [-1, 1].

    Goodfellow et al. 2014.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        width: int = 1200,  # units of each hidden layer
        depth: int = 2,  # hidden layers
        activation: Activation = "relu",  # after every hidden layer
        init: Init = "xavier",  # initialisation of the weights
        **base: Any,
    ):
        super().__init__(channels=channels, **base)
        self.shape = (channels, *self.resolution)
        widths = [self.inputs, *[width] * depth]
        layers = [layer for i, o in zip(widths, widths[1:]) for layer in (nn.Linear(i, o), ACTIVATIONS[activation]())]
        self.body = nn.Sequential(*layers, nn.Linear(widths[-1], math.prod(self.shape)))
        initialise(self, init)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.tanh(self.body(self.join(z, label))).view(-1, *self.shape)


class Dense(LabelledDiscriminator):
    """Base of fully connected discriminators: the `front`, `depth` times a `layer` of inputs and outputs, the head."""

    def __init__(
        self,
        *,
        front: Sequence[nn.Module],
        layer: Callable[[int, int], Sequence[nn.Module]],
        factor: int = 1,
        channels: int = 1,
        width: int = 256,  # units of each hidden layer
        depth: int = 3,  # hidden layers
        spectral: bool = False,  # divide every weight by its largest singular value
        init: Init = "kaiming",  # initialisation of the weights
        head: Spec = Spec(Plain, bias=True),  # last layers: features to `Scores`
        **base: Any,
    ):
        super().__init__(channels=channels, **base)
        widths = [self.inputs * math.prod(self.resolution) * factor, *[width] * depth]
        hidden = [part for i, o in zip(widths, widths[1:]) for part in layer(i, o)]
        self.body = nn.Sequential(*front, *hidden)
        self.head = head.build(features=widths[-1], **self.facts)
        initialise(self, init)
        if spectral:
            with_spectral_norm(self)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: the layers with weights."""
        return [layer for layer in self.body if isinstance(layer, (nn.Linear, Maxout))]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        return self.head(self.body(self.join(x, label)), label)


class Discriminator(Dense):
    """Fully connected maxout discriminator: images (N, channels, H, W) to `Scores`.

    Goodfellow et al. 2014.
    """

    decides = frozenset({"front", "layer", "factor"})

    def __init__(
        self,
        *,
        width: int = 240,  # maxout units of each hidden layer
        pieces: int = 5,  # linear maps a maxout unit chooses from
        depth: int = 2,  # hidden layers
        input_dropout: float = 0.2,  # share of the pixels dropped in training
        dropout: float = 0.5,  # share of the hidden units dropped in training
        init: Init = "xavier",  # initialisation of the weights
        **base: Any,
    ):
        def layer(i: int, o: int) -> Sequence[nn.Module]:
            return Maxout(i, o, pieces), nn.Dropout(dropout)

        front = nn.Flatten(), nn.Dropout(input_dropout)
        super().__init__(front=front, layer=layer, width=width, depth=depth, init=init, **base)


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
        if not self.factors and self.gain == 1:
            return flat
        waves = [wave(flat * factor) for factor in self.factors for wave in (torch.sin, torch.cos)]
        return self.gain * torch.cat([flat, *waves], 1)


class LeakyDiscriminator(Dense):
    """Fully connected LeakyReLU discriminator for points and small images: (N, channels, H, W) to `Scores`.

    As the toy critics of Gulrajani et al. 2017, appendix: no dropout, smooth enough for gradient penalties.
    """

    decides = frozenset({"front", "layer", "factor"})

    def __init__(
        self,
        *,
        frequencies: int = 0,  # octaves of sines and cosines appended to every input
        gain: float = 1.0,  # factor of the inputs; under spectral norm, the largest slope
        activation: Activation = "leaky_relu",  # after every hidden layer; leaky_relu has slope 0.2
        **base: Any,
    ):
        def layer(i: int, o: int) -> Sequence[nn.Module]:
            return nn.Linear(i, o), ACTIVATIONS[activation]()

        super().__init__(front=[Frequencies(frequencies, gain)], layer=layer, factor=1 + 2 * frequencies, **base)
