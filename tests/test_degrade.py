"""Degradations, against their equations and other implementations, and what all of them promise."""

import io
import math
from collections import Counter

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.special
import skimage.color
import torch
from PIL import Image
from torch import Tensor

from ganvas.catalog import DEGRADATIONS
from ganvas.config import Spec
from ganvas.data.dataset import Facts
from ganvas.data.degrade import Degradation, RandomStream, camera, kernels, second_order
from ganvas.data.degrade.base import Chain, Sometimes
from ganvas.data.degrade.camera import Bicubic, Jpeg, LensBlur, MotionBlur, SensorNoise
from ganvas.data.degrade.damage import Grey, Holes, Scratches
from ganvas.data.degrade.guided import GuidedHoles
from ganvas.data.degrade.second_order import SecondOrder, Stage
from ganvas.data.degrade.weather import Haze, LowLight, Rain
from ganvas.errors import UsageError
from ganvas.imaging.channels import luma
from ganvas.imaging.colour import from_lab, merge_lab, to_lab
from ganvas.imaging.resize import resize


def scenes(count: int = 3, channels: int = 3, height: int = 24, width: int = 32, top: int = 255) -> Tensor:
    """Images (N, C, H, W) of whole levels with edges, slopes and texture."""
    g = torch.Generator().manual_seed(7)
    coarse = torch.rand(count, channels, 4, 5, generator=g)
    fine = torch.rand(count, channels, height, width, generator=g)
    unit = (0.8 * resize(coarse, (height, width)).clamp(0, 1) + 0.2 * fine).clamp(0, 1)
    return (unit * top).round() / top * 2 - 1


def made(name: str) -> Degradation:
    """One of the catalogue, at its defaults."""
    if name == "chain":
        return Chain(parts=[Spec(LensBlur), Spec(SensorNoise), Spec(Jpeg)])
    if name == "sometimes":
        return Sometimes(part=Spec(SensorNoise), share=1.0)
    return DEGRADATIONS[name]()


def chance(place: int = 0, seed: int = 0) -> RandomStream:
    return RandomStream(seed, place)


# What all of them promise


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_what_happens_follows_from_seed_and_place_alone(name: str) -> None:
    what, images = made(name), scenes(4)
    state = torch.get_rng_state()
    places = [5, 900, 2**40, 7]
    together = what(images, places, seed=3)
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's numbers move
    apart = torch.cat([what(images[k : k + 1], places[k : k + 1], seed=3) for k in (0, 1, 2, 3)])
    assert torch.equal(together, apart)
    assert torch.equal(together[[2, 0]], what(images[[2, 0]], [2**40, 5], seed=3))
    if name not in ("bicubic", "grey"):
        same = what(images[:1].expand(2, -1, -1, -1), [0, 1], seed=3)
        assert not torch.equal(same[0], same[1])
        assert not torch.equal(together, what(images, places, seed=4))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("top", [255, 65535])
@pytest.mark.parametrize("name", DEGRADATIONS)
def test_shapes_levels_and_range(name: str, top: int, channels: int) -> None:
    what, images = made(name), scenes(2, channels, top=top)
    try:
        expected = what.channels(channels)
    except UsageError:
        assert (name, channels) in [("grey", 1), ("grey", 4), ("holes", 4), ("guided_holes", 4)]
        return
    before = images.clone()
    out = what(images, [0, 1], seed=1, top=top)
    assert out.shape == (2, expected, 24 // what.scale, 32 // what.scale)
    assert out.dtype == torch.float32
    levels = (out.double() + 1) / 2 * top
    assert (levels - levels.round()).abs().max() < (0.01 if top == 65535 else 1e-4)
    assert levels.round().min() >= 0
    assert levels.round().max() <= top
    assert torch.equal(images, before)
    source, target = what.source_and_target(images, [0, 1], seed=1, top=top).values()
    assert torch.equal(source, out)
    assert target.shape == images.shape
    if channels == 4:
        alpha = (images[:, 3:] + 1) / 2
        alpha = alpha if what.scale == 1 else resize(alpha, scale=1 / what.scale)
        np.testing.assert_allclose(out[:, 3:].numpy(), alpha.clamp(0, 1).numpy() * 2 - 1, atol=1.01 / top)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_any_size(name: str) -> None:
    what = made(name)
    for height, width in ((4, 4), (4, 60), (28, 12)):
        out = what(scenes(1, 3, height, width), [0], seed=0)
        assert out.shape[2:] == (height // what.scale, width // what.scale)
        assert out.isfinite().all()


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_degradation_is_written_to_a_config_and_read_again(name: str) -> None:
    from ganvas.config import decode

    parts = {"parts": [Spec(SensorNoise), Spec(Jpeg, quality=(20.0, 30.0))]} if name == "chain" else {}
    parts |= {"part": Spec(SensorNoise)} if name == "sometimes" else {}
    spec = Spec(DEGRADATIONS[name], **parts)
    again = decode(spec.to_dict())
    assert again == spec
    images = scenes(1)
    assert torch.equal(again.build()(images, [3], seed=1), spec.build()(images, [3], seed=1))


def test_sometimes_degrades_its_share_and_leaves_the_others() -> None:
    images = scenes(1).expand(400, -1, -1, -1)
    result = Sometimes(part=Spec(SensorNoise, sigma=(20.0, 20.0)), share=0.3)(images, range(400), seed=0)
    changed = (result != images).flatten(1).any(1).double().mean().item()
    assert abs(changed - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 400)
    with pytest.raises(UsageError, match="Bicubic changes the size or the channels"):
        Sometimes(part=Spec(Bicubic))


def test_numbers_of_a_place_are_flat_and_of_their_own() -> None:
    draws = np.array([[c.uniform(), c.uniform()] for c in (chance(k) for k in range(4000))])
    counts, _ = np.histogram(draws[:, 0], 20, (0, 1))
    assert np.abs(counts - 200).max() < 5 * math.sqrt(200)
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.06  # of one place
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.06  # of neighbours
    picked = Counter(chance(k).integer(3, 5) for k in range(900))
    assert set(picked) == {3, 4, 5}
    assert min(picked.values()) > 240
    shares = Counter(chance(k).choice("abc", (0.5, 0.0, 1.5)) for k in range(2000))
    assert shares["b"] == 0
    assert abs(shares["a"] - 500) < 90
    first, second = chance(), chance()
    assert torch.equal(first.normal(3, 4), second.normal(3, 4))
    assert not torch.equal(first.normal(3, 4), first.normal(3, 4))


def test_what_cannot_be_asked_for() -> None:
    wrong: list[tuple[type, dict[str, object], str]] = [
        (SensorNoise, {"sigma": (5.0, 1.0)}, r"takes sigma as a range \(low, high\) from 0 up, not \(5, 1\)"),
        (Jpeg, {"quality": (0.0, 50.0)}, r"quality as a range \(low, high\) from 1 to 100"),
        (SensorNoise, {"grey": 1.5}, "grey as a share from 0 to 1, not 1.5"),
        (LensBlur, {"shares": (1.0, 1.0)}, "takes 6 shares"),
        (Bicubic, {"scale": 0}, "whole number of times smaller, not 0"),
        (Stage, {"factor": (1.5, 2.0)}, "factors around 1"),
        (SecondOrder, {"first": Spec(Jpeg)}, r"a stage\(...\)"),
        (Chain, {"parts": [Spec(torch.nn.Linear)]}, "no degradation"),
        (Holes, {"covered": (0.0, 1.0)}, "covered"),
    ]
    for target, options, said in wrong:
        with pytest.raises(UsageError, match=said):
            target(**options)
    with pytest.raises(UsageError, match="of 30x24 cannot be made 4 times smaller"):
        Bicubic()(scenes(1, 3, 24, 30), [0], seed=0)
    with pytest.raises(UsageError, match="give a --resolution that 4 divides"):
        Bicubic().check(Facts((24, 30), 3, 0))
    with pytest.raises(UsageError, match="the data are points"):
        SensorNoise().check(Facts((1, 1), 2, 0, kind="points"))
    with pytest.raises(UsageError, match="these have 1 channels"):
        Grey().check(Facts((24, 32), 1, 0))
    with pytest.raises(UsageError, match="adds a mask to the image and must come last"):
        Chain(parts=[Spec(Holes), Spec(SensorNoise)]).check(Facts((24, 32), 3, 0))
    with pytest.raises(ValueError, match="3 images have 1 positions"):
        SensorNoise()(scenes(3), [0], seed=0)


# Kernels


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(-(size // 2), size // 2 + 1, dtype=np.float64)
    return np.meshgrid(axis, axis)


def quadratic(size: int, sx: float, sy: float, angle: float) -> np.ndarray:
    """c^T S^-1 c with S = R diag(sx^2, sy^2) R^T, by matrices."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag([sx**2, sy**2]) @ turn.T)
    c = np.stack(grid(size), -1)
    return np.einsum("hwi,ij,hwj->hw", c, inverse, c)


@pytest.mark.parametrize(("size", "sx", "sy", "angle"), [(7, 0.5, 0.5, 0.0), (21, 3.0, 0.7, 0.6), (13, 1.0, 2.0, -2.5)])
def test_kernels_follow_their_equations(size: int, sx: float, sy: float, angle: float) -> None:
    q = quadratic(size, sx, sy, angle)
    cases = [
        (kernels.gaussian(size, sx, sy, angle), np.exp(-q / 2)),
        (kernels.generalised(size, sx, sy, angle, 0.6), np.exp(-(q**0.6) / 2)),
        (kernels.generalised(size, sx, sy, angle, 3.0), np.exp(-(q**3) / 2)),
        (kernels.plateau(size, sx, sy, angle, 1.7), 1 / (1 + q**1.7)),
    ]
    for ours, shape in cases:
        np.testing.assert_allclose(ours.numpy(), shape / shape.sum(), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("size", "cutoff"), [(7, math.pi / 3), (21, 2.0), (13, math.pi)])
def test_the_low_pass_filter_follows_its_equation(size: int, cutoff: float) -> None:
    x, y = grid(size)
    r = np.hypot(x, y)
    r[size // 2, size // 2] = 1
    shape = cutoff * scipy.special.j1(cutoff * r) / (2 * np.pi * r)
    shape[size // 2, size // 2] = cutoff**2 / (4 * np.pi)
    np.testing.assert_allclose(kernels.sinc(size, cutoff).numpy(), shape / shape.sum(), rtol=1e-5, atol=1e-7)


def test_lengths_of_fourier_transforms_are_scipys() -> None:
    assert all(kernels.fast_length(n) == scipy.fft.next_fast_len(n, real=True) for n in range(1, 5000))


def test_filters_mirror_at_the_edges() -> None:
    image = scenes(1, 3, 9, 14)
    for taps in (7, kernels.LARGE, 21):  # by Fourier transforms where it is large
        turned = torch.rand(taps, taps, generator=torch.Generator().manual_seed(0)).double()
        turned /= turned.sum()
        ours = kernels.filter_image(image, turned)[0].numpy()
        for channel, out in zip(image[0].numpy(), ours):
            expected = scipy.ndimage.convolve(channel, turned.numpy(), mode="mirror")
            np.testing.assert_allclose(out, expected, atol=2e-6)
    wide = kernels.pad_reflect(torch.arange(3.0).view(1, 1, 1, 3), 7)[0, 0, 0]
    np.testing.assert_array_equal(wide.numpy(), np.pad(np.arange(3.0), 7, mode="reflect"))
    assert kernels.pad_reflect(torch.ones(1, 1, 1, 1), 3).shape == (1, 1, 7, 7)


def test_a_path_is_as_long_as_it_should_be() -> None:
    straight = kernels.motion_path(21, [(-8.0, 0.0), (8.0, 0.0)])
    assert float(straight.sum()) == pytest.approx(1)
    row = straight[10]
    assert float(row.sum()) == pytest.approx(1)
    assert float(row[3:18].std()) < 1e-9  # even over its length
    np.testing.assert_allclose(row[:2].numpy(), 0)
    slanted = kernels.motion_path(21, [(0.0, 0.0), (6.0, 3.0)])
    x, y = grid(21)
    assert float((slanted * torch.from_numpy(x)).sum()) == pytest.approx(3, abs=1e-6)
    assert float((slanted * torch.from_numpy(y)).sum()) == pytest.approx(1.5, abs=1e-6)


def test_blurs_keep_brightness_and_place() -> None:
    for k in range(20):
        kernel = LensBlur().kernel(chance(k))
        size = len(kernel)
        assert size % 2 == 1
        assert 7 <= size <= 21
        assert float(kernel.sum()) == pytest.approx(1)
        x, y = grid(size)
        assert abs(float((kernel * torch.from_numpy(x)).sum())) < 1e-9
        assert abs(float((kernel * torch.from_numpy(y)).sum())) < 1e-9
    dot = torch.zeros(1, 1, 61, 61)
    dot[..., 30, 30] = 1
    rows = torch.arange(61.0)
    for k in range(20):
        moved = MotionBlur().degrade(dot, chance(k), 255)[0, 0]
        assert float(moved.sum()) == pytest.approx(1, abs=1e-5)
        assert float((moved.sum(0) * rows).sum()) == pytest.approx(30, abs=0.75)
        assert float((moved.sum(1) * rows).sum()) == pytest.approx(30, abs=0.75)


def test_kinds_of_kernels_come_as_often_as_they_should(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, tuple[float, ...]]] = []
    for name in ("gaussian", "generalised", "plateau", "sinc"):
        monkeypatch.setattr(camera, name, lambda size, *rest, name=name: drawn.append((name, (size, *rest))))
    lens, n = LensBlur(), 4000
    for k in range(n):
        lens.kernel(chance(k))

    def kind(name: str, rest: tuple[float, ...]) -> str:
        return name if name == "sinc" else f"{name}{'' if rest[1] == rest[2] else '_turned'}"

    found = Counter(kind(*d) for d in drawn)
    for name, share in zip(camera.KERNEL_KINDS, (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)):  # Real-ESRGAN's options
        assert abs(found[name] / n - 0.9 * share) < 0.025, name
    assert abs(found["sinc"] / n - 0.1) < 0.02
    for name, (size, *rest) in drawn:
        if name == "sinc":
            assert math.pi / (3 if size < 13 else 5) <= rest[0] <= math.pi
        else:
            assert 0.2 <= min(rest[:2]) <= max(rest[:2]) <= 3
            assert -math.pi <= rest[2] <= math.pi
    small = [r[1] for name, r in drawn if name == "sinc" and r[0] < 13]
    large = [r[1] for name, r in drawn if name == "sinc" and r[0] >= 13]
    assert min(small) > math.pi / 3 - 1e-9
    assert math.pi / 5 < min(large) < math.pi / 3.5
    betas = np.array([r[4] for name, r in drawn if name == "generalised"])
    assert 0.5 <= betas.min() < 1 < betas.max() <= 4
    assert abs((betas < 1).mean() - 0.5) < 0.07
    betas = np.array([r[4] for name, r in drawn if name == "plateau"])
    assert 1 <= betas.min() <= betas.max() <= 2
    assert abs((betas == 1).mean() - 0.5) < 0.07  # the authors' code draws so
    sizes = Counter(size for _, (size, *_) in drawn)
    assert sorted(sizes) == [7, 9, 11, 13, 15, 17, 19, 21]
    assert min(sizes.values()) > n / 8 * 0.8


def test_unsharp_masking_against_another_implementation() -> None:
    image = ((scenes(1, 3, 60, 70) + 1) / 2).double()
    sigma = 0.3 * ((51 - 1) * 0.5 - 1) + 0.8  # OpenCV's rule for a kernel of 51
    taps = np.exp(-((np.arange(51) - 25.0) ** 2) / (2 * sigma**2))
    taps /= taps.sum()

    def blur(x: np.ndarray) -> np.ndarray:
        once = scipy.ndimage.correlate1d(x, taps, axis=-1, mode="mirror")
        return scipy.ndimage.correlate1d(once, taps, axis=-2, mode="mirror")

    x = image[0].numpy()
    detail = x - blur(x)
    mask = blur((np.abs(detail) * 255 > 10).astype(np.float64))
    expected = mask * np.clip(x + 0.5 * detail, 0, 1) + (1 - mask) * x
    np.testing.assert_allclose(kernels.sharpen(image)[0].numpy(), expected, atol=1e-7)
    flat = torch.full((1, 3, 20, 20), 0.4)
    assert torch.allclose(kernels.sharpen(flat), flat)


# Noise and files


def test_noise_has_the_strength_that_is_asked_for() -> None:
    flat = torch.full((1, 3, 80, 80), 0.5)
    for sigma in (2.0, 25.0):
        noise = SensorNoise(sigma=(sigma, sigma)).degrade(flat, chance(1), 255) - flat
        assert float(noise.std()) * 255 == pytest.approx(sigma, rel=0.03)
        assert abs(float(noise.mean())) * 255 < 4 * sigma / math.sqrt(noise.numel())
        assert abs(float((noise[:, 0] * noise[:, 1]).mean())) < 0.06 * float(noise.var())
    grey = SensorNoise(sigma=(9.0, 9.0), grey=1.0).degrade(flat, chance(1), 255) - flat
    assert torch.allclose(grey[:, 0], grey[:, 1])
    assert float(grey.std()) * 255 == pytest.approx(9, rel=0.05)
    drawn = [
        float((SensorNoise(sigma=(0.0, 50.0)).degrade(flat, chance(k), 255) - flat).std()) * 255 for k in range(60)
    ]
    assert 0 <= min(drawn) < 8
    assert 42 < max(drawn) < 52


def test_poisson_noise_grows_with_the_light() -> None:
    steps = torch.linspace(0.1, 0.9, 5)
    image = (steps.view(1, 1, 5, 1) * 255).round().div(255).expand(1, 3, 5, 30_000)
    noise = camera.poisson_noise(image, False, chance())
    full = 8  # five levels, rounded up to a power of two
    np.testing.assert_allclose(noise.var(-1)[0, 0].numpy(), image[0, 0, :, 0].numpy() / full, rtol=0.06)
    np.testing.assert_allclose(noise.mean(-1)[0, 0].numpy(), 0, atol=0.02)
    assert not torch.equal(noise[:, 0], noise[:, 1])
    assert camera.poisson_noise(image, True, chance()).shape[1] == 1
    scaled = SensorNoise(poisson=1.0, poisson_scale=(2.0, 2.0)).degrade(image, chance(), 255) - image
    np.testing.assert_allclose(scaled.var(-1)[0, 0].numpy(), 4 * image[0, 0, :, 0].numpy() / full, rtol=0.06)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_that_of_the_codec(channels: int) -> None:
    image = scenes(1, channels)
    array = ((image[0] + 1) / 2 * 255).round().byte().permute(1, 2, 0).numpy()
    for quality in (10, 90):
        file = io.BytesIO()
        Image.fromarray(array if channels == 3 else array[..., 0]).save(file, "JPEG", quality=quality)
        expected = np.asarray(Image.open(file)).reshape(array.shape)
        out = Jpeg(quality=(float(quality), float(quality)))(image, [0], seed=0)
        np.testing.assert_array_equal(((out[0] + 1) / 2 * 255).round().permute(1, 2, 0).numpy(), expected)


def test_bicubic_is_the_resizer_of_the_field() -> None:
    images = scenes(2)
    expected = torch.stack([resize((i + 1) / 2 * 255, scale=0.5, top=255) for i in images]) / 255 * 2 - 1
    assert torch.allclose(Bicubic(scale=2)(images, [0, 1], seed=0), expected, atol=1e-6)


# Weather


def test_haze_is_atmospheric_scattering() -> None:
    haze = Haze(density=(0.6, 1.8), airlight=(0.7, 1.0), tint=0.03)
    for k in range(12):
        black, white, scene = (
            haze.degrade(x, chance(k), 255).double()
            for x in (torch.zeros(1, 3, 24, 32), torch.ones(1, 3, 24, 32), (scenes(1) + 1) / 2)
        )
        t = white - black  # J t + A (1 - t)
        assert torch.allclose(t[:, 0], t[:, 1])
        assert math.exp(-1.8) - 1e-6 <= float(t.min()) <= math.exp(-0.6) + 1e-6
        assert float(t.max()) == pytest.approx(1, abs=1e-6)  # the nearest point is clear
        far = t < 0.9
        air = (black / (1 - t).clamp_min(1e-9))[far].view(3, -1)
        assert float(air.std(1).max()) < 1e-5  # one airlight
        assert 0.67 - 1e-6 <= float(air.min()) <= float(air.max()) <= 1 + 1e-6
        assert float(air.max() - air.min()) <= 0.06 + 1e-6
        assert torch.allclose(scene, ((scenes(1) + 1) / 2).double() * t + black, atol=1e-6)
        rows = t[0, 0].mean(1)
        assert rows[:6].mean() < rows[-6:].mean()  # farther is higher up


def test_airlight_is_not_brighter_than_white() -> None:
    white = Haze(density=(9.0, 9.0), airlight=(1.0, 1.0), tint=0.2)
    assert all(float(white.degrade(torch.ones(1, 3, 9, 9), chance(k), 255).max()) <= 1 + 1e-6 for k in range(9))


def test_rain_falls_in_bright_streaks() -> None:
    grey = torch.full((1, 3, 64, 64), 0.3)
    rain = Rain(veil=(0.0, 0.0))
    for k in range(6):
        wet = rain.degrade(grey, chance(k), 255)
        assert float(wet.min()) >= 0.3 - 1e-6
        assert float(wet.max()) <= 1
        assert torch.equal(wet[:, 0], wet[:, 2])
        assert 0.005 < float((wet > 0.32).float().mean()) < 0.9
        added = (wet - grey)[0, 0].double()
        down = (added[1:] * added[:-1]).mean()
        across = (added[:, 1:] * added[:, :-1]).mean()
        assert down > across  # streaks stand upright
    veiled = Rain(drops=(0.0, 0.0), veil=(0.2, 0.2)).degrade(grey, chance(), 255)
    assert torch.allclose(veiled, torch.full_like(veiled, 0.3 * 0.8 + 0.75 * 0.2), atol=1e-6)
    amount = [float(Rain(drops=(d, d)).degrade(grey, chance(4), 255).mean()) for d in (0.0005, 0.002, 0.01)]
    assert amount == sorted(amount)


def test_low_light_takes_photons() -> None:
    level = 0.6
    light = ((level + 0.055) / 1.055) ** 2.4 / 4  # two stops less (IEC 61966-2-1)
    dark = LowLight(stops=(2.0, 2.0), photons=(1000.0, 1000.0), floor=(0.002, 0.002))
    image = torch.full((1, 1, 200, 200), level)
    seen = dark.degrade(image, chance(), 255).double()
    linear = torch.where(seen <= 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)
    assert float(linear.mean()) == pytest.approx(light, rel=0.01)
    assert float(linear.var()) == pytest.approx(light / 1000 + 0.002**2, rel=0.04)
    clean = LowLight(stops=(0.0, 0.0), photons=(1e9, 1e9), floor=(0.0, 0.0))
    ramp = torch.linspace(0, 1, 256).view(1, 1, 16, 16)
    assert torch.allclose(clean.degrade(ramp, chance(), 255), ramp, atol=2e-3)


# What is lost


def test_lab_is_that_of_scikit_image() -> None:
    rgb = (scenes(2, 3) + 1) / 2
    rgb[0, :, 0, :3] = torch.eye(3)
    lab = to_lab(rgb * 2 - 1)
    expected = skimage.color.rgb2lab(rgb.permute(0, 2, 3, 1).double().numpy())
    scaled = np.stack([expected[..., 0] / 50 - 1, expected[..., 1] / 110, expected[..., 2] / 110], 1)
    np.testing.assert_allclose(lab.numpy(), scaled, atol=2e-3)
    assert lab.abs().max() <= 1
    assert torch.allclose(from_lab(lab), rgb * 2 - 1, atol=2e-3)
    assert torch.equal(merge_lab(lab[:, :1], lab[:, 1:]), from_lab(lab))


def test_grey_keeps_the_lightness_from_which_colour_is_predicted() -> None:
    images = scenes(2)
    source, target = Grey().source_and_target(images, [0, 1], seed=0).values()
    assert source.shape == (2, 1, 24, 32)
    expected = skimage.color.rgb2lab(((images + 1) / 2).permute(0, 2, 3, 1).double().numpy())[..., 0] / 50 - 1
    np.testing.assert_allclose(source[:, 0].numpy(), expected, atol=1 / 255 + 1e-3)
    assert torch.equal(target, images)
    again = merge_lab(source, to_lab(target)[:, 1:])  # a network that predicts chroma without fault
    assert (again - images).abs().mean() < 0.01


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_guides_lie_in_holes_and_are_the_images(share: float) -> None:
    """Painted colours are means of squares of 8 pixels of the image, lines are on its edges; both in the hole alone."""
    images = scenes(6, 3, 48, 64)
    images[:, :, :, 40:] = 1.0
    images[:, :, :, :40] = -0.5
    out = GuidedHoles(colours=share, lines=share)(images, range(6), seed=2)
    image, colours, painted, lines, hole = out.split([3, 3, 1, 1, 1], 1)
    assert torch.equal(hole, Holes()(images, range(6), seed=2)[:, 3:])
    assert torch.equal(image, Holes()(images, range(6), seed=2)[:, :3])
    assert (painted[hole < 0] == -1).all()
    assert (lines[hole < 0] == -1).all()
    here = (painted > 0).expand_as(colours)
    assert (colours[~here].abs() < 0.01).all()
    torch.testing.assert_close(colours[here], images[here], atol=0.01, rtol=0)  # 40 is a multiple of 8
    at = (lines > 0).nonzero()[:, 3].unique().tolist()
    assert at in ([[39], [40], [39, 40]] if share else [[]])
    assert bool(here.any()) == bool(share)


@pytest.mark.parametrize("boxes", [0.0, 1.0])
def test_holes_are_blank_and_marked(boxes: float) -> None:
    images, holes = scenes(24, 3, 48, 64), Holes(boxes=boxes)
    out = holes(images, range(24), seed=2)
    hole = out[:, 3:] > 0
    assert set(out[:, 3:].unique().tolist()) == {-1.0, 1.0}
    kept = (~hole).expand(-1, 3, -1, -1)
    assert torch.equal(out[:, :3][kept], images[kept])
    assert (out[:, :3][~kept].abs() <= 1 / 255 + 1e-6).all()
    share = hole.float().mean((1, 2, 3))
    assert float(share.min()) > 0.04
    assert float(share.max()) < 0.75
    assert float(share.max() - share.min()) > 0.15
    if boxes:
        first = Holes(boxes=1.0, covered=(0.01, 0.01)).mask(48, 64, chance())[0, 0]
        rows, columns = first.any(1).nonzero(), first.any(0).nonzero()
        solid = first[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert solid.all()
    for k in range(30):
        assert not Holes(covered=(0.95, 0.95)).mask(4, 4, chance(k)).all()


def test_scratches_lie_over_the_image() -> None:
    grey = torch.full((1, 3, 64, 64), 0.5)
    for k in range(8):
        old = Scratches().degrade(grey, chance(k), 255)
        assert 0 <= float(old.min()) <= float(old.max()) <= 1
        touched = (old != grey).float().mean()
        assert 0.001 < touched < 0.7
    none = Scratches(scratches=(0.0, 0.0), dust=(0.0, 0.0)).degrade(grey, chance(), 255)
    assert torch.equal(none, grey)
    amount = []
    for count in (2.0, 10.0, 40.0):
        only = Scratches(scratches=(count, count), dust=(0.0, 0.0))
        amount.append(np.mean([float((only.degrade(grey, chance(k), 255) != grey).float().mean()) for k in range(5)]))
    assert amount == sorted(amount)


# Twice over


def traced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """What a second-order degradation does, in order."""
    done: list[tuple[str, object]] = []

    def noting(name: str, what: object, told: object) -> None:
        original = getattr(second_order, name)

        def noted(*args: object) -> object:
            out = original(*args)
            done.append((name, told(args, out)))  # type: ignore[operator]
            return out

        monkeypatch.setattr(second_order, name, noted)

    noting("filter_image", None, lambda a, o: tuple(a[1].shape))
    noting("resize_random", None, lambda a, o: (tuple(a[0].shape[2:]), tuple(o.shape[2:])))
    noting("compress_jpeg", None, lambda a, o: a[1])
    original = SensorNoise.degrade
    monkeypatch.setattr(
        SensorNoise, "degrade", lambda s, i, c, t: (done.append(("noise", s.sigma)), original(s, i, c, t))[1]
    )
    return done


def test_the_order_is_that_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    done = traced(monkeypatch)
    image, what, n = (scenes(1, 3, 32, 32) + 1) / 2, SecondOrder(), 400
    found: Counter[str] = Counter()
    for k in range(n):
        done.clear()
        out = what.degrade(image, chance(k), 255)
        assert out.shape == (1, 3, 8, 8)
        names = [name for name, _ in done]
        assert names[:4] == ["filter_image", "resize_random", "noise", "compress_jpeg"]
        (_, first), *_ = [d for d in done if d[0] == "resize_random"]
        assert first[0] == (32, 32)
        grown = first[1][0] / 32
        assert int(0.15 * 32) / 32 <= grown <= 1.5
        found["up"] += grown > 1
        found["same"] += grown == 1
        rest = names[4:]
        found["blurred"] += rest[0] == "filter_image"
        rest = rest[rest[0] == "filter_image" :]
        assert rest[:2] == ["resize_random", "noise"]
        _, second = [d for d in done if d[0] == "resize_random"][1]
        assert int(0.3 * 8) <= second[1][0] <= 1.2 * 8
        last = rest[2:]
        found["ringing"] += "filter_image" in last
        found["jpeg last"] += last[-1] == "compress_jpeg"
        without = [x for x in last if x != "filter_image"]
        assert sorted(without) == ["compress_jpeg", "resize_random"]
        if "filter_image" in last:
            assert last[last.index("filter_image") - 1] == "resize_random"  # ringing comes with the last scaling
        assert [s for name, s in done if name == "noise"] == [(1.0, 30.0), (1.0, 25.0)]
        assert all(30 <= q <= 95 for name, q in done if name == "compress_jpeg")  # type: ignore[operator]
    expected = {"up": 0.2, "blurred": 0.8, "ringing": 0.8, "jpeg last": 0.5}
    for name, share in expected.items():
        assert abs(found[name] / n - share) < 4 * math.sqrt(share * (1 - share) / n) + 0.02, name
    assert found["same"] / n >= 0.05


def test_the_second_order_has_its_noise_its_ringing_and_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    what = SecondOrder()
    assert (what.first.noise.poisson, what.second.noise.poisson) == (0.5, 0.5)
    assert Stage(gaussian=0.8).noise.poisson == pytest.approx(0.2)
    assert (what.first.noise.grey, what.first.noise.poisson_scale) == (0.4, (0.05, 3.0))
    assert what.second.noise.poisson_scale == (0.05, 2.5)
    assert (what.first.lens.sigma, what.second.lens.sigma) == ((0.2, 3.0), (0.2, 1.5))
    assert (what.first.lens.sinc, what.second.lens.sinc) == (0.1, 0.1)
    cutoffs: list[float] = []
    original = second_order.sinc
    monkeypatch.setattr(second_order, "sinc", lambda size, w: (cutoffs.append(w), original(size, w))[1])
    begun: list[Tensor] = []
    monkeypatch.setattr(Stage, "before_jpeg", lambda s, i, z, c: (begun.append(i), i)[1])
    image = (scenes(1) + 1) / 2
    for k in range(150):
        what(image * 2 - 1, [k], seed=0)
    assert torch.allclose(begun[0], kernels.sharpen(image), atol=1e-6)
    assert math.pi / 3 <= min(cutoffs) < math.pi / 2.7
    assert max(cutoffs) <= math.pi
    begun.clear()
    SecondOrder(sharpen=False)(image * 2 - 1, [0], seed=0)
    assert torch.allclose(begun[0], image, atol=1e-6)


def test_scaling_takes_all_three_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: Counter[str] = Counter()
    original = torch.nn.functional.interpolate

    def noted(image: Tensor, *, size: tuple[int, int], mode: str) -> Tensor:
        modes[mode] += 1
        return original(image, size=size, mode=mode)

    monkeypatch.setattr(second_order.F, "interpolate", noted)
    for k in range(300):
        second_order.resize_random(torch.zeros(1, 1, 8, 8), (6, 7), chance(k))
    assert set(modes) == {"area", "bilinear", "bicubic"}
    assert min(modes.values()) > 70
    assert second_order.resize_random(torch.zeros(1, 1, 8, 8), (0, 3), chance()).shape[2:] == (1, 3)


def test_the_target_is_the_sharpened_image() -> None:
    images = scenes(2, 4)
    wanted = SecondOrder().targets(images)
    assert torch.allclose(wanted[:, :3], torch.cat([kernels.sharpen((i[None, :3] + 1) / 2) for i in images]) * 2 - 1)
    assert torch.equal(wanted[:, 3], images[:, 3])
    assert not torch.equal(wanted, images)
    assert SecondOrder(sharpen=False).targets(images) is images
    assert Chain(parts=[Spec(SecondOrder), Spec(Jpeg)]).targets(images).equal(wanted)


def test_one_stage_degrades_without_scaling() -> None:
    images = scenes(2)
    out = Stage()(images, [0, 1], seed=0)
    assert out.shape == images.shape


def test_a_chain_is_one_after_the_other() -> None:
    images, parts = scenes(1, 3), [Bicubic(scale=2), Jpeg(quality=(40.0, 40.0)), Bicubic(scale=2)]
    what = Chain(parts=[Spec(Bicubic, scale=2), Spec(Jpeg, quality=(40.0, 40.0)), Spec(Bicubic, scale=2)])
    assert what.scale == 4
    expected = images
    for part in parts:
        expected = part(expected, [0], seed=0)
    assert (what(images, [0], seed=0) - expected).abs().max() < 2.1 / 255 * 2
    assert what(images, [0], seed=0).shape == (1, 3, 6, 8)
    loud = Chain(
        parts=[Spec(SensorNoise, sigma=(500.0, 500.0)), Spec(Scratches, scratches=(0.0, 0.0), dust=(0.0, 0.0))]
    )
    out = loud.degrade((images + 1) / 2, chance(), 255)
    assert 0 <= float(out.min()) <= float(out.max()) <= 1  # the second part is given an image, not what is beyond


def test_weights_of_luma() -> None:
    image = torch.eye(3).view(1, 3, 1, 3)
    np.testing.assert_allclose(luma(image).flatten().numpy(), [0.299, 0.587, 0.114], rtol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
@pytest.mark.parametrize("name", DEGRADATIONS)
def test_they_run_on_an_accelerator(name: str) -> None:
    what, images = made(name), scenes(2).cuda()
    out = what(images, [0, 1], seed=0)
    assert out.device == images.device
    assert torch.equal(out, what(images, [0, 1], seed=0))
