"""Toy data: points in the plane of known distribution, to see which modes a GAN finds.

Coordinates are those of the literature, scaled to [-1, 1].
"""

from collections.abc import Sequence

import numpy as np

from ..errors import UsageError, did_you_mean
from .dataset import Dataset

POINTS = 50_000
RING_SCALE = 2.5  # radius 2, sigma 0.02 -> 0.8, 0.008
GRID_SCALE = 5.0  # {-4, -2, 0, 2, 4}, sigma 0.05 -> {-0.8, ..., 0.8}, 0.01
ROLL_SCALE = 15.0  # radius 1.5 pi to 4.5 pi -> 0.31 to 0.94
ROLL_NOISE = 0.1  # before scaling
LINE_END, LINE_NOISE = 0.7, 0.02  # the noise also of drawn points
MIXTURES = ("ring", "grid", "gaussians")


def modes(name: str) -> tuple[np.ndarray, float]:
    """Gaussians of a mixture: centres (K, 2) float64 and their common sigma, in scaled units."""
    if name == "ring":
        angle = 2 * np.pi * np.arange(8) / 8
        return 2 / RING_SCALE * np.stack([np.cos(angle), np.sin(angle)], 1), 0.02 / RING_SCALE
    if name == "grid":
        x, y = np.meshgrid(*[np.array([-4.0, -2.0, 0.0, 2.0, 4.0])] * 2, indexing="ij")
        return np.stack([x.ravel(), y.ravel()], 1) / GRID_SCALE, 0.05 / GRID_SCALE
    if name == "gaussians":
        return np.array([[-0.5, -0.3], [0.5, -0.3], [0.0, 0.5]]), 0.1
    raise UsageError(f"{name!r} has no modes: {', '.join(MIXTURES)} do.{did_you_mean(name, MIXTURES)}")


def open_toy(name: str, resolution: tuple[int, int] | None = None) -> Dataset:
    """Open 50,000 fixed points (N, 1, 1, 2) float32 in [-1, 1]; labels are the modes, if any."""
    if resolution:
        raise UsageError(f"{name} is points in the plane, which have no --resolution; leave it out.")
    random = np.random.RandomState(0)  # its distributions never change, unlike those of default_rng
    if name in CURVES:
        return Dataset(_as_images(CURVES[name](random)), name=name)
    centres, sigma = modes(name)
    labels = np.arange(POINTS, dtype=np.int64) % len(centres)
    points = centres[labels] + sigma * random.standard_normal((POINTS, 2))
    names = tuple(f"({x:.1f} {y:.1f})" for x, y in centres.round(1) + 0.0)  # + 0.0: no "-0.0"
    return Dataset(_as_images(points), labels, names, name=name)


def points_dataset(points: Sequence[Sequence[float]], name: str = "drawn") -> Dataset:
    """50,000 points (N, 1, 1, 2) scattered around given ones (K, 2) in [-1, 1], each by a standard deviation of 0.02.

    Raises `UsageError` for fewer than two.
    """
    given = np.asarray(points, np.float64).reshape(-1, 2)
    if len(given) < 2:
        raise UsageError(f"Drawn data need at least 2 points, got {len(given)}.")
    random = np.random.RandomState(0)
    places = given[random.randint(len(given), size=POINTS)]
    return Dataset(_as_images(places + LINE_NOISE * random.standard_normal(places.shape)), name=name)


def _swissroll(random: np.random.RandomState) -> np.ndarray:
    turn = 1.5 * np.pi * (1 + 2 * random.uniform(size=POINTS))
    points = np.stack([turn * np.cos(turn), turn * np.sin(turn)], 1)
    return (points + ROLL_NOISE * random.standard_normal(points.shape)) / ROLL_SCALE


def _line(random: np.random.RandomState) -> np.ndarray:
    along = random.uniform(-LINE_END, LINE_END, POINTS)
    return np.stack([along, along], 1) + LINE_NOISE * random.standard_normal((POINTS, 2))


CURVES = {"swissroll": _swissroll, "line": _line}


def _as_images(points: np.ndarray) -> np.ndarray:
    return points.astype(np.float32).clip(-1, 1).reshape(-1, 1, 1, 2)
