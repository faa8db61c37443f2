"""Labels as inputs: embedded beside the noise of a generator, or as a further channel of an image; bases of both.

A label is a class (N,) int64 or a vector (N, D) float32; with neither `classes` nor `attributes` a network is
unconditional.
"""

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..game import BaseDiscriminator, Head
from .layers import VectorEmbedding, as_size

LABEL_SIZED = ("embed", "classify")  # names of every part whose shape follows from the labels; --init-from relies on it


def embedding(classes: int, attributes: int, size: int) -> nn.Module:
    """A learnt map from labels to (N, size): a table for classes, a linear map for vectors.

    Raises `UsageError` if the data have neither.
    """
    if not classes and not attributes:
        raise UsageError("This network is asked for by label, but the data have no labels.")
    return nn.Embedding(classes, size) if classes else VectorEmbedding(attributes, size)


class JoinNoise(nn.Module):
    """Concatenation of noise (N, latent) and the embedding of its label, if there are labels (Mirza and Osindero 2014).

    `size` is that of the embedding: 0 for an unconditional network.  A vector is one more part of the noise, and its
    map is initialised as every layer: larger, InfoGAN's codes agreed with fewer digits (79 % instead of 90 %).
    """

    def __init__(self, classes: int, attributes: int, size: int):
        super().__init__()
        self.size = size if classes or attributes else 0
        self.embed: nn.Module | None = None
        if self.size:
            self.embed = nn.Embedding(classes, size) if classes else nn.Linear(attributes, size)
        if isinstance(self.embed, nn.Embedding):  # as long as a one-hot vector: longer ones drown the noise
            self.embed.weight.data *= size**-0.5

    def forward(self, z: Tensor, label: Tensor | None) -> Tensor:
        return z if self.embed is None else torch.cat([z, self.embed(label).to(z.dtype)], 1)


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
        return torch.cat([x, self.embed(label).view(len(x), 1, *self.resolution).to(x.dtype)], 1)


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
    ):
        super().__init__()
        self.latent, self.resolution, self.channels = latent, as_size(resolution), channels
        self.facts = {"classes": classes, "attributes": attributes}
        self.join = JoinNoise(classes, attributes, label_size)
        self.inputs = latent + self.join.size


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
