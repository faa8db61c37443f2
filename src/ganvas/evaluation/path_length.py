"""Perceptual path length: the change of images along paths between codes."""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor

from ..errors import UsageError
from ..latent.distance import PerceptualDistance
from ..latent.spaces import LatentSpace, find_space, on_device
from ..latent.walk import slerp_pairs
from .comparison import Comparison, Numbers, metric

BATCH = 32
Distance = Callable[[Tensor, Tensor], Tensor]  # images pair by pair to (N,)
REST = 0.01  # share of the values left out at either end, as in the authors' code


@metric(less=("ppl",), unused=("resolution",))
def ppl(
    c: Comparison,
    *,
    space: str = "",  # latent space of the paths; empty: the styles, or the noise where there are none
    sampling: Literal["full", "end"] = "full",  # anywhere on a path, or at its beginning
    epsilon: float = 1e-4,  # step, as a share of the path
    distance: Literal["pocket", "vgg16", "pixels"] = "pocket",  # network of the perceptual distance, or pixels alone
) -> Numbers:
    """Perceptual path length of a generator: E d(G(t), G(t + e)) / e^2 (Karras et al. 2019, equations 2 and 3).

    Paths between two codes are arcs in the noise and straight in other spaces; d is `latent.distance`'s, and the
    lowest and highest 1 % of the values are left out.
    """
    model = c.only.model
    if model is None:
        raise UsageError(f"ppl measures a generator, and {c.only.name} is images; give a run.")
    if not 0 < epsilon <= 0.1:
        raise UsageError(f"--epsilon is more than 0 and at most 0.1, got {epsilon}.")
    styles = next((name for name, one in model.spaces().items() if one.space.layered), "z")
    place = find_space(model, space, styles)
    measure: Distance = _pixels if distance == "pixels" else PerceptualDistance(distance)
    pairs = pairs_on_paths(place, c.samples, c.seed, sampling, epsilon)
    values = torch.cat([_lengths(place, measure, epsilon, *pair) for pair in pairs])
    low, high = values.quantile(REST), values.quantile(1 - REST)
    inner = values[(values >= low) & (values <= high)]
    protocol = {"space": place.name, "sampling": sampling, "epsilon": epsilon, "distance": distance}
    return {"ppl": float(inner.mean()), **protocol, "fake": c.only.protocol}


def pairs_on_paths(
    space: LatentSpace, count: int, seed: int, sampling: str, epsilon: float
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Codes of two neighbouring points on each of `count` paths, and their labels, a batch at a time.

    A path goes from one seed to another, both with the label of the first.
    """
    source = torch.Generator().manual_seed(seed)
    for start in range(seed, seed + count, BATCH):
        seeds = range(start, min(start + BATCH, seed + count))
        labels = space.labels(seeds)
        here, there = (space.model.task.inputs(s, None)["z"] for s in (seeds, [s + count for s in seeds]))
        a, b = space.encode(here, labels), space.encode(there, labels)
        t = torch.rand(len(seeds), 1, generator=source) * (sampling == "full")
        along = slerp_pairs if space.space.encode is None else torch.lerp
        yield along(a.double(), b.double(), t.double()), along(a.double(), b.double(), t.double() + epsilon), labels


def _lengths(
    space: LatentSpace,
    measure: Distance,
    epsilon: float,
    a: Tensor,
    b: Tensor,
    labels: Tensor | None,
) -> Tensor:
    with torch.inference_mode():
        images = [space.draw_exactly(*on_device(space.model, x.float(), labels)) for x in (a, b)]
        return measure(*images).double().cpu() / epsilon**2


def _pixels(a: Tensor, b: Tensor) -> Tensor:
    """The mean squared difference of images in [-1, 1]."""
    return (a - b).square().mean((1, 2, 3))
