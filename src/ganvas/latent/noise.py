"""The noise maps of a generator: exchanged for a while, and regularised as StyleGAN2's projector does."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ..game import HasNoise

SMALLEST = 8  # pixels a side of the smallest map that is regularised


@contextmanager
def fixed_noise(network: nn.Module, maps: Sequence[Tensor]) -> Iterator[None]:
    """Use these maps (N, 1, h, w) as the noise of a generator's layers inside `with`; none: its own."""
    layers = network.noise_layers() if isinstance(network, HasNoise) and maps else []
    own = [layer.fixed for layer in layers]
    try:
        for layer, noise in zip(layers, maps):
            layer.fixed = noise.to(layer.fixed.device)
        yield
    finally:
        for layer, noise in zip(layers, own):
            layer.fixed = noise


def noise_shapes(network: nn.Module, rows: int) -> list[tuple[int, ...]]:
    """The shapes (rows, 1, h, w) of the noise maps of each layer that adds noise; none for a generator without."""
    if not isinstance(network, HasNoise):
        return []
    return [(rows, 1, *layer.fixed.shape[2:]) for layer in network.noise_layers()]


def draw_noise(network: nn.Module, rows: int, seed: int = 0) -> list[Tensor]:
    """Normal noise maps (rows, 1, h, w) for each layer that adds noise; none for a generator without."""
    source = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=source) for shape in noise_shapes(network, rows)]


def noise_penalty(maps: Sequence[Tensor]) -> Tensor:
    """The squared correlation of noise maps (N, 1, h, w) with themselves, moved by one pixel: (N,).

    Summed over rows, columns and halvings down to 8 pixels a side (Karras et al. 2020, appendix D, equation 11).
    """
    total = maps[0].new_zeros(len(maps[0]))
    for noise in maps:
        while min(noise.shape[2:]) >= SMALLEST:
            for axis in (2, 3):
                total = total + (noise * noise.roll(1, axis)).mean((1, 2, 3)).square()
            noise = avg_pool2d(noise, 2) * 2
    return total


def normalise_noise(maps: Sequence[Tensor]) -> list[Tensor]:
    """Noise maps with mean 0 and variance 1 each; maps of one pixel are left as they are."""
    return [n if math.prod(n.shape[2:]) == 1 else _normal(n) for n in maps]


def _normal(noise: Tensor) -> Tensor:
    centred = noise - noise.mean((2, 3), keepdim=True)
    return centred * centred.square().mean((2, 3), keepdim=True).add(1e-12).rsqrt()
