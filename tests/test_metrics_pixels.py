"""PSNR and SSIM against scikit-image and definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage import data
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.transform import rescale

from ganvas.errors import UsageError
from ganvas.metrics.psnr import luma, psnr
from ganvas.metrics.ssim import SCALES, draw_pairs, maps, mean_dissimilarity, ms_ssim, ssim


@pytest.fixture(scope="module")
def random_images():
    """A photograph and a noisy copy, (2, 3, H, W) in [0, 255]."""
    photo = data.astronaut()[100:300, 150:350]
    noisy = photo + np.random.default_rng(0).normal(0, 12, photo.shape)
    return photo, noisy.clip(0, 255).round().astype(np.uint8)


def tensor(image):
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]


def test_luma_is_bt601(random_images):
    y = rgb2ycbcr(random_images[0])[..., 0]
    np.testing.assert_allclose(luma(tensor(random_images[0]).double())[0, 0], y, rtol=1e-10)


@pytest.mark.parametrize("border", [0, 4])
def test_psnr(random_images, border):
    inside = [p[border : len(p) - border, border : len(p) - border] for p in random_images]
    found = psnr(*map(tensor, random_images), border=border).item()
    assert found == pytest.approx(peak_signal_noise_ratio(*inside, data_range=255), rel=1e-10)
    y = [rgb2ycbcr(p)[..., 0] for p in inside]
    expected = peak_signal_noise_ratio(*y, data_range=255)
    assert psnr(*map(tensor, random_images), channel="y", border=border).item() == pytest.approx(expected, rel=1e-10)
    assert psnr(tensor(random_images[0]), tensor(random_images[0])).item() == math.inf


def test_ssim(random_images):
    """scikit-image's map under the same window, where it fits, with population variances."""
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    _, whole = structural_similarity(*random_images, channel_axis=2, full=True, **settings)
    expected = whole[5:-5, 5:-5].mean()
    assert ssim(*map(tensor, random_images)).item() == pytest.approx(expected, rel=1e-6)
    y = [rgb2ycbcr(p)[..., 0] for p in random_images]
    _, whole = structural_similarity(*y, full=True, **settings)
    assert ssim(*map(tensor, random_images), channel="y").item() == pytest.approx(whole[5:-5, 5:-5].mean(), rel=1e-6)
    assert ssim(tensor(random_images[0]), tensor(random_images[0])).item() == pytest.approx(1)


def test_ms_ssim_is_its_definition(random_images):
    """The product over scales of scikit-image's contrast-structure means, the luminance at the last one alone."""
    a, b = (p[..., :1].astype(np.float64) for p in random_images)
    value = 1.0
    for k, power in enumerate(SCALES):
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
        _, whole = structural_similarity(a[..., 0], b[..., 0], full=True, **settings)
        mean_a, mean_b = (smooth(x[..., 0]) for x in (a, b))
        c1 = (0.01 * 255) ** 2
        luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        last = k == len(SCALES) - 1
        value *= (whole if last else whole / luminance)[5:-5, 5:-5].mean() ** power
        if not last:
            a, b = (np.pad(x, [(0, s % 2) for s in x.shape[:2]] + [(0, 0)], "symmetric") for x in (a, b))
            a, b = ((x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4 for x in (a, b))
    found = ms_ssim(*(tensor(p[..., :1]) for p in random_images)).item()
    assert found == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("size", [(177, 176), (191, 223), (183, 179)])
def test_ms_ssim_repeats_an_odd_edge(size):
    """Images that are extended beforehand, so that every scale is even, measure the same at the scale below."""
    a, b = (
        torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(k), dtype=torch.float64) * 255 for k in (0, 1)
    )
    value = 1.0
    for k, power in enumerate(SCALES):
        whole, structure = (float(v.mean().clamp(min=0)) for v in maps(a, b))
        value *= (whole if k == len(SCALES) - 1 else structure) ** power
        odd = [s % 2 for s in a.shape[2:]]
        a, b = (torch.nn.functional.pad(x, (0, odd[1], 0, odd[0]), mode="replicate") for x in (a, b))
        a, b = ((x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4 for x in (a, b))
    x, y = (
        torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(k), dtype=torch.float64) * 255 for k in (0, 1)
    )
    assert ms_ssim(x, y).item() == pytest.approx(value, rel=1e-9)


def smooth(x):
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, 1.5, truncate=3.5)


def test_images_are_measured_one_by_one(random_images):
    a, b = map(tensor, random_images)
    for measure in (psnr, ssim, ms_ssim):
        both = measure(torch.cat([a, a]), torch.cat([b, a.roll(3, 3)]))
        torch.testing.assert_close(both[:1], measure(a, b))
        assert both[1] != both[0]


def test_diversity():
    random = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (8, 1, 48, 48), generator=random)
    pairs = draw_pairs(8, 20)
    assert mean_dissimilarity(noise[:1].repeat(8, 1, 1, 1), *pairs, scales=3) == pytest.approx(0, abs=1e-6)
    assert mean_dissimilarity(noise, *pairs, scales=3) > 0.5


def test_pairs_are_of_different_images():
    """Every pair of different images comes up, none of one image with itself; the seed says which."""
    first, second = draw_pairs(4, 600)
    assert (first != second).all()
    assert len({*zip(first.tolist(), second.tolist())}) == 12
    assert torch.equal(draw_pairs(4, 600)[1], second)
    assert not torch.equal(draw_pairs(4, 600, seed=1)[1], second)


def test_bicubic_loses_what_it_loses():
    """A figure of known size: a photograph reduced and enlarged three times keeps 25 to 35 dB."""
    photo = data.astronaut()[:240, :240] / 255
    again = rescale(rescale(photo, 1 / 3, 3, channel_axis=2, anti_aliasing=True), 3, 3, channel_axis=2)
    found = psnr(*(tensor((255 * p).clip(0, 255).astype(np.uint8)) for p in (photo, again)), channel="y", border=3)
    assert 22 < found.item() < 35


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x: psnr(x, x[..., 1:]), "one shape"),
        (lambda x: psnr(x, x, border=100), "border of 100 pixels leaves nothing"),
        (lambda x: ssim(x[..., :8], x[..., :8]), "window of 11x11; these images are 8x200"),
        (lambda x: ms_ssim(x[..., :100], x[..., :100]), "at least 176x176, these are 100x200; take fewer"),
        (lambda x: ms_ssim(x, x, scales=9), "1 to 5 scales, not 9"),
        (lambda x: draw_pairs(len(x)), "two at least, got 1"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(random_images, call, said):
    with pytest.raises(UsageError, match=said):
        call(tensor(random_images[0]))
