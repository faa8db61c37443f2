"""Regions of an image: the places that a mask or a box marks, and the parts in which they are filled."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from ..errors import UsageError, UserError, printable
from ..imaging.decode import SUFFIXES
from ..imaging.photo import Photo, open_photo
from ..paths import is_left_behind

CELL = 128  # pixels a side: places in cells that touch are filled together
BLOCK = 8  # cells a side of the largest part that is filled at once, which bounds the memory
MARGIN = 128, 256  # pixels around a part that a network sees: as many as the part has, within these limits
ROWS = 256  # of a mask that are converted at once


class Box(NamedTuple):
    """A rectangle of an image, in pixels from the top left corner; it may reach beyond the image."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `X,Y,WIDTH,HEIGHT`; raises `UsageError` for anything else, and for an empty box."""
        try:
            box = cls(*(int(number) for number in text.split(",")))
        except (TypeError, ValueError):
            box = cls(0, 0, 0, 0)
        if min(box.width, box.height) < 1:
            raise UsageError(
                f"--box takes X,Y,WIDTH,HEIGHT in pixels from the top left corner, as 40,10,200,100, got {text!r}."
            )
        return box

    def mark(self, size: tuple[int, int]) -> np.ndarray:
        """Mark the box in an image of (height, width), (H, W) bool; raises `UserError` if it lies outside."""
        region = np.zeros(size, bool)
        first, last = max(self.top, 0), max(self.top + self.height, 0)
        region[first:last, max(self.left, 0) : max(self.left + self.width, 0)] = True
        if not region.any():
            raise UserError(f"The box {','.join(map(str, self))} lies outside of the image, which is {_side(size)}.")
        return region


@dataclass(frozen=True)
class Region:
    """The places of an image to change: those that a mask marks, or a box."""

    masks: Path | np.ndarray | None = None  # image, bright in the places, a folder of them, or (H, W) bool
    box: Box | None = None

    def check(self) -> None:
        """Raise `UsageError` unless there is one of a mask and a box, and the file exists."""
        if self.masks is None and self.box is None:
            raise UsageError("Missing region: --mask IMAGE, white in the places, or --box X,Y,WIDTH,HEIGHT.")
        if self.masks is not None and self.box is not None:
            raise UsageError("Give --mask or --box, not both.")
        if isinstance(self.masks, Path) and not self.masks.exists():
            raise UsageError(f"There is no mask {printable(self.masks)}.")

    def read(self, name: str, size: tuple[int, int]) -> np.ndarray:
        """Read the places in an image of (height, width), (H, W) bool, true in them.

        `name` is the stem of the output, after which a mask in a folder is named.  Raises `UserError` if there is no
        mask of that name, it has another size, or a single mask or the box marks nothing.
        """
        if self.box is not None:
            return self.box.mark(size)
        assert self.masks is not None
        if isinstance(self.masks, np.ndarray):
            region, file = self.masks, "given"
        else:
            file = printable(path := _mask_file(self.masks, name))
            region = bright_places(open_photo(path))
        if region.shape != size:
            raise UserError(f"The mask {file} is {_side(region.shape)} and the image {_side(size)}; give one as large.")
        in_folder = isinstance(self.masks, Path) and self.masks.is_dir()
        if not region.any() and not in_folder:
            raise UserError(f"The mask {file} marks nothing: it is dark everywhere; white marks the places.")
        return region


def _side(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"


def _mask_file(masks: Path, name: str) -> Path:
    """The mask of an output's name; raises `UserError` if there is none."""
    file = masks
    if file.is_dir():
        names = (name, Path(name).stem) if Path(name).suffix.lower() in SUFFIXES else (name,)  # a.jpg and a
        files = [f for f in sorted(masks.iterdir()) if not is_left_behind(f.name)]
        file = next((f for n in names for f in files if f.stem == n), masks / f"{names[-1]}.png")
    if not file.is_file():
        raise UserError(f"There is no mask {printable(file.name)} in {printable(file.parent)}.")
    return file


def bright_places(photo: Photo) -> np.ndarray:
    """True where an image is brighter than mid-grey, (H, W) bool."""
    starts = range(0, len(photo.array), ROWS)
    bands = (photo.planes(slice(k, k + ROWS), channels=1).colour[0, 0].numpy() > 0 for k in starts)
    return np.concatenate(list(bands))


class Part(NamedTuple):
    """A part of a region, and the rows and columns of the image that a network sees for it."""

    rows: slice
    columns: slice
    inside: np.ndarray  # bool, of the size of these rows and columns: the places of this part


def split_region(region: np.ndarray) -> Iterator[Part]:
    """Split a region (H, W) bool into parts that are filled one after the other.

    Places near each other are one part, unless that is larger than `BLOCK` cells: the memory and the time that a
    region costs are those of its places, wherever they lie.
    """
    from scipy.ndimage import find_objects, label

    height, width = region.shape
    tops, lefts = np.arange(0, height, CELL), np.arange(0, width, CELL)
    cells = np.logical_or.reduceat(np.logical_or.reduceat(region, tops, 0), lefts, 1)
    labels, _ = label(cells, np.ones((3, 3)))
    for k, (down, across) in enumerate(find_objects(labels)):
        for top in range(down.start, down.stop, BLOCK):
            for left in range(across.start, across.stop, BLOCK):
                cut = slice(top, min(top + BLOCK, down.stop)), slice(left, min(left + BLOCK, across.stop))
                if (mine := labels[cut] == k + 1).any():
                    yield _part(region, mine.repeat(CELL, 0).repeat(CELL, 1), top * CELL, left * CELL)


def _part(region: np.ndarray, mine: np.ndarray, top: int, left: int) -> Part:
    """The part of a region in the cells `mine`, which begin at (top, left)."""
    here = region[top : top + len(mine), left : left + mine.shape[1]]
    inside = here & mine[: len(here), : here.shape[1]]
    rows = _surroundings(np.flatnonzero(inside.any(1)) + top, region.shape[0])
    columns = _surroundings(np.flatnonzero(inside.any(0)) + left, region.shape[1])
    whole = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
    y, x = np.nonzero(inside)
    whole[y + top - rows.start, x + left - columns.start] = True
    return Part(rows, columns, whole)


def _surroundings(at: np.ndarray, length: int) -> slice:
    """From the first to the last place, and a margin on both sides within the image."""
    first, last = int(at[0]), int(at[-1]) + 1
    margin = min(max(last - first, MARGIN[0]), MARGIN[1])
    return slice(max(first - margin, 0), min(last + margin, length))
