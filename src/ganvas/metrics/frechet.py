"""The Frechet distance between two sets of features, each modelled as a Gaussian."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError


def check_features(features: Tensor, least: int, what: str) -> Tensor:
    """Features (N, D) as float64; raises `UsageError` for fewer than `least` rows, or numbers that are not finite."""
    if features.ndim != 2:
        raise UsageError(f"Features of {what} are rows of numbers, got the shape {tuple(features.shape)}.")
    if len(features) < least:
        raise UsageError(f"This measure needs at least {least} images of {what}, got {len(features)}.")
    features = features.double()
    if not torch.isfinite(features).all():
        raise UsageError(f"Some features of {what} are not finite; check the images and the feature network.")
    return features


def check_pair(real: Tensor, fake: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """Both sets as float64; raises `UsageError` for too few rows or rows of different size."""
    real, fake = check_features(real, least, "A"), check_features(fake, least, "B")
    if real.shape[1] != fake.shape[1]:
        raise UsageError(
            f"Features of {real.shape[1]} and of {fake.shape[1]} numbers cannot be compared; use one network."
        )
    return real, fake


class Moments:
    """Mean and covariance of features that come in parts, in float64.

    Sums are taken about the first part's mean, so that features far from zero keep their digits; the sizes of the parts
    change nothing but the last digits.
    """

    def __init__(self) -> None:
        self.count = 0
        self.origin = self.total = self.square = torch.empty(0, dtype=torch.float64)

    def add(self, features: Tensor) -> None:
        """Add features (N, D)."""
        features = check_features(features, 1, "a part")
        if not self.count:
            self.origin = features.mean(0)
            self.total = torch.zeros_like(self.origin)
            self.square = self.total.new_zeros(len(self.origin), len(self.origin))
        if features.shape[1] != len(self.origin):
            raise UsageError(f"Features of {features.shape[1]} numbers follow features of {len(self.origin)}.")
        centred = features - self.origin
        self.count += len(features)
        self.total += centred.sum(0)
        self.square += centred.t() @ centred

    def gaussian(self) -> "Gaussian":
        """The Gaussian of the same mean and (unbiased) covariance; needs two rows at least."""
        if self.count < 2:
            raise UsageError(f"A covariance needs at least 2 images, got {self.count}.")
        mean = self.total / self.count
        covariance = (self.square - self.count * torch.outer(mean, mean)) / (self.count - 1)
        return Gaussian(self.origin + mean, covariance, self.count)


@dataclass(frozen=True)
class Gaussian:
    """A mean (D,) and a covariance (D, D), float64, and the number of rows they are computed from."""

    mean: Tensor
    covariance: Tensor
    count: int

    @classmethod
    def of(cls, features: Tensor | Iterable[Tensor]) -> "Gaussian":
        """The Gaussian of features (N, D), whole or in parts."""
        moments = Moments()
        for part in [features] if isinstance(features, Tensor) else features:
            moments.add(part)
        return moments.gaussian()


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|m - n|^2 + tr(A + B - 2 (A B)^(1/2)) (Dowson and Landau 1982; Heusel et al. 2017); never under zero.

    Raises `UsageError` for features of different size.
    """
    if a.mean.shape != b.mean.shape:
        raise UsageError(f"Features of {len(a.mean)} and of {len(b.mean)} numbers cannot be compared; use one network.")
    traces = a.covariance.trace() + b.covariance.trace() - 2 * trace_of_root(a.covariance, b.covariance)
    return max(((a.mean - b.mean).square().sum() + traces).item(), 0.0)


def trace_of_root(a: Tensor, b: Tensor) -> Tensor:
    """tr (A B)^(1/2) of two covariances (D, D), of full rank or not.

    A B has the eigenvalues of F^T B F where A = F F^T, which is symmetric and positive: their roots are real,
    whatever is singular.  F is Cholesky's factor, or where there is none, A's eigenvectors whose eigenvalues are more
    than rounding.
    """
    factor, failed = torch.linalg.cholesky_ex(a)
    if failed.item():
        values, vectors = torch.linalg.eigh(a)
        positive = values > values[-1] * len(a) * torch.finfo(values.dtype).eps
        factor = vectors[:, positive] * values[positive].sqrt()
    inner = factor.t() @ b @ factor
    return torch.linalg.eigvalsh((inner + inner.t()) / 2).clamp(min=0).sqrt().sum()


def float64(numbers: list[float] | list[int]) -> Tensor:
    """Numbers as a float64 tensor, without a detour by float32."""
    return torch.tensor(numbers, dtype=torch.float64)


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its confidence interval."""

    value: float
    low: float
    high: float


def bootstrap(real: Tensor, fake: Tensor, *, repeats: int = 100, confidence: float = 0.95, seed: int = 0) -> Interval:
    """The Frechet distance of features (N, D) and (M, D), and its bootstrap confidence interval.

    Both sets are resampled with replacement.  The interval is the basic one (2 v - q), because resampled sets repeat
    images and so lie farther from each other.
    """
    real, fake = check_features(real, 2, "A"), check_features(fake, 2, "B")
    source = torch.Generator().manual_seed(seed)

    def resample(rows: Tensor) -> Gaussian:
        return Gaussian.of(rows[torch.randint(len(rows), (len(rows),), generator=source)])

    value = frechet_distance(Gaussian.of(real), Gaussian.of(fake))
    distances = float64([frechet_distance(resample(real), resample(fake)) for _ in range(repeats)])
    tail = (1 - confidence) / 2
    low, high = torch.quantile(distances, float64([tail, 1 - tail])).tolist()
    return Interval(value, max(2 * value - high, 0.0), max(2 * value - low, 0.0))


def extrapolate(real: Gaussian, fake: Tensor, *, points: int = 15, smallest: int | None = None, seed: int = 0) -> float:
    """The Frechet distance of infinitely many samples: the intercept of a line over 1 / n.

    Chong and Forsyth 2020: `points` sizes from `smallest` (a tenth) to all of the samples (N, D), evenly spaced, each
    a random part.
    """
    fake = check_features(fake, 20, "B")
    least = max(len(fake) // 10, 2) if smallest is None else smallest
    sizes = torch.linspace(least, len(fake), points).round().long().tolist()
    source = torch.Generator().manual_seed(seed)
    parts = [fake[torch.randperm(len(fake), generator=source)[:size]] for size in sizes]
    distances = float64([frechet_distance(real, Gaussian.of(part)) for part in parts])
    x = 1 / float64(sizes)
    slope = ((x - x.mean()) * (distances - distances.mean())).sum() / (x - x.mean()).square().sum()
    return (distances.mean() - slope * x.mean()).item()
