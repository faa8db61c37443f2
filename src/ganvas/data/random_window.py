"""A part of every image, somewhere else every time it is seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .dataset import Dataset
from .degrade.base import Chance

PLACED = 0x51DE  # keeps these numbers apart from those of a degradation, which has the same seed
Corner = tuple[int, int]


class Window:
    """Cuts a data set's window out of its images, and the same region out of their sources."""

    def __init__(self, dataset: Dataset, seed: int):
        assert dataset.window is not None
        self.size, self.whole = dataset.window, dataset.images.shape[1:3]
        self.scale, self.seed = dataset.facts.scale, seed

    def anywhere(self, places: Sequence[int]) -> list[Corner]:
        """(top, left) in the source, which follow from the seed and an image's place in the endless order."""
        found = []
        for place in places:
            chance = Chance(self.seed + PLACED, place)
            top, left = (chance.integer(0, room) for room in self._room())
            found.append((top, left))
        return found

    def middle(self, count: int) -> list[Corner]:
        """The same in the middle."""
        top, left = (room // 2 for room in self._room())
        return [(top, left)] * count

    def _room(self) -> tuple[int, int]:
        height, width = ((whole - part) // self.scale for whole, part in zip(self.whole, self.size))
        return height, width

    def cut(self, images: dict[str, Tensor], corners: Sequence[Corner]) -> dict[str, Tensor]:
        """Images (N, C, H, W) by name to those of the window's size; `source` is smaller where the data's are."""
        return {name: self._taken(x, corners, self.scale if name != "source" else 1) for name, x in images.items()}

    def _taken(self, images: Tensor, corners: Sequence[Corner], scale: int) -> Tensor:
        h, w = (side * scale // self.scale for side in self.size)
        at = ((image, top * scale, left * scale) for image, (top, left) in zip(images, corners))
        parts = [image[:, top : top + h, left : left + w] for image, top, left in at]
        return torch.stack(parts).contiguous(memory_format=torch.channels_last)
