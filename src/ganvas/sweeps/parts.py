"""Features and folders of generated images, in parts by the workers of a Ray cluster."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from ..data.dataset import Dataset
from ..errors import UsageError
from ..evaluation.export_features import export_features
from ..evaluation.representation import Representation, open_representation
from ..latent.synthesis import Part, Synthesis
from ..latent.synthesize import synthesize
from .cluster import WorkerOptions, connect, results

IMAGES = 1024  # of a task of features


def export_features_there(source: str, output: Any, *, workers: WorkerOptions, **options: Any) -> dict[str, Any]:
    """As `export_features`; the images are described by workers, and the file is written here, in their order."""
    connect()

    def parts(network: Representation, data: Dataset) -> Iterator[Tensor]:
        starts = range(0, len(data), IMAGES)
        for rows in results(partial(describe, source, options), starts, os.getcwd(), workers):
            yield torch.from_numpy(rows.copy())  # Ray's own is not writable

    return export_features(source, output, **options, parts=parts)


def describe(source: str, options: dict[str, Any], start: int) -> Any:
    """Features (n, D) of the images of a source from `start` on."""
    network, data = opened(source, tuple(options.items()))
    return network.all(data.subset(range(start, min(start + IMAGES, len(data))))).numpy()


@lru_cache(maxsize=1)
def opened(source: str, options: tuple[tuple[str, Any], ...]) -> tuple[Representation, Dataset]:
    """The network and the images, opened once in a worker."""
    given = dict(options)
    resolution = given.pop("resolution")
    network = open_representation(**given)
    return network, network.open(source, resolution)


def synthesize_there(run: Any, output: Any, *, workers: WorkerOptions, **options: Any) -> dict[str, Any]:
    """As `synthesize`; each class is a task of a worker, which goes on with what a lost one has written.

    Samples that a lost worker refused are not counted.  Raises `UsageError` for a model without classes.
    """
    connect()

    def write(work: Synthesis, parts: Sequence[Part], progress: Callable[[int, int], None]) -> dict[str, Any]:
        if len(parts) < 2:
            raise UsageError("--on ray divides the classes among workers, and this model draws none; leave it out.")
        total, before, done = sum(p.count for p in parts), sum(work.written(p.folder)[0] for p in parts), 0
        refused = Counter[str]()
        shared = {name: value for name, value in options.items() if name not in ("progress", "resume")}
        task = partial(write_class, run, output, shared)
        for part, counts in zip(parts, results(task, range(len(parts)), os.getcwd(), workers)):
            done += part.count
            refused.update(counts)
            progress(done, total)
        return {"images": total, "written": total - before, "refused": dict(refused)}

    return synthesize(run, output, **options, write=write)


def write_class(run: Any, output: Any, options: dict[str, Any], k: int) -> dict[str, int]:
    """Write the images of one class that are missing; returns the samples refused by each filter."""

    def write(work: Synthesis, parts: Sequence[Part], progress: Callable[[int, int], None]) -> dict[str, Any]:
        refused = Counter[str]()
        work.write(parts[k], len(parts), refused, lambda count: None)
        return {"refused": dict(refused)}

    refusals: dict[str, int] = synthesize(run, output, **options, resume=True, write=write)["refused"]
    return refusals
