"""BigGAN's networks for small images (Brock, Donahue and Simonyan 2019): label and noise condition every block."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.special import ndtr, ndtri

from ..errors import UsageError
from ..game import Space
from . import resnet
from .label_inputs import embedding
from .layers import WEIGHTS, Init, as_size


class Generator(nn.Module):
    """BigGAN's generator: noise (N, latent) to images (N, channels, H, W) in [-1, 1] (Brock et al. 2019, appendix B).

    The latent is split: the first part is the input of the first layer, the others join the shared label embedding and
    condition the batch norms of one block each.  Without labels the parts of the latent condition alone.
    """

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
        latent: int = 128,  # size of the noise
        label_size: int = 128,  # size of the label embedding in every block, if there are labels
        hierarchical: bool = True,  # a part of the noise for every block; if not, all of it for the first layer
        width: int = 256,  # channels of the largest map
        growth: int = 1,  # most channels of a map as a multiple of `width`; doubled with every halving
        attention: int = 0,  # shorter side of the map (or the nearest there is) with self-attention; 0: none
        spectral: bool = True,  # divide every weight by its largest singular value
        init: Init = "orthogonal",  # initialisation of the weights
    ):
        super().__init__()
        self.latent = latent
        size = as_size(resolution)
        stages = resnet.stages_for(size, 4)
        part = latent // (stages + 1) if hierarchical else 0
        if hierarchical and not part:
            raise UsageError(f"latent is {latent}, but this generator splits it into {stages + 1} parts.")
        self.sizes = [latent - stages * part, *[part] * stages]
        labelled = bool(classes or attributes)
        self.label_size = label_size
        self.embed = embedding(classes, attributes, label_size) if labelled else None
        shape = {"width": width, "growth": growth, "attention": attention}
        condition = {"vector": part + label_size * labelled}
        self.body = resnet.Upward(self.sizes[0], size, channels, condition=condition, **shape)
        if self.embed is not None:
            WEIGHTS[init](self.embed.weight)
        resnet.init_residual(self.body, init, spectral)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        start, *parts = z.split(self.sizes, 1)
        if self.embed is not None:
            embedded = self.embed(label).to(z.dtype)
            parts = [torch.cat([embedded, part], 1) for part in parts]
        return self.body(start, parts)

    def spaces(self) -> dict[str, Space]:
        """The noise `z` in chunks, one for each layer, and with labels `y`: what the layers read, label included."""
        z = Space(self.latent, self.forward, parts=tuple(self.sizes), weights=lambda: self._weights(self.sizes))
        if self.embed is None:
            return {"z": z}
        sizes = [self.sizes[0], *(self.label_size + part for part in self.sizes[1:])]

        def encode(z: Tensor, label: Tensor | None) -> Tensor:
            start, *parts = z.split(self.sizes, 1)
            assert self.embed is not None
            embedded = self.embed(label).to(z.dtype)
            return torch.cat([start, *(t for part in parts for t in (embedded, part))], 1)

        def draw(codes: Tensor, label: Tensor | None = None) -> Tensor:
            start, *parts = codes.split(sizes, 1)
            return self.body(start, parts)

        y = Space(sum(sizes), draw, encode, tuple(sizes), weights=lambda: self._weights(sizes))
        return {"z": z, "y": y}

    def _weights(self, sizes: Sequence[int]) -> list[Tensor]:
        """The matrices of the layers that read a code in chunks, each with zeros for the chunks of others."""
        rows: list[tuple[int, Tensor]] = [(0, self.body.project.weight)]
        blocks: Any = self.body.blocks if sizes[-1] else []
        for k, block in enumerate(blocks, 1):
            tables = [t for norm in (block.norm1, block.norm2) for t in (norm.gain, norm.shift)]
            rows += [(k, table.weight[:, -sizes[k] :]) for table in tables]
        padded = []
        for k, weight in rows:
            whole = weight.new_zeros(len(weight), sum(sizes))
            whole[:, sum(sizes[:k]) : sum(sizes[: k + 1])] = weight
            padded.append(whole)
        return padded

    def truncated(self, z: Tensor, label: Tensor | None, trunc: float) -> Tensor:
        """Images of truncated latents."""
        return self(self.truncate(z, trunc), label)

    @staticmethod
    def truncate(z: Tensor, trunc: float) -> Tensor:
        """Map normal noise monotonically to a normal truncated to [-2 trunc, 2 trunc], through the CDF in float64.

        `trunc` 1 is not the identity: it cuts at two standard deviations, as BigGAN's published samples do.
        """
        if trunc < 0:
            raise UsageError(f"trunc must be at least 0, got {trunc}.")
        below = -z.double().abs()  # in the lower tail the CDF keeps its digits
        outside = ndtr(torch.tensor(-2.0 * trunc, dtype=torch.float64, device=z.device))
        half = ndtri(outside + ndtr(below) * (1 - 2 * outside))
        return torch.where(z < 0, half, -half).to(z.dtype)


class Discriminator(resnet.Discriminator):
    """BigGAN's discriminator: images (N, channels, H, W) to `Scores` (Brock et al. 2019, appendix B)."""

    decides = frozenset({"wide", "join"})

    def __init__(
        self,
        *,
        width: int = 256,  # channels of the first map
        init: Init = "orthogonal",  # initialisation of the weights
        **base: Any,
    ):
        super().__init__(width=width, wide=True, init=init, **base)
