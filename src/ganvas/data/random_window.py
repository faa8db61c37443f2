"""Random crops, at a new position every time an image is drawn."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .dataset import Dataset
from .degrade.base import RandomStream

PLACED = 0x51DE  # separates these numbers from those of a degradation, which has the same seed
Corner = tuple[int, int]


class Window:
    """Crops of a data set's window size, at equal regions of images and sources."""

    def __init__(self, dataset: Dataset, seed: int):
        assert dataset.window is not None
        self.size, self.whole = dataset.window, dataset.images.shape[1:3]
        self.scale, self.seed = dataset.facts.scale, seed

    def random_corners(self, positions: Sequence[int]) -> list[Corner]:
        """Draw (top, left) in the source, determined by the seed and an image's position in the endless order."""
        corners = []
        for position in positions:
            random = RandomStream(self.seed + PLACED, position)
            top, left = (random.integer(0, room) for room in self._room())
            corners.append((top, left))
        return corners

    def centre_corners(self, count: int) -> list[Corner]:
        """Return (top, left) of a centre crop in the source, for `count` images."""
        top, left = (room // 2 for room in self._room())
        return [(top, left)] * count

    def _room(self) -> tuple[int, int]:
        height, width = ((whole - part) // self.scale for whole, part in zip(self.whole, self.size))
        return height, width

    def crop(self, images: dict[str, Tensor], corners: Sequence[Corner]) -> dict[str, Tensor]:
        """Crop images (N, C, H, W) by name to the window; `source` is smaller by the scale of the data."""
        return {name: self._crop_one(x, corners, self.scale if name != "source" else 1) for name, x in images.items()}

    def _crop_one(self, images: Tensor, corners: Sequence[Corner], scale: int) -> Tensor:
        h, w = (side * scale // self.scale for side in self.size)
        at = ((image, top * scale, left * scale) for image, (top, left) in zip(images, corners))
        parts = [image[:, top : top + h, left : left + w] for image, top, left in at]
        return torch.stack(parts).contiguous(memory_format=torch.channels_last)
