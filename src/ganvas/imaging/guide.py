"""Guides of an inpainting network: painted colours and lines in a hole (Jo and Park 2019, SC-FEGAN, section 3.1)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

CELL = 8  # pixels a side of the squares of one colour
SMOOTHING = 1.5  # standard deviation in pixels, of the image in which edges are found
FLAGS = 2  # channels beside the colours: whether a pixel is painted, and whether it is on a line


def guide_channels(channels: int) -> int:
    """Number of channels of a guide for images of so many."""
    return channels + FLAGS


def make_guide(colours: Tensor, painted: Tensor, lines: Tensor) -> Tensor:
    """Join colours (1, C, H, W) in [-1, 1] and masks (1, 1, H, W) of 0 and 1 to a guide (1, C + 2, H, W).

    Colours that are not painted are 0; masks become -1 and 1.
    """
    return torch.cat([colours * painted, painted * 2 - 1, lines * 2 - 1], 1)


def blank_guide(channels: int, size: tuple[int, int]) -> Tensor:
    """A guide without colours and lines, (1, C + 2, H, W)."""
    nothing = torch.zeros(1, 1, *size)
    return make_guide(torch.zeros(1, channels, *size), nothing, nothing)


def broad_colours(image: Tensor, known: Tensor | None = None) -> Tensor:
    """Means of squares of `CELL` pixels in an image (1, C, H, W), of the same size.

    With `known` (1, 1, H, W), 1 where the image is known and else 0, they are of known pixels; 0 where there are none.
    """
    if known is not None:
        return broad_colours(image * known) / broad_colours(known).clamp_min(1e-6)
    means = F.avg_pool2d(image, CELL, ceil_mode=True, count_include_pad=False)
    cells = means.repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)
    return cells[..., : image.shape[2], : image.shape[3]]


def draw_lines(grey: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Edges of a grey image (H, W) in [0, 1] as lines one pixel wide, (H, W) bool (Canny 1986).

    `known` (H, W) bool is where the image is known: its border is no edge.
    """
    from skimage.feature import canny

    lines: np.ndarray = canny(grey.astype(np.float64), sigma=SMOOTHING, mask=known, mode="nearest")
    return lines
