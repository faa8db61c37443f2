"""Walks through the latent space of a generator."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..tasks.base import Label
from .spaces import LatentSpace, find_space

if TYPE_CHECKING:
    from ..models.model import Model

BATCH = 64


def walk(
    model: "Model",
    seeds: Sequence[int],
    *,
    steps: int = 24,
    label: Label = None,
    trunc: float = 1.0,
    space: str | None = None,
) -> Tensor:
    """Images (len(seeds) * steps, C, H, W) along a closed path through the seeds, `steps` from one to the next.

    In the noise the path is an arc of its sphere (slerp), on which every point is as likely as a drawn one; in another
    `space` it is straight.  `trunc` is that of `sample_seeds`.
    """
    return torch.cat([*walk_batches(model, seeds, steps=steps, label=label, trunc=trunc, space=space)])


def walk_batches(
    model: "Model",
    seeds: Sequence[int],
    *,
    steps: int = 24,
    label: Label = None,
    trunc: float = 1.0,
    space: str | None = None,
) -> Iterator[Tensor]:
    """Generate the images of `walk` a batch at a time, so that a long film needs little memory."""
    place, ends = find_space(model, space, "z"), [*seeds, seeds[0]]
    if place.space.encode is not None:
        yield from _straight(place, ends, steps, label, trunc)
        return
    inputs = model.task.inputs(ends, label)
    z, t = inputs["z"], torch.arange(steps) / steps
    path = torch.cat([slerp(a, b, t) for a, b in zip(z, z[1:])])
    frames = {k: _repeat_rows(v[:-1], steps) for k, v in inputs.items()} | {"z": path}
    for k in range(0, len(path), BATCH):
        yield model.generate({**{name: rows[k : k + BATCH] for name, rows in frames.items()}, "trunc": trunc})


def _straight(space: LatentSpace, seeds: Sequence[int], steps: int, label: Label, trunc: float) -> Iterator[Tensor]:
    """Images on straight lines from one seed's code to the next."""
    codes, t = space.of_seeds(seeds, label, trunc), torch.arange(steps)[:, None] / steps
    path = torch.cat([torch.lerp(a, b, t) for a, b in zip(codes, codes[1:])])
    labels = space.labels(seeds, label)
    return space.draw_batches(path, None if labels is None else _repeat_rows(labels[:-1], steps))


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation: points (len(t), D) on the great arc from a to b (Shoemake 1985)."""
    t = t[:, None]
    angle = torch.acos(torch.clamp(torch.dot(a, b) / (a.norm() * b.norm()), -1, 1))
    if angle < 1e-4:
        return a + t * (b - a)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def slerp_pairs(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation of rows: points (N, D) on the arcs from a to b (N, D) at t (N, 1)."""
    cosine = (a * b).sum(1, keepdim=True) / (a.norm(dim=1, keepdim=True) * b.norm(dim=1, keepdim=True))
    angle = torch.acos(cosine.clamp(-1, 1)).clamp_min(1e-6)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def _repeat_rows(rows: Any, steps: int) -> Any:
    """Repeat each row of a tensor or a list `steps` times."""
    if isinstance(rows, Tensor):
        return rows.repeat_interleave(steps, 0)
    return [row for row in rows for _ in range(steps)]
