"""Precision, recall, density, coverage and memorisation, from nearest neighbours in feature space."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .frechet import check_features, check_pair

BLOCK = 2048  # rows whose distances are held at once


def distances(rows: Tensor, others: Tensor) -> Iterator[Tensor]:
    """Euclidean distances of features (N, D) to (M, D), some rows at a time: parts of (N, M), float64.

    Exact: not through |x|^2 + |y|^2 - 2 x.y, which loses the small ones.
    """
    for part in rows.split(max(BLOCK * BLOCK // max(len(others), 1), 1)):
        yield torch.cdist(part, others, compute_mode="donot_use_mm_for_euclid_dist")


def radii(features: Tensor, k: int) -> Tensor:
    """The distance of each row to its k-th nearest other row: (N,)."""
    return torch.cat([d.kthvalue(k + 1, dim=1).values for d in distances(features, features)])


@dataclass(frozen=True)
class PRDC:
    """Shares of two sets that lie near each other: inside the balls about each image to its k-th neighbour.

    As in the authors' code, the surface belongs to the ball for precision and recall, not for density and coverage.
    """

    precision: float  # of the fakes that lie in some real ball (Kynkaanniemi et al. 2019, eq. 2)
    recall: float  # of the real ones that lie in some fake ball
    density: float  # real balls about a fake, over k; over one where fakes crowd (Naeem et al. 2020, eq. 4)
    coverage: float  # of the real ones whose ball holds a fake (eq. 5)


def precision_recall(real: Tensor, fake: Tensor, *, k: int = 5) -> PRDC:
    """PRDC of features (N, D) and (M, D); raises `UsageError` for k images or fewer.

    The published precision and recall are with k = 3, density and coverage with k = 5.
    """
    real, fake = check_pair(real, fake, k + 1)
    around_real, around_fake = radii(real, k), radii(fake, k)
    precise, dense, start = [], 0, 0
    recalled = torch.zeros(len(real), dtype=torch.bool)
    nearest = torch.full((len(real),), torch.inf, dtype=torch.float64)
    for d in distances(fake, real):  # (n, N)
        precise.append((d <= around_real).any(1))
        dense += int((d < around_real).sum())
        recalled |= (d <= around_fake[start : start + len(d), None]).any(0)
        nearest = torch.minimum(nearest, d.amin(0))
        start += len(d)
    return PRDC(
        torch.cat(precise).double().mean().item(),
        recalled.double().mean().item(),
        dense / (k * len(fake)),
        (nearest < around_real).double().mean().item(),
    )


def nearest(rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of each row (N, D) to the nearest of others (M, D), and the index of that: (N,), (N,) int64."""
    minima = [d.min(1) for d in distances(rows, others)]
    return torch.cat([m.values for m in minima]), torch.cat([m.indices for m in minima])


@dataclass(frozen=True)
class Memorisation:
    """Nearness of samples to the training images, compared with that of images the training never saw."""

    share: float  # of (sample, held-out) pairs in which the sample is nearer; 0.5: as near as new images, 1: copies
    distance: Tensor  # (samples,) of each sample to its nearest training image
    neighbour: Tensor  # (samples,) int64: its index


def memorisation(samples: Tensor, training: Tensor, held_out: Tensor) -> Memorisation:
    """The rank statistic of Meehan et al. 2020, section 3, over features (N, D), (M, D) and (H, D); ties count half."""
    samples, training = check_pair(samples, training, 1)
    held_out = check_features(held_out, 1, "the held-out images")
    ours, neighbour = nearest(samples, training)
    theirs = nearest(held_out, training)[0].sort().values
    farther = len(theirs) - torch.searchsorted(theirs, ours, right=True)
    level = torch.searchsorted(theirs, ours, right=True) - torch.searchsorted(theirs, ours)
    share = (farther.double() + level.double() / 2).mean().item() / len(theirs)
    return Memorisation(share, ours, neighbour)
