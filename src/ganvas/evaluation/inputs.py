"""A side of a comparison: data, a model that is sampled, or statistics of earlier features."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..catalog import component
from ..config import options
from ..data.batches import iterate_once
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
from ..paths import shell_word, user_path

BATCH = 256
POINT = (1, 1)  # the resolution of points in the plane
SAMPLES = 5000  # drawn from a model by default


@dataclass(frozen=True)
class Side:
    """One side of a comparison, whose images are read a batch at a time.

    Images come from `dataset` or from `model`; with neither there are none, and `file` holds statistics.
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
            raise UsageError(
                f"{self.name} holds statistics of features and no images, which this measure needs; give the images."
            )
        height, width = self.model.config["data"]["resolution"]
        return height, width

    @property
    def class_names(self) -> list[str]:
        """The classes that its labels mean; none for unlabelled data or an unconditional model."""
        if self.dataset is not None:
            return list(self.dataset.class_names) if self.dataset.labels is not None else []
        return self.model.class_names if self.model and self.model.task.conditional else []

    @property
    def protocol(self) -> dict[str, Any]:
        """Name, number of images, and their size or the seeds of a model's samples; printed with every result."""
        entries: dict[str, Any] = {"name": self.name, "images": self.count or "unknown"}
        if self.dataset is not None and self.resolution != POINT:
            entries["resolution"] = f"{self.resolution[1]}x{self.resolution[0]}"
        return {**entries, "seeds": f"{self.seed}-{self.seed + self.count - 1}"} if self.model else entries

    def parts(self) -> Iterator[dict[str, Tensor]]:
        """Batches of `image` (N, C, H, W) float32 in [-1, 1], and of `label` (N,) if there are labels.

        A model's samples are rounded to 8 bits as its files would be, so that a folder of them measures the same.
        """
        if self.dataset is not None:
            return iterate_once(self.dataset, BATCH)
        if self.model is None:
            raise UsageError(
                f"{self.name} holds statistics of features and no images, which this measure needs; give the images."
            )
        return self._samples(self.model)

    def _samples(self, model: Model) -> Iterator[dict[str, Tensor]]:
        points = self.resolution == POINT
        for start in range(0, self.count, BATCH):
            seeds = range(self.seed + start, self.seed + min(start + BATCH, self.count))
            images = model.sample_seeds(seeds)
            part = {"image": images if points else to_float(to_uint8(images))}
            yield {**part, "label": default_labels(model, seeds)} if self.class_names else part

    def at(self, places: Sequence[int]) -> Iterator[Tensor]:
        """Batches (N, C, H, W) of the images at these places, of a model's samples by number; not for points."""
        for start in range(0, len(places), BATCH):
            part = places[start : start + BATCH]
            if self.dataset is not None:
                yield from (batch["image"] for batch in iterate_once(self.dataset.subset(part), BATCH))
            elif self.model is not None:
                yield to_float(to_uint8(self.model.sample_seeds([self.seed + place for place in part])))

    @cached_property
    def labels(self) -> Tensor | None:
        """The class of every image (N,), -1 where it is not known."""
        if self.dataset is not None:
            return None if self.dataset.labels is None else torch.tensor(self.dataset.labels)
        if self.model is None or not self.class_names:
            return None
        return default_labels(self.model, range(self.seed, self.seed + self.count))

    def images(self) -> Tensor:
        """All images at once: (N, C, H, W) float32 in [-1, 1]."""
        return torch.cat([part["image"] for part in self.parts()])

    def features(self, network: Features, use: Callable[[Tensor], Tensor] | None = None) -> Iterator[Tensor]:
        """Features (N, D) of the images, a batch at a time; `use`: another function of images than the network."""
        for part in self.parts():
            yield (use or network)(part["image"])

    def gaussian(self, network: Features, cache: Path | None = None) -> Gaussian:
        """Mean and covariance of its features: from its file, from the cache, or computed.

        Raises `UsageError` for statistics of other features than these.
        """
        if self.file is not None:
            gaussian, protocol = load_statistics(self.file)
            if k := next((k for k, v in network.stamp.items() if k in protocol and protocol[k] != v), ""):
                both = f"{k} {protocol[k]!r}, and this measure looks with {network.stamp[k]!r}"
                way = f"--{k} {protocol[k]}" if k in ("features", "resizer") else "the images"
                raise UsageError(f"{self.name} holds statistics with {both}; they cannot be compared, so give {way}.")
            return gaussian
        place = self._cache_file(network, cache)
        with suppress(UserError):  # a damaged file is computed again
            if place is not None and is_statistics(place):
                return load_statistics(place)[0]
        moments = Moments()
        for part in self.features(network):
            moments.add(part)
        gaussian = moments.gaussian()
        with suppress(OSError, UserError):  # without a cache they are computed again next time
            if place is not None:
                save_statistics(place, gaussian, network.stamp)
        return gaussian

    def _cache_file(self, network: Features, cache: Path | None) -> Path | None:
        """File for statistics of these images through this network, named by a hash of the content of both."""
        if self.dataset is None or not network.key:
            return None
        text = f"{self.dataset.fingerprint} {self.dataset.facts} {network.key}"
        name = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return cache_folder(cache).with_name("statistics") / f"{name}.npz"

    def first(self, count: int) -> "Side":
        """This side with its first `count` images at most."""
        if self.count <= count:
            return self
        subset = None if self.dataset is None else self.dataset.subset(range(count))
        return replace(self, count=count, dataset=subset)


def default_labels(model: Model, seeds: range) -> Tensor:
    """The classes (N,) of a model's samples where none is given: each in turn, by the seed."""
    return torch.tensor([seed % len(model.class_names) for seed in seeds])


def open_side(
    where: str | os.PathLike[str] | Dataset | Model,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    resolution: tuple[int, int] | None = None,
    device: str = "auto",
    cache: Path | None = None,
) -> Side:
    """A side from a run or model folder (`samples` are drawn), statistics (.npz with mu and sigma), or a data source.

    Images keep their own size unless a `resolution` (height, width) is given.  Raises `UsageError` for a folder of
    images of several sizes without one, and for a model that makes images of images.
    """
    if isinstance(where, Model):
        return Side("model", samples, model=check_samples(where, "MODEL"), seed=seed)
    if isinstance(where, Dataset):
        return Side(where.name or "data", len(where), dataset=where)
    path = user_path(where)
    if model_folder(path) is not None:
        return Side(str(where), samples, model=check_samples(load(path, device=device), str(where)), seed=seed)
    if is_statistics(path):
        return Side(str(where), load_statistics(path)[0].count, file=path)
    dataset = open_source(str(where), resolution=resolution or OWN, cache=cache)
    return Side(str(where), len(dataset), dataset=dataset)


def check_samples(model: Model, name: str) -> Model:
    """The model itself; raises `UsageError` if it cannot be sampled but translates images."""
    if model.task.translates:
        make = model.task.next_step.format(run=shell_word(name)).replace("IMAGE", "FOLDER").replace("OUT.png", "OUT")
        raise UsageError(f"{name} makes images of images, so make some and measure those: {make}")
    return model


def trained_through(task: Any) -> set[str]:
    """The feature networks through which a task's generator is trained, by name; `task` is its spec as JSON.

    A discriminator names the option that says which: its class attribute `trained_through`.
    """
    if isinstance(task, list):
        return set().union(*map(trained_through, task))
    if not isinstance(task, dict):
        return set()
    target = component(task["()"]) if isinstance(task.get("()"), str) else None
    option = getattr(target, "trained_through", "")
    own = {task.get(option, options(target)[option].default)} if target is not None and option else set()
    return own.union(*map(trained_through, task.values()))


def draws(where: str | os.PathLike[str] | Dataset | Model) -> bool:
    """True for a side that a model draws."""
    if isinstance(where, Model | Dataset):
        return isinstance(where, Model)
    return model_folder(user_path(where)) is not None
