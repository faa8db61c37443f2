"""The kernel distance: a maximum mean discrepancy whose estimate has no bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config import UserError
from .moments import check_features


@dataclass(frozen=True)
class KernelDistance:
    """Mean and standard deviation of the estimate over subsets; unbiased, so it may be a little under zero."""

    mean: float
    std: float
    subsets: int
    subset_size: int


def kernel_distance(
    judged: Tensor, reference: Tensor, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Kernel distance (KID on Inception's features) with the kernel (x'y / D + 1)^3: Binkowski et al. 2018.

    Features (N, D) and (M, D) are judged in `subsets` random pairs of subsets without repetition; a `subset_size`
    larger than either set is reduced to it.  Raises `UserError` for fewer than two images.
    """
    size = min(subset_size, len(judged), len(reference))
    if size < 2 or subsets < 1:
        raise UserError(
            f"The kernel distance needs at least 2 images a side and 1 subset, there are {len(judged):,} and"
            f" {len(reference):,} images, and {subsets} subsets."
        )
    source = np.random.Generator(np.random.Philox(seed))
    found = []
    for _ in range(subsets):
        parts = [rows[torch.from_numpy(source.permutation(len(rows))[:size])] for rows in (judged, reference)]
        found.append(unbiased_mmd2(*parts))
    return KernelDistance(float(np.mean(found)), float(np.std(found)), subsets, size)


def unbiased_mmd2(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate of the squared discrepancy of x (n, D) and y (m, D), in float64."""
    x, y = check_features(x), check_features(y)
    n, m = len(x), len(y)
    within_x, within_y = _kernel(x, x), _kernel(y, y)
    same_x = (within_x.sum() - within_x.trace()) / (n * (n - 1))
    same_y = (within_y.sum() - within_y.trace()) / (m * (m - 1))
    return float(same_x + same_y - 2 * _kernel(x, y).mean())


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3
