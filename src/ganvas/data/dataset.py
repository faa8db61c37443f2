"""Data set: images (or points) of one size with their labels, captions and sources."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from mmap import mmap
from typing import Any, Literal, Self

import numpy as np

from ..errors import UsageError
from ..imaging.file_kinds import name_other
from .memory import as_array, as_levels

LABEL_STREAM = 0x1ABE15  # random stream of the choice of kept labels
DERIVED_CHANNELS = {"edges": 1, "grey": 1, "blur": 0, "mask": 0, "regions": 0}  # of sources; 0: as the images
CHANNEL_NAMES = {1: "grey", 3: "RGB", 4: "RGBA"}
LISTED = 12  # largest number of classes and reasons listed in a summary


def channel_name(count: int) -> str:
    """The name of a number of channels; of others than grey, RGB and RGBA, with those that are displayed."""
    if count in CHANNEL_NAMES:
        return CHANNEL_NAMES[count]
    return f"{count} (displayed: {'the first' if count == 2 else 'the first three, as RGB'})"


@dataclass(frozen=True)
class Facts:
    """Properties of the data that networks are built for."""

    resolution: tuple[int, int]  # (height, width); (1, 1) for points
    channels: int  # 1 to 64 (1 grey, 3 RGB, 4 RGBA); 2 for points
    classes: int  # 0 without labels
    kind: Literal["images", "points"] = "images"
    attributes: int = 0  # length of labels that are vectors
    unlabelled: int = 0  # images without a label among labelled ones
    source_channels: int = 0  # channels of the sources; 0: no sources
    scale: int = 1  # factor by which images are larger than their sources


@dataclass
class Dataset:
    """Images of one size, or 2-D points, with their labels and captions."""

    images: (
        np.ndarray
    )  # (N, H, W, C) uint8 or uint16, usually a memmap; float32 (N, 1, 1, 2) for points; or `as_levels`
    labels: np.ndarray | None = None  # (N,) int64 class indices; -1: unlabelled
    class_names: tuple[str, ...] = ()
    captions: list[str] | None = None  # N texts; "" where there is none
    name: str = ""  # as given to --data
    notes: list[str] = field(default_factory=list)  # sentences for the user
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (file, reason)
    fingerprint: str = ""  # hash of the content, in hex
    vectors: np.ndarray | None = None  # (N, D) float32 labels instead of classes; rows of NaN: unlabelled
    sources: np.ndarray | None = None  # (N or M, H, W, C): inputs of translation or restoration
    paired: bool = False  # source i belongs to image i
    derivation: str = ""  # a name in `DERIVED_CHANNELS`: sources are computed from the images
    mask: bool = False  # the last channel is a mask that belongs to the image
    window: tuple[int, int] | None = None  # (height, width) of random crops that are trained on; None: whole images
    shards: np.ndarray | None = None  # (N,) int32: the shard of each image, where an epoch takes some at a time

    def __post_init__(self) -> None:
        if self.labels is not None and self.vectors is not None:
            raise ValueError("labels are classes or vectors, not both")
        self.images = as_levels(self.images)
        self.sources = None if self.sources is None else as_levels(self.sources)
        if self.labels is not None:
            self.labels = as_array(self.labels)
            if not self.class_names:
                self.labels, self.class_names = index_labels(self.labels)
        self.vectors = None if self.vectors is None else as_array(self.vectors).astype(np.float32, copy=False)
        for name in ("labels", "vectors", "captions"):
            if (values := getattr(self, name)) is not None and len(values) != len(self):
                raise UsageError(f"There are {len(self):,} images and {len(values):,} {name}; give one for each image.")
        self.fingerprint = self.fingerprint or fingerprint(self.images, self.labels, self.vectors)

    def __len__(self) -> int:
        return len(self.images)

    def __getstate__(self) -> dict[str, Any]:
        """State for another process, with memory-mapped files by name."""
        return {**self.__dict__, "images": _mapped_file(self.images), "sources": _mapped_file(self.sources)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.images, self.sources = _load_mapped(self.images), _load_mapped(self.sources)

    @property
    def facts(self) -> Facts:
        """Properties that networks are built for."""
        _, tall, wide, channels = self.images.shape
        classes = len(self.class_names) if self.labels is not None else 0
        kind: Literal["images", "points"] = "points" if self.images.dtype == np.float32 else "images"
        attributes = 0 if self.vectors is None else self.vectors.shape[1]
        unlabelled = len(self) - len(self.labelled) if classes or attributes else 0
        source_channels = 0 if self.sources is None else self.sources.shape[3]
        if self.derivation:
            source_channels = DERIVED_CHANNELS[self.derivation] or channels
        scale = 1 if self.sources is None or not self.paired else tall // self.sources.shape[1]
        size = self.window or (tall, wide)
        return Facts(size, channels, classes, kind, attributes, unlabelled, source_channels, scale)

    @property
    def labelled(self) -> np.ndarray:
        """Indices of images with a label, in order: (M,) int64."""
        if self.labels is not None:
            return np.flatnonzero(self.labels >= 0)
        if self.vectors is not None:
            return np.flatnonzero(~np.isnan(self.vectors[:, 0]))
        return np.empty(0, np.int64)

    def subset(self, indices: Sequence[int] | np.ndarray) -> Self:
        """Select some of the images, in the given order.

        A contiguous run stays a view of the file; any other choice is copied into memory.
        """
        chosen = np.asarray(indices, np.int64)
        if chosen.ndim != 1 or not chosen.size or chosen.min() < 0 or chosen.max() >= len(self):
            raise IndexError(f"a subset of {len(self)} images is a list of indices from 0 to {len(self) - 1}")
        run = bool((np.diff(chosen) == 1).all())
        where = slice(int(chosen[0]), int(chosen[-1]) + 1) if run else chosen
        return replace(
            self,
            images=self.images[where],
            labels=None if self.labels is None else self.labels[where],
            vectors=None if self.vectors is None else self.vectors[where],
            captions=None if self.captions is None else [self.captions[i] for i in chosen],
            shards=None if self.shards is None else self.shards[where],
            sources=self.sources[where] if self.sources is not None and self.paired else self.sources,
            fingerprint=self._derived_fingerprint(chosen),
        )

    def keep_labels(self, count: int, seed: int) -> Self:
        """Keep `count` labels, balanced over classes, and hide the others (-1); the choice follows from the seed.

        Raises `UsageError` without classes, for more labels than there are, or for fewer than classes.
        """
        if self.labels is None:
            raise UsageError(
                f"--labels {count} hides labels, and {self.name or 'the data'} has no classes; leave it out."
            )
        if not len(self.class_names) <= count <= len(self.labelled):
            raise UsageError(
                f"--labels takes from {len(self.class_names)} (one a class) to {len(self.labelled):,} (all there are),"
                f" got {count}."
            )
        chosen = choose_balanced(self.labels, count, seed)
        hidden = np.full_like(self.labels, -1)
        hidden[chosen] = self.labels[chosen]
        note = f"{count:,} labels are kept (seed {seed}), the others hidden"
        return replace(self, labels=hidden, notes=[*self.notes, note], fingerprint=self._derived_fingerprint(chosen))

    def _derived_fingerprint(self, chosen: np.ndarray) -> str:
        return hashlib.blake2b(self.fingerprint.encode() + chosen.tobytes(), digest_size=16).hexdigest()

    def summary(self) -> list[tuple[str, str]]:
        """Summary printed before training, as rows (property, value)."""
        height, width = self.facts.resolution
        if self.facts.kind == "points":
            rows = [("points", f"{len(self):,} in 2 dimensions")]
        else:
            colours = f"{channel_name(self.facts.channels - self.mask)}{' and a mask' * self.mask}"
            rows = [
                ("images", f"{len(self):,}"),
                ("size", f"{width}x{height}{' of each' if self.window else ''}"),
                ("channels", f"{colours}, {8 * self.images.dtype.itemsize} bits"),
            ]
        if self.facts.source_channels:
            rows.append(("sources", self._describe_sources()))
        if self.labels is not None:
            rows.append(("classes", self._describe_classes()))
        if self.vectors is not None:
            without = f"; {self.facts.unlabelled:,} unlabelled" if self.facts.unlabelled else ""
            rows.append(("labels", describe_vectors(self.vectors) + without))
        if self.captions is not None:
            rows.append(("captions", f"{sum(map(bool, self.captions)):,}"))
        if self.skipped:
            rows.append(("skipped", self._describe_skipped()))
        return rows + [("note", note) for note in self.notes]

    def _describe_sources(self) -> str:
        colours = channel_name(self.facts.source_channels)
        if self.derivation:
            return f"{self.derivation} of the images, {colours}"
        count = 0 if self.sources is None else len(self.sources)
        if self.facts.scale > 1:
            return f"one an image, {self.facts.scale} times smaller, {colours}"
        return f"one an image, {colours}" if self.paired else f"an unpaired set of {count:,}, {colours}"

    def _describe_classes(self) -> str:
        assert self.labels is not None
        counts = np.bincount(self.labels + 1, minlength=len(self.class_names) + 1)
        listed = [f"{name} {count:,}" for name, count in zip(self.class_names, counts[1:])]
        text = f"{len(self.class_names)}: {_join_some(listed, ', ')}"
        return text + (f"; {counts[0]:,} unlabelled" if counts[0] else "")

    def _describe_skipped(self) -> str:
        groups = defaultdict(list)
        for file, reason in self.skipped:
            groups[name_other(file, reason)].append(file)
        largest = sorted(groups.items(), key=lambda g: -len(g[1]))
        parts = [f"{reason}: {len(files):,} ({files[0]}{', ...' if files[1:] else ''})" for reason, files in largest]
        return f"{len(self.skipped):,} files; {_join_some(parts, '; ')}"


def _mapped_file(array: np.ndarray | None) -> Any:
    """Path of a memory-mapped array's file; any other array itself."""
    mapped = isinstance(array, np.memmap) and isinstance(array.base, mmap)
    return str(array.filename) if mapped else array  # type: ignore[union-attr]


def _load_mapped(stored: Any) -> Any:
    """Map the file that `_mapped_file` names; an array is returned as it is."""
    return np.load(stored, mmap_mode="r", allow_pickle=False) if isinstance(stored, str) else stored


def _join_some(items: list[str], comma: str) -> str:
    more = len(items) - LISTED
    return comma.join(items[:LISTED]) + (f"{comma}and {more:,} more" if more > 0 else "")


def describe_vectors(vectors: np.ndarray) -> str:
    """Number and range of labels (N, D): `1 number from 0 to 90`, `5 attributes in {-1, 1}`."""
    values, count = vectors[~np.isnan(vectors[:, 0])], vectors.shape[1]
    low, high = (values.min(), values.max()) if values.size else (math.nan, math.nan)
    two = bool(low < high and ((values == low) | (values == high)).all())
    extent = f"in {{{low:g}, {high:g}}}" if two else f"from {low:g} to {high:g}"
    return f"{count:,} {'attribute' if two else 'number'}{'s'[: count != 1]} {extent}"


def fingerprint(*arrays: np.ndarray | None) -> str:
    """Hash of the content of arrays, in hex."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        if array is not None:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def choose_balanced(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Choose `count` labelled images, sorted: the classes take turns until they are exhausted."""
    bits = np.random.Philox(key=np.array([seed & (1 << 64) - 1, LABEL_STREAM], np.uint64)).random_raw(len(labels))
    shuffled = np.argsort(bits, kind="stable")
    shuffled = shuffled[labels[shuffled] >= 0]
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    ordered = labels[by_class]
    turn = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)  # of an image within its class
    return np.sort(by_class[np.argsort(turn, kind="stable")[:count]])


def keeps_negative(values: Sequence[int] | np.ndarray) -> bool:
    """True if negative labels are classes: -1 and 1 alone, or any below -1; else -1 means unlabelled."""
    present = np.unique(np.asarray(values, np.int64))
    return bool(len(present)) and (present.tolist() == [-1, 1] or bool(present[0] < -1))


def index_classes(values: Sequence[int] | np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Convert integer labels to class indices and class names; -1 means unlabelled unless `keeps_negative`."""
    array = np.asarray(values, np.int64)
    labelled = np.full(array.shape, True) if keeps_negative(array) else array >= 0
    present = np.unique(array[labelled])
    indices = np.searchsorted(present, array)
    return np.where(labelled, indices, -1).astype(np.int64), tuple(str(v) for v in present)


def index_labels(labels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """`index_classes` of labels in memory, whole numbers or words; raises `UsageError` for others."""
    if labels.dtype.kind == "U":
        names, indices = np.unique(labels, return_inverse=True)
        return indices.astype(np.int64), tuple(names.tolist())
    if labels.ndim != 1 or labels.dtype.kind not in "iub":
        raise UsageError(f"Labels are (N,) whole numbers or words, got {labels.dtype} {labels.shape}.")
    return index_classes(labels)
