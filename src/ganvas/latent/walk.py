"""Walks through the latent space of a generator."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..tasks.base import Label

if TYPE_CHECKING:
    from ..models.model import Model

BATCH = 64


def walk(model: "Model", seeds: Sequence[int], *, steps: int = 24, label: Label = None) -> Tensor:
    """Images (len(seeds) * steps, C, H, W) along a closed path through the seeds, `steps` from one to the next.

    The path is an arc of the noise's sphere (slerp), on which every point is as likely as a drawn one.
    """
    return torch.cat([*walk_batches(model, seeds, steps=steps, label=label)])


def walk_batches(model: "Model", seeds: Sequence[int], *, steps: int = 24, label: Label = None) -> Iterator[Tensor]:
    """Generate the images of `walk` a batch at a time, so that a long film needs little memory."""
    inputs = model.task.inputs([*seeds, seeds[0]], label)
    z, t = inputs["z"], torch.arange(steps) / steps
    path = torch.cat([slerp(a, b, t) for a, b in zip(z, z[1:])])
    frames = {k: _repeat_rows(v[:-1], steps) for k, v in inputs.items()} | {"z": path}
    for k in range(0, len(path), BATCH):
        yield model.generate({name: rows[k : k + BATCH] for name, rows in frames.items()})


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation: points (len(t), D) on the great arc from a to b (Shoemake 1985)."""
    t = t[:, None]
    angle = torch.acos(torch.clamp(torch.dot(a, b) / (a.norm() * b.norm()), -1, 1))
    if angle < 1e-4:
        return a + t * (b - a)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def _repeat_rows(rows: Any, steps: int) -> Any:
    """Repeat each row of a tensor or a list `steps` times."""
    if isinstance(rows, Tensor):
        return rows.repeat_interleave(steps, 0)
    return [row for row in rows for _ in range(steps)]
