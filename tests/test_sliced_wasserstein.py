"""The sliced Wasserstein distance against scipy's pyramids and plain loops, and on images of known answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

import ganvas
from ganvas.data.dataset import Dataset
from ganvas.errors import UsageError
from ganvas.metrics import sliced_wasserstein as sliced

TAPS = np.array([1, 4, 6, 4, 1]) / 16


def down(image):
    return ndimage.convolve(image, np.outer(TAPS, TAPS), mode="mirror")[::2, ::2]


def up(image, shape):
    spread = np.zeros(shape)
    spread[::2, ::2] = image
    return ndimage.convolve(spread, 4 * np.outer(TAPS, TAPS), mode="mirror")


@pytest.mark.parametrize("shape", [(64, 64), (37, 50)])
def test_pyramids_are_those_of_the_authors_code(shape):
    image = np.random.default_rng(0).normal(size=shape)
    gaussian = [image]
    while min(gaussian[-1].shape) // 2 >= 16:
        gaussian.append(down(gaussian[-1]))
    expected = [a - up(b, a.shape) for a, b in zip(gaussian, gaussian[1:])] + gaussian[-1:]
    levels = sliced.pyramid(torch.from_numpy(image)[None, None])
    assert len(levels) == len(expected) == (3 if shape == (64, 64) else 2)
    for level, right in zip(levels, expected):
        np.testing.assert_allclose(level[0, 0], right, atol=1e-12)


def test_patches_are_of_the_images_in_turn():
    level = torch.arange(2 * 3 * 9 * 9.0).view(2, 3, 9, 9)
    rows = sliced.patches(level, torch.Generator().manual_seed(0))
    assert rows.shape == (2 * sliced.PATCHES, 3, 7, 7)
    first = rows[0, 0, 0, 0].item()
    top, left = divmod(int(first), 9)
    assert torch.equal(rows[0], level[0, :, top : top + 7, left : left + 7])
    assert (rows[sliced.PATCHES :, 0, 0, 0] >= 243).all()
    corners = rows[:, 0, 0, 0] % 81
    assert corners.unique().numel() == 9  # every place is drawn


def test_distance_is_the_mean_of_sorted_differences(monkeypatch):
    monkeypatch.setattr(sliced, "DIRECTIONS", sliced.PART)
    a, b = torch.randn(50, 6, dtype=torch.float64), 2 + torch.randn(50, 6, dtype=torch.float64)
    directions = torch.randn(6, sliced.PART, generator=torch.Generator().manual_seed(3)).double().numpy()
    distances = []
    for direction in directions.T:
        one, two = (np.sort(rows.numpy() @ direction / np.linalg.norm(direction)) for rows in (a, b))
        distances.append(np.abs(one - two).mean())
    found = sliced.sliced_distance(a, b, torch.Generator().manual_seed(3))
    assert found == pytest.approx(np.mean(distances), rel=1e-5)


def test_channels_are_normalised_alone():
    rows = torch.randn(40, 2, 7, 7, dtype=torch.float64) * torch.tensor([3.0, 0.1]).view(1, 2, 1, 1) + 5
    flat = sliced.normalized(rows).view(40, 2, 49)
    assert torch.allclose(flat.mean((0, 2)), torch.zeros(2).double(), atol=1e-9)
    assert torch.allclose(flat.std((0, 2), correction=0), torch.ones(2).double())


def noisy(seed, sigma):
    """Smooth blots of 32x32 with noise."""
    random = np.random.default_rng(seed)
    blots = ndimage.gaussian_filter(random.normal(size=(200, 32, 32)), (0, 2, 2))
    images = blots / blots.std() * 40 + 128 + random.normal(size=blots.shape) * sigma
    return images.clip(0, 255).astype(np.uint8)[..., None]


def test_noise_shows_in_the_level_of_details():
    """Images of one kind are near; grain moves the largest level, and hardly the smallest one."""
    real = noisy(0, 4)
    same, grain = (ganvas.evaluate("swd", Dataset(real), Dataset(noisy(1, s))) for s in (4, 30))
    assert ganvas.evaluate("swd", Dataset(real), Dataset(real))["swd"] == 0
    assert grain["swd"] > 2 * same["swd"]
    levels = [{k: found["swd_by_reduction"][k] for k in ("1", "2")} for found in (same, grain)]
    assert levels[1]["1"] > 4 * levels[0]["1"]
    assert levels[1]["2"] < 1.5 * levels[0]["2"]


def test_sets_are_compared_at_equal_numbers():
    found = ganvas.evaluate("swd", Dataset(noisy(0, 4)), Dataset(noisy(1, 4)[:20]))
    assert found["real"]["images"] == found["fake"]["images"] == 20
    assert found["patches"] == 20 * sliced.PATCHES


def test_images_of_other_sizes_are_refused():
    with pytest.raises(UsageError, match="32x32 and 16x16; give --resolution"):
        ganvas.evaluate("swd", Dataset(noisy(0, 4)), Dataset(noisy(1, 4)[:, :16, :16]))
