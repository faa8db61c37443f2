"""TIFFs of several pages or bands as data: pages as images, or as the channels of one image."""

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import BadImage, UsageError, UserError
from ..imaging.levels import Levels
from ..imaging.tiff_pages import PageView, page_offsets, read_bands
from ..paths import is_left_behind
from .arrays import choose_conversion, write_images
from .cache import Annotations, SourceOptions, content_key, file_digest, load_or_build
from .dataset import Dataset
from .memory import MOST_CHANNELS

SUFFIXES = (".tif", ".tiff")
STACK = r"(pages|channels):(.+)"


def tiff_files(path: Path, name: str) -> list[Path]:
    """The TIFF at a path, or those in a folder and below it, in order; raises `UsageError` if there are none."""
    if path.is_dir():
        inside = (file for file in sorted(path.rglob("*")) if file.suffix.lower() in SUFFIXES and file.is_file())
        files = [f for f in inside if not any(map(is_left_behind, f.relative_to(path).parts))]
    else:
        files = [path] if path.is_file() and page_offsets(path) else []
    if not files:
        raise UsageError(f"{name}: {path} is no TIFF, nor a folder that holds some.")
    return files


class Pages:
    """Every page of a TIFF, or of those in a folder, as a file of its own: a `Tree`.

    Pages of one file are called 00001.tif, 00002.tif, ..., those of a folder after their file.
    """

    def __init__(self, path: Path, name: str, levels: Levels | None = None):
        self.name, self.levels, self.skipped = str(path), levels, list[tuple[str, str]]()
        self.paths = tiff_files(path, name)
        self.places: dict[str, tuple[Path, int]] = {}
        for file in self.paths:
            inside = f"{file.relative_to(path).with_suffix('').as_posix()} " if path.is_dir() else ""
            for k, offset in enumerate(page_offsets(file), 1):
                self.places[f"{inside}{k:05}.tif"] = file, offset
        self.files = sorted(self.places)

    def open(self, file: str) -> BinaryIO:
        """Open a page as a TIFF of one page."""
        path, offset = self.places[file]
        try:
            return io.BufferedReader(PageView(path.open("rb"), offset))
        except OSError as problem:
            raise BadImage(f"cannot be opened: {problem.strerror}") from None

    def digest(self, files: Iterable[str] | None = None) -> str:
        """Hash of the files, in hex."""
        return content_key("pages", [file_digest(path) for path in self.paths])


def open_channels(path: Path, levels: Levels | None, options: SourceOptions) -> Dataset:
    """Open TIFFs whose pages and bands, together 1 to 64, are the channels of one image each.

    Raises `UserError` for files of several numbers of channels or types.
    """
    files = tiff_files(path, options.name)
    key = content_key("channels", [file_digest(f) for f in files], options.resolution, *([levels] if levels else []))
    return load_or_build(key, lambda file: _build(file, files, levels, options), options)


def _build(file: Path, files: list[Path], levels: Levels | None, options: SourceOptions) -> Annotations:
    sizes, kinds, low, high = Counter[tuple[int, int]](), dict[tuple[int, str], Path](), np.inf, -np.inf
    for image, path in zip(_read_all(files), files):
        sizes[image.shape[0], image.shape[1]] += 1
        kinds.setdefault((image.shape[2], image.dtype.name), path)
        low, high = min(low, float(image.min())), max(high, float(image.max()))
    if len(kinds) > 1:
        has = " and ".join(f"{path.name} {count} of {dtype}" for (count, dtype), path in [*kinds.items()][:2])
        raise UserError(f"{options.name}: channels are of one number and type, and {has}; keep one kind.")
    ((channels, kind),) = kinds
    dtype, convert, notes = choose_conversion(np.dtype(kind), channels, (low, high), path=files[0], levels=levels)
    notes = [f"{channels} channels from the pages and bands of {len(files):,} files", *notes]
    return Annotations(
        notes=notes + write_images(file, map(convert, _read_all(files)), (sizes, channels), dtype, options)
    )


def _read_all(files: list[Path]) -> Iterator[np.ndarray]:
    return map(read_channels, files)


def read_channels(file: Path) -> np.ndarray:
    """All pages and bands of a TIFF as (H, W, C); raises `UserError` for several sizes, and for over 64 channels."""
    parts: list[np.ndarray] = []
    for offset in page_offsets(file):
        parts.append(read_bands(file, offset).array)
        if parts[-1].shape[:2] != parts[0].shape[:2] or parts[-1].dtype != parts[0].dtype:
            sizes = " and ".join(f"{part.shape[1]}x{part.shape[0]} {part.dtype}" for part in (parts[0], parts[-1]))
            raise UserError(f"{file} has pages of {sizes}, which are not the channels of one image.")
        if (count := sum(part.shape[2] for part in parts)) > MOST_CHANNELS:
            raise UserError(f"{file} has {count} channels or more, and images have 1 to {MOST_CHANNELS}.")
    if not parts:
        raise UserError(f"{file} has no page.")
    return np.concatenate(parts, 2)


def split_stack(name: str) -> tuple[str, str] | None:
    """The kind, pages or channels, and the rest of a source's name; None for another source."""
    match = re.fullmatch(STACK, name, re.DOTALL)
    return (match[1], match[2]) if match else None
