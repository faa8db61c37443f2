"""Conversions between channels: luma of colours (BT.601), transparency on white, division by alpha."""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # torch takes a second to import, and reading files needs none of it
    from torch import Tensor

AROUND = 2  # pixels, as far as a bicubic enlargement reaches
ROUNDING = 1e-6
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)


def luma(images: "Tensor") -> "Tensor":
    """Luma (N, 1, H, W) of float images (N, 1 or 3, H, W) of any range."""
    if images.shape[1] == 1:
        return images
    return (images * images.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)


def levels_to_luma(array: np.ndarray) -> np.ndarray:
    """Luma (H, W, 1) of whole levels (H, W, 3), rounded; of the same dtype."""
    weights = (np.array(LUMA) * 65536).round().astype(np.uint64)  # they add up to 2^16: white stays white
    return ((array.astype(np.uint64) @ weights + 32768) >> np.uint64(16)).astype(array.dtype)[..., None]


def on_white(images: "Tensor", black: float = -1.0, white: float = 1.0) -> "Tensor":
    """Lay float images (N, 4, H, W) on white to RGB; images without alpha are returned as they are.

    All channels, alpha too, reach from `black` to `white`.
    """
    if images.shape[1] != 4:
        return images
    alpha = (images[:, 3:] - black) / (white - black)
    return images[:, :3] * alpha + white - white * alpha


def levels_on_white(array: np.ndarray) -> np.ndarray:
    """Lay whole levels (H, W, 4) on white, (H, W, 3), rounded; of the same dtype."""
    white = np.iinfo(array.dtype).max
    alpha = array[..., 3:].astype(np.uint32)
    over = array[..., :3] * alpha + white * (white - alpha)
    return ((over + white // 2) // white).astype(array.dtype)


def unmultiply(colour: "Tensor", alpha: "Tensor", hidden: float) -> "Tensor":
    """Divide colours in [0, 1] by their alpha; `hidden` where alpha is 0."""
    import torch

    return torch.where(alpha > 0, colour / alpha.clamp_min(1e-6), colour.new_tensor(hidden)).clamp(0, 1)


def keep_extremes(result: "Tensor", source: "Tensor", within: float = math.inf) -> "Tensor":
    """Make a result's alpha opaque, or clear, exactly where the source's is so for `AROUND` pixels around.

    Alpha is (N, 1, H, W) in [-1, 1]; the result's size is a multiple of the source's.  A network turns white into
    almost white.  What differs by more than `within` stays.
    """
    import torch
    from torch.nn.functional import interpolate, max_pool2d

    source = source.float()
    nearest = max_pool2d(torch.cat([source, -source], 1), 2 * AROUND + 1, 1, AROUND)  # to opaque, and to clear
    flat = interpolate((nearest <= ROUNDING - 1).float(), size=result.shape[2:])  # 1 where clear, and where opaque
    result = torch.where((flat[:, 1:] > 0) & (result >= 1 - within), 1.0, result)
    return torch.where((flat[:, :1] > 0) & (result <= within - 1), -1.0, result)
