"""Labels as inputs: embedded beside the noise of a generator, or as a further channel of an image; bases of both.

A label is a class (N,) int64 or a vector (N, D) float32; with neither `classes` nor `attributes` a network is
unconditional.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..errors import UsageError
from ..game import BaseDiscriminator, Head, Space
from .layers import VectorEmbedding, as_size

LABEL_SIZED = ("embed", "classify")  # names of every part whose shape follows from the labels; --init-from relies on it


def embedding(classes: int, attributes: int, size: int) -> nn.Module:
    """A learnt map from labels to (N, size): a table for classes, a linear map for vectors.

    Raises `UsageError` if the data have neither.
    """
    if not classes and not attributes:
        raise UsageError("This network is asked for by label, but the data have no labels.")
    return nn.Embedding(classes, size) if classes else VectorEmbedding(attributes, size)


class Embedded(NamedTuple):
    """A label that is embedded already: (N, size)."""

    vector: Tensor


class JoinNoise(nn.Module):
    """Concatenation of noise (N, latent) and the embedding of its label, if there are labels (Mirza and Osindero 2014).

    `size` is that of the embedding: 0 for an unconditional network.  A vector is one more part of the noise, and its
    map is initialised as every layer: larger, InfoGAN's codes agreed with fewer digits (79 % instead of 90 %).
    With `norm`, embeddings are scaled to that length: learnt ones of captions grow until images no longer depend on the
    noise (on MNIST to 12, where the noise of 64 numbers has 8).
    """

    def __init__(self, classes: int, attributes: int, size: int, norm: float = 0.0):
        super().__init__()
        if norm < 0:
            raise UsageError(f"label_norm must be 0 or more, got {norm:g}.")
        self.norm, self.size = norm, size if classes or attributes else 0
        self.embed: nn.Module | None = None
        if self.size:
            self.embed = nn.Embedding(classes, size) if classes else nn.Linear(attributes, size)
        if isinstance(self.embed, nn.Embedding):  # as long as a one-hot vector: longer ones drown the noise
            self.embed.weight.data *= size**-0.5

    def forward(self, z: Tensor, label: Any) -> Tensor:
        if self.embed is None:
            return z
        vector = label.vector if isinstance(label, Embedded) else self.embed(label)
        if self.norm and not isinstance(label, Embedded):
            vector = self.norm * normalize(vector.float(), dim=1)
        return torch.cat([z, vector.to(z.dtype)], 1)


class JoinImage(nn.Module):
    """Concatenation of images (N, C, H, W) and one channel learnt for each label (Mirza and Osindero 2014).

    `channels` is the number added: 0 for an unconditional network, and without `join`.
    """

    def __init__(self, classes: int, attributes: int, resolution: tuple[int, int], join: bool):
        super().__init__()
        self.resolution = resolution
        self.channels = int(join and bool(classes or attributes))
        self.embed = embedding(classes, attributes, resolution[0] * resolution[1]) if self.channels else None

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        if self.embed is None:
            return x
        return torch.cat([x, self.embed(label).view(x.shape[0], 1, *self.resolution).to(x.dtype)], 1)


class LabelledGenerator(nn.Module):
    """Base of generators from noise (N, latent) with the embedding of a label, if there are labels: `inputs` numbers.

    Subclasses build the layers, in the order of their random draws.
    """

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
        latent: int = 100,  # size of the noise
        label_size: int = 50,  # size of the label embedding beside the noise, if there are labels
        label_norm: float = 0.0,  # length that label embeddings are scaled to; 0: not scaled
    ):
        super().__init__()
        self.latent, self.resolution, self.channels = latent, as_size(resolution), channels
        self.facts = {"classes": classes, "attributes": attributes}
        self.join = JoinNoise(classes, attributes, label_size, label_norm)
        self.inputs = latent + self.join.size

    def spaces(self) -> dict[str, Space]:
        """The noise `z`, and with labels `y`: the noise and the embedded label."""

        def draw(codes: Tensor, label: Tensor | None = None) -> Tensor:
            return self(codes[:, : self.latent], Embedded(codes[:, self.latent :]))

        read = first_weight(self, self.inputs)
        columns = None if read is None else lambda: [read()[:, : self.latent]]
        z = Space(self.latent, self.forward, weights=columns)
        if not self.join.size:
            return {"z": z}
        return {"z": z, "y": Space(self.inputs, draw, self.join, weights=read and (lambda: [read()]))}


def first_weight(network: nn.Module, inputs: int) -> Callable[[], Tensor] | None:
    """The matrix (O, inputs) of the layer that reads vectors (N, inputs); None if there is no such layer."""
    for name, layer in network.named_modules():
        if name.startswith("join") or not isinstance(layer, (nn.Linear, nn.ConvTranspose2d)):
            continue
        across = isinstance(layer, nn.ConvTranspose2d)
        if layer.weight.shape[0 if across else 1] == inputs:
            return lambda: layer.weight.flatten(1).t() if across else layer.weight
    return None


class LabelledDiscriminator(BaseDiscriminator):
    """Base of discriminators of images with the label as one more channel, if `join`: `inputs` channels.

    Subclasses build the layers, in the order of their random draws, and give their head `facts`.
    """

    head: Head

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
        join: bool = False,  # show the label as one more channel of the image
    ):
        super().__init__()
        self.resolution, self.facts = as_size(resolution), {"classes": classes, "attributes": attributes}
        self.join = JoinImage(classes, attributes, self.resolution, join)
        self.inputs = channels + self.join.channels
