"""The endless, shuffled order of a data set, as random access: what stands where follows from the seed alone."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ..errors import UsageError
from .dataset import Dataset
from .degrade.base import Degradation
from .derived_sources import MAKERS
from .random_window import Window
from .storage import as_images, indexable, rows_of

Transform = Callable[[Tensor], Tensor]

IN_MEMORY = 512 << 20  # bytes: a data set up to this size is one tensor
ON_DEVICE = 0.25  # share of an accelerator's free memory that a data set may take
MASK = (1 << 64) - 1

SHOWN = 0x5EE  # the seed of the order in which images are shown
HELD = 0x8E1D  # added to the seed for the choice of the images that are held out
LABELLED = 0x9E3779B97F4A7C15  # added to the seed for the order of the labelled images
OTHER = 0x3C6EF372FE94F82B  # and for that of the other pile

LACKING = {
    "label": (
        "This recipe needs labels, and the data have none; put the images into one sub-folder a class,"
        " or name labels in a metadata.jsonl."
    ),
    "labelled": (
        "This recipe needs classes, at least of some images; put those into one sub-folder a class and the others into"
        " a sub-folder called unlabelled, or name labels in a metadata.jsonl."
    ),
    "source": (
        "This recipe needs pairs; give --data source=DIR,target=DIR, AB:DIR for images side by side, or edges:DATA"
        " (grey, blur, mask, regions) to make sources of the images themselves."
    ),
    "other": "This recipe needs two piles of images; give --data a=DIR,b=DIR.",
    "text": "This recipe needs captions, and the data have none; name a text for each image in a metadata.jsonl.",
}


class Order:
    """The endless order of `count` things, as random access: a permutation an epoch.

    Epoch e is drawn from Philox(seed, e); position p belongs to epoch p // count.
    """

    def __init__(self, count: int, seed: int):
        self.count, self.seed = count, seed & MASK
        self._epochs: dict[int, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_epochs": {}}

    def indices(self, start: int, count: int) -> np.ndarray:
        """What stands at positions start to start + count, as (count,) int64."""
        out, done = np.empty(count, np.int64), 0
        while done < count:
            epoch, offset = divmod(start + done, self.count)
            part = self._epoch(epoch)[offset : offset + count - done]
            out[done : done + len(part)] = part
            done += len(part)
        return out

    def _epoch(self, epoch: int) -> np.ndarray:
        if epoch not in self._epochs:
            # sorting raw bits: unlike Generator.permutation, they are the same in every version of NumPy
            bits = np.random.Philox(key=np.array([self.seed, epoch], np.uint64)).random_raw(self.count)
            self._epochs = {e: o for e, o in self._epochs.items() if e == epoch - 1}
            self._epochs[epoch] = np.argsort(bits, kind="stable")
        return self._epochs[epoch]


class Batches:
    """Random access to the endless, shuffled order of a data set.

    A batch is a pure function of (data set, seed, transforms, position): the same with worker processes or without,
    in any order, after a restart.  `needs` names what a batch must hold; with `labelled` or `other`, every batch also
    brings as many labelled images, or images of the other pile, which have an order of their own.  With `hold_out`,
    so many images (of either pile), which follow from the seed, are never among them.  A `degradation` makes the
    sources of data that have none.  Raises `UsageError` if the data lack what is needed.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        seed: int,
        device: torch.device | str = "cpu",
        transforms: Sequence[Transform] = (),
        workers: int = 0,
        needs: Collection[str] = (),
        hold_out: int = 0,
        degradation: Degradation | None = None,
    ):
        self.dataset, self.seed, self.transforms = dataset, seed & MASK, tuple(transforms)
        self.device, self.workers = torch.device(device), workers
        self.captions, self.labels = dataset.captions, _labels(dataset)
        self.degradation = None if dataset.facts.source_channels else degradation
        if self.degradation:
            self.degradation.check(dataset.facts)
        self._refuse(needs)
        self.held_out, self.aside, self.kept = hold_out, *divided(len(dataset), hold_out, seed)
        self.order = Order(len(self.kept), seed)
        self.labelled = np.intersect1d(dataset.labelled, self.kept) if "labelled" in needs else None  # where they are
        self.labelled_order = None if self.labelled is None else Order(len(self.labelled), seed + LABELLED)
        self.others: Order | None = None
        if "other" in needs and dataset.sources is not None:
            self.other_aside, self.other_kept = divided(len(dataset.sources), hold_out, seed + OTHER)
            self.others = Order(len(self.other_kept), seed + OTHER)
        self.window = Window(dataset, self.seed) if dataset.window else None
        self._running: list[Iterator[Any]] = []
        self._rows = self._resident(dataset.images)
        self._source_rows = None if dataset.sources is None else self._resident(dataset.sources)
        for transform in self.transforms:
            check = getattr(transform, "check", None)
            if check:
                check(dataset.facts)

    def _refuse(self, needs: Collection[str]) -> None:
        found = {
            "label": self.labels is not None,
            "labelled": bool(self.dataset.class_names) and len(self.dataset.labelled) > 0,
            "text": self.captions is not None,
            "source": self.dataset.paired or bool(self.dataset.maker or self.degradation),
            "other": self.dataset.sources is not None,
        }
        for need in sorted(needs):
            if not found.get(need, True):
                raise UsageError(LACKING[need])

    def _resident(self, images: np.ndarray) -> Tensor | None:
        """All images as one tensor (N, H * W * C), where indexing is fastest; None if they are too many."""
        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            if images.nbytes > ON_DEVICE * free:
                return None
        elif images.nbytes > IN_MEMORY:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the file is read-only, and is only read
            return indexable(torch.from_numpy(images.reshape(len(images), -1))).to(self.device)

    def __len__(self) -> int:
        """How many images are trained on."""
        return len(self.kept)

    def __getstate__(self) -> dict[str, Any]:
        """What a worker process needs where it is not forked; streams that are running stay here."""
        return {**self.__dict__, "_running": []}

    def indices(self, start: int, count: int) -> np.ndarray:
        """Which images stand at positions start to start + count of the endless order, as (count,) int64."""
        return self.kept[self.order.indices(start, count)]

    def at(self, start: int, count: int) -> dict[str, Any]:
        """The batch at a position: `image` (count, C, H, W) float32 in [-1, 1], channels last in memory; `index`
        (count,) int64; `label`, (count,) int64 or (count, D) float32, and `text` (list of str) where the data has
        them, and `source` of pairs; `labelled_image`, `labelled_label` and `other` alike, if they are needed; `source`
        and `target` as a degradation's `pair` gives them.
        """
        self._check(count)
        return self._finish(self._gather(start, count), start)

    def held(self, count: int) -> dict[str, Any]:
        """The first `count` of the images that are held out, as `at` gives them."""
        batch = self._stored(self.aside[:count])
        if self.others is not None:
            batch["other"] = self._sources(self.other_aside[:count])
        return self._finish(batch, 0)

    def _check(self, count: int) -> None:
        if not 0 < count <= len(self):
            raise UsageError(
                f"A batch of {count} cannot be drawn from the {len(self):,} images of {self.dataset.name!r};"
                f" give --batch {len(self)} or less."
            )

    def _gather(self, start: int, count: int) -> dict[str, Any]:
        """The batch as it is stored: rows (count, H * W * C) of integers, on the device only if the data is there."""
        batch = self._stored(self.indices(start, count))
        if self.labelled is not None and self.labelled_order is not None and self.labels is not None:
            where = self.labelled[self.labelled_order.indices(start, count)]
            batch["labelled_image"] = self._images(where)
            batch["labelled_label"] = self.labels.index_select(0, torch.from_numpy(where))
        if self.others is not None:
            batch["other"] = self._sources(self.other_kept[self.others.indices(start, count)])
        return batch

    def _stored(self, where: np.ndarray) -> dict[str, Any]:
        """Images with what belongs to them, as they are stored."""
        index = torch.from_numpy(where)
        batch: dict[str, Any] = {"image": self._images(where), "index": index}
        if self.dataset.paired and self.others is None:
            batch["source"] = self._sources(where)
        if self.labels is not None:
            batch["label"] = self.labels.index_select(0, index)
        if self.captions is not None:
            batch["text"] = [self.captions[i] for i in where]
        return batch

    def shown(self, places: Sequence[int]) -> dict[str, Any]:
        """What a person is shown of the data: always the same images, of all kinds, beginning again at the end.

        As `at` gives it, on the CPU and unchanged; those that are held out, if any are.  The other pile has its own.
        """
        own = self.aside if self.held_out else self.kept
        batch = self._stored(own[_mixed(places, len(own))])
        if self.others is not None:
            others = self.other_aside if self.held_out else self.other_kept
            batch["other"] = self._sources(others[_mixed(places, len(others))])
        batch = {name: value.cpu() if isinstance(value, Tensor) else value for name, value in batch.items()}
        images = self._as_images(batch)
        if self.window:
            images = self.window.cut(images, self.window.middle(len(places)))
        if self.dataset.maker:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(self.seed)
                images["source"] = MAKERS[self.dataset.maker](images["image"])
        return {**batch, **self._degraded(images, places)}

    def _images(self, where: np.ndarray) -> Tensor:
        """Stored rows (len(where), H * W * C)."""
        return rows_of(self.dataset.images, self._rows, where)

    def _sources(self, where: np.ndarray) -> Tensor:
        """Stored rows of the sources."""
        assert self.dataset.sources is not None
        return rows_of(self.dataset.sources, self._source_rows, where)

    def _as_images(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Those entries of a batch that are images, as floats."""
        data = self.dataset
        stored = dict.fromkeys(("image", "labelled_image"), data.images)
        if data.sources is not None:
            stored |= dict.fromkeys(("source", "other"), data.sources)
        return {name: as_images(batch[name], array) for name, array in stored.items() if name in batch}

    def _finish(self, batch: dict[str, Any], start: int) -> dict[str, Any]:
        """Onto the device, into [-1, 1], and transformed."""
        for name, value in batch.items():
            if isinstance(value, Tensor):
                batch[name] = value.to(self.device, non_blocking=True)
        images = self._as_images(batch)
        if self.window:
            places = range(start, start + len(images["image"]))
            images = self.window.cut(images, self.window.anywhere(places))
        changing = self.transforms or self.dataset.maker
        images = self._transformed(images, start) if changing else images
        return {**batch, **self._degraded(images, range(start, start + len(images["image"])))}

    def _degraded(self, images: dict[str, Tensor], places: Sequence[int]) -> dict[str, Tensor]:
        top = 65535 if self.dataset.images.dtype == np.uint16 else 255
        made = self.degradation.pair(images["image"], places, seed=self.seed, top=top) if self.degradation else {}
        return {**images, **made}

    def _transformed(self, images: dict[str, Tensor], start: int) -> dict[str, Tensor]:
        """What is drawn here follows from (seed, position), and leaves the global generators alone."""
        cuda = [self.device] if self.device.type == "cuda" else []
        seed = np.random.SeedSequence([self.seed, start]).generate_state(1, np.uint64)[0]
        with torch.random.fork_rng(devices=cuda):
            torch.default_generator.manual_seed(int(seed))
            for device in cuda:
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(int(seed))
            for transform in self.transforms:
                images = self._changed(transform, images)
            if self.dataset.maker:
                images["source"] = MAKERS[self.dataset.maker](images["image"])
        return {name: image.contiguous(memory_format=torch.channels_last) for name, image in images.items()}

    def _changed(self, transform: Transform, images: dict[str, Tensor]) -> dict[str, Tensor]:
        """Every kind of image by draws of its own, but a source by those of the image that it belongs to."""
        if "source" not in images:
            return {name: transform(image) for name, image in images.items()}
        before = _random_state(self.device)
        changed = {name: transform(image) for name, image in images.items() if name != "source"}
        after = _random_state(self.device)
        _set_random_state(self.device, before)
        changed["source"] = transform(images["source"])
        _set_random_state(self.device, after)
        return changed

    def stream(self, starts: Iterable[int], count: int) -> Iterator[dict[str, Any]]:
        """The batches at many positions, in order; `starts` may be endless, and is read a little ahead.

        With `workers`, other processes read ahead; not when the data already is on an accelerator.
        """
        self._check(count)
        if self.workers and not (self._rows is not None and self.device.type == "cuda"):
            running = self._with_workers(starts, count)
        else:
            running = (self.at(start, count) for start in starts)
        self._running = [*self._running[-8:], running]
        return running

    def _with_workers(self, starts: Iterable[int], count: int) -> Iterator[dict[str, Any]]:
        loader = DataLoader(
            _Positions(self, count),
            batch_size=None,
            sampler=starts,
            num_workers=self.workers,
            prefetch_factor=4,
            generator=torch.Generator(),  # or the loader seeds its workers from the global generator, and moves it
            pin_memory=self.device.type == "cuda",
            multiprocessing_context="fork" if sys.platform == "linux" else None,  # shares the memory-mapped images
        )
        for start, batch in loader:
            yield batch if self.complete_in_worker else self._finish(batch, start)

    @property
    def complete_in_worker(self) -> bool:
        """Whether a worker does everything.  Bytes travel four times lighter than floats, so conversion alone stays
        here, and what runs on an accelerator has to.
        """
        return bool(self.transforms or self.dataset.maker or self.degradation) and self.device.type == "cpu"

    def close(self) -> None:
        """End the worker processes of streams that were not read to the end."""
        for running in self._running:
            running.close()  # type: ignore[attr-defined]
        self._running = []


def _mixed(places: Sequence[int], count: int) -> np.ndarray:
    """Numbers under `count` in an order that never changes, so that neighbours are not of one class."""
    return Order(count, SHOWN).indices(0, count)[np.array(places, np.int64) % count]


def divided(count: int, hold_out: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of `count` images are held out, and which are trained on: (hold_out,) and (count - hold_out,) int64."""
    if not 0 <= hold_out < count:
        raise UsageError(f"--hold-out must leave images to train on: from 0 to {count - 1:,}, got {hold_out:,}.")
    shuffled = Order(count, seed + HELD).indices(0, count) if hold_out else np.arange(count)
    return shuffled[:hold_out], np.sort(shuffled[hold_out:])


class _Positions(TorchDataset[tuple[int, dict[str, Any]]]):
    """A position's batch, as a worker process makes it."""

    def __init__(self, batches: Batches, count: int):
        self.batches, self.count = batches, count

    def __getitem__(self, start: int) -> tuple[int, dict[str, Any]]:
        batch = self.batches._gather(start, self.count)
        return start, self.batches._finish(batch, start) if self.batches.complete_in_worker else batch


def once(dataset: Dataset, count: int) -> Iterator[dict[str, Any]]:
    """The whole data set in its own order, `count` at a time: `image` as `Batches.at` gives it, and `label`."""
    labels = _labels(dataset)
    for start in range(0, len(dataset), count):
        part = slice(start, start + count)
        batch = {"image": as_images(indexable(torch.from_numpy(np.array(dataset.images[part]))), dataset.images)}
        if dataset.window:
            window = Window(dataset, 0)
            batch = window.cut(batch, window.middle(len(batch["image"])))
        yield batch if labels is None else {**batch, "label": labels[part]}


def _labels(dataset: Dataset) -> Tensor | None:
    """(N,) int64 or (N, D) float32, if the data set has labels."""
    if dataset.labels is not None:
        return torch.from_numpy(np.array(dataset.labels, np.int64))
    return None if dataset.vectors is None else torch.from_numpy(np.array(dataset.vectors, np.float32))


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
