"""Aligned pairs of whole image files, each at its own size, as paired measures compare them."""

import re
from typing import Protocol

import numpy as np

from ..errors import UsageError, UserError
from .cache import OWN, SourceOptions
from .dataset import Dataset
from .files import is_image
from .pairs import FileSelection, HalfImages, combine_in_order, match_pairs
from .sources import PAIR, absolute_source, are_files, open_pair_tree, open_source

IN_MEMORY = 256 << 20  # bytes of decoded images that are kept


class Side(Protocol):
    """One side of the pairs."""

    files: list[str]

    def read(self, index: int) -> np.ndarray:
        """The image (H, W, C) in its own depth and channels; raises `BadImage` for a damaged file."""


class DatasetImages:
    """Images of a data set, named by their number."""

    def __init__(self, dataset: Dataset):
        self.images = dataset.images
        self.files = [f"{index:05d}.npy" for index in range(len(dataset))]

    def read(self, index: int) -> np.ndarray:
        """The image (H, W, C) as the data set keeps it."""
        return np.asarray(self.images[index])


class PairFiles:
    """Pairs of images from `source=A,target=B` or `AB:DIR`; at most `count` of them.

    Folders, zips and pages are matched by name, arrays and other sources in order.  Raises `UsageError` for a source
    of no pairs, `UserError` for files without a partner and for different numbers of images.
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
        pair = self.source.read(index), self.target.read(index)
        size = sum(array.nbytes for array in pair)
        if self._bytes + size <= IN_MEMORY:
            self._decoded[index], self._bytes = pair, self._bytes + size
        return pair


def _open_sides(name: str) -> tuple[Side, Side]:
    if halves := re.fullmatch(r"(AB|BA):(.+)", name, re.DOTALL):
        tree = open_pair_tree(halves[2], SourceOptions(name))
        images = [file for file in tree.files if is_image(file)]
        left, right = HalfImages(tree, images, "left"), HalfImages(tree, images, "right")
        return (left, right) if halves[1] == "AB" else (right, left)
    pair = re.fullmatch(PAIR, name, re.DOTALL)
    if not pair:
        raise UsageError(f"--eval-data takes pairs of images, source=DIR,target=DIR or AB:DIR, not {name!r}.")
    if not are_files(*pair.groups()):
        first, second = (open_source(side, resolution=OWN) for side in pair.groups())
        combine_in_order(first, second, name)
        return DatasetImages(first), DatasetImages(second)
    source, target = (open_pair_tree(side, SourceOptions(name)) for side in pair.groups())
    files = match_pairs(source, target, name)
    return FileSelection(source, [s for s, _ in files]), FileSelection(target, [t for _, t in files])
