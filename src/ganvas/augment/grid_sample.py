"""Bilinear resampling that is differentiable any number of times by the image.

PyTorch's own is not in every supported version.  The map is linear in the image, so it and its transpose are each
other's derivative.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function


def resample(images: Tensor, grid: Tensor) -> Tensor:
    """Sample images (N, C, H, W) at grid (N, h, w, 2): x before y, in half sides from the centre.

    Outside is a reflection about the edge.  The grid gets no gradient.
    """
    out: Tensor = Sample.apply(images, grid)
    return out


def _sample(images: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


class Sample(Function):
    """Bilinear sampling, with its transpose as the backward pass."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return _sample(images, grid)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return SampleTranspose.apply(gradient, grid, ctx.shape), None


class SampleTranspose(Function):
    """Transpose of the sampling: values are added to the pixels they were sampled from."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        with torch.enable_grad():
            images = gradient.new_zeros(shape).requires_grad_()
            samples = _sample(images, grid)
        return torch.autograd.grad(samples, images, gradient)[0]

    @staticmethod
    def backward(ctx: Any, twice: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return Sample.apply(twice, grid), None, None
