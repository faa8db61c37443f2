"""Scaling against the definition of `imresize`, computed here pixel by pixel in float64."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from ganvas.errors import UsageError
from ganvas.imaging.decode import read_image
from ganvas.imaging.resize import resize


def keys(x):
    """Keys 1981 with a = -1/2, in exact arithmetic."""
    x = abs(x)
    if x <= 1:
        return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
    return -Fraction(1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2 if x < 2 else Fraction(0)


def hat(x):
    return max(Fraction(0), 1 - abs(x))


def mirrored(k, n):
    while not 0 <= k < n:
        k = -1 - k if k < 0 else 2 * n - 1 - k
    return k


def scaled(line, target, factor, kernel, reach, antialias=True):
    """One row, by the published definition: h(x) = s k(s x) where it shrinks, weights that add up to one."""
    n, out = len(line), []
    stretch = min(factor, Fraction(1)) if antialias else Fraction(1)
    for x in range(1, target + 1):
        u = Fraction(x) / factor + Fraction(1, 2) * (1 - 1 / factor)  # MATLAB counts from 1
        far = Fraction(reach) / stretch
        total = weight = 0.0
        for k in range(math.floor(u - far) - 1, math.ceil(u + far) + 2):
            w = float(kernel(stretch * (u - k)))
            total += w * line[mirrored(k - 1, n)]
            weight += w
        out.append(total / weight)
    return np.array(out)


SIZES = [
    (13, 7, 4, 3),
    (12, 9, 48, 36),
    (8, 8, 2, 2),
    (7, 11, 20, 5),
    (5, 3, 5, 9),
    (31, 17, 8, 5),
    (3, 2, 11, 1),
    (1, 1, 4, 3),
]


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("kind", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("height", "width", "h", "w"), SIZES)
def test_sizes_are_the_definition(height, width, h, w, kind, antialias):
    kernel, reach = {"bicubic": (keys, 2), "bilinear": (hat, 1)}[kind]
    image = np.random.default_rng(0).normal(size=(height, width))
    rows = np.stack([scaled(r, w, Fraction(w, width), kernel, reach, antialias) for r in image])
    expected = np.stack([scaled(c, h, Fraction(h, height), kernel, reach, antialias) for c in rows.T]).T
    found = resize(torch.from_numpy(image), (h, w), kernel=kind, antialias=antialias)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    "factor", [Fraction(1, 4), Fraction(1, 3), Fraction(1, 2), Fraction(3), Fraction(5, 2), Fraction(7, 10)]
)
@pytest.mark.parametrize("side", [7, 12, 13])
def test_factors_are_the_definition(side, factor):
    """A factor is used as it is: 13 pixels by 1/4 are four, whose distance is 4 and not 13/4."""
    line = np.random.default_rng(1).normal(size=side)
    target = math.ceil(side * factor)
    found = resize(torch.from_numpy(np.stack([line] * side)), scale=float(factor))
    assert found.shape == (target, target)
    np.testing.assert_allclose(found[0], scaled(line, target, factor, keys, 2), atol=1e-12)


@pytest.mark.parametrize("target", [3, 29])
def test_older_edges_repeat(target):
    line = np.random.default_rng(3).normal(size=13)
    longer = np.concatenate([[line[0]] * 26, line, [line[-1]] * 26])  # enough that its own edges play no part
    expected = scaled(longer, 5 * target, Fraction(target, 13), keys, 2)[2 * target : 3 * target]
    found = resize(torch.from_numpy(line[None]), (1, target), edges="repeat")[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_whole_levels_are_rounded_after_each_axis():
    image = np.random.default_rng(4).integers(0, 256, (12, 20)).astype(float)

    def rounded(x):
        return np.floor(np.clip(x, 0, 255) + 0.5)

    columns = np.stack([rounded(scaled(c, 3, Fraction(1, 4), keys, 2)) for c in image.T]).T
    expected = np.stack([rounded(scaled(r, 10, Fraction(1, 2), keys, 2)) for r in columns])
    np.testing.assert_array_equal(resize(torch.from_numpy(image), (3, 10), top=255), expected)
    ones = torch.tensor([[0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    assert resize(ones, (1, 1), top=1).item() == 1  # a half goes up


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["Set5", "BSD100"])
def test_the_public_small_images_are_met_to_the_last_bit(name, shared_data):
    folder = shared_data / "sr-benchmark" / name
    for file in sorted((folder / "HR").iterdir())[:5]:
        good = torch.from_numpy(read_image(file).array.copy()).double().permute(2, 0, 1)
        small = read_image(folder / "LR" / file.name).array.transpose(2, 0, 1)
        np.testing.assert_array_equal(resize(good, scale=1 / 4, edges="repeat", top=255), small)


def test_known_weights():
    """Halving mixes (-3, -9, 29, 111, 111, 29, -9, -3) / 256, the well-known row of antialiased cubic halving."""
    impulse = torch.eye(16, dtype=torch.float64)
    row = resize(impulse, (16, 8))[:, 4] * 256  # what each of 16 pixels gives to pixel 4
    np.testing.assert_allclose(row[5:13], [-3, -9, 29, 111, 111, 29, -9, -3], atol=1e-10)
    doubled = resize(impulse, (16, 32))[:, 16] * 128
    np.testing.assert_allclose(doubled[6:10], [-3, 29, 111, -9], atol=1e-10)


def test_lanczos_is_its_equation():
    line = np.random.default_rng(2).normal(size=20)

    def windowed(x):
        x = float(x)
        return (
            1.0
            if x == 0
            else 3 * math.sin(math.pi * x) * math.sin(math.pi * x / 3) / (math.pi * x) ** 2
            if abs(x) < 3
            else 0.0
        )

    for target in (8, 45):
        expected = scaled(line, target, Fraction(target, 20), windowed, 3)
        np.testing.assert_allclose(
            resize(torch.from_numpy(line[None]), (1, target), kernel="lanczos")[0], expected, atol=1e-12
        )


def test_constants_and_leading_axes_stay():
    flat = torch.full((2, 3, 10, 14), 0.3)
    for size in ((3, 5), (40, 29), (10, 14)):
        out = resize(flat, size)
        assert out.shape == (2, 3, *size)
        assert out.dtype == torch.float32
        np.testing.assert_allclose(out, 0.3, rtol=1e-6)
    assert torch.equal(resize(flat, (10, 14)), flat)


def test_a_image_does_not_depend_on_its_neighbours():
    images = torch.randn(5, 3, 33, 29, generator=torch.Generator().manual_seed(0))
    whole = resize(images, (8, 50))
    for k in range(5):
        assert torch.equal(whole[k], resize(images[k], (8, 50)))


def test_gradients_are_those_of_a_linear_map():
    x = torch.randn(1, 1, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: resize(v, (3, 11)), x)


def test_half_precision_is_computed_in_single():
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert torch.equal(resize(x, (9, 7)), resize(x.float(), (9, 7)).bfloat16())


@pytest.mark.parametrize(("size", "scale"), [(None, None), ((4, 4), 0.5), ((0, 4), None), (None, 0.0)])
def test_what_makes_no_sense_is_a_sentence(size, scale):
    with pytest.raises(UsageError, match=r"."):
        resize(torch.zeros(1, 8, 8), size, scale=scale)
