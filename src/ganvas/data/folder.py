"""Data sets from folders and zips of images, scaled to one size and converted to one number of channels."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

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
from ..imaging.levels import Levels
from .annotations import AnnotatedFiles, annotate_files, select_usable, summarize_skipped
from .cache import Annotations, ArrayWriter, SourceOptions, choose_resolution, content_key, load_or_build, map_in_order
from .dataset import Dataset
from .files import Tree

WAY_OUT = ", or give its range from black to white: --data levels:LOW:HIGH:PATH"
TINY = 4  # pixels: images with a shorter side are skipped


@dataclass
class Survey:
    """Sizes and kinds of all images, from their headers."""

    files: list[str] = field(default_factory=list)  # with a readable header
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    size_of: dict[str, tuple[int, int]] = field(default_factory=dict)  # (height, width) by file
    grey: int = 0
    transparent: int = 0
    deep: int = 0  # 16-bit
    bad: list[tuple[str, str]] = field(default_factory=list)  # (file, reason)

    @property
    def count(self) -> int:
        """Number of images with a readable header."""
        return self.sizes.total()

    def add(self, file: str, outcome: "tuple[Header, bool] | str", levels: Levels | None) -> bool:
        """Count an image by what `look_at` says of it; returns False for one that cannot be used."""
        if isinstance(outcome, str):
            self.bad.append((file, outcome))
            return False
        header, transparent = outcome
        self.sizes[header.size] += 1
        numbers = header.floats and levels is not None
        self.grey += (header.grey or numbers) and not transparent
        self.transparent += transparent
        self.deep += header.bits == 16 or numbers
        return True

    @property
    def channels(self) -> int:
        """1 if all are grey, 4 if at least half are transparent somewhere, else 3."""
        if self.grey == self.count and not self.transparent:
            return 1
        return 4 if 2 * self.transparent >= self.count else 3

    @property
    def dtype(self) -> type:
        """uint16 if every image has 16 bits, else uint8."""
        return np.uint16 if self.deep == self.count else np.uint8

    def notes(self) -> list[str]:
        """Notes on images that need conversion."""
        count, opaque, notes = self.count, self.count - self.transparent, []
        if self.channels == 3 and self.grey:
            notes.append(f"{self.grey:,} of {count:,} images are grey and become RGB")
        if self.channels == 3 and self.transparent:
            notes.append(f"{self.transparent:,} of {count:,} images are transparent and are laid on white")
        if self.channels == 4 and opaque:
            notes.append(f"{opaque:,} of {count:,} images are opaque and become RGBA")
        if self.dtype == np.uint8 and self.deep:
            notes.append(f"{self.deep:,} of {count:,} images have 16 bits and are reduced to 8")
        return notes


def open_tree(tree: Tree, options: SourceOptions, metadata: str | None = None) -> Dataset:
    """Open all images of a folder or a zip as one data set.

    `metadata` names the metadata file; None searches for one.  Raises `UserError` with the reasons if no image is
    usable.
    """
    layout = annotate_files(tree, metadata)
    return open_layout(tree, layout, options, tree.digest(None if options.earlier else layout.files))


def open_layout(tree: Tree, layout: AnnotatedFiles, options: SourceOptions, digest: str) -> Dataset:
    """Open images with their labels and captions as one data set; `digest` is a hash of their files."""
    labels = None if layout.labels is None else layout.labels.tolist()
    others = layout.skipped if options.earlier else []  # are no part of the data, so they may come and go
    content: list[Any] = [labels, layout.class_names, layout.captions, layout.notes, others]
    content += [more for more in (layout.vectors, tree.levels) if more is not None]
    key = content_key("files", digest, layout.files, options.resolution, content)
    dataset = load_or_build(key, lambda file: _build_array(file, tree, layout, options), options)
    now = set(layout.skipped)
    dataset.skipped = [*layout.skipped, *(s for s in dataset.skipped if s not in now)]
    dataset.notes = [*dataset.notes, *layout.remarks]
    return dataset


def _build_array(file: Path, tree: Tree, layout: AnnotatedFiles, options: SourceOptions) -> Annotations:
    headers = survey(tree, layout.files)
    if not headers.files:
        raise _unusable_error(options.name, headers.bad)
    size, notes = choose_resolution(headers.sizes, options.resolution, options.name)
    shape, dtype, changes = (*size, headers.channels), headers.dtype, Counter[str]()
    written, bad = set(), list(headers.bad)

    ahead = min(64, max(2, (64 << 20) // (shape[0] * shape[1] * shape[2] * dtype().itemsize)))
    loaded = map_in_order(lambda file: load_image(tree, file, shape[2], dtype, size), headers.files, ahead=ahead)
    with ArrayWriter(file, shape, dtype) as rows:
        for done, (path, result) in enumerate(zip(headers.files, loaded), 1):
            if isinstance(result, str):
                bad.append((path, result))
            else:
                rows.append(result[0])
                written.add(path)
                changes.update(result[1])
            if options.progress:
                options.progress(done, len(headers.files))
    if not written:
        raise _unusable_error(options.name, bad)
    usable = select_usable(layout, np.array([f in written for f in layout.files]))
    usable.notes += [*notes, *headers.notes(), *(f"{count:,} images: {kind}" for kind, count in changes.most_common())]
    usable.skipped = bad  # those beside the images are added whenever the data are opened
    return usable


def load_image(
    tree: Tree, file: str, channels: int, dtype: type, size: tuple[int, int] | None = None
) -> tuple[np.ndarray, list[str]] | str:
    """Read a file as (H, W, channels) of a dtype, scaled to `size` if given, with notes; a reason if that fails."""
    try:
        with tree.open(file) as stream:
            return decode_as(stream, channels, dtype, size, tree.levels)
    except BadImage as e:
        return e.reason


def decode_as(
    stream: BinaryIO, channels: int, dtype: type, size: tuple[int, int] | None, levels: Levels | None
) -> tuple[np.ndarray, list[str]] | str:
    """Decode an open file as `load_image` does."""
    try:
        image = read_image(stream, levels=levels)
    except BadImage as e:
        return e.reason + (WAY_OUT if e.reason.startswith("holds ") else "")
    array = image.array if dtype == np.uint16 else to_8bit(image.array)
    array = to_channels(scale_and_crop(array, size) if size else array, channels)
    return whiten_hidden(array) if channels == 4 else array, image.notes


def _unusable_error(name: str, bad: list[tuple[str, str]]) -> UserError:
    return UserError(f"{name}: none of its {len(bad):,} images can be used: {summarize_skipped(bad)}.")


def look_at(opening: Callable[[], BinaryIO]) -> tuple[Header, bool] | str:
    """Header of an image, and True if it is transparent somewhere; or the reason for which it cannot be used."""
    try:
        with opening() as stream:
            header = read_header(stream)
            if min(header.size) < TINY:
                return f"is {header.size[1]}x{header.size[0]}, smaller than {TINY}x{TINY}"
            stream.seek(0)
            return header, header.alpha and is_transparent(read_image(stream).array)
    except BadImage as e:
        return e.reason


def survey(tree: Tree, files: list[str]) -> Survey:
    """Read every header; images that declare transparency are decoded to check if it is used."""
    result = Survey()
    outcomes = map_in_order(lambda file: look_at(lambda: tree.open(file)), files)
    for file, outcome in zip(files, outcomes):
        if result.add(file, outcome, tree.levels) and not isinstance(outcome, str):
            result.files.append(file)
            result.size_of[file] = outcome[0].size
    return result
