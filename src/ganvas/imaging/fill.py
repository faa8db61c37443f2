"""Smooth fills of holes: what the surroundings of a hole say about it without a network."""

import torch
import torch.nn.functional as F
from torch import Tensor


def diffuse(image: Tensor, hole: Tensor, sweeps: int = 8) -> Tensor:
    """Fill holes with a nearly harmonic function: images (N, C, H, W) and holes (N, 1, H, W), 1 inside, to images.

    Laplace's equation with the pixels around each hole as boundary values, from coarse to fine: means of the known
    pixels at half the sides, filled there in turn, begin `sweeps` of Jacobi's iteration at each size.  Known pixels
    stay exactly.  An image without known pixels becomes 0.
    """
    if min(image.shape[2:]) == 1:
        return _sweep(torch.where(hole > 0, _mean(image, hole), image), hole, sweeps)
    known = (hole <= 0).to(image)
    share = F.avg_pool2d(known, 2, ceil_mode=True, count_include_pad=False)
    means = F.avg_pool2d(image * known, 2, ceil_mode=True, count_include_pad=False) / share.clamp_min(1e-6)
    coarse = diffuse(means, (share <= 0).to(image), sweeps)
    fine = F.interpolate(coarse, image.shape[2:], mode="bilinear", align_corners=False)
    return _sweep(torch.where(hole > 0, fine, image), hole, sweeps)


def _mean(image: Tensor, hole: Tensor) -> Tensor:
    """The mean (N, C, 1, 1) of the known pixels; 0 without any."""
    known = (hole <= 0).to(image)
    return (image * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp_min(1)


def _sweep(image: Tensor, hole: Tensor, sweeps: int) -> Tensor:
    """Replace pixels in holes by the mean of their four neighbours, `sweeps` times; borders are repeated."""
    inside = hole > 0
    for _ in range(sweeps):
        p = F.pad(image, (1, 1, 1, 1), mode="replicate")
        mean = (p[..., :-2, 1:-1] + p[..., 2:, 1:-1] + p[..., 1:-1, :-2] + p[..., 1:-1, 2:]) / 4
        image = torch.where(inside, mean, image)
    return image
