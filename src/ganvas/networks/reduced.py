"""Images reduced to a small side, from which a network reads what changes slowly: colours, haze."""

import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError


def reduce_side(images: Tensor, side: int) -> Tensor:
    """Average images (N, C, H, W) over areas, to `side` pixels along the shorter side.

    Smaller images stay as they are, and so do all with a side of 0.
    """
    height, width = images.shape[2:]
    shorter = min(height, width)
    if not side or shorter <= side:
        return images
    return F.adaptive_avg_pool2d(images, (round(height * side / shorter), round(width * side / shorter)))


def enlarge_to(maps: Tensor, image: Tensor) -> Tensor:
    """Enlarge maps (N, C, h, w) to the size of an image (N, D, H, W), linearly."""
    size = image.shape[2:]
    return maps if maps.shape[2:] == size else F.interpolate(maps, size, mode="bilinear", align_corners=False)


def check_side(side: int, least: int) -> int:
    """Return a side of reduced images; raises `UsageError` below `least`, where 0 is none."""
    if side < least:
        what = "or 0 for the whole size" if not least else f"of at least {least} pixels"
        raise UsageError(f"side is the shorter side of the reduced image, {what}, not {side}.")
    return side
