"""The IDX files of MNIST and its relatives, gzipped or not."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import UsageError, UserError
from ..imaging.decode import MAX_PIXELS
from .arrays import write_images
from .cache import Content, Progress, content_key, file_digest, prepare
from .dataset import Dataset, classes_of

IMAGES = re.compile(r"(?P<pile>.*?)images[.-]idx3-ubyte(?P<gz>\.gz)?$")


def is_idx(path: Path) -> bool:
    """Whether a file is called like the images of MNIST, or a folder holds such files."""
    if path.is_dir():
        return any(IMAGES.match(f.name) for f in path.iterdir())
    return IMAGES.match(path.name) is not None


def open_idx(
    path: Path,
    *,
    name: str,
    resolution: tuple[int, int] | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """The images of an IDX file, or of the training file in a folder, as (N, H, W, 1) uint8, with their labels.

    Raises `UserError` if a header does not agree with the data that follows it.
    """
    file, notes = _choose(path) if path.is_dir() else (path, [])
    beside = _labels_of(file)
    if beside is None:
        notes.append(f"no labels: there is no {file.name.replace('images', 'labels').replace('idx3', 'idx1')}")

    def build(out: Path) -> Content:
        count, height, width = _header(file, 3)
        content = Content()
        if beside:
            values = _labels(beside, count, file)
            content.labels, content.class_names = classes_of(values)
        images, shape = _images(file, count, height, width), (height, width, 1)
        sized = write_images(
            out, images, count=count, shape=shape, dtype=np.uint8, name=name, resolution=resolution, progress=progress
        )
        content.notes = [*notes, *sized]
        return content

    key = content_key("idx", file_digest(file), file_digest(beside) if beside else None, resolution, notes)
    return prepare(key, build, name=name, cache=cache)


def _choose(folder: Path) -> tuple[Path, list[str]]:
    """The file to use of a folder: the training images, if there are several."""
    piles: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if (found := IMAGES.match(file.name)) and not file.name.startswith("."):
            piles.setdefault(found["pile"], file)  # unpacked sorts before .gz
    training = [pile for pile in piles if "train" in pile.lower()] if len(piles) > 1 else list(piles)
    if len(training) != 1:
        names = ", ".join(f.name for f in piles.values())
        raise UsageError(f"{folder} holds several sets of IDX images ({names}); give the path of one of these files.")
    file = piles.pop(training[0])
    others = ", ".join(f.name for f in piles.values())
    return file, [f"{file.name} is used; to use {others} instead, give its path"] if others else []


def _labels_of(images: Path) -> Path | None:
    name = images.name.replace("images", "labels").replace("idx3", "idx1")
    bare = name.removesuffix(".gz")
    return next((images.with_name(n) for n in (name, bare, bare + ".gz") if images.with_name(n).is_file()), None)


def _open(file: Path) -> IO[bytes]:
    return gzip.open(file, "rb") if file.suffix == ".gz" else open(file, "rb")  # type: ignore[return-value]


def _broken(file: Path, error: Exception) -> UserError:
    return UserError(f"{file} cannot be read: {error}.")


def _header(file: Path, dimensions: int) -> tuple[int, ...]:
    """The shape that an IDX file declares."""
    try:
        with _open(file) as stream:
            head = stream.read(4 + 4 * dimensions)
    except (OSError, EOFError, zlib.error) as e:
        raise _broken(file, e) from None
    if len(head) < 4 + 4 * dimensions or head[:4] != bytes([0, 0, 8, dimensions]):
        raise UserError(
            f"{file} is not an IDX file of bytes in {dimensions} dimensions: it begins with {head[:4].hex(' ')},"
            f" not 00 00 08 0{dimensions}."
        )
    shape = struct.unpack(f">{dimensions}I", head[4:])
    if 0 in shape or math.prod(shape[1:]) > MAX_PIXELS:
        raise UserError(f"{file} declares a shape of {'x'.join(map(str, shape))}, which makes no sense.")
    return shape


def _images(file: Path, count: int, height: int, width: int) -> Iterator[np.ndarray]:
    size, promised = height * width, f"the header promises {count:,} images of {width}x{height}"
    try:
        with _open(file) as stream:
            stream.read(16)
            for done in range(count):
                data = stream.read(size)
                if len(data) < size:
                    raise EOFError(f"{promised}, and the data ends after {done:,}")
                yield np.frombuffer(data, np.uint8).reshape(height, width, 1)
            if stream.read(1):
                raise EOFError(f"{promised}, and more data follows")
    except (OSError, EOFError, zlib.error) as e:
        raise _broken(file, e) from None


def _labels(file: Path, count: int, images: Path) -> np.ndarray:
    (found,) = _header(file, 1)
    try:
        with _open(file) as stream:
            data = stream.read(8 + count + 1)[8:]
    except (OSError, EOFError, zlib.error) as e:
        raise _broken(file, e) from None
    if found != count or len(data) != count:
        raise UserError(f"{file} declares {found:,} labels and {images.name} holds {count:,} images; they must match.")
    return np.frombuffer(data, np.uint8)
