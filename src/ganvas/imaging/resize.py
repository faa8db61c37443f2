"""Scaling of images as MATLAB's `imresize` does it, with which published super-resolution is trained and measured.

Each axis is a weighted sum of neighbours (Keys 1981); when an image shrinks, the kernel widens by the factor
(antialiasing).  Beyond the edges the image is mirrored, edge pixels included; older versions of MATLAB, with which
the usual test sets were scaled, repeat the edge pixels instead.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError

Kernel = Literal["bicubic", "bilinear", "lanczos"]
Edges = Literal["mirror", "repeat"]


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -1/2 (Keys 1981, equation 15)."""
    x = np.abs(x)
    inner, outer = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0.0))


def triangle(x: np.ndarray) -> np.ndarray:
    """Kernel of linear interpolation."""
    return np.maximum(1 - np.abs(x), 0)


def lanczos(x: np.ndarray) -> np.ndarray:
    """Lanczos kernel of three lobes: sinc(x) sinc(x / 3)."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


KERNELS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {  # with their widths
    "bicubic": (cubic, 4.0),
    "bilinear": (triangle, 2.0),
    "lanczos": (lanczos, 6.0),
}


def resize(
    images: Tensor,
    size: tuple[int, int] | None = None,
    *,
    scale: float | None = None,
    kernel: Kernel = "bicubic",
    antialias: bool = True,
    edges: Edges = "mirror",
    top: int | None = None,
) -> Tensor:
    """Scale float images (..., H, W) of any range to (height, width) or by a factor.

    A factor gives ceil(factor * side) pixels and is used exactly; a size has a factor of its own for each side.
    With `top` the images are whole levels from 0 to `top`, rounded and clamped after each axis as MATLAB does with
    integer images.  Raises `UsageError` for an empty size.
    """
    if (size is None) == (scale is None):
        raise UsageError("An image is scaled to a size or by a factor: give one of them.")
    sides = images.shape[-2:]
    target = size if size is not None else tuple(math.ceil(float(scale or 0) * n) for n in sides)
    if min(*target, *sides) < 1:
        raise UsageError(f"Images of {sides[1]}x{sides[0]} cannot be scaled to {target[1]}x{target[0]}.")
    factors = [scale or m / n for n, m in zip(sides, target)]
    wide = images.to(torch.promote_types(images.dtype, torch.float32))
    for axis in sorted((0, 1), key=lambda a: factors[a]):  # as in MATLAB, and the cheaper order
        if factors[axis] != 1:
            taps = contributions(sides[axis], target[axis], factors[axis], kernel, antialias, edges)
            wide = _resize_axis(wide, axis - 2, *taps)
            wide = wide if top is None else wide.add(0.5).floor().clamp(0, top)
    return wide.to(images.dtype)


def resize_bands(
    bands: Iterable[Tensor], size: tuple[int, int], target: tuple[int, int], kernel: Kernel = "bicubic"
) -> Iterator[Tensor]:
    """Scale an image given in bands (..., h, W) from top to bottom, yielding bands of the result as they are ready.

    `size` is the whole image's (height, width), `target` that of the result; neither is ever held as a whole.
    """
    down, across = (contributions(n, m, m / n, kernel, True, "mirror") for n, m in zip(size, target))
    ready = np.maximum.accumulate(down[0].max(1))  # last source row that a row of the result or one above it needs
    rows, first, have, done = None, 0, 0, 0
    for band in bands:
        band = _resize_axis(band, -1, *across)
        have += band.shape[-2]
        rows = band if rows is None else torch.cat([rows, band], -2)
        until = int(np.searchsorted(ready, have))
        if until > done:
            yield _resize_axis(rows, -2, down[0][done:until] - first, down[1][done:until])
            done = until
        if done < target[0]:
            spare = int(down[0][done:].min()) - first
            rows, first = rows[..., spare:, :], first + spare


@lru_cache(256)  # bounded, since degradations draw their factors
def contributions(
    length: int, target: int, factor: float, kernel: Kernel, antialias: bool, edges: Edges
) -> tuple[np.ndarray, np.ndarray]:
    """Source pixels (target, K) int64 of each of `target` pixels and their weights (target, K) float64."""
    shape, width = KERNELS[kernel]
    narrow = min(factor, 1.0) if antialias else 1.0  # below 1 the kernel is stretched by 1 / narrow
    width /= narrow
    centre = (np.arange(target) + 0.5) / factor - 0.5  # pixel centres, counted from 0
    first = np.floor(centre - width / 2).astype(np.int64)
    places = first[:, None] + np.arange(math.ceil(width) + 2)
    weights = shape(narrow * (centre[:, None] - places))
    weights /= weights.sum(1, keepdims=True)
    used = weights.any(0)
    if edges == "mirror":
        places = places % (2 * length)
        places = np.minimum(places, 2 * length - 1 - places)
    return places.clip(0, length - 1)[:, used], weights[:, used]


def _resize_axis(images: Tensor, dim: int, places: np.ndarray, weights: np.ndarray) -> Tensor:
    """Weighted sum of taps, one after the other: equal bits in any batch, and no large matrix."""
    index = torch.from_numpy(places).to(images.device)
    share = torch.from_numpy(weights).to(images)
    shape = (-1, 1) if dim == -2 else (-1,)
    out = images.index_select(dim, index[:, 0]) * share[:, 0].view(shape)
    for k in range(1, places.shape[1]):
        out = torch.addcmul(out, images.index_select(dim, index[:, k]), share[:, k].view(shape))
    return out
