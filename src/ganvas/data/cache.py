"""Cache of decoded images: memory-mapped files named by a hash of their content.

`CACHE/data/KEY/` holds `images.npy`, `meta.json`, and `labels.npy` or `vectors.npy` if there are labels.  It is written
under another name and renamed, so an entry is always complete.
"""

import errno
import hashlib
import itertools
import json
import os
import platform
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from ..errors import UsageError, UserError
from ..files import put_in_place
from ..imaging.bit_depth import USUAL_LIMIT
from ..imaging.decode import MAX_PIXELS
from ..imaging.levels import Levels, describe_levels
from ..paths import cache_root
from .dataset import Dataset

FORMAT = 2  # to be raised when the same files are prepared differently
SMALLEST = 8  # pixels: smallest side that the networks take
OWN = (0, 0)  # as a requested resolution: the images' own, however large
LONGEST = 128  # pixels: longer side without --resolution
SQUARE = 64  # pixels: side of images of several sizes without --resolution
TRIAL = 16  # items timed before threads are started
QUICK = 0.0005  # seconds per item below which threads are slower
STALE = 24 * 3600.0  # seconds after which an unfinished folder of another machine is abandoned

Progress = Callable[[int, int], None]
T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Annotations:
    """Labels, captions and notes stored with the images of a data set."""

    labels: np.ndarray | None = None  # (N,) int64; -1: unlabelled
    class_names: tuple[str, ...] = ()
    captions: list[str] | None = None
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    vectors: np.ndarray | None = None  # (N, D) float32 instead of labels; NaN: unlabelled


@dataclass(frozen=True)
class SourceOptions:
    """Options that all data sources take."""

    name: str  # of the data set, as given to --data
    resolution: tuple[int, int] | None = None  # (height, width); None: chosen by the source
    cache: Path | None = None  # folder of prepared images; None: $GANVAS_CACHE or ~/.cache/ganvas
    progress: Progress | None = None  # called with (images done, images in total)
    levels: Levels | None = None  # values that become black and white; None: those of the number format
    earlier: bool = False  # files are listed, and counted in the fingerprint, as earlier versions did


def content_key(*parts: Any) -> str:
    """Key of a cache entry: a hash of everything that determines its content."""
    limit = [] if MAX_PIXELS == USUAL_LIMIT else [MAX_PIXELS]  # which images are skipped depends on it
    text = json.dumps([FORMAT, *parts, *limit], default=lambda v: v.hex() if isinstance(v, bytes) else v.tolist())
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """Hash of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def cache_folder(cache: Path | None = None) -> Path:
    """Folder of the cache: `data` in `paths.cache_root`."""
    return cache_root(cache) / "data"


def load_or_build(key: str, build: Callable[[Path], Annotations], options: SourceOptions) -> Dataset:
    """Load the data set `key` from the cache; `build` makes it if it is not there.

    `build` writes the images to the .npy path it is given.  Raises `UserError` if the disk is full or read-only.
    """
    folder = cache_folder(options.cache)
    dataset = load_cached(folder / key)
    if dataset is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_stale(folder)
            dataset = _build_entry(folder, key, build)
        except OSError as e:
            raise _disk_error(e, folder) from e
    dataset.name, dataset.fingerprint = options.name, key
    if note := describe_levels(dataset.images):
        dataset.notes.append(note)
    return dataset


def load_cached(folder: Path) -> Dataset | None:
    """Open a cache entry with its images memory-mapped; None if there is none or it is damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text("ascii"))
        file = folder / "images.npy"
        images = np.load(file, mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / "labels.npy", allow_pickle=False) if meta["labelled"] else None
        vectors = np.load(folder / "vectors.npy", allow_pickle=False) if meta.get("vectors") else None
        whole = file.stat().st_size == images.offset + images.nbytes
        written = (meta["format"], meta["shape"], meta["dtype"])
        agrees = written == (FORMAT, list(images.shape), str(images.dtype))
        count = images.shape[:1]
        odd = (labels is not None and labels.shape != count) or (vectors is not None and vectors.shape[:-1] != count)
        if not whole or not agrees or odd:
            return None
        skipped = [(str(file), str(reason)) for file, reason in meta["skipped"]]
        names = tuple(meta["class_names"])
        return Dataset(images, labels, names, meta["captions"], "", meta["notes"], skipped, folder.name, vectors)
    except (UserError, OSError, ValueError, LookupError, TypeError, AttributeError, EOFError):
        return None


def _build_entry(place: Path, key: str, build: Callable[[Path], Annotations]) -> Dataset:
    part = place / f".{key}.{platform.node()}.{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        content = build(part / "images.npy")
        images = np.load(part / "images.npy", mmap_mode="r", allow_pickle=False)
        for name, values in (("labels", content.labels), ("vectors", content.vectors)):
            if values is not None:
                np.save(part / f"{name}.npy", values, allow_pickle=False)
        meta = {"format": FORMAT, "shape": images.shape, "dtype": str(images.dtype)}
        meta |= {"labelled": content.labels is not None, "vectors": content.vectors is not None}
        meta |= {"class_names": content.class_names}
        meta |= {"captions": content.captions, "notes": content.notes, "skipped": content.skipped}
        (part / "meta.json").write_text(json.dumps(meta), "ascii")
        return _publish(part, place / key)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _publish(part: Path, folder: Path) -> Dataset:
    """Rename a finished folder to its key, unless another process was faster."""
    if load_cached(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            put_in_place(part, folder)
        except OSError:
            if load_cached(folder) is None:
                raise
    dataset = load_cached(folder)
    if dataset is None:
        raise UserError(f"{folder} was written but cannot be read back; check the disk.")
    return dataset


def _remove_stale(place: Path) -> None:
    """Remove unfinished folders of killed processes."""
    for part in place.glob(".*.*.*"):
        host, _, pid = part.name.partition(".")[2].partition(".")[2].rpartition(".")
        try:
            ours = host == platform.node() and pid.isdecimal() and os.name == "posix"
            if time.time() - part.stat().st_mtime > STALE or (ours and not _alive(int(pid))):
                shutil.rmtree(part, ignore_errors=True)
        except OSError:  # another process has just removed it
            continue


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as e:
        return not isinstance(e, ProcessLookupError)
    return True


def _disk_error(error: OSError, place: Path) -> UserError:
    way_out = "name another folder in GANVAS_CACHE"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"The disk is full: prepared data is kept in {place}. Free some space, or {way_out}.")
    return UserError(f"Prepared data cannot be kept in {place}: {error.strerror or error}. To go on, {way_out}.")


class ArrayWriter:
    """Writer of an .npy file of images of one shape, whose number is known only at the end.

    The file is not memory-mapped: a full disk then raises an error instead of killing the process by a signal.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype | type):
        self.shape, self.dtype, self.count = shape, np.dtype(dtype), 0
        self.file = open(path, "wb")  # noqa: SIM115 - closed by __exit__
        self._header()

    def _header(self) -> None:
        # numpy leaves room in the header for the first axis to grow
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.count, *self.shape)}
        np.lib.format.write_array_header_1_0(self.file, header)

    def append(self, image: np.ndarray) -> None:
        """Write one image."""
        if (image.shape, image.dtype) != (self.shape, self.dtype):
            raise ValueError(f"{image.shape} {image.dtype} does not belong among {self.shape} {self.dtype}")
        self.file.write(np.ascontiguousarray(image).data)
        self.count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            if kind is None:
                self.file.seek(0)
                self._header()
        finally:
            self.file.close()


def cores() -> int:
    """Number of processor cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(work: Callable[[T], R], items: Iterable[T], *, ahead: int = 32) -> Iterator[R]:
    """Yield `work(item)` in order, computed in threads, at most about `ahead` results in advance.

    Fast items are done without threads, which would only compete for the interpreter.
    """
    remaining, took = iter(items), []
    for item in itertools.islice(remaining, TRIAL):
        began = time.perf_counter()
        done = work(item)
        took.append(time.perf_counter() - began)
        yield done
    if not took or np.median(took) < QUICK or cores() == 1:
        yield from map(work, remaining)
        return
    with ThreadPoolExecutor(min(cores(), 8)) as pool:
        waiting = deque(pool.submit(work, item) for item in itertools.islice(remaining, ahead))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(work, item) for item in itertools.islice(remaining, 1))
        finally:
            for future in waiting:
                future.cancel()


def choose_resolution(
    sizes: Counter[tuple[int, int]], requested: tuple[int, int] | None, name: str
) -> tuple[tuple[int, int], list[str]]:
    """Choose the (height, width) that images are scaled to; returns notes with it.

    Raises `UserError` if no size is requested and the images' own is smaller than 8 pixels, `UsageError` if OWN is
    requested and they have several sizes.
    """
    count = sizes.total()
    if requested == OWN:
        if len(sizes) > 1:
            raise UsageError(f"{name} holds {describe_sizes(sizes)}; give one, as --resolution {median_side(sizes)}.")
        return next(iter(sizes)), []
    if requested:
        small = sum(n for (h, w), n in sizes.items() if h < requested[0] or w < requested[1])
        note = f"{small:,} of {count:,} images are enlarged to {requested[1]}x{requested[0]}"
        return requested, [note] if small else []
    if len(sizes) == 1:
        (height, width), notes = next(iter(sizes)), []
        if max(height, width) > LONGEST:
            scale = LONGEST / max(height, width)
            size = round(height * scale), round(width * scale)
            notes = [f"{count:,} images of {width}x{height} are scaled to {size[1]}x{size[0]}; --resolution chooses"]
            height, width = size
    else:
        height = width = min(SQUARE, median_side(sizes))
        notes = [f"{describe_sizes(sizes)} are scaled and cropped to {width}x{height}; --resolution chooses"]
    if min(height, width) < SMALLEST:
        raise UserError(
            f"{name}: the images would become {width}x{height}, and the smallest size is {SMALLEST}x{SMALLEST};"
            f" give --resolution {SMALLEST} or more to enlarge them."
        )
    return (height, width), notes


def median_side(sizes: Counter[tuple[int, int]]) -> int:
    """Median of the shorter sides."""
    return int(np.median(np.repeat([min(size) for size in sizes], list(sizes.values()))))


def describe_sizes(sizes: Counter[tuple[int, int]]) -> str:
    """Sentence part with the number of images and the range of their sizes."""
    low, high = min(sizes, key=lambda s: s[0] * s[1]), max(sizes, key=lambda s: s[0] * s[1])
    return f"{sizes.total():,} images of {len(sizes):,} sizes from {low[1]}x{low[0]} to {high[1]}x{high[0]}"
