"""Conversion of stored images to floats."""

import numpy as np
import torch
from torch import Tensor

from .streamed import Streamed


def as_indexable(rows: Tensor) -> Tensor:
    """View rows of integers so that PyTorch can index them: torch.uint16 as int16, since it has few operators."""
    return rows.view(torch.int16) if rows.dtype == torch.uint16 else rows


def as_images(rows: Tensor, stored: np.ndarray) -> Tensor:
    """Convert stored rows to images (N, C, H, W) float32 in [-1, 1], channels last in memory."""
    if stored.dtype == np.uint16:
        rows = rows.view(torch.uint16).to(torch.float32).mul_(1 / 32767.5).sub_(1)
    elif stored.dtype != np.float32:  # as points are
        rows = rows.to(torch.float32).mul_(1 / 127.5).sub_(1)
    _, height, width, _ = stored.shape
    return rows.view(len(rows), height, width, -1).permute(0, 3, 1, 2)


def select_rows(images: np.ndarray, resident: Tensor | None, indices: np.ndarray) -> Tensor:
    """Select images as rows (len(indices), H * W * C), from the `resident` tensor of all images if there is one."""
    if resident is not None:
        return resident.index_select(0, torch.from_numpy(indices).to(resident.device))
    return as_indexable(torch.from_numpy(_read_rows(images, indices)))


def _read_rows(images: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Read rows (count, H * W * C) of a large file, or of streamed images, in their order on the disk."""
    if isinstance(images, Streamed):
        return images[indices].reshape(len(indices), -1)
    rows = images.reshape(len(images), -1)
    out = np.empty((len(indices), rows.shape[1]), rows.dtype)
    for place in np.argsort(indices):
        out[place] = rows[indices[place]]
    return out
