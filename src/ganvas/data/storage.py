"""Images as they are stored, and as floats."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def indexable(rows: Tensor) -> Tensor:
    """Rows of integers as PyTorch can index them: torch.uint16 knows few operators, so its bits travel as int16."""
    return rows.view(torch.int16) if rows.dtype == torch.uint16 else rows


def as_images(rows: Tensor, stored: np.ndarray) -> Tensor:
    """Rows of stored images as (N, C, H, W) float32 in [-1, 1], channels last in memory."""
    _, height, width, _ = stored.shape
    return _floats(rows, stored.dtype).view(len(rows), height, width, -1).permute(0, 3, 1, 2)


def _floats(rows: Tensor, stored: np.dtype) -> Tensor:
    """Stored rows as float32 in [-1, 1]; points already are."""
    if stored == np.float32:
        return rows
    if stored == np.uint16:
        return rows.view(torch.uint16).to(torch.float32).mul_(1 / 32767.5).sub_(1)
    return rows.to(torch.float32).mul_(1 / 127.5).sub_(1)


def rows_of(images: np.ndarray, resident: Tensor | None, where: np.ndarray) -> Tensor:
    """Some images as rows (len(where), H * W * C): of the tensor that holds all, if there is one."""
    if resident is not None:
        return resident.index_select(0, torch.from_numpy(where).to(resident.device))
    return indexable(torch.from_numpy(_read(images, where)))


def _read(images: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Rows of a large file, (count, H * W * C), read in the order in which they lie there."""
    rows = images.reshape(len(images), -1)
    out = np.empty((len(where), rows.shape[1]), rows.dtype)
    for place in np.argsort(where):
        out[place] = rows[where[place]]
    return out
