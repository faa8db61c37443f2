"""Images are decoded once, into a memory-mapped file that is named after its content.

`CACHE/data/KEY/` holds `images.npy`, perhaps `labels.npy` or `vectors.npy`, and `meta.json`.  It is written beside its
place and renamed, so whatever is there under its own name is whole.
"""

from __future__ import annotations

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
from typing import Any, TypeVar

import numpy as np

from ..errors import UsageError, UserError
from ..files import put_in_place
from .dataset import Dataset

FORMAT = 2  # raise it when the same files must be prepared differently
SMALLEST = 8  # pixels: no network here takes less
OWN = (0, 0)  # asked for as a resolution: the images' own, however large
LONGEST = 128  # pixels: what the longer side is scaled to when nobody said how large
SQUARE = 64  # pixels: the side when the images have different sizes and nobody said how large
TRIAL = 16  # items done before threads are considered
QUICK = 0.0005  # seconds an item may take and still be quicker without threads
STALE = 24 * 3600.0  # seconds after which an unfinished folder of another machine is taken for abandoned

Progress = Callable[[int, int], None]
T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Content:
    """What stands beside the images of a data set."""

    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    captions: list[str] | None = None
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    vectors: np.ndarray | None = None


def content_key(*parts: Any) -> str:
    """The name of a prepared data set: a hash of everything that decides what is in it."""
    text = json.dumps([FORMAT, *parts], default=lambda v: v.hex() if isinstance(v, bytes) else v.tolist())
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """A hash of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def cache_folder(cache: Path | None = None) -> Path:
    """Where prepared data lives: `cache`, or $GANVAS_CACHE, or ~/.cache/ganvas; and there in `data`."""
    root = cache or os.environ.get("GANVAS_CACHE") or "~/.cache/ganvas"
    return Path(root).expanduser() / "data"


def prepare(key: str, build: Callable[[Path], Content], *, name: str, cache: Path | None = None) -> Dataset:
    """The data set called `key`: as found in the cache, or built.

    `build` writes the images to the .npy path it is given.  Raises `UserError` if the disk is full or read-only.
    """
    place = cache_folder(cache)
    done = load(place / key)
    if done is None:
        try:
            place.mkdir(parents=True, exist_ok=True)
            _clean(place)
            done = _build(place, key, build)
        except OSError as e:
            raise _disk_error(e, place) from e
    done.name, done.fingerprint = name, key
    return done


def load(folder: Path) -> Dataset | None:
    """A prepared data set, with its images memory-mapped; None if there is none or it is damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text("ascii"))
        file = folder / "images.npy"
        images = np.load(file, mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / "labels.npy", allow_pickle=False) if meta["labelled"] else None
        vectors = np.load(folder / "vectors.npy", allow_pickle=False) if meta.get("vectors") else None
        whole = file.stat().st_size == images.offset + images.nbytes
        written = (meta["format"], meta["shape"], meta["dtype"])
        as_told = written == (FORMAT, list(images.shape), str(images.dtype))
        count = images.shape[:1]
        odd = (labels is not None and labels.shape != count) or (vectors is not None and vectors.shape[:-1] != count)
        if not whole or not as_told or odd:
            return None
        skipped = [(str(file), str(reason)) for file, reason in meta["skipped"]]
        names = tuple(meta["class_names"])
        return Dataset(images, labels, names, meta["captions"], "", meta["notes"], skipped, folder.name, vectors)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError):
        return None


def _build(place: Path, key: str, build: Callable[[Path], Content]) -> Dataset:
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
        return _move(part, place / key)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _move(part: Path, folder: Path) -> Dataset:
    """Give a finished folder its name, unless someone else was quicker."""
    if load(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            put_in_place(part, folder)
        except OSError:
            if load(folder) is None:
                raise
    done = load(folder)
    if done is None:
        raise UserError(f"{folder} was written but cannot be read back; is the disk in order?")
    return done


def _clean(place: Path) -> None:
    """Remove what killed processes left behind."""
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
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _disk_error(error: OSError, place: Path) -> UserError:
    way_out = "name another folder in GANVAS_CACHE"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"The disk is full: prepared data is kept in {place}. Free some space, or {way_out}.")
    return UserError(f"Prepared data cannot be kept in {place}: {error.strerror or error}. To go on, {way_out}.")


class Rows:
    """Images of one shape on their way into an .npy file, whose number is known only at the end.

    Written rather than memory-mapped: a full disk is then an error that can be caught, not a signal that kills.
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

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            if kind is None:
                self.file.seek(0)
                self._header()
        finally:
            self.file.close()


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered(work: Callable[[T], R], items: Iterable[T], *, ahead: int = 32) -> Iterator[R]:
    """`map` over threads, in order, with never more than about `ahead` results waiting to be taken.

    Where an item takes next to no time, threads would only fight for the interpreter, and there are none.
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
    sizes: Counter[tuple[int, int]], asked: tuple[int, int] | None, name: str
) -> tuple[tuple[int, int], list[str]]:
    """The (height, width) that images are brought to, and what there is to say about it.

    Raises `UserError` if nobody asked for a size and the images' own is smaller than 8 pixels, `UsageError` if their
    own was asked for and they have several.
    """
    count = sizes.total()
    if asked == OWN:
        return own_resolution(sizes, name), []
    if asked:
        small = sum(n for (h, w), n in sizes.items() if h < asked[0] or w < asked[1])
        return asked, [f"{small:,} of {count:,} images are enlarged to {asked[1]}x{asked[0]}"] if small else []
    if len(sizes) == 1:
        (height, width), notes = next(iter(sizes)), []
        if max(height, width) > LONGEST:
            scale = LONGEST / max(height, width)
            size = round(height * scale), round(width * scale)
            notes = [f"{count:,} images of {width}x{height} are scaled to {size[1]}x{size[0]}; --resolution chooses"]
            height, width = size
    else:
        height = width = min(SQUARE, usual(sizes))
        notes = [f"{spread(sizes)} are scaled and cropped to {width}x{height}; --resolution chooses"]
    if min(height, width) < SMALLEST:
        raise UserError(
            f"{name}: the images would become {width}x{height}, and the smallest size is {SMALLEST}x{SMALLEST};"
            f" give --resolution {SMALLEST} or more to enlarge them."
        )
    return (height, width), notes


def own_resolution(sizes: Counter[tuple[int, int]], name: str) -> tuple[int, int]:
    """The one (height, width) that all images have; raises `UsageError` if they have several."""
    if len(sizes) > 1:
        raise UsageError(f"{name} holds {spread(sizes)}; say what to bring them to, as --resolution {usual(sizes)}.")
    return next(iter(sizes))


def usual(sizes: Counter[tuple[int, int]]) -> int:
    """The median of the shorter sides."""
    return int(np.median(np.repeat([min(size) for size in sizes], list(sizes.values()))))


def spread(sizes: Counter[tuple[int, int]]) -> str:
    """How many images there are, of which sizes."""
    low, high = min(sizes, key=lambda s: s[0] * s[1]), max(sizes, key=lambda s: s[0] * s[1])
    return f"{sizes.total():,} images of {len(sizes):,} sizes from {low[1]}x{low[0]} to {high[1]}x{high[0]}"
