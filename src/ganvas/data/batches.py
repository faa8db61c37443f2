"""Batches of the endless, shuffled order of a data set, by random access: the order follows from the seed alone."""

import sys
import warnings
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ..errors import UsageError, UserError
from .dataset import Dataset
from .degrade.base import Degradation
from .derived_sources import DERIVATIONS
from .mixing import PairMix, mix_pairs
from .order import MASK, Order
from .random_window import Window
from .storage import as_images, as_indexable, select_rows
from .streamed import Streamed, ahead
from .transforms import Transform

Change = Callable[[Tensor], Tensor]  # a `Transform` or any function of images

IN_MEMORY = 512 << 20  # bytes: a data set up to this size is held as one tensor
ON_DEVICE = 0.25  # share of an accelerator's free memory available to a data set

PREVIEW_SEED = 0x5EE  # seed of the order of previews
HELD_OUT = 0x8E1D  # added to the seed for the choice of held-out images
LABELLED = 0x9E3779B97F4A7C15  # added to the seed for the order of the labelled images
OTHER = 0x3C6EF372FE94F82B  # added to the seed for the order of the other set

MISSING = {
    "label": (
        "This recipe needs labels, and the data have none; put the images into one sub-folder a class,"
        " or name labels in a metadata.csv or metadata.jsonl."
    ),
    "labelled": (
        "This recipe needs classes, at least of some images; put those into one sub-folder a class and the others into"
        " a sub-folder called unlabelled, or name words or whole numbers as labels in a metadata.csv."
    ),
    "source": (
        "This recipe needs pairs; give --data source=DIR,target=DIR, AB:DIR for images side by side, or edges:DATA"
        " (grey, blur, mask, regions) to make sources of the images themselves."
    ),
    "other": "This recipe needs two unpaired image sets: --data a=DIR,b=DIR.",
    "text": "This recipe needs captions, and the data have none; name a text for each image in a metadata.csv.",
}


class Batches:
    """Random access to batches of the endless, shuffled order of a data set.

    A batch is a pure function of (data set, seed, transforms, position): the same with worker processes or without,
    in any order, after a restart.  `needs` names what a batch must hold; with `labelled` or `other`, each batch also
    has as many labelled images, or images of the other unpaired set, in an order of their own.  `hold_out` images (of
    either set), which follow from the seed, are never in a batch.  A `degradation` makes the sources of data without
    any.  Raises `UsageError` if the data lack what is needed.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        seed: int,
        device: torch.device | str = "cpu",
        transforms: Sequence[Change | PairMix] = (),
        workers: int = 0,
        needs: Collection[str] = (),
        hold_out: int = 0,
        degradation: Degradation | None = None,
    ):
        self.dataset, self.seed = dataset, seed & MASK
        self.mixtures = tuple(t for t in transforms if isinstance(t, PairMix))
        self.transforms = tuple(t for t in transforms if not isinstance(t, PairMix))
        self.device, self.workers = torch.device(device), workers
        self.captions, self.labels = dataset.captions, _label_tensor(dataset)
        self.degradation = None if dataset.facts.source_channels else degradation
        if self.degradation:
            self.degradation.check(dataset.facts)
        self._check_needs(needs)
        self.held_out = hold_out
        self.held_out_indices, self.train_indices = split_held_out(len(dataset), hold_out, seed)
        self.order = self._order_of(self.train_indices, seed)
        self.labelled = np.intersect1d(dataset.labelled, self.train_indices) if "labelled" in needs else None
        self.labelled_order = None if self.labelled is None else self._order_of(self.labelled, seed + LABELLED)
        self.others: Order | None = None
        if "other" in needs and dataset.sources is not None:
            self.other_held_out, self.other_train = split_held_out(len(dataset.sources), hold_out, seed + OTHER)
            self.others = Order(len(self.other_train), seed + OTHER)
        self.window = Window(dataset, self.seed) if dataset.window else None
        self._running: list[Iterator[Any]] = []
        self._rows = self._load_into_memory(dataset.images)
        self._source_rows = None if dataset.sources is None else self._load_into_memory(dataset.sources)
        for transform in self.transforms:
            if isinstance(transform, Transform):
                transform.check(dataset.facts, dataset.mask)

    def _order_of(self, indices: np.ndarray, seed: int) -> Order:
        """The order of some of the images, which lie in shards or not."""
        shards = self.dataset.shards
        return Order(len(indices), seed, None if shards is None else shards[indices])

    def _check_needs(self, needs: Collection[str]) -> None:
        available = {
            "label": self.labels is not None,
            "labelled": bool(self.dataset.class_names) and len(self.dataset.labelled) > 0,
            "text": self.captions is not None,
            "source": self.dataset.paired or bool(self.dataset.derivation or self.degradation),
            "other": self.dataset.sources is not None,
        }
        if self.mixtures and not ("source" in needs and available["source"]):
            name = type(self.mixtures[0]).__name__.lower()
            raise UsageError(f"{name} mixes pairs of a source and a target, and this recipe has none; leave it out.")
        for need in sorted(needs):
            if not available.get(need, True):
                raise UsageError(MISSING[need])

    def _load_into_memory(self, images: np.ndarray) -> Tensor | None:
        """Load all images into one tensor (N, H * W * C), where indexing is fastest; None if they are too large."""
        if isinstance(images, Streamed):
            return None
        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            if images.nbytes > ON_DEVICE * free:
                return None
        elif images.nbytes > IN_MEMORY:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of read-only arrays, which are only read here
            return as_indexable(torch.from_numpy(images.reshape(len(images), -1))).to(self.device)

    def __len__(self) -> int:
        """Number of images trained on."""
        return len(self.train_indices)

    def __getstate__(self) -> dict[str, Any]:
        """State for a worker process that is not forked, without running streams."""
        return {**self.__dict__, "_running": []}

    def indices(self, start: int, count: int) -> np.ndarray:
        """Images at positions start to start + count of the endless order: (count,) int64."""
        return self.train_indices[self.order.indices(start, count)]

    def at(self, start: int, count: int) -> dict[str, Any]:
        """Batch at a position: `image` (count, C, H, W) float32 in [-1, 1], channels last in memory; `index` (count,).

        Where the data have them: `label`, (count,) int64 or (count, D) float32, `text` (list of str) and `source`.
        Where needed: `labelled_image`, `labelled_label`, `other`; with a degradation, its `source` and `target`.
        """
        self._check_count(count)
        return self._finish(self._gather(start, count), start)

    def images_at(self, start: int, count: int) -> Tensor:
        """The images of the batch at a position, as `at` gives them; nothing is degraded for them."""
        self._check_count(count)
        return self._transformed(self._gather(start, count), start)[1]["image"]

    def held_out_batch(self, count: int) -> dict[str, Any]:
        """Batch of the first `count` held-out images, in the form of `at`."""
        batch = self._read_stored(self.held_out_indices[:count])
        if self.others is not None:
            batch["other"] = self._sources(self.other_held_out[:count])
        return self._finish(batch, 0)

    def _check_count(self, count: int) -> None:
        if not 0 < count <= len(self):
            raise UsageError(
                f"A batch of {count} cannot be drawn from the {len(self):,} images of {self.dataset.name!r};"
                f" give --batch {len(self)} or less."
            )

    def _gather(self, start: int, count: int) -> dict[str, Any]:
        """Read a batch as stored: rows (count, H * W * C) of integers, on the device only if the data are there."""
        batch = self._read_stored(self.indices(start, count))
        if self.labelled is not None and self.labelled_order is not None and self.labels is not None:
            indices = self.labelled[self.labelled_order.indices(start, count)]
            batch["labelled_image"] = self._images(indices)
            batch["labelled_label"] = self.labels.index_select(0, torch.from_numpy(indices))
        if self.others is not None:
            batch["other"] = self._sources(self.other_train[self.others.indices(start, count)])
        return batch

    def _read_stored(self, indices: np.ndarray) -> dict[str, Any]:
        """Read images, with their sources, labels and captions, as stored."""
        index = torch.from_numpy(indices)
        batch: dict[str, Any] = {"image": self._images(indices), "index": index}
        if self.dataset.paired and self.others is None:
            batch["source"] = self._sources(indices)
        if self.labels is not None:
            batch["label"] = self.labels.index_select(0, index)
        if self.captions is not None:
            batch["text"] = [self.captions[i] for i in indices]
        return batch

    def preview(self, positions: Sequence[int]) -> dict[str, Any]:
        """Batch of images for display, in a fixed mixed order that starts again at the end; held-out ones, if any.

        In the form of `at`, on the CPU and without transforms.  The other unpaired set has an order of its own.
        """
        own = self.held_out_indices if self.held_out else self.train_indices
        batch = self._read_stored(own[_shuffled_indices(positions, len(own))])
        if self.others is not None:
            others = self.other_held_out if self.held_out else self.other_train
            batch["other"] = self._sources(others[_shuffled_indices(positions, len(others))])
        batch = {name: value.cpu() if isinstance(value, Tensor) else value for name, value in batch.items()}
        images = self._as_images(batch)
        if self.window:
            images = self.window.crop(images, self.window.centre_corners(len(positions)))
        if self.dataset.derivation:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(self.seed)
                images["source"] = DERIVATIONS[self.dataset.derivation](images["image"])
        return {**batch, **self._degrade(images, positions)}

    def _images(self, indices: np.ndarray) -> Tensor:
        """Read images as stored rows (len(indices), H * W * C)."""
        return select_rows(self.dataset.images, self._rows, indices)

    def _sources(self, indices: np.ndarray) -> Tensor:
        """Read sources as stored rows."""
        assert self.dataset.sources is not None
        return select_rows(self.dataset.sources, self._source_rows, indices)

    def _as_images(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Convert the image entries of a batch to floats."""
        data = self.dataset
        stored = dict.fromkeys(("image", "labelled_image"), data.images)
        if data.sources is not None:
            stored |= dict.fromkeys(("source", "other"), data.sources)
        return {name: as_images(batch[name], array) for name, array in stored.items() if name in batch}

    def _finish(self, batch: dict[str, Any], start: int) -> dict[str, Any]:
        """Move a batch to the device, convert it to [-1, 1], transform, degrade and mix it."""
        batch, images = self._transformed(batch, start)
        images = self._degrade(images, range(start, start + len(images["image"])))
        return {**batch, **mix_pairs(images, self.mixtures, self.seed, start)}

    def _transformed(self, batch: dict[str, Any], start: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """A batch on the device, and its images, in [-1, 1] and transformed."""
        for name, value in batch.items():
            if isinstance(value, Tensor):
                batch[name] = value.to(self.device, non_blocking=True)
        images = self._as_images(batch)
        if self.window:
            positions = range(start, start + len(images["image"]))
            images = self.window.crop(images, self.window.random_corners(positions))
        changing = self.transforms or self.dataset.derivation
        return batch, self._transform(images, start) if changing else images

    def _degrade(self, images: dict[str, Tensor], positions: Sequence[int]) -> dict[str, Tensor]:
        if self.degradation is None:
            return images
        top = 65535 if self.dataset.images.dtype == np.uint16 else 255
        return {**images, **self.degradation.source_and_target(images["image"], positions, seed=self.seed, top=top)}

    def _transform(self, images: dict[str, Tensor], start: int) -> dict[str, Tensor]:
        """Transform images with numbers drawn from (seed, position); the global generators stay as they were."""
        cuda = [self.device] if self.device.type == "cuda" else []
        seed = np.random.SeedSequence([self.seed, start]).generate_state(1, np.uint64)[0]
        with torch.random.fork_rng(devices=cuda):
            torch.default_generator.manual_seed(int(seed))
            for device in cuda:
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(int(seed))
            for transform in self.transforms:
                images = self._transform_alike(transform, images)
            if self.dataset.derivation:
                images["source"] = DERIVATIONS[self.dataset.derivation](images["image"])
        return {name: image.contiguous(memory_format=torch.channels_last) for name, image in images.items()}

    def _transform_alike(self, transform: Change, images: dict[str, Tensor]) -> dict[str, Tensor]:
        """Transform every kind of image with draws of its own, except a source, which shares those of its image."""
        if "source" not in images:
            return {name: transform(image) for name, image in images.items()}
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            source = transform(images["source"])
        return {name: source if name == "source" else transform(image) for name, image in images.items()}

    def stream(self, starts: Iterable[int], count: int) -> Iterator[dict[str, Any]]:
        """Yield the batches at many positions, in order; `starts` may be endless and is read slightly ahead.

        With `workers`, other processes read ahead, unless the data are on an accelerator already.
        """
        self._check_count(count)
        if self.workers and not (self._rows is not None and self.device.type == "cuda"):
            running = self._with_workers(starts, count)
        else:
            running = self._in_this_process(starts, count)
        self._running = [*self._running[-8:], running]
        return running

    def _in_this_process(self, starts: Iterable[int], count: int) -> Generator[dict[str, Any]]:
        """Batches made here; of streamed images the next ones are read by a thread meanwhile."""
        if not isinstance(self.dataset.images, Streamed):
            yield from (self.at(start, count) for start in starts)
        else:
            for start, batch in ahead(lambda start: self._gather(start, count), starts):
                yield self._finish(batch, start)

    def _with_workers(self, starts: Iterable[int], count: int) -> Iterator[dict[str, Any]]:
        loader = DataLoader(
            _Positions(self, count),
            batch_size=None,
            sampler=starts,
            num_workers=self.workers,
            prefetch_factor=4,
            generator=torch.Generator(),  # else the loader draws from the global generator
            pin_memory=self.device.type == "cuda",
            multiprocessing_context="fork" if sys.platform == "linux" else None,  # shares the memory-mapped images
        )
        for start, batch in loader:
            if isinstance(batch, UserError):
                raise batch
            yield batch if self.complete_in_worker else self._finish(batch, start)

    @property
    def complete_in_worker(self) -> bool:
        """True if workers make complete batches.

        Conversion alone stays in this process, since integers are four times smaller to send than floats; so does all
        work on an accelerator.
        """
        return (
            bool(self.transforms or self.mixtures or self.dataset.derivation or self.degradation)
            and self.device.type == "cpu"
        )

    def close(self) -> None:
        """End the worker processes of unfinished streams."""
        for running in self._running:
            running.close()  # type: ignore[attr-defined]
        self._running = []


def _shuffled_indices(positions: Sequence[int], count: int) -> np.ndarray:
    """Indices below `count` in a fixed mixed order, so that neighbours are not of one class."""
    return Order(count, PREVIEW_SEED).indices(0, count)[np.array(positions, np.int64) % count]


def split_held_out(count: int, hold_out: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split `count` images into held-out and training indices: (hold_out,) and (count - hold_out,) int64."""
    if not 0 <= hold_out < count:
        raise UsageError(f"--hold-out must leave images to train on: from 0 to {count - 1:,}, got {hold_out:,}.")
    shuffled = Order(count, seed + HELD_OUT).indices(0, count) if hold_out else np.arange(count)
    return shuffled[:hold_out], np.sort(shuffled[hold_out:])


class _Positions(TorchDataset[tuple[int, dict[str, Any] | UserError]]):
    """Batches by position, as a worker process makes them."""

    def __init__(self, batches: Batches, count: int):
        self.batches, self.count = batches, count

    def __getitem__(self, start: int) -> tuple[int, dict[str, Any] | UserError]:
        try:
            batch = self.batches._gather(start, self.count)
        except UserError as problem:  # of an image that is streamed; a worker would wrap it
            return start, problem
        return start, self.batches._finish(batch, start) if self.batches.complete_in_worker else batch


def iterate_once(dataset: Dataset, count: int) -> Iterator[dict[str, Any]]:
    """Yield the whole data set in its own order, `count` at a time: `image`, as in `Batches.at`, and `label`."""
    labels = _label_tensor(dataset)
    for start in range(0, len(dataset), count):
        part = slice(start, start + count)
        batch = {"image": as_images(as_indexable(torch.from_numpy(np.array(dataset.images[part]))), dataset.images)}
        if dataset.window:
            window = Window(dataset, 0)
            batch = window.crop(batch, window.centre_corners(len(batch["image"])))
        yield batch if labels is None else {**batch, "label": labels[part]}


def _label_tensor(dataset: Dataset) -> Tensor | None:
    """Labels as a tensor, (N,) int64 or (N, D) float32; None without labels."""
    if dataset.labels is not None:
        return torch.from_numpy(np.array(dataset.labels, np.int64))
    return None if dataset.vectors is None else torch.from_numpy(np.array(dataset.vectors, np.float32))
