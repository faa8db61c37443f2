"""What nearest neighbours in feature space say: precision, recall, density, coverage, and memorised images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import UserError
from .moments import check_features

BLOCK = 1024  # rows compared at a time: no more than BLOCK^2 distances exist at once
ROUNDING = 1e-13  # share of the squared lengths under which a squared distance is rounding, that is zero


@dataclass(frozen=True)
class Manifolds:
    """How far two sets of features cover each other, each number in [0, 1] but density."""

    precision: float  # share of the judged that lie in the reference's manifold
    recall: float  # share of the reference that lies in the judged's manifold
    density: float  # how often the judged lie in balls around the reference, 1: as the reference itself
    coverage: float  # share of the reference's balls with a judged image in them


def distances(x: Tensor, y: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Squared Euclidean distances of x (n, D) and y (m, D) in float64, a block at a time with its place."""
    for i in range(0, len(x), BLOCK):
        rows = slice(i, min(i + BLOCK, len(x)))
        a = check_features(x[rows], first=i)
        for j in range(0, len(y), BLOCK):
            columns = slice(j, min(j + BLOCK, len(y)))
            b = check_features(y[columns], first=j)
            lengths = a.square().sum(1)[:, None] + b.square().sum(1)
            d2 = torch.addmm(lengths, a, b.T, alpha=-2)
            yield rows, columns, d2.masked_fill_(d2 < ROUNDING * lengths, 0.0)


def radii(x: Tensor, nearest: tuple[int, ...]) -> list[Tensor]:
    """Squared distance of every row of x (n, D) to its k-th nearest other row, for each k: (n,)."""
    most = max(nearest)
    if len(x) <= most:
        raise UserError(f"{most} nearest neighbours need at least {most + 1} images, there are {len(x):,}.")
    found = torch.full((len(x), most), torch.inf, dtype=torch.float64)
    for rows, columns, d2 in distances(x, x):
        if rows == columns:
            d2.fill_diagonal_(torch.inf)  # no image is its own neighbour
        found[rows] = torch.cat([found[rows], d2], 1).topk(most, 1, largest=False).values
    return [found[:, k - 1] for k in nearest]


def manifolds(judged: Tensor, reference: Tensor, *, nearest: int = 3, nearest_dc: int = 5) -> Manifolds:
    """Precision and recall (Kynkaanniemi et al. 2019, k = 3) with density and coverage (Naeem et al. 2020, k = 5).

    Features (N, D) and (M, D); each image's ball reaches to its k-th nearest neighbour in its own set, and its rim
    belongs to it.  Memory: two blocks of distances, whatever N and M.  Raises `UserError` for too few images.
    """
    (real_pr, real_dc), (fake_pr,) = radii(reference, (nearest, nearest_dc)), radii(judged, (nearest,))
    precise = torch.zeros(len(judged), dtype=torch.bool)
    recalled, covered = (torch.zeros(len(reference), dtype=torch.bool) for _ in range(2))
    inside = 0
    for fakes, reals, d2 in distances(judged, reference):
        precise[fakes] |= (d2 <= real_pr[reals]).any(1)
        recalled[reals] |= (d2 <= fake_pr[fakes][:, None]).any(0)
        balls = d2 <= real_dc[reals]
        covered[reals] |= balls.any(0)
        inside += int(balls.sum())
    density = inside / (nearest_dc * len(judged))
    shares = [float(x.double().mean()) for x in (precise, recalled, covered)]
    return Manifolds(shares[0], shares[1], density, shares[2])


def nearest_of(queries: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Distance (n,) and index (n,) of the nearest row of `among` (m, D) to each row of `queries` (n, D)."""
    if not len(among) or not len(queries):
        raise UserError("Nearest neighbours need at least one image on each side.")
    best = torch.full((len(queries),), torch.inf, dtype=torch.float64)
    index = torch.zeros(len(queries), dtype=torch.int64)
    for rows, columns, d2 in distances(queries, among):
        value, place = d2.min(1)
        nearer = value < best[rows]
        best[rows] = torch.where(nearer, value, best[rows])
        index[rows] = torch.where(nearer, place + columns.start, index[rows])
    return best.sqrt(), index


@dataclass(frozen=True)
class Memorisation:
    """How much nearer samples are to training images than images are that nobody trained on."""

    share: float  # samples nearer to a training image than all but a few (`quantile`) held-out images are
    quantile: float  # what `share` is for a generator that memorises nothing
    nearer: float  # probability that a sample is nearer than a held-out image; 0.5: alike
    distance: Tensor  # (N,): of each sample to its nearest training image
    index: Tensor  # (N,): which one


def memorisation(samples: Tensor, train: Tensor, held_out: Tensor, *, quantile: float = 0.05) -> Memorisation:
    """Share of samples nearer to a training image than held-out images are, and a rank test of it: Meehan et al. 2020.

    Features (N, D), (M, D), (K, D).  The held-out images set the scale, so the share of an honest generator is about
    `quantile`.  Raises `UserError` for fewer held-out images than that quantile needs.
    """
    least = round(1 / quantile)
    if len(held_out) < least:
        raise UserError(
            f"Memorisation is measured against the nearest {quantile:.0%} of held-out images, which needs at least"
            f" {least}; there are {len(held_out):,}."
        )
    distance, index = nearest_of(samples, train)
    usual = nearest_of(held_out, train)[0].sort().values
    under = torch.searchsorted(usual, distance, right=False)
    upto = torch.searchsorted(usual, distance, right=True)
    nearer = 1 - float((under + upto).double().mean()) / (2 * len(usual))
    share = float((distance < torch.quantile(usual, quantile)).double().mean())
    return Memorisation(share, quantile, nearer, distance, index)
