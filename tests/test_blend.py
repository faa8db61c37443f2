"""Gradient-domain blending against the published equations solved densely in float64."""

from __future__ import annotations

import numpy as np
import pytest

from ganvas.imaging.blend import blend

Y, X = np.mgrid[:19, :14]
REGIONS = {
    "box": (Y > 4) & (Y < 12) & (X > 3) & (X < 11),
    "corner": (Y < 9) & (X < 7),
    "stroke": np.abs(Y - X - 3) < 2,
    "all but one": (Y != 3) | (X != 5),
    "scattered": np.random.default_rng(2).random(Y.shape) < 0.6,
}


def solve(image, reference, region, mixed, extent):
    """Perez et al. 2003, eq. 7, with the guidance of eq. 9 or 12-13, for each channel."""
    places = {tuple(p): k for k, p in enumerate(np.argwhere(region))}
    result = image.copy()
    for k, (below, above) in enumerate(zip(image, reference)):
        matrix, right = np.zeros((len(places),) * 2), np.zeros(len(places))
        for p, row in places.items():
            for q in ((p[0] + dy, p[1] + dx) for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1))):
                if not (0 <= q[0] < region.shape[0] and 0 <= q[1] < region.shape[1]):
                    continue
                matrix[row, row] += 1
                guidance = above[p] - above[q] if extent[p] and extent[q] else 0
                if mixed and abs(below[p] - below[q]) > abs(guidance):
                    guidance = below[p] - below[q]
                right[row] += guidance
                if q in places:
                    matrix[row, places[q]] -= 1
                else:
                    right[row] += below[q]
        result[k][region] = np.linalg.solve(matrix, right)
    return result


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", REGIONS)
def test_a_blend_solves_the_equation(name, mixed):
    random = np.random.default_rng(0)
    image, reference = random.normal(size=(2, 2, *Y.shape))
    extent = random.random(Y.shape) < 0.8
    expected = solve(image, reference, REGIONS[name], mixed, extent)
    exact, usual = (
        blend(image, reference, REGIONS[name], mixed=mixed, extent=extent, **more) for more in ({"tolerance": 1e-9}, {})
    )
    assert np.abs(exact - expected).max() < 1e-7
    assert np.abs(usual - expected).max() < 1e-4
    assert np.array_equal(usual[:, ~REGIONS[name]], image[:, ~REGIONS[name]])


def test_blends_of_known_answer():
    """An image into itself, one that is brighter by a constant, and a region without an edge."""
    image = np.random.default_rng(1).normal(size=(1, *Y.shape))
    region = REGIONS["corner"]
    for reference in (image, image + 0.7):
        assert np.abs(blend(image, reference, region) - image).max() < 1e-4
    assert np.array_equal(blend(image, image + 1, np.ones_like(region)), image + 1)
    assert np.array_equal(blend(image, image + 1, np.zeros_like(region)), image)
    assert np.array_equal(blend(image[:, :1], image[:, :1] + 1, region[:1])[:, :, 7:], image[:, :1, 7:])  # a row


def test_large_regions_take_few_cycles():
    """The error of a membrane over 200 pixels is small after the usual tolerance: x y is harmonic."""
    y, x = np.mgrid[:202, :202] / 201
    region = np.zeros(y.shape, bool)
    region[1:-1, 1:-1] = True
    image = np.where(region, 0, x * y)[None]
    assert np.abs(blend(image, np.zeros_like(image), region) - x * y).max() < 1e-3
