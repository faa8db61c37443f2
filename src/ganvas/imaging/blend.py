"""Gradient-domain blending: a region gets the gradients of another image and the colours of its surroundings.

Perez et al. 2003, Poisson image editing.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

STEP = 0.8  # of a damped Jacobi sweep
SWEEPS = 2  # before and after each correction from the coarser grid
TOLERANCE = 1e-5  # of the solution, where white is 1 and black -1
ITERATIONS = 500


def blend(
    image: np.ndarray,
    reference: np.ndarray,
    region: np.ndarray,
    *,
    mixed: bool = False,
    extent: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """Blend a reference into the region of an image: (C, H, W) floats and (H, W) bool, to (C, H, W) float64.

    In the region the result has the gradients of `reference` (Perez et al. 2003, eq. 7), with `mixed` the larger ones
    of both images (eq. 12), and it meets the image at the region's edge; at the border of the image it is free.
    `extent` (H, W) bool is where the reference is known, by default everywhere: other gradients are 0.  A region that
    covers the whole image has no edge, and becomes the reference.
    """
    image, reference = image.astype(np.float64), reference.astype(np.float64)
    result = np.where(region, reference, image)
    if region.all() or not region.any():
        return result
    levels = _levels(region)
    for k, (below, above) in enumerate(zip(image, reference)):
        right = _divergence(below, above, mixed, extent) + _neighbours(np.where(region, 0, below))
        solution = _solve(levels, np.where(region, right, 0), np.where(region, above, 0), tolerance)
        result[k][region] = solution[region]
    return result


def _divergence(image: np.ndarray, reference: np.ndarray, mixed: bool, extent: np.ndarray | None) -> np.ndarray:
    """Sum over each pixel's neighbours of the differences from them that the result should have, (H, W)."""
    total = np.zeros_like(image)
    for axis in (0, 1):
        step, other = np.diff(reference, axis=axis), np.diff(image, axis=axis)
        first, last = _sides(axis)
        if extent is not None:
            step = np.where(extent[first] & extent[last], step, 0)
        if mixed:
            step = np.where(np.abs(other) > np.abs(step), other, step)
        total[last] += step
        total[first] -= step
    return total


def _sides(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """All but the last and all but the first rows, or columns."""
    first, last, whole = slice(None, -1), slice(1, None), slice(None)
    return ((first, whole), (last, whole)) if axis == 0 else ((whole, first), (whole, last))


def _neighbours(x: np.ndarray) -> np.ndarray:
    """Sum of the up to four neighbours of each pixel."""
    total = np.zeros_like(x)
    for first, last in map(_sides, (0, 1)):
        total[last] += x[first]
        total[first] += x[last]
    return total


class _Level(NamedTuple):
    """A grid of the multigrid cycle: unknown places (H, W) bool, and the number of neighbours of each pixel."""

    region: np.ndarray
    counts: np.ndarray

    def laplace(self, x: np.ndarray) -> np.ndarray:
        """Differences from the neighbours, summed: the operator, 0 outside the region."""
        result: np.ndarray = np.where(self.region, self.counts * x - _neighbours(x), 0)
        return result


def _levels(region: np.ndarray) -> list[_Level]:
    """The region at full, half, quarter, ... size; a coarse place is one whose four pixels are all places."""
    levels = []
    while region.any():
        levels.append(_Level(region, np.maximum(_neighbours(np.ones(region.shape)), 1)))
        if max(region.shape) <= 2:
            break
        region = np.asarray(_fours(region, "edge").all((1, 3)))
    return levels


def _fours(x: np.ndarray, mode: str = "constant") -> np.ndarray:
    """Blocks of 2x2 pixels, (h, 2, w, 2); odd sides are padded."""
    padded = np.pad(x, [(0, side % 2) for side in x.shape], mode=mode)  # type: ignore[call-overload]
    blocks: np.ndarray = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2)
    return blocks


def _cycle(levels: list[_Level], residual: np.ndarray) -> np.ndarray:
    """One V-cycle of multigrid from zero: about the solution for a residual; a symmetric operator."""
    level, *coarser = levels
    x = STEP * residual / level.counts

    def sweep() -> None:
        x.__iadd__(STEP * (residual - level.laplace(x)) / level.counts)

    for _ in range(SWEEPS - 1):
        sweep()
    if coarser:
        coarse = np.where(coarser[0].region, _fours(residual - level.laplace(x)).sum((1, 3)), 0)
        correction = _cycle(coarser, coarse).repeat(2, 0).repeat(2, 1)
        x += np.where(level.region, correction[: x.shape[0], : x.shape[1]], 0)
    for _ in range(SWEEPS):
        sweep()
    return x


def _solve(levels: list[_Level], right: np.ndarray, start: np.ndarray, tolerance: float) -> np.ndarray:
    """Conjugate gradients with a multigrid cycle as preconditioner, until its correction is below the tolerance."""
    apply: Callable[[np.ndarray], np.ndarray] = levels[0].laplace
    x, residual = start.copy(), right - apply(start)
    z = _cycle(levels, residual)
    direction, before = z.copy(), float((residual * z).sum())
    for _ in range(ITERATIONS):
        if np.abs(z).max() < tolerance:
            break
        image = apply(direction)
        step = before / float((direction * image).sum())
        x += step * direction
        residual -= step * image
        z = _cycle(levels, residual)
        now = float((residual * z).sum())
        direction, before = z + (now / before) * direction, now
    return x
