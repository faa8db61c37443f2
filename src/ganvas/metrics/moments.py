"""Mean and covariance of features that arrive in batches, in float64 and in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import UserError

BLOCK = 512  # rows that are added at a time, however they arrive: the sums do not depend on the batch size


@dataclass(frozen=True)
class Gaussian:
    """The Gaussian that features are taken for: their mean and (unbiased) covariance, in float64.

    The covariance is the matrix itself, or where there were no more features than dimensions, a factor F of it:
    covariance = F'F, exact though singular.
    """

    mean: Tensor  # (D,)
    matrix: Tensor | None  # (D, D)
    factor: Tensor | None  # (n, D)
    count: int  # of the features it was measured on

    @property
    def size(self) -> int:
        """The number of dimensions."""
        return len(self.mean)

    def covariance(self) -> Tensor:
        """The covariance as a matrix (D, D)."""
        if self.matrix is not None:
            return self.matrix
        assert self.factor is not None
        return self.factor.T @ self.factor

    def trace(self) -> Tensor:
        """The trace of the covariance."""
        return self.matrix.trace() if self.matrix is not None else self.factor.square().sum()  # type: ignore


def check_features(rows: Tensor, size: int | None = None, first: int = 0) -> Tensor:
    """Features (N, D) in float64; raises `UserError` if they are no such matrix or not finite.

    `first` is the place of the first row among all, for the message.
    """
    if rows.ndim != 2 or (size is not None and rows.shape[1] != size):
        wanted = f"(N, {size})" if size else "(N, D)"
        raise UserError(f"Features must be a matrix {wanted}, these have the shape {tuple(rows.shape)}.")
    wide = rows.detach().to(torch.float64)
    good = torch.isfinite(wide).all(1)
    if not good.all():
        bad = int((~good).sum())
        where = first + int((~good).nonzero()[0, 0])
        raise UserError(
            f"{bad:,} of {len(rows):,} images have features that are not finite numbers (the first is image {where});"
            " look at that image, or at what the generator makes."
        )
    return wide


class Moments:
    """Streaming mean and covariance of (N, D) features: `update` with batches, `gaussian` at the end.

    Blocks are merged as Chan et al. 1983 (equation 2.1) do, which loses no digits to a large mean.  As long as there
    are no more rows than dimensions they are kept; after that memory is two D x D matrices however many come.
    """

    def __init__(self, size: int):
        self.size, self.count = size, 0
        self._waiting: list[Tensor] = []  # rows that do not fill a block yet
        self._kept: list[Tensor] | None = []  # every block, while their rows could be a factor
        self._mean: Tensor | None = None
        self._scatter: Tensor | None = None

    def update(self, rows: Tensor) -> None:
        """Add features (N, size); raises `UserError` for another shape, or numbers that are not finite."""
        wide = check_features(rows, self.size, self.count)
        self.count += len(wide)
        while len(wide):
            room = BLOCK - sum(map(len, self._waiting))
            self._waiting.append(wide[:room])
            wide = wide[room:]
            if sum(map(len, self._waiting)) == BLOCK:
                self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        block = torch.cat(self._waiting)
        self._waiting = []
        if self._kept is not None:
            self._kept.append(block.clone())
            if sum(map(len, self._kept)) > self.size:
                kept, self._kept = self._kept, None
                for old in kept:
                    self._merge(old)
        else:
            self._merge(block)

    def _merge(self, block: Tensor) -> None:
        """Add a block to the running mean and the running sum of products around it."""
        mean = block.mean(0)
        rows = block - mean
        if self._mean is None or self._scatter is None:
            self._merged, self._mean, self._scatter = len(block), mean, rows.T @ rows
            return
        total, gap = self._merged + len(block), mean - self._mean
        between = gap * (self._merged * len(block) / total) ** 0.5
        self._scatter.addmm_(torch.cat([rows, between[None]]).T, torch.cat([rows, between[None]]))
        self._mean = self._mean + gap * (len(block) / total)
        self._merged = total

    def gaussian(self) -> Gaussian:
        """What was seen, as a Gaussian; raises `UserError` for fewer than two images."""
        if self.count < 2:
            raise UserError(f"A covariance needs at least 2 images, there are {self.count}.")
        self._flush()
        if self._kept is not None:
            rows = torch.cat(self._kept)
            mean = rows.mean(0)
            return Gaussian(mean, None, (rows - mean) / (self.count - 1) ** 0.5, self.count)
        assert self._mean is not None and self._scatter is not None
        return Gaussian(self._mean, self._scatter / (self.count - 1), None, self.count)


def gaussian_of(features: Tensor) -> Gaussian:
    """The Gaussian of features (N, D) that are all there."""
    moments = Moments(features.shape[1] if features.ndim == 2 else 0)
    moments.update(features)
    return moments.gaussian()
