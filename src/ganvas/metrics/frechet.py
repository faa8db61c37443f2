"""The Frechet distance between two Gaussians, with its uncertainty and its value without the bias of few samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config import UserError
from .moments import Gaussian, check_features, gaussian_of

CONDITION = 1e-10  # squared ratio of pivots under which a covariance is taken for singular
RANK = 1e-14  # eigenvalues under this share of the largest, times the dimension, are rounding


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Frechet distance (squared 2-Wasserstein) of two Gaussians, the formula behind FID: Heusel et al. 2017.

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^1/2.  The last trace comes from the eigenvalues of a symmetric matrix
    or from singular values, so it is real, and the distance is never negative, whatever the rank of the covariances.
    Raises `UserError` if the two have different dimensions.
    """
    if a.size != b.size:
        raise UserError(f"Features of {a.size} and of {b.size} numbers cannot be compared; take one feature network.")
    gap = (a.mean - b.mean).square().sum()
    distance = gap + a.trace() + b.trace() - 2 * trace_of_root(a, b)
    return max(float(distance), 0.0)  # equal Gaussians differ by rounding, which may fall below zero


def trace_of_root(a: Gaussian, b: Gaussian) -> Tensor:
    """tr (S1 S2)^1/2 = the sum of the singular values of F1 F2', where S = F'F."""
    if a.factor is not None and b.factor is not None:
        return _nuclear(a.factor @ b.factor.T)
    if a.factor is not None:
        a, b = b, a
    root = _cholesky(a.covariance())
    if b.factor is not None:
        return _nuclear((_factor(a) if root is None else root.T) @ b.factor.T)
    if root is None or _cholesky(b.covariance()) is None:
        return _nuclear(_factor(a) @ _factor(b).T)
    # both have full rank: L'S2L is symmetric with the eigenvalues of S1 S2, and they cost less than singular values
    product = root.T @ b.covariance() @ root
    return torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum()


def _cholesky(covariance: Tensor) -> Tensor | None:
    """The lower factor of a covariance, or None where it is singular or nearly so."""
    root, info = torch.linalg.cholesky_ex(covariance)
    pivots = root.diagonal().square()
    if int(info) or not bool(pivots.min() > CONDITION * pivots.max()):
        return None
    return root


def _factor(gaussian: Gaussian) -> Tensor:
    """F (r, D) with covariance F'F, r being the rank: eigenvectors whose eigenvalues are more than rounding."""
    if gaussian.factor is not None:
        return gaussian.factor
    values, vectors = torch.linalg.eigh(gaussian.covariance())
    kept = values > RANK * gaussian.size * values[-1].clamp_min(0)
    return values[kept].sqrt()[:, None] * vectors[:, kept].T


def _nuclear(matrix: Tensor) -> Tensor:
    return torch.linalg.svdvals(matrix).sum()


@dataclass(frozen=True)
class Interval:
    """A number with the range in which a repetition of its measurement would probably lie."""

    value: float
    low: float
    high: float
    level: float  # probability of that range
    replicates: int


def bootstrap(
    judged: Tensor, reference: Tensor, *, replicates: int = 50, level: float = 0.95, seed: int = 0
) -> Interval:
    """Bootstrap interval of the Frechet distance of features (N, D) and (M, D): Efron 1979.

    Both sets are drawn anew with replacement.  Resampling repeats images, which lifts every replicate; their mean is
    therefore moved onto the measured value.  It is the spread at these sample sizes, not their bias: see
    `extrapolated`.
    """
    a, b = check_features(judged), check_features(reference)
    value = frechet_distance(gaussian_of(a), gaussian_of(b))
    source = np.random.Generator(np.random.Philox(seed))

    def drawn(rows: Tensor) -> Gaussian:
        return gaussian_of(rows[torch.from_numpy(source.integers(0, len(rows), len(rows)))])

    found = np.array([frechet_distance(drawn(a), drawn(b)) for _ in range(replicates)])
    low, high = np.quantile(found - found.mean(), [(1 - level) / 2, (1 + level) / 2]) + value
    return Interval(value, max(float(low), 0.0), float(high), level, replicates)


def extrapolated(
    judged: Tensor,
    reference: Gaussian,
    *,
    points: int = 15,
    least: int | None = None,
    seed: int = 0,
    measure: Callable[[Gaussian, Gaussian], float] = frechet_distance,
) -> float:
    """FD-infinity: the Frechet distance that infinitely many samples would have, from a line through 1/N.

    Chong and Forsyth 2020: `points` random subsets of the judged features (N, D), of `least` (a tenth of them, and
    more than D if there are) up to all, against a fixed reference.  The bias of the reference's own size stays.
    Raises `UserError` for fewer than 20 images.
    """
    if len(judged) < 20:
        raise UserError(f"FD-infinity needs at least 20 images, there are {len(judged):,}.")
    count, size = judged.shape
    least = least or max(10, count // 10, min(size + 1, count // 2))
    source = np.random.Generator(np.random.Philox(seed))
    sizes = np.linspace(least, count, points).round().astype(int)
    found = [
        measure(gaussian_of(judged[torch.from_numpy(source.permutation(count)[:n])]), reference) for n in sizes
    ]
    _, intercept = np.polyfit(1 / sizes, np.array(found), 1)
    return max(float(intercept), 0.0)
