"""A folder or a zip of images, brought to one size and one number of channels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..imaging.decode import (
    BadImage,
    Header,
    is_transparent,
    read_header,
    read_image,
    scale_and_crop,
    to_8bit,
    to_channels,
    whiten_hidden,
)
from .annotations import Layout, by_reason, kept, read_layout
from .cache import Content, Progress, Rows, choose_resolution, content_key, ordered, prepare
from .dataset import Dataset
from .files import Tree

Loaded = tuple[np.ndarray, list[str]] | str

TINY = 4  # pixels: an image with a shorter side is an icon or an accident


@dataclass
class Survey:
    """What the headers of all images say."""

    files: list[str] = field(default_factory=list)  # those that look usable
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    size_of: dict[str, tuple[int, int]] = field(default_factory=dict)  # (height, width) by file
    grey: int = 0
    seen_through: int = 0
    deep: int = 0  # 16-bit
    bad: list[tuple[str, str]] = field(default_factory=list)  # (file, reason)

    @property
    def channels(self) -> int:
        """1 if all are grey, 4 if at least half are transparent somewhere, else 3."""
        if self.grey == len(self.files) and not self.seen_through:
            return 1
        return 4 if 2 * self.seen_through >= len(self.files) else 3

    @property
    def dtype(self) -> type:
        """uint16 if every image has 16 bits, else uint8."""
        return np.uint16 if self.deep == len(self.files) else np.uint8

    def notes(self) -> list[str]:
        """How the images that differ are converted."""
        count, opaque, notes = len(self.files), len(self.files) - self.seen_through, []
        if self.channels == 3 and self.grey:
            notes.append(f"{self.grey:,} of {count:,} images are grey and become RGB")
        if self.channels == 3 and self.seen_through:
            notes.append(f"{self.seen_through:,} of {count:,} images are transparent and are laid on white")
        if self.channels == 4 and opaque:
            notes.append(f"{opaque:,} of {count:,} images are opaque and become RGBA")
        if self.dtype == np.uint8 and self.deep:
            notes.append(f"{self.deep:,} of {count:,} images have 16 bits and are reduced to 8")
        return notes


def open_tree(
    tree: Tree,
    *,
    name: str,
    metadata: str | None = None,
    resolution: tuple[int, int] | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """All images of a folder or a zip as one data set.

    `resolution` is (height, width), None: chosen from the images; `progress(done, total)` counts decoded images.
    Raises `UserError` if no image is usable, with the reasons.
    """
    layout = read_layout(tree, metadata)
    labels = None if layout.labels is None else layout.labels.tolist()
    told: list[Any] = [labels, layout.class_names, layout.captions, layout.notes, layout.skipped]
    if layout.vectors is not None:
        told.append(layout.vectors)
    key = content_key("files", tree.digest(), layout.files, resolution, told)

    def build(file: Path) -> Content:
        return _build(file, tree, name, layout, resolution, progress)

    return prepare(key, build, name=name, cache=cache)


def _build(
    file: Path,
    tree: Tree,
    name: str,
    layout: Layout,
    resolution: tuple[int, int] | None,
    progress: Progress | None,
) -> Content:
    found = survey(tree, layout.files)
    if not found.files:
        raise _unusable(name, found.bad)
    size, notes = choose_resolution(found.sizes, resolution, name)
    shape, dtype, changes = (*size, found.channels), found.dtype, Counter[str]()
    written, bad = set(), list(found.bad)

    ahead = min(64, max(2, (64 << 20) // (shape[0] * shape[1] * shape[2] * dtype().itemsize)))
    loaded = ordered(_loader(tree, shape, dtype), found.files, ahead=ahead)
    with Rows(file, shape, dtype) as rows:
        for done, (path, made) in enumerate(zip(found.files, loaded), 1):
            if isinstance(made, str):
                bad.append((path, made))
            else:
                rows.append(made[0])
                written.add(path)
                changes.update(made[1])
            if progress:
                progress(done, len(found.files))
    if not written:
        raise _unusable(name, bad)
    left = kept(layout, np.array([f in written for f in layout.files]))
    notes += found.notes() + [f"{count:,} images: {change}" for change, count in changes.most_common()]
    return Content(left.labels, left.class_names, left.captions, left.notes + notes, left.skipped + bad, left.vectors)


def _loader(tree: Tree, shape: tuple[int, int, int], dtype: type) -> Callable[[str], Loaded]:
    """How one file becomes an array of this shape and dtype (and notes), or a reason why not."""

    def load(path: str) -> Loaded:
        try:
            with tree.open(path) as stream:
                image = read_image(stream)
        except BadImage as e:
            return e.reason
        array = scale_and_crop(image.array if dtype == np.uint16 else to_8bit(image.array), shape[:2])
        array = to_channels(array, shape[2])
        return whiten_hidden(array) if shape[2] == 4 else array, image.notes

    return load


def _unusable(name: str, bad: list[tuple[str, str]]) -> UserError:
    return UserError(f"{name}: none of its {len(bad):,} images can be used: {by_reason(bad)}.")


def survey(tree: Tree, files: list[str]) -> Survey:
    """Read every header; only images that declare transparency are decoded, to see whether it is used."""

    def look(file: str) -> tuple[Header, bool] | str:
        try:
            with tree.open(file) as stream:
                header = read_header(stream)
                if min(header.size) < TINY:
                    return f"is {header.size[1]}x{header.size[0]}, smaller than {TINY}x{TINY}"
                stream.seek(0)
                return header, header.alpha and is_transparent(read_image(stream).array)
        except BadImage as e:
            return e.reason

    known = Survey()
    for file, found in zip(files, ordered(look, files)):
        if isinstance(found, str):
            known.bad.append((file, found))
            continue
        header, see_through = found
        known.files.append(file)
        known.sizes[header.size] += 1
        known.size_of[file] = header.size
        known.grey += header.grey and not see_through
        known.seen_through += see_through
        known.deep += header.bits == 16
    return known
