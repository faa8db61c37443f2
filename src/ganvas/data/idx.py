"""IDX files of MNIST and similar data sets, gzipped or not."""

import gzip
import math
import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from ..archives import check_unpacked
from ..errors import UsageError, UserError
from ..imaging.decode import MAX_PIXELS
from ..imaging.levels import stretch
from ..paths import is_left_behind
from .arrays import write_images
from .cache import Annotations, SourceOptions, content_key, file_digest, load_or_build
from .dataset import Dataset, index_classes

IMAGES = re.compile(r"(?P<set>.*?)images[.-]idx3-ubyte(?P<gz>\.gz)?$")


def is_idx(path: Path) -> bool:
    """True for a file called like the images of MNIST, or a folder that holds one."""
    if path.is_dir():
        return os.access(path, os.R_OK | os.X_OK) and any(map(_holds_images, path.iterdir()))
    return IMAGES.match(path.name) is not None


def _holds_images(file: Path) -> bool:
    return IMAGES.match(file.name) is not None and not is_left_behind(file.name)


def open_idx(path: Path, options: SourceOptions) -> Dataset:
    """Open an IDX file of images, or the training file in a folder, as (N, H, W, 1) uint8 with their labels.

    Raises `UserError` if a header does not agree with the data that follows it.
    """
    file, notes = _choose_file(path) if path.is_dir() else (path, [])
    labels = file.name.replace("images", "labels").replace("idx3", "idx1")
    bare = labels.removesuffix(".gz")
    beside = next((file.with_name(n) for n in (labels, bare, bare + ".gz") if file.with_name(n).is_file()), None)
    if beside is None:
        notes.append(f"no labels: there is no {labels}")

    def build(out: Path) -> Annotations:
        count, height, width = _read_shape(file, 3)
        annotations = Annotations(*index_classes(_read_labels(beside, count, file))) if beside else Annotations()
        images = _iterate_images(file, count, height, width)
        images = (stretch(image, options.levels) for image in images) if options.levels else images
        annotations.notes = [*notes, *write_images(out, images, (count, height, width, 1), np.uint8, options)]
        return annotations

    content = [file_digest(file), file_digest(beside) if beside else None, options.resolution, notes]
    key = content_key("idx", *content, *([options.levels] if options.levels else []))
    return load_or_build(key, build, options)


def _choose_file(folder: Path) -> tuple[Path, list[str]]:
    """Choose the file of a folder: the training images, if there are several."""
    sets: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if (match := IMAGES.match(file.name)) and not is_left_behind(file.name):
            sets.setdefault(match["set"], file)  # unpacked sorts before .gz
    training = [name for name in sets if "train" in name.lower()] if len(sets) > 1 else list(sets)
    if len(training) != 1:
        names = ", ".join(f.name for f in sets.values())
        raise UsageError(f"{folder} holds several sets of IDX images ({names}); give the path of one of these files.")
    file = sets.pop(training[0])
    others = ", ".join(f.name for f in sets.values())
    return file, [f"{file.name} is used; to use {others} instead, give its path"] if others else []


@contextmanager
def _open(file: Path) -> Iterator[IO[bytes]]:
    """Open a file, gzipped or not; raises `UserError` where it cannot be read."""
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else open(file, "rb") as stream:
            yield stream  # type: ignore[misc]
    except (OSError, EOFError, zlib.error) as e:
        raise UserError(f"{file} cannot be read: {e}.") from None


def _read_shape(file: Path, dimensions: int) -> tuple[int, ...]:
    """Read the shape that an IDX file declares."""
    with _open(file) as stream:
        head = stream.read(4 + 4 * dimensions)
    if len(head) < 4 + 4 * dimensions or head[:4] != bytes([0, 0, 8, dimensions]):
        raise UserError(
            f"{file} is not an IDX file of bytes in {dimensions} dimensions: it begins with {head[:4].hex(' ')},"
            f" not 00 00 08 0{dimensions}."
        )
    shape = struct.unpack(f">{dimensions}I", head[4:])
    if 0 in shape or math.prod(shape[1:]) > MAX_PIXELS:
        size = "x".join(map(str, shape))
        raise UserError(f"{file} declares a shape of {size}, which makes no sense: damaged, so copy it again.")
    check_unpacked(file, file.stat().st_size, math.prod(shape))
    return shape


def _iterate_images(file: Path, count: int, height: int, width: int) -> Iterator[np.ndarray]:
    size, promised = height * width, f"the header promises {count:,} images of {width}x{height}"
    with _open(file) as stream:
        stream.read(16)
        for done in range(count):
            data = stream.read(size)
            if len(data) < size:
                raise EOFError(f"{promised}, and the data ends after {done:,}")
            yield np.frombuffer(data, np.uint8).reshape(height, width, 1)
        if stream.read(1):
            raise EOFError(f"{promised}, and more data follows")


def _read_labels(file: Path, count: int, images: Path) -> np.ndarray:
    (declared,) = _read_shape(file, 1)
    data = b""
    if declared == count:
        with _open(file) as stream:
            data = stream.read(8 + count + 1)[8:]
    if len(data) != count:
        raise UserError(
            f"{file} declares {declared:,} labels and {images.name} holds {count:,} images; they must match."
        )
    return np.frombuffer(data, np.uint8)
