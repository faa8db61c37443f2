"""Kernel inception distance: needs no Gaussian, and its expectation does not depend on the number of images."""

import torch
from torch import Tensor

from .frechet import check_pair
from .inception_score import Score


def squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    """The unbiased estimate of MMD^2 under (x.y / D + 1)^3, between features (N, D) and (M, D); may be under zero."""
    n, m = len(x), len(y)
    xx, yy, xy = ((a @ b.t() / a.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    inside = (xx.sum() - xx.trace()) / (n * (n - 1)) + (yy.sum() - yy.trace()) / (m * (m - 1))
    return inside - 2 * xy.mean()


def kernel_distance(real: Tensor, fake: Tensor, *, subsets: int = 100, size: int = 1000, seed: int = 0) -> Score:
    """KID of features (N, D) and (M, D): the mean over subsets of `size`, drawn without replacement.

    Binkowski et al. 2018.  Raises `UsageError` if there are fewer images than a subset takes.
    """
    real, fake = check_pair(real, fake, size)
    source = torch.Generator().manual_seed(seed)
    distances = []
    for _ in range(subsets):
        x, y = (rows[torch.randperm(len(rows), generator=source)[:size]] for rows in (real, fake))
        distances.append(squared_mmd(x, y))
    return Score.of(distances)
