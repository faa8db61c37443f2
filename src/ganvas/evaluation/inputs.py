"""What may stand at either side of a measure: data, a model that is sampled, statistics of earlier features."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.batches import once
from ..data.cache import OWN, cache_folder
from ..data.dataset import Dataset
from ..data.sources import open_source
from ..errors import UsageError, UserError
from ..features.extractor import Features
from ..imaging.decode import to_float, to_uint8
from ..metrics.frechet import Gaussian, Moments
from ..metrics.statistics import is_statistics, load_statistics, save_statistics
from ..models.folder import model_folder
from ..models.model import Model, load

BATCH = 256
POINT = (1, 1)  # the resolution of points in the plane
SAMPLES = 5000  # drawn from a model unless told otherwise


@dataclass(frozen=True)
class Side:
    """One side: how many images, of what kind, and how to see them a few at a time.

    Either `dataset` or `model` says where images come from, or there are none and `file` holds statistics.
    """

    name: str
    count: int
    dataset: Dataset | None = None
    model: Model | None = None
    file: Path | None = None
    seed: int = 0  # of a model's first sample

    @property
    def channels(self) -> int:
        """1, 3 or 4; 0 where there are no images."""
        if self.dataset is not None:
            return self.dataset.facts.channels
        return int(self.model.config["data"]["channels"]) if self.model else 0

    @property
    def resolution(self) -> tuple[int, int]:
        """(height, width) of its images."""
        if self.dataset is not None:
            return self.dataset.facts.resolution
        if self.model is None:
            raise UsageError(f"{self.name} holds statistics of features and no images, which this measure needs.")
        height, width = self.model.config["data"]["resolution"]
        return height, width

    @property
    def class_names(self) -> list[str]:
        """The classes that its labels mean; none for unlabelled data or an unconditional model."""
        if self.dataset is not None:
            return list(self.dataset.class_names) if self.dataset.labels is not None else []
        return self.model.class_names if self.model and conditional(self.model) else []

    @property
    def said(self) -> dict[str, Any]:
        """What a number must say about this side."""
        said: dict[str, Any] = {"name": self.name, "images": self.count or "unknown"}
        if self.dataset is not None and self.resolution != POINT:
            said["resolution"] = f"{self.resolution[1]}x{self.resolution[0]}"
        return {**said, "seeds": f"{self.seed}-{self.seed + self.count - 1}"} if self.model else said

    def parts(self) -> Iterator[dict[str, Tensor]]:
        """`image` (N, C, H, W) float32 in [-1, 1], and `label` (N,) where there are any, some at a time.

        A model's samples are rounded to 8 bits as its files would be, so that a folder of them measures the same.
        """
        if self.dataset is not None:
            return once(self.dataset, BATCH)
        if self.model is None:
            raise UsageError(f"{self.name} holds statistics of features and no images, which this measure needs.")
        return self._drawn(self.model)

    def _drawn(self, model: Model) -> Iterator[dict[str, Tensor]]:
        points = self.resolution == POINT
        for start in range(0, self.count, BATCH):
            seeds = range(self.seed + start, self.seed + min(start + BATCH, self.count))
            images = model.sample_seeds(seeds)
            part = {"image": images if points else to_float(to_uint8(images))}
            yield {**part, "label": asked_labels(model, seeds)} if self.class_names else part

    @cached_property
    def labels(self) -> Tensor | None:
        """The class of every image (N,), -1 where it is not known."""
        if self.dataset is not None:
            return None if self.dataset.labels is None else torch.tensor(self.dataset.labels)
        if self.model is None or not self.class_names:
            return None
        return asked_labels(self.model, range(self.seed, self.seed + self.count))

    def images(self) -> Tensor:
        """All images at once: (N, C, H, W) float32 in [-1, 1]."""
        return torch.cat([part["image"] for part in self.parts()])

    def features(self, network: Features, use: Callable[[Tensor], Tensor] | None = None) -> Iterator[Tensor]:
        """Features (N, D) of the images, some at a time; `use`: what to ask of the network instead."""
        for part in self.parts():
            yield (use or network)(part["image"])

    def gaussian(self, network: Features, cache: Path | None = None) -> Gaussian:
        """Mean and covariance of its features: from its file, from the cache, or by looking.

        Raises `UsageError` for statistics of other features than these.
        """
        if self.file is not None:
            found, protocol = load_statistics(self.file)
            if different := [k for k, v in network.stamp.items() if k in protocol and protocol[k] != v]:
                k = different[0]
                raise UsageError(
                    f"{self.name} holds statistics with {k} {protocol[k]!r}, and this measure looks with"
                    f" {network.stamp[k]!r}; they cannot be compared."
                )
            return found
        place = self._place(network, cache)
        with suppress(UserError):  # a damaged one is made again
            if place is not None and is_statistics(place):
                return load_statistics(place)[0]
        moments = Moments()
        for part in self.features(network):
            moments.add(part)
        found = moments.gaussian()
        with suppress(OSError, UserError):  # what cannot be kept is made again next time
            if place is not None:
                save_statistics(place, found, network.stamp)
        return found

    def _place(self, network: Features, cache: Path | None) -> Path | None:
        """Where statistics of these images through this network are kept: named after the content of both."""
        if self.dataset is None or not network.key:
            return None
        text = f"{self.dataset.fingerprint} {self.dataset.facts} {network.key}"
        name = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return cache_folder(cache).with_name("statistics") / f"{name}.npz"

    def first(self, count: int) -> Side:
        """The same side with so many images at most: the first ones."""
        if self.count <= count:
            return self
        subset = None if self.dataset is None else self.dataset.subset(range(count))
        return replace(self, count=count, dataset=subset)


def conditional(model: Model) -> bool:
    """Whether a model can be asked for a class."""
    return bool(getattr(model.task, "conditional", False)) and bool(model.class_names)


def asked_labels(model: Model, seeds: range) -> Tensor:
    """The classes that a model takes in turn when it is not told one."""
    return torch.tensor([seed % len(model.class_names) for seed in seeds])


def open_side(
    where: str | Path | Dataset | Model,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    resolution: tuple[int, int] | None = None,
    device: str = "auto",
    cache: Path | None = None,
) -> Side:
    """A side from a run or model folder (`samples` are drawn), statistics (.npz with mu and sigma), or a data source.

    Images keep their own size unless a `resolution` (height, width) is asked for.
    Raises `UsageError` for a folder of images of several sizes without one, and for a model that makes images of
    images, of which there are none here.
    """
    if isinstance(where, Model):
        return Side("model", samples, model=sampled(where, "MODEL"), seed=seed)
    if isinstance(where, Dataset):
        return Side(where.name or "data", len(where), dataset=where)
    path = Path(where).expanduser()
    if is_model(path):
        return Side(str(where), samples, model=sampled(load(path, device=device), str(where)), seed=seed)
    if is_statistics(path):
        return Side(str(where), load_statistics(path)[0].count, file=path)
    dataset = open_source(str(where), resolution=resolution or OWN, cache=cache)
    return Side(str(where), len(dataset), dataset=dataset)


def sampled(model: Model, name: str) -> Model:
    """The same model if it can be sampled; raises `UsageError` if it must be given images."""
    if model.task.translates:
        make = model.task.next_step.format(run=name).replace("IMAGE", "FOLDER").replace("OUT.png", "OUT")
        raise UsageError(f"{name} makes images of images, so make some and measure those: {make}")
    return model


def draws(where: str | os.PathLike[str] | Dataset | Model) -> bool:
    """Whether a side is a model's."""
    return isinstance(where, Model) or (not isinstance(where, Dataset) and is_model(Path(where).expanduser()))


def is_model(path: Path) -> bool:
    """Whether a folder is a run, or a model of one."""
    return model_folder(path) is not None
