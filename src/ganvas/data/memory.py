"""Images and labels in memory, in arrays, tensors and lists, as a data set holds them."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import UsageError
from .streamed import Streamed

CHANNELS = (1, 3, 4)  # of usual images
MOST_CHANNELS = 64
WAY_OUT = "give uint8 levels, or floats in [-1, 1]: x * 2 - 1 of [0, 1], x / 127.5 - 1 of levels"


def as_array(values: Any) -> np.ndarray:
    """An array of an array, a tensor or a list; a list of images (PIL, arrays, tensors) has to be of one shape."""
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        return np.asarray(values.float() if values.is_floating_point() else values)
    if isinstance(values, (str, os.PathLike)) or not isinstance(values, Sequence):
        raise UsageError(f"Data in memory are an array, a tensor or a list of images, got {type(values).__name__}.")
    parts = [v if isinstance(v, (str, int, float)) else np.asarray(v) for v in values]
    if len(shapes := {np.shape(part) for part in parts}) > 1:
        raise UsageError(f"Images in a list are of one shape, got {' and '.join(map(str, sorted(shapes)[:3]))}.")
    return np.asarray(parts)


def as_levels(images: Any) -> np.ndarray:
    """Images (N, H, W, C) uint8 or uint16, or points (N, 1, 1, 2) float32.

    From (N, H, W), (N, H, W, C) or (N, C, H, W) in an array, a tensor or a list, whole levels or floats in [-1, 1],
    which are rounded to 8 bits; from (N, 2) floats for points.  Raises `UsageError` for other shapes and ranges.
    """
    if isinstance(images, Streamed):
        return images  # type: ignore[return-value]
    channels_first = hasattr(images, "detach")
    array = as_array(images)
    if array.dtype.kind == "f" and array.shape[1:] in ((2,), (1, 1, 2)):
        return array.astype(np.float32, copy=False).reshape(-1, 1, 1, 2)
    shape, array = array.shape, array[..., None] if array.ndim == 3 else array
    axis = channel_axis(array.shape, channels_first) if array.ndim == 4 and array.size else None
    if axis is None:
        raise UsageError(f"Images are (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 to 64 channels, got {shape}.")
    return _round(array.transpose(0, 2, 3, 1) if axis == 1 else array)


def channel_axis(shape: Sequence[int], channels_first: bool = False) -> int | None:
    """The axis of the channels of (N, H, W, C) or (N, C, H, W): 3 or 1; None if neither has 1 to 64 entries.

    Grey, RGB and RGBA decide, then squares, then the smaller one; the last axis where both are alike, or the first
    for tensors.
    """
    ends = (1, 3) if channels_first else (3, 1)
    sides = {1: (shape[2], shape[3]), 3: (shape[1], shape[2])}
    possible = [axis for axis in ends if 1 <= shape[axis] <= MOST_CHANNELS]
    for usual in (
        [axis for axis in possible if shape[axis] in CHANNELS],
        [axis for axis in possible if sides[axis][0] == sides[axis][1]],
        [axis for axis in possible if shape[axis] == min(shape[1], shape[3])],
    ):
        if usual:
            return usual[0]
    return None


def _round(array: np.ndarray) -> np.ndarray:
    """Levels of an array of images; raises `UsageError` for numbers that are not surely levels or in [-1, 1]."""
    if array.dtype in (np.uint8, np.uint16):
        return array
    kind, low, high = array.dtype.kind, 0.0, 0.0
    if kind in "iufb":
        low, high = float(array.min()), float(array.max())
    if array.dtype.str.endswith("u2"):  # of the other byte order
        return array.astype(np.uint16)
    if kind in "iu" and low >= 0 and 1 < high <= 255:
        return array.astype(np.uint8)
    if kind == "f" and -1 <= low < 0 and high <= 1:
        return np.floor((array.astype(np.float32) + 1) * 127.5 + 0.5).astype(np.uint8)
    raise UsageError(f"Images hold {array.dtype}{f' from {low:g} to {high:g}' if kind in 'iufb' else ''}; {WAY_OUT}.")
