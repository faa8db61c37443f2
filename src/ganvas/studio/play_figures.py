"""Figures of the playground: modes, quality, and distances between the fakes and the data."""

import numpy as np
import torch

from ..api import Dataset, coverage, modes

REFERENCE = 12_000  # real points that distances compare with
CELLS = 30  # a side, of the histograms of KL and JS
DIRECTIONS = 64  # of the sliced Wasserstein distance
FARTHEST = 1e6  # that a fake counts as, when training diverged
LIMIT = 1.0  # of the square that the histograms cover


class Figures:
    """The data's side of the figures, computed once."""

    def __init__(self, dataset: Dataset, name: str, count: int):
        self.name, self.mixture = name, modes(name) if dataset.class_names else None
        random = np.random.default_rng(0)
        points = dataset.images.reshape(-1, 2)
        self.real = points[random.permutation(len(points))[:REFERENCE]].astype(np.float64)
        self.real_images = torch.from_numpy(self.real[:count].astype(np.float32)).view(-1, 2, 1, 1)
        angle = np.pi * np.arange(DIRECTIONS) / DIRECTIONS
        self.directions = np.stack([np.cos(angle), np.sin(angle)])
        self.real_sorted = np.sort(self.real @ self.directions, axis=0)
        self.histogram = shares(self.real)

    def measure(self, fakes: np.ndarray, losses: tuple[float, float]) -> dict[str, float]:
        """Every figure of fakes (N, 2), by name."""
        points = np.nan_to_num(fakes.astype(np.float64)).clip(-FARTHEST, FARTHEST)
        figures = {"d_loss": losses[0], "g_loss": losses[1], "wasserstein": self.sliced_wasserstein(points)}
        figures["kl"], figures["js"] = divergences(shares(points), self.histogram, len(points))
        if self.mixture:
            result = coverage(points, *self.mixture)
            figures |= {"modes": result.modes, "total_modes": result.total_modes}
            figures["high_quality"] = result.high_quality or 0.0
        return figures

    def sliced_wasserstein(self, points: np.ndarray) -> float:
        """Mean over directions of the distance between the sorted projections (Rabin et al. 2012)."""
        ours = np.sort(points @ self.directions, axis=0)
        ranks = ((np.arange(len(ours)) + 0.5) / len(ours) * len(self.real_sorted)).astype(int)
        return float(np.abs(ours - self.real_sorted[ranks]).mean())


def shares(points: np.ndarray) -> np.ndarray:
    """Share of the points in each cell of a grid, (CELLS^2,); they sum to one: points outside count at the border."""
    cells = ((points + LIMIT) / (2 * LIMIT) * CELLS).astype(int).clip(0, CELLS - 1)
    counts = np.bincount(cells[:, 1] * CELLS + cells[:, 0], minlength=CELLS * CELLS).astype(np.float64)
    return counts / max(len(points), 1)


def divergences(fake: np.ndarray, real: np.ndarray, count: int) -> tuple[float, float]:
    """KL(real || fake) and Jensen-Shannon divergence in nats of two histograms, that of the fakes of `count` points.

    For KL every cell with real points holds half a fake more, so that a cell without fakes is not infinitely wrong.
    """
    smooth = fake + np.where(real > 0, 0.5 / max(count, 1), 0.0)
    middle = (fake + real) / 2
    js = (relative_entropy(real, middle) + relative_entropy(fake, middle)) / 2
    return relative_entropy(real, smooth / smooth.sum()), js


def relative_entropy(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p || q) in nats of two histograms."""
    inside = p > 0
    return float((p[inside] * np.log(p[inside] / q[inside])).sum())
