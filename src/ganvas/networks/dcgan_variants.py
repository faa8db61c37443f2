"""DCGAN's networks with a fully connected layer, as in InfoGAN (Chen et al. 2016), or virtual batch norm."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..config import Spec
from ..game import Space
from . import dcgan
from .heads import Plain
from .label_inputs import LabelledDiscriminator, LabelledGenerator
from .layers import Init, crop_center, initialise
from .norms import spectral
from .virtual_norm import ReferenceBatch, VirtualBatchNorm2d


def norms_for(norm: str, reference: int) -> dcgan.Norms:
    """DCGAN's norm layers, or those of virtual batch norm by so many reference images."""
    return (lambda channels: [VirtualBatchNorm2d(channels, reference)]) if norm == "virtual" else dcgan.NORMS[norm]


def dense_layer(inputs: int, outputs: int, norms: dcgan.Norms, activation: nn.Module) -> nn.Sequential:
    """A fully connected layer, normalised as maps are: (N, inputs) -> (N, outputs)."""
    between = norms(outputs)
    layer = nn.Linear(inputs, outputs, bias=not between)
    return nn.Sequential(layer, nn.Unflatten(1, (outputs, 1, 1)), *between, activation, nn.Flatten())


class Generator(dcgan.Generator):
    """DCGAN's generator with InfoGAN's fully connected layer (Chen et al. 2016) or virtual batch norm."""

    def __init__(
        self,
        *,
        hidden: int = 0,  # units of a fully connected layer before the first map; 0: none
        width: int = 64,
        max_width: int = 1024,
        norm: Literal["batch", "virtual"] = "batch",  # batch norm, or virtual batch norm (Salimans et al. 2016)
        reference: int = 64,  # images in the reference batch of virtual batch norm
        init: Init = "normal",
        **base: Any,
    ):
        LabelledGenerator.__init__(self, **base)  # every other part is built here, in the order of DCGAN's
        norms = norms_for(norm, reference)
        widths = dcgan.widths_for(self.resolution, width, max_width)[::-1]
        self.base = tuple(-(-side // 2 ** len(widths)) for side in self.resolution)
        self.hidden = dense_layer(self.inputs, hidden, norms, nn.ReLU(inplace=True)) if hidden else None
        self.project = nn.Linear(hidden or self.inputs, widths[0] * self.base[0] * self.base[1], bias=False)
        self.body = dcgan.upward(widths, self.channels, norms)
        self.reference = ReferenceBatch(reference, (self.latent,), **self.facts) if norm == "virtual" else None
        initialise(self, init)

    def spaces(self) -> dict[str, Space]:
        """The noise `z`, and with labels `y`, unless virtual batch norm has labels of its own to embed."""
        spaces = super().spaces()
        return spaces if self.reference is None else {"z": spaces["z"]}

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        lead = 0 if self.reference is None else self.reference.size
        if self.reference is not None:
            z, label = self.reference(z, label)
        z = self.join(z, label)
        z = z if self.hidden is None else self.hidden(z)
        h = self.project(z).view(z.shape[0], *self.base, -1)  # (N, h, w, C)
        image = torch.tanh(self.body(h.permute(0, 3, 1, 2))[lead:])
        return crop_center(image, self.resolution)


class Discriminator(dcgan.Discriminator):
    """DCGAN's discriminator with InfoGAN's fully connected layer (Chen et al. 2016) or virtual batch norm."""

    def __init__(
        self,
        *,
        channels: int = 3,
        width: int = 64,
        max_width: int = 1024,
        hidden: int = 0,  # units of a fully connected layer after the last map; 0: none
        norm: dcgan.Norm | Literal["virtual"] = "batch",  # DCGAN's, or virtual batch norm (Salimans et al. 2016)
        reference: int = 64,  # images in the reference batch of virtual batch norm
        init: Init = "normal",
        head: Spec = Spec(Plain),
        **base: Any,
    ):
        LabelledDiscriminator.__init__(self, channels=channels, **base)  # the rest in the order of DCGAN's
        size, norms = self.resolution, norms_for(norm, reference)
        widths = dcgan.widths_for(size, width, max_width)
        self.body = dcgan.downward(self.inputs, widths, norms)
        features = widths[-1] * (size[0] >> len(widths)) * (size[1] >> len(widths))
        self.hidden = dense_layer(features, hidden, norms, nn.LeakyReLU(0.2, inplace=True)) if hidden else None
        self.head = head.build(features=hidden or features, **self.facts)
        self.reference = ReferenceBatch(reference, (channels, *size), **self.facts) if norm == "virtual" else None
        initialise(self, init)
        if norm == "spectral":
            spectral(self)

    def features(self, x: Tensor, label: Tensor | None) -> Tensor:
        """The last layer before the head: (N, F)."""
        lead = 0 if self.reference is None else self.reference.size
        if self.reference is not None:
            x, label = self.reference(x, label)
        h = super().features(x, label)
        h = h if self.hidden is None else self.hidden(h)
        return h[lead:]
