"""Data sets of tar shards: an index of all samples; images from the cache, or streamed where they are too many."""

import io
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import UserError, printable
from ..files import atomic_write
from ..imaging.levels import Levels
from .annotations import AnnotatedFiles, select_usable, summarize_skipped
from .cache import (
    Annotations,
    ArrayWriter,
    SourceOptions,
    cache_folder,
    choose_resolution,
    content_key,
    file_digest,
    load_or_build,
    map_in_order,
)
from .dataset import Dataset
from .folder import Survey, decode_as, look_at
from .labels import Label, arrange_labels
from .order import BUFFER
from .shards import read_samples
from .streamed import Streamed, largest_cache

OPEN = 64  # shards


class ShardFiles(Protocol):
    """Shards by number, as files on this machine."""

    names: list[str]
    least: int  # number of shards that are kept at hand, where they are fetched

    def path(self, shard: int) -> Path:
        """The file of a shard."""

    def mark(self, shard: int) -> list[Any]:
        """Values that change when a shard does: its size and time, or its version at an address."""


class LocalShards:
    """Shards on the disk."""

    def __init__(self, files: Sequence[Path]):
        self.files, self.names, self.least = files, [str(file) for file in files], 0

    def path(self, shard: int) -> Path:
        return self.files[shard]

    def mark(self, shard: int) -> list[Any]:
        try:
            facts = self.files[shard].stat()
        except OSError as problem:
            raise UserError(f"The shard {self.files[shard]} cannot be read: {problem.strerror}.") from None
        return [os.path.abspath(self.files[shard]), facts.st_size, facts.st_mtime_ns]


@dataclass
class Index:
    """Places of the images of all shards, and what is said of them."""

    places: np.ndarray  # (N, 3) int64: shard, offset, size
    digest: str  # of the content of all shards
    annotations: Annotations = field(default_factory=Annotations)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # (height, width)
    channels: int = 3
    bits: int = 8
    survey_notes: list[str] = field(default_factory=list)


def open_shards(shards: ShardFiles, options: SourceOptions, notes: Sequence[str] = ()) -> Dataset:
    """Open tar shards as one data set.

    Images are prepared in the cache, or streamed if they would take more than `largest_cache`; the order in which they
    are drawn, and the images, are the same.  Raises `UserError` for a shard that is cut off.
    """
    index = load_index(shards, options)
    size, sized = choose_resolution(index.sizes, options.resolution, options.name)
    dtype = np.uint16 if index.bits == 16 else np.uint8
    shape = (len(index.places), *size, index.channels)
    key = content_key("shards", index.digest, size, *([options.levels] if options.levels else []))
    read = ShardReader(shards, index.places, shape[1:], dtype, options.levels)
    needed = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    about = index.annotations
    if needed <= largest_cache(cache_folder(options.cache)):
        dataset = load_or_build(key, partial(_prepare, read=read, index=index, options=options), options)
        dataset.shards = read.places[:, 0].astype(np.int32) if len(dataset) == shape[0] else None
    else:
        shards.least = 1 + math.ceil(2 * BUFFER * len(shards.names) / len(index.places))  # of two windows
        images: Any = Streamed(read, shape, dtype)
        dataset = Dataset(images, about.labels, about.class_names, about.captions, options.name, vectors=about.vectors,
                          fingerprint=key, shards=index.places[:, 0].astype(np.int32))  # fmt: skip
        dataset.notes.append(f"images are streamed: prepared they would take {needed / 1e9:,.1f} GB of the cache")
    dataset.skipped = [*about.skipped, *dataset.skipped]
    dataset.notes = [*notes, *about.notes, *index.survey_notes, *sized, *dataset.notes]
    return dataset


class ShardReader:
    """Decoder of the image at an index: (H, W, C).  Raises `UserError` with the shard and the member."""

    def __init__(
        self, shards: ShardFiles, places: np.ndarray, shape: tuple[int, ...], dtype: type, levels: Levels | None
    ):
        self.shards, self.places, self.shape, self.dtype, self.levels = shards, places, shape, dtype, levels
        self._open: dict[tuple[int, int], io.BufferedReader] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def __call__(self, index: int) -> np.ndarray:
        image = self.decode(index)
        if isinstance(image, str):
            raise UserError(f"{self.name(index)} {image}; take it out of the shard.")
        return image[0]

    def decode(self, index: int) -> tuple[np.ndarray, list[str]] | str:
        """An image with notes on its conversion, or the reason for which it cannot be used."""
        return decode_as(
            io.BytesIO(self.content(index)), self.shape[2], self.dtype, (self.shape[0], self.shape[1]), self.levels
        )

    def content(self, index: int) -> bytes:
        """The bytes of an image's member."""
        shard, offset, size = map(int, self.places[index])
        return os.pread(self._file(shard).fileno(), size, offset)

    def _file(self, shard: int) -> io.BufferedReader:
        key = (os.getpid(), shard)  # a worker process opens its own
        if key not in self._open:
            while len(self._open) >= OPEN:
                self._open.pop(next(iter(self._open))).close()
            try:
                self._open[key] = open(self.shards.path(shard), "rb")  # noqa: SIM115 - kept for the next image
            except OSError as problem:
                raise UserError(f"The shard {self.shards.names[shard]} cannot be read: {problem.strerror}.") from None
        return self._open[key]

    def name(self, index: int) -> str:
        """The shard and the member of an image."""
        shard, offset, _ = map(int, self.places[index])
        header = os.pread(self._file(shard).fileno(), 100, max(0, offset - 512))
        member = header.split(b"\0")[0].decode("utf-8", "replace")
        return f"{self.shards.names[shard]}: {printable(member)}"


def _prepare(file: Path, read: ShardReader, index: Index, options: SourceOptions) -> Annotations:
    """Decode all images into an .npy file; those that are damaged are left out."""
    count, about = len(index.places), index.annotations
    usable, bad, changes = np.ones(count, bool), [], Counter[str]()
    with ArrayWriter(file, read.shape, read.dtype) as rows:
        for k, result in enumerate(map_in_order(read.decode, range(count))):
            if isinstance(result, str):
                usable[k] = False
                bad.append((read.name(k), result))
            else:
                rows.append(result[0])
                changes.update(result[1])
            if options.progress:
                options.progress(k + 1, count)
    if not usable.any():
        raise UserError(f"{options.name}: none of its {count:,} images can be used: {summarize_skipped(bad)}.")
    files = [""] * count
    chosen = select_usable(
        AnnotatedFiles(about.labels, about.class_names, about.captions, [], [], about.vectors, files), usable
    )
    chosen.skipped, chosen.notes = bad, [*chosen.notes, *(f"{n:,} images: {kind}" for kind, n in changes.most_common())]
    return chosen


def load_index(shards: ShardFiles, options: SourceOptions) -> Index:
    """The index of shards, from the cache where none of them has changed."""
    key = content_key("index", [shards.mark(k) for k in range(len(shards.names))], options.levels)
    file = cache_folder(options.cache) / f"{key}.index.npz"
    if (index := _read_index(file)) is None:
        index = build_index(shards, options)
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_index(index, file)
    return index


def build_index(shards: ShardFiles, options: SourceOptions) -> Index:
    """Read every shard once: its samples, and the headers of its images."""
    survey, places, labels, texts = Survey(), [], list[Label](), list[str]()
    digests = []
    for k, name in enumerate(shards.names):
        path = shards.path(k)
        digests.append(file_digest(path))
        rows = []
        with open(path, "rb") as tar, open(path, "rb") as images:
            for sample in read_samples(tar, path.stat().st_size, name):
                images.seek(sample.offset)
                content = images.read(sample.size)
                if survey.add(
                    f"{name}: {printable(sample.name)}", look_at(partial(io.BytesIO, content)), options.levels
                ):
                    rows.append((k, sample.offset, sample.size))
                    labels.append(sample.label)
                    texts.append(sample.text)
        places.append(np.array(rows, np.int64).reshape(-1, 3))
        if options.progress:
            options.progress(k + 1, len(shards.names))
    if not labels:
        reason = (
            f"its {len(survey.bad):,} images cannot be used: {summarize_skipped(survey.bad)}"
            if survey.bad
            else "no member is an image"
        )
        raise UserError(f"{options.name}: {reason}.")
    remarks: list[str] = []
    arranged = arrange_labels(labels, options.name, remarks)
    captions = texts if any(texts) else None
    about = Annotations(arranged.indices, arranged.names, captions, remarks, survey.bad, arranged.vectors)
    digest = content_key("content", digests)
    bits = 16 if survey.dtype == np.uint16 else 8
    return Index(np.concatenate(places), digest, about, survey.sizes, survey.channels, bits, survey.notes())


def _write_index(index: Index, file: Path) -> None:
    about = index.annotations
    facts: dict[str, Any] = {
        "digest": index.digest,
        "names": about.class_names,
        "captions": about.captions,
        "notes": about.notes,
    }
    facts |= {"skipped": about.skipped, "sizes": [[*size, n] for size, n in index.sizes.items()]}
    facts |= {"channels": index.channels, "bits": index.bits, "survey": index.survey_notes}
    arrays = {"places": index.places, "facts": np.frombuffer(json.dumps(facts).encode(), np.uint8)}
    arrays |= {k: v for k, v in (("labels", about.labels), ("vectors", about.vectors)) if v is not None}
    with atomic_write(file) as part, open(part, "wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def _read_index(file: Path) -> Index | None:
    """An index of the cache; None if there is none or it is damaged."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            facts = json.loads(arrays["facts"].tobytes())
            labels = arrays.get("labels")
            vectors = arrays.get("vectors")
            skipped = [(str(name), str(reason)) for name, reason in facts["skipped"]]
            about = Annotations(labels, tuple(facts["names"]), facts["captions"], facts["notes"], skipped, vectors)
            sizes = Counter({(h, w): n for h, w, n in facts["sizes"]})
            return Index(
                arrays["places"], facts["digest"], about, sizes, facts["channels"], facts["bits"], facts["survey"]
            )
    except (OSError, ValueError, LookupError, TypeError, EOFError):
        return None
