"""An image laid over a region of another one: scaled to it, or pixel on pixel."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..imaging.channels import luma
from ..imaging.photo import Photo, Planes
from ..imaging.resize import resize
from .translate import straight_planes

FITS = ("cover", "contain")
OPAQUE = 0.5  # alpha from which a pixel counts as laid


@dataclass(frozen=True)
class Overlay:
    """Colours and their opacity at a place of an image."""

    top: int  # of the image's rows, and columns
    left: int
    colour: Tensor  # (1, C, h, w) in [-1, 1], not multiplied by alpha
    alpha: Tensor  # (1, 1, h, w) in [0, 1]
    note: str  # how it was laid

    @classmethod
    def lay(cls, given: Photo, region: np.ndarray, channels: int, fit: str = "cover") -> Self:
        """Lay an image over a region (H, W) bool of one with so many channels.

        An image as large as the other lies on it, pixel on pixel.  Others are scaled, in their proportions, until they
        `cover` the smallest box around the region, whose middle they share, or until it contains them (`contain`).
        """
        rows, columns = (np.flatnonzero(region.any(axis)) for axis in (1, 0))
        box = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        height, width = given.array.shape[:2]
        if (height, width) == region.shape:
            top, left = max(box[0] - 1, 0), max(box[2] - 1, 0)  # with the pixels around, whose differences count
            planes = given.planes(slice(top, box[1] + 1), slice(left, box[3] + 1), channels)
            colour, alpha = _straight(planes)
            return cls(top, left, colour, alpha, "pixel on pixel")
        tall, wide = box[1] - box[0], box[3] - box[2]
        factors = tall / height, wide / width
        factor = max(factors) if fit == "cover" else min(factors)
        size = max(round(height * factor), 1), max(round(width * factor), 1)
        down, across = _middle(height, round(tall / factor)), _middle(width, round(wide / factor))  # that are seen
        planes, size = given.planes(down, across, channels), (min(size[0], tall), min(size[1], wide))
        opacity = None if planes.alpha is None else resize(planes.alpha, size).clamp(-1, 1)
        seen = Planes(resize(planes.colour, size).clamp(-1, 1), opacity, planes.plane)
        place = box[0] + (tall - size[0]) // 2, box[2] + (wide - size[1]) // 2
        return cls(*place, *_straight(seen), f"scaled to {size[1]}x{size[0]}")

    def window(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor, np.ndarray]:
        """Colours (1, C, h, w), alpha (1, 1, h, w) and where both are known (h, w) in rows and columns of the image."""
        size = rows.stop - rows.start, columns.stop - columns.start
        tall, wide = self.colour.shape[2:]
        y, x = self.top - rows.start, self.left - columns.start
        to = slice(max(y, 0), max(min(y + tall, size[0]), 0)), slice(max(x, 0), max(min(x + wide, size[1]), 0))
        of = slice(to[0].start - y, to[0].stop - y), slice(to[1].start - x, to[1].stop - x)
        colour, alpha = torch.zeros(1, self.colour.shape[1], *size), torch.zeros(1, 1, *size)
        known = np.zeros(size, bool)
        colour[:, :, to[0], to[1]] = self.colour[:, :, of[0], of[1]]
        alpha[:, :, to[0], to[1]] = self.alpha[:, :, of[0], of[1]]
        known[to] = True
        return colour, alpha, known

    def places(self, size: tuple[int, int]) -> np.ndarray:
        """The opaque places in an image of (height, width), (H, W) bool."""
        return self.window(slice(0, size[0]), slice(0, size[1]))[1][0, 0].numpy() >= OPAQUE


def dark_places(sketch: Photo, size: tuple[int, int]) -> np.ndarray:
    """Lines of a sketch, (H, W) bool: opaque and darker than mid-grey; raises `UserError` for another size."""
    height, width = sketch.array.shape[:2]
    if (height, width) != size:
        raise UserError(f"The sketch is {width}x{height} and the image {size[1]}x{size[0]}; give one as large.")
    colour, alpha = _straight(sketch.planes(channels=3))
    places: np.ndarray = ((luma(colour) < 0) & (alpha >= OPAQUE))[0, 0].numpy()
    return places


def _straight(planes: Planes) -> tuple[Tensor, Tensor]:
    """Colours in [-1, 1] that are not multiplied by alpha, and alpha (1, 1, h, w) in [0, 1]."""
    colour, alpha = straight_planes(planes)
    return colour, torch.ones_like(colour[:, :1]) if alpha is None else (alpha + 1) / 2


def _middle(length: int, part: int) -> slice:
    """The `part` pixels in the middle of a side, at least one and at most all."""
    part = min(max(part, 1), length)
    first = (length - part) // 2
    return slice(first, first + part)
