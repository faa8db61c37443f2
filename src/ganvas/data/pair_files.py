"""Aligned pairs of whole image files, each at its own size, as paired measures compare them."""

import re

import numpy as np

from ..errors import UsageError, UserError
from ..imaging.decode import read_image
from .cache import SourceOptions
from .files import is_image
from .pairs import FileSelection, HalfImages, match_pairs
from .sources import PAIR, absolute_source, open_pair_tree

IN_MEMORY = 256 << 20  # bytes of decoded images that are kept


class PairFiles:
    """Pairs of images from `source=DIR,target=DIR` or `AB:DIR`, matched by name; at most `count` of them.

    Folders and zips.  Raises `UsageError` for any other source, `UserError` for files without a partner.
    """

    def __init__(self, name: str, count: int | None = None):
        self.name = absolute_source(name) or name
        self.source, self.target = _open_sides(name)
        files = self.target.files[:count]
        if not files:
            raise UserError(f"{name} holds no pairs of images.")
        self.names = [file.rpartition(".")[0] for file in files]
        self._decoded: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Source and target (H, W, C) in their own depth and channels; raises `BadImage` for a damaged file."""
        if index in self._decoded:
            return self._decoded[index]
        pair = _read(self.source, index), _read(self.target, index)
        size = sum(array.nbytes for array in pair)
        if self._bytes + size <= IN_MEMORY:
            self._decoded[index], self._bytes = pair, self._bytes + size
        return pair


def _open_sides(name: str) -> tuple[FileSelection, FileSelection]:
    if halves := re.fullmatch(r"(AB|BA):(.+)", name, re.DOTALL):
        tree = open_pair_tree(halves[2], SourceOptions(name))
        images = [file for file in tree.files if is_image(file)]
        left, right = HalfImages(tree, images, "left"), HalfImages(tree, images, "right")
        return (left, right) if halves[1] == "AB" else (right, left)
    pair = re.fullmatch(PAIR, name, re.DOTALL)
    if not pair:
        raise UsageError(f"--eval-data takes pairs of images, source=DIR,target=DIR or AB:DIR, not {name!r}.")
    source, target = (open_pair_tree(side, SourceOptions(name)) for side in pair.groups())
    files = match_pairs(source, target, name)
    return FileSelection(source, [s for s, _ in files]), FileSelection(target, [t for _, t in files])


def _read(side: FileSelection, index: int) -> np.ndarray:
    with side.open(side.files[index]) as stream:
        return read_image(stream, levels=side.levels).array
