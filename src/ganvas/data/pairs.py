"""Images in twos: aligned pairs in two folders or side by side in one image, or two piles that are not aligned."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from ..errors import UserError
from ..imaging.decode import BadImage, read_image
from .annotations import by_reason
from .cache import Progress
from .dataset import COLOURS, Dataset, fingerprint
from .files import Tree, is_image
from .folder import Survey, open_tree, survey

SIDES = {"left": 0, "right": 1}


@dataclass
class Chosen:
    """Some files of a tree, in an order that is given."""

    tree: Tree
    files: list[str]

    def __post_init__(self) -> None:
        self.name, self.skipped = self.tree.name, list[tuple[str, str]]()

    def open(self, file: str) -> BinaryIO:
        """One file, to be closed by the caller."""
        return self.tree.open(file)

    def digest(self) -> str:
        """A hash of all names and contents, in hex."""
        return self.tree.digest()


@dataclass
class Half(Chosen):
    """One half of every image of a tree, as if it were a file of its own."""

    side: str = "left"

    def open(self, file: str) -> BinaryIO:
        """The half of an image; raises `BadImage` for one whose width is odd."""
        with self.tree.open(file) as stream:
            array = read_image(stream).array
        width = array.shape[1]
        if width % 2:
            raise BadImage(f"is {width} pixels wide, which is odd, so it is no two images side by side")
        half = np.hsplit(array, 2)[SIDES[self.side]]
        content = io.BytesIO()
        flat = np.ascontiguousarray(half[..., 0] if half.shape[2] == 1 else half)
        Image.fromarray(flat).save(content, "PNG", compress_level=0)
        content.seek(0)
        return content

    def digest(self) -> str:
        """A hash of all names and contents, in hex."""
        return f"{self.side} of {self.tree.digest()}"


def open_pairs(
    source: Tree,
    target: Tree,
    *,
    name: str,
    resolution: tuple[int, int] | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Images of two folders or zips that belong together because their files are called alike, but for the suffix.

    Raises `UserError` for files without a partner, or with one of another shape, naming them.
    """
    files = matched(source, target, name)
    alike(survey(source, [s for s, _ in files]), survey(target, [t for _, t in files]), files, name)
    sides = Chosen(source, [s for s, _ in files]), Chosen(target, [t for _, t in files])
    return _aligned(*sides, name=name, resolution=resolution, cache=cache, progress=progress)


def open_halves(
    tree: Tree,
    *,
    name: str,
    swapped: bool = False,
    resolution: tuple[int, int] | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Images that are two side by side, as pix2pix's data sets are: the left half is the source.

    `swapped`: the right half is.  One of odd width is skipped; raises `UserError` if none is left.
    """
    files = [f for f in tree.files if is_image(f)]
    sides = [Half(tree, files, side) for side in (("right", "left") if swapped else ("left", "right"))]
    return _aligned(sides[0], sides[1], name=name, resolution=resolution, cache=cache, progress=progress)


def matched(source: Tree, target: Tree, name: str) -> list[tuple[str, str]]:
    """The files that belong together, in order; raises `UserError` naming those that have no partner, or several."""
    sides = {}
    for side, tree in (("source", source), ("target", target)):
        stems: dict[str, str] = {}
        for file in filter(is_image, tree.files):
            twin = stems.setdefault(file.rpartition(".")[0], file)
            if twin != file:
                raise UserError(f"{name}: {twin} and {file} of the {side} are called alike; keep one of them.")
        sides[side] = stems
    lonely = [
        f"{sides[side][stem]} (only in the {side})"
        for side, other in (("source", "target"), ("target", "source"))
        for stem in sorted(sides[side].keys() - sides[other].keys())
    ]
    if lonely:
        more = f" and {len(lonely) - 3:,} more" if len(lonely) > 3 else ""
        raise UserError(
            f"{name}: a pair has one name on both sides, and these have none: {', '.join(lonely[:3])}{more}."
        )
    return [(file, sides["target"][stem]) for stem, file in sides["source"].items()]


def alike(source: Survey, target: Survey, files: list[tuple[str, str]], name: str) -> None:
    """Raise `UserError` for a pair of two shapes, whose parts could not be brought over each other."""
    for s, t in files:
        if s not in source.size_of or t not in target.size_of:
            continue  # one that cannot be read is left out later
        (height, width), (tall, wide) = source.size_of[s], target.size_of[t]
        if abs(height * wide - width * tall) > max(height, width, tall, wide):  # a pixel for rounding
            raise UserError(
                f"{name}: {s} is {width}x{height} and its target {t} {wide}x{tall}, which is another shape; a pair"
                " shows the same things at the same places."
            )


def _aligned(
    source: Chosen,
    target: Chosen,
    *,
    name: str,
    resolution: tuple[int, int] | None,
    cache: Path | None,
    progress: Progress | None,
) -> Dataset:
    """Both sides at one size; a pair of which one cannot be used is left out."""
    right = open_tree(target, name=name, resolution=resolution, cache=cache, progress=progress)
    left = open_tree(source, name=name, resolution=right.facts.resolution, cache=cache, progress=progress)
    lost = [{file for file, _ in side.skipped} for side in (left, right)]
    kept = [s not in lost[0] and t not in lost[1] for s, t in zip(source.files, target.files)]
    if not any(kept):
        bad = [*left.skipped, *right.skipped]
        raise UserError(f"{name}: none of its {len(kept):,} pairs can be used: {by_reason(bad)}.")
    left, right = _those(left, source.files, kept), _those(right, target.files, kept)
    skipped = sorted({*left.skipped, *right.skipped})
    notes = [*dict.fromkeys([*right.notes, *(f"sources: {note}" for note in left.notes)])]
    return replace(
        right,
        labels=None,
        vectors=None,
        captions=None,
        class_names=(),
        sources=left.images,
        paired=True,
        name=name,
        notes=notes,
        skipped=skipped,
        fingerprint=fingerprint_of("pairs", left, right),
    )


def _those(side: Dataset, files: Sequence[str], kept: Sequence[bool]) -> Dataset:
    """The images of a side whose partner could be used too."""
    lost = {file for file, _ in side.skipped}
    there = [keep for file, keep in zip(files, kept) if file not in lost]
    return side if all(there) else side.subset(np.flatnonzero(there))


def fingerprint_of(kind: str, *parts: Dataset) -> str:
    """The fingerprint of what is put together from data sets."""
    named = np.frombuffer(" ".join([kind, *(part.fingerprint for part in parts)]).encode(), np.uint8)
    return fingerprint(named)


def two_piles(source: Dataset, target: Dataset, *, name: str) -> Dataset:
    """Two data sets of one size whose images have nothing to do with each other.

    Raises `UserError` if their numbers of channels differ, or if one of them is no images.
    """
    if "points" in (source.facts.kind, target.facts.kind):
        raise UserError(f"{name}: piles are images, and {source.name}, {target.name} are not both.")
    found = source.facts.channels, target.facts.channels
    if found[0] != found[1]:
        kinds = [f"{side.name} {COLOURS[c]}" for side, c in zip((source, target), found)]
        raise UserError(f"{name}: both piles need the same channels, and these are {' and '.join(kinds)}; convert one.")
    skipped = [*source.skipped, *target.skipped]
    notes = [*target.notes, *(f"first pile: {note}" for note in source.notes)]
    return replace(
        target,
        labels=None,
        vectors=None,
        captions=None,
        class_names=(),
        sources=source.images,
        name=name,
        notes=notes,
        skipped=skipped,
        fingerprint=fingerprint_of("piles", source, target),
    )
