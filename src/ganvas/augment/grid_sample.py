"""Bilinear resampling that can be differentiated any number of times by the image.

The library's own cannot in every supported version of PyTorch.  The map is linear in the image, so it and its
transpose are each other's derivative.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function


def resample(images: Tensor, grid: Tensor) -> Tensor:
    """Images (N, C, H, W) read at the places grid (N, h, w, 2), x before y in half sides from the centre.

    What lies outside is a reflection about the edge.  The grid gets no gradient.
    """
    out: Tensor = Sample.apply(images, grid)
    return out


def _read(images: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


class Sample(Function):
    """Pixels from places."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return _read(images, grid)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return Spread.apply(gradient, grid, ctx.shape), None


class Spread(Function):
    """The transpose: what was read is given back to the places it came from."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        with torch.enable_grad():
            images = gradient.new_zeros(shape).requires_grad_()
            read = _read(images, grid)
        return torch.autograd.grad(read, images, gradient)[0]

    @staticmethod
    def backward(ctx: Any, twice: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return Sample.apply(twice, grid), None, None
