"""Images as Python holds them (files, PIL images, arrays, tensors) to (N, C, H, W) in [-1, 1], and back."""

import os
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from ..errors import UsageError
from ..paths import user_path
from .decode import read_image, to_8bit, to_channels, to_float, to_uint8
from .grid import to_pil

ROUNDING = 0.01  # by which numbers may lie outside [-1, 1]
SPREAD = 0.5  # a constant image, or one that is bright throughout, may lie in [0, 1]
KINDS = "a file, a PIL image, (H, W), (H, W, C) or (N, H, W, C) uint8, or a tensor (N, C, H, W) in [-1, 1]"


def to_batch(images: Any, channels: int = 0) -> Tensor:
    """Convert a file, a PIL image, (H, W), (H, W, C) or (N, H, W, C) uint8 to (N, C, H, W) float32 in [-1, 1].

    They get so many channels (0: as they are); a tensor (N, C, H, W) in [-1, 1] is only checked.  Raises `UsageError`
    for other types, shapes and ranges, `BadImage` for a file that is no image.
    """
    if isinstance(images, Tensor):
        if images.ndim != 4:
            raise UsageError(f"Images in a tensor are (N, C, H, W), got {tuple(images.shape)}.")
        return check_range(images).float()
    if isinstance(images, (str, os.PathLike)):
        array = to_8bit(read_image(user_path(images, "The image")).array)
    else:
        array = upright_array(images) if isinstance(images, Image.Image) else np.asarray(images)
    whole = {2: array[None, ..., None], 3: array[None], 4: array}.get(array.ndim)
    if whole is None or array.dtype != np.uint8 or whole.shape[3] not in (1, 3, 4, channels):
        raise UsageError(f"An image is {KINDS}, got {array.dtype} {array.shape}{range_text(array)}.")
    if channels not in (0, 1, 3, 4, whole.shape[3]):
        raise UsageError(f"The model takes images of {channels} channels, and these have {whole.shape[3]}.")
    return to_float(np.stack([to_channels(image, channels or whole.shape[3]) for image in whole]))


def as_given(result: Tensor, images: Any) -> Any:
    """A result (N, C, H, W) in [-1, 1] in the type of the images it was made of; a file's is a PIL image."""
    if isinstance(images, Tensor):
        return result
    levels = to_uint8(result)
    if isinstance(images, (str, os.PathLike, Image.Image)):
        return to_pil(levels[0])
    if np.ndim(images) == 4:
        return levels
    return levels[0, ..., 0] if np.ndim(images) == 2 and levels.shape[3] == 1 else levels[0]


def check_range(images: Tensor) -> Tensor:
    """Return floating-point images; raises `UsageError` if they are not in [-1, 1] but, for example, in [0, 1]."""
    if not images.is_floating_point():
        raise UsageError(f"Images in a tensor are floats in [-1, 1], got {images.dtype}; levels: x / 127.5 - 1.")
    low, high = (float(v) for v in images.detach().aminmax()) if images.numel() else (0.0, 0.0)
    if not (low >= -1 - ROUNDING and high <= 1 + ROUNDING):  # not-a-number is in no range
        way_out = "x / 127.5 - 1 for levels of 255" if low >= 0 else "x.clamp(-1, 1) if they overshoot"
        raise UsageError(f"Images in a tensor are in [-1, 1], and these are from {low:g} to {high:g}; {way_out}.")
    if low >= 0 and high - low > SPREAD:
        raise UsageError(
            f"Images in a tensor are in [-1, 1], and these are from {low:g} to {high:g}, as images in [0, 1] are;"
            " x * 2 - 1 converts those, and images so bright in [-1, 1] can be given as uint8."
        )
    return images


def range_text(array: np.ndarray) -> str:
    """` from 0 to 1` of an array of numbers; nothing for others."""
    return f" from {array.min():g} to {array.max():g}" if array.size and array.dtype.kind in "iuf" else ""


def upright_array(image: Image.Image) -> np.ndarray:
    """Turn an image upright and convert it to (H, W, C) uint8 with C = 1, 3 or 4."""
    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I;16"):
        return to_8bit(np.asarray(turned).astype(np.uint16))[..., None]
    if turned.mode in ("I", "F"):
        raise UsageError(
            f"An image has 8 or 16 bits; this one is of mode {turned.mode}{range_text(np.asarray(turned))}."
        )
    see_through = turned.mode in ("LA", "PA", "RGBA") or turned.has_transparency_data
    mode = "RGBA" if see_through else "L" if turned.mode in ("1", "L") else "RGB"
    return np.atleast_3d(np.asarray(turned.convert(mode)))
