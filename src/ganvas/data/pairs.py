"""Aligned pairs of images, in two folders or side by side in one image, and unpaired image sets."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from PIL import Image

from ..errors import UserError
from ..imaging.decode import BadImage, read_image
from .annotations import summarize_skipped
from .cache import SourceOptions
from .dataset import Dataset, channel_name, fingerprint
from .files import Tree, is_image
from .folder import Survey, open_tree, survey
from .names import align_names

SIDES = {"left": 0, "right": 1}
UNPAIRED = "piles"  # in fingerprints, since the first version, which runs are resumed by


@dataclass
class FileSelection:
    """Some files of a tree, in a given order."""

    tree: Tree
    files: list[str]

    def __post_init__(self) -> None:
        self.name, self.skipped = self.tree.name, list[tuple[str, str]]()
        self.levels = self.tree.levels

    def open(self, file: str) -> BinaryIO:
        return self.tree.open(file)

    def read(self, index: int) -> np.ndarray:
        """An image (H, W, C) in its own depth and channels; raises `BadImage` for a damaged file."""
        with self.open(self.files[index]) as stream:
            return read_image(stream, levels=self.levels).array

    def digest(self, files: Iterable[str] | None = None) -> str:
        return self.tree.digest(files)


@dataclass
class HalfImages(FileSelection):
    """The left or right half of every image of a tree, as a file of its own."""

    side: str = "left"

    def open(self, file: str) -> BinaryIO:
        """Open half of an image; raises `BadImage` for one of odd width."""
        with self.tree.open(file) as stream:
            array = read_image(stream).array
        width = array.shape[1]
        if width % 2:
            raise BadImage(f"is {width} pixels wide, which is odd, so it is not two images side by side")
        half = np.hsplit(array, 2)[SIDES[self.side]]
        content = io.BytesIO()
        flat = np.ascontiguousarray(half[..., 0] if half.shape[2] == 1 else half)
        Image.fromarray(flat).save(content, "PNG", compress_level=0)
        content.seek(0)
        return content

    def digest(self, files: Iterable[str] | None = None) -> str:
        return f"{self.side} of {self.tree.digest(files)}"


def open_pairs(source: Tree, target: Tree, options: SourceOptions) -> Dataset:
    """Open pairs of images from two folders or zips, matched by file name without suffix.

    Raises `UserError` with the names of files without a partner, or with one of another shape.
    """
    return _open_aligned(*select_pairs(source, target, options.name), options)


def select_pairs(source: Tree, target: Tree, name: str) -> tuple[FileSelection, FileSelection]:
    """The files of both sides that belong together, in order; raises `UserError` as `open_pairs`."""
    files = match_pairs(source, target, name)
    surveys = survey(source, [s for s, _ in files]), survey(target, [t for _, t in files])
    check_aspects(*surveys, files, name)
    return FileSelection(source, [s for s, _ in files]), FileSelection(target, [t for _, t in files])


def open_halves(tree: Tree, options: SourceOptions, *, swapped: bool = False) -> Dataset:
    """Open images that hold two side by side, as in pix2pix's data sets; the left half is the source.

    `swapped`: the right half is.  Images of odd width are skipped; raises `UserError` if none is left.
    """
    files = [f for f in tree.files if is_image(f)]
    sides = [HalfImages(tree, files, side) for side in (("right", "left") if swapped else ("left", "right"))]
    return _open_aligned(sides[0], sides[1], options)


def match_pairs(source: Tree, target: Tree, name: str) -> list[tuple[str, str]]:
    """Match files of equal names, in order; raises `UserError` with those that have no partner, or several."""
    sides = {}
    for side, tree in (("source", source), ("target", target)):
        stems: dict[str, str] = {}
        for file in filter(is_image, tree.files):
            other = stems.setdefault(file.rpartition(".")[0], file)
            if other != file:
                raise UserError(f"{name}: {other} and {file} of the {side} are called alike; keep one of them.")
        sides[side] = stems
    sides["source"], sides["target"] = align_names(sides["source"], sides["target"])
    lonely = [
        f"{sides[side][stem]} (only in the {side})"
        for side, other in (("source", "target"), ("target", "source"))
        for stem in sorted(sides[side].keys() - sides[other].keys())
    ]
    if lonely:
        more = f" and {len(lonely) - 3:,} more" if len(lonely) > 3 else ""
        raise UserError(
            f"{name}: a pair has one name on both sides, and these have none: {', '.join(lonely[:3])}{more};"
            " rename or remove them."
        )
    return [(file, sides["target"][stem]) for stem, file in sides["source"].items()]


def check_aspects(source: Survey, target: Survey, files: list[tuple[str, str]], name: str) -> None:
    """Raise `UserError` for a pair of different aspect ratios, which cannot be aligned."""
    for s, t in files:
        if s not in source.size_of or t not in target.size_of:
            continue  # unreadable files are left out later
        (height, width), (tall, wide) = source.size_of[s], target.size_of[t]
        if abs(height * wide - width * tall) > max(height, width, tall, wide):  # a pixel for rounding
            raise UserError(
                f"{name}: {s} is {width}x{height} and its target {t} {wide}x{tall}, which is another shape; the"
                " images of a pair must be aligned, so crop one of them."
            )


def _open_aligned(source: FileSelection, target: FileSelection, options: SourceOptions) -> Dataset:
    left, right, notes, skipped = open_sides(source, target, options)
    return combine("pairs", left, replace(right, paired=True), options.name, notes, skipped)


def open_sides(
    source: FileSelection, target: FileSelection, options: SourceOptions
) -> tuple[Dataset, Dataset, list[str], list[tuple[str, str]]]:
    """Open both sides at one size, with their notes and skipped files; pairs with an unusable image are left out."""
    name, right = options.name, open_tree(target, options)
    left = open_tree(source, replace(options, resolution=right.facts.resolution))
    lost = [{file for file, _ in side.skipped} for side in (left, right)]
    complete = [s not in lost[0] and t not in lost[1] for s, t in zip(source.files, target.files)]
    if not any(complete):
        bad = [*left.skipped, *right.skipped]
        raise UserError(f"{name}: none of its {len(complete):,} pairs can be used: {summarize_skipped(bad)}.")
    left, right = _keep_paired(left, source.files, complete), _keep_paired(right, target.files, complete)
    skipped = sorted({*left.skipped, *right.skipped})
    notes = [*dict.fromkeys([*right.notes, *(f"sources: {note}" for note in left.notes)])]
    return left, right, notes, skipped


def _keep_paired(side: Dataset, files: Sequence[str], complete: Sequence[bool]) -> Dataset:
    """Select the images of a side whose partners are usable too."""
    lost = {file for file, _ in side.skipped}
    there = [keep for file, keep in zip(files, complete) if file not in lost]
    return side if all(there) else side.subset(np.flatnonzero(there))


def combine_fingerprints(kind: str, *parts: Dataset) -> str:
    """Fingerprint of a combination of data sets; resumed runs compare it, so its kinds and parts must not change."""
    return fingerprint(np.frombuffer(" ".join([kind, *(part.fingerprint for part in parts)]).encode(), np.uint8))


def combine(
    kind: str, source: Dataset, target: Dataset, name: str, notes: list[str], skipped: list[tuple[str, str]]
) -> Dataset:
    """Make the images of `source` the sources of `target`, which loses its labels and captions."""
    bare = replace(target, labels=None, vectors=None, captions=None, class_names=(), name=name, notes=notes)
    combined = combine_fingerprints(kind, source, target)
    return replace(bare, sources=source.images, skipped=skipped, fingerprint=combined)


def combine_in_order(source: Dataset, target: Dataset, name: str) -> Dataset | None:
    """Pair the images of two data sets in their order; None if no whole factor leads from one's size to the other's.

    Raises `UserError` for different numbers of images, aspect ratios, and for points.
    """
    if "points" in (source.facts.kind, target.facts.kind):
        raise UserError(f"{name}: pairs are of images, and one side is points; give images.")
    if len(source) != len(target):
        raise UserError(f"{name}: {len(source):,} sources and {len(target):,} targets are no pairs; give equally many.")
    (height, width), (tall, wide) = source.facts.resolution, target.facts.resolution
    if abs(height * wide - width * tall) > max(height, width, tall, wide):
        raise UserError(f"{name}: sources are {width}x{height} and targets {wide}x{tall}, which is another shape.")
    if tall % height or wide % width or tall // height != wide // width:
        return None
    notes = [*dict.fromkeys([*target.notes, *(f"sources: {note}" for note in source.notes)])]
    return combine("pairs", source, replace(target, paired=True), name, notes, [*source.skipped, *target.skipped])


def combine_unpaired(source: Dataset, target: Dataset, *, name: str) -> Dataset:
    """Combine two data sets of one size whose images are not paired.

    Raises `UserError` if their numbers of channels differ, or if one of them is points.
    """
    if "points" in (source.facts.kind, target.facts.kind):
        raise UserError(
            f"{name}: unpaired sets are images, and {source.name} or {target.name} is points; give folders of images."
        )
    if source.facts.channels != target.facts.channels:
        kinds = [f"{side.name} {channel_name(side.facts.channels)}" for side in (source, target)]
        raise UserError(f"{name}: both sets need the same channels, and these are {' and '.join(kinds)}; convert one.")
    skipped = [*source.skipped, *target.skipped]
    notes = [*target.notes, *(f"first set: {note}" for note in source.notes)]
    return combine(UNPAIRED, source, target, name, notes, skipped)
