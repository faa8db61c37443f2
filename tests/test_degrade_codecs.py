"""Degradations by codecs, few tones and sampling: known answers, and their equations done again in another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvas.catalog import DEGRADATIONS, RECIPES
from ganvas.data.degrade import RandomStream, codecs, sampling, tones
from ganvas.data.degrade.codecs import Avif, ChromaSubsampling, VideoCodec, WebP
from ganvas.errors import UsageError


def scene(channels: int = 3, height: int = 48, width: int = 64, top: int = 255) -> Tensor:
    """A soft coloured image (1, C, H, W) in [0, 1] of whole levels with one sharp edge."""
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    planes = [0.5 + 0.4 * torch.sin(5 * x + k + 3 * y) for k in range(channels)]
    image = torch.stack(planes)[None] * (1 - 0.5 * (x > 0.6))
    return (image * top).round() / top


def psnr(a: Tensor, b: Tensor) -> float:
    return -10 * math.log10((a - b).square().mean().item())


# Codecs


@pytest.mark.parametrize("codec", codecs.ENCODERS)
def test_a_video_codec_keeps_the_image_in_place_and_loses_more_with_severity(codec):
    pytest.importorskip("av")
    image = scene(height=80, width=100)
    results = {}
    for severity in (0.0, 0.5, 1.0):
        what = VideoCodec(codecs=[codec], severity=(severity, severity), frames=3)
        results[severity] = what.degrade(image, RandomStream(0, 1), 255)
        assert torch.equal(results[severity], what.degrade(image, RandomStream(0, 1), 255))
    quality = [psnr(image, results[s]) for s in (0.0, 0.5, 1.0)]
    assert quality[0] > quality[1] > quality[2] > 15
    assert quality[0] > 30
    moved = torch.roll(image, 1, 3)
    assert psnr(moved, results[0.0]) < quality[0] - 5
    grey = VideoCodec(codecs=[codec], severity=(0, 0)).degrade(scene(1), RandomStream(0, 1), 255)
    assert grey.shape == (1, 1, 48, 64)
    assert psnr(scene(1), grey) > 30


def test_the_last_frame_is_the_image_and_each_is_a_shift(monkeypatch):
    pytest.importorskip("av")
    seen = []
    monkeypatch.setattr(codecs, "compress_film", lambda films, codec, severity: seen.extend(films) or films[-1])
    image = scene(height=64, width=80)
    out = VideoCodec(frames=4, motion=3).degrade(image, RandomStream(0, 5), 255)
    assert torch.equal((out * 255).round(), (image * 255).round())
    assert len(seen) == 4
    for before, after in zip(seen, seen[1:]):
        near = [(y, x) for y in range(-3, 4) for x in range(-3, 4) if (np.roll(before, (y, x), (0, 1)) == after).all()]
        assert len(near) == 1


@pytest.mark.parametrize("what", [WebP, Avif])
def test_still_codecs_lose_more_at_a_lower_quality(what):
    image = scene()
    fine, coarse = (what(quality=(q, q)).degrade(image, RandomStream(0, 0), 255) for q in (90, 5))
    assert psnr(image, fine) > psnr(image, coarse) + 3
    assert psnr(image, fine) > 30


def test_avif_keeps_colour_at_the_resolution_that_is_asked_for():
    edge = torch.zeros(1, 3, 32, 32)
    edge[:, 0, :, ::2] = edge[:, 2, :, 1::2] = 1  # red and blue columns, whose colour 4:2:0 averages
    full, half = (Avif(quality=(95, 95), chroma=[c]).degrade(edge, RandomStream(0, 0), 255) for c in ("4:4:4", "4:2:0"))
    assert psnr(edge, full) > psnr(edge, half) + 6


@pytest.mark.parametrize("scheme", codecs.SCHEMES)
def test_chroma_is_the_mean_over_the_blocks_of_the_scheme(scheme):
    """Against blocks in loops, float64, JFIF's equations."""
    image, (down, across) = scene(height=8, width=12), codecs.SCHEMES[scheme]
    first = (down // 2, across // 2)
    out = codecs.subsample_chroma(image, scheme, "nearest", first, 255)[0].double().numpy()
    r, g, b = image[0].double().numpy()
    light = 0.299 * r + 0.587 * g + 0.114 * b
    y = np.round(255 * light) / 255

    def block(place: int, side: int, size: int, start: int) -> list[int]:
        """Rows or columns of the block of one of them, which begins `start` outside the image; edges are repeated."""
        begin = (place + start) // size * size - start
        return [min(max(k, 0), side - 1) for k in range(begin, begin + size)]

    means = []
    for colour, weight in ((b, 0.114), (r, 0.299)):
        plane = np.round(255 * (colour - light) / (2 * (1 - weight))) / 255
        areas = [
            [np.ix_(block(i, 8, down, first[0]), block(j, 12, across, first[1])) for j in range(12)] for i in range(8)
        ]
        means.append(np.round([[255 * plane[area].mean() for area in row] for row in areas]) / 255)
    cb, cr = means
    expected = np.stack([y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb])
    assert np.abs(out - expected).max() < 1.5 / 255  # a mean that lies between two levels may be rounded either way
    assert np.abs(out - expected).mean() < 1e-3
    assert torch.equal(codecs.subsample_chroma(scene(1), scheme, "nearest", first, 255), scene(1))


def test_smooth_filters_keep_slopes_of_colour_smooth():
    slope = torch.stack([torch.linspace(0, 1, 32).expand(8, -1), torch.full((8, 32), 0.5), torch.full((8, 32), 0.5)])[
        None
    ]
    steps = {}
    for name in ("nearest", "bilinear", "bicubic"):
        out = codecs.subsample_chroma(slope, "4:1:1", name, (0, 0), 65535)
        steps[name] = (out - slope)[..., 4:-4].abs().max().item()
    assert steps["bilinear"] < 0.01 < steps["nearest"]
    assert steps["bicubic"] < 0.01


# Few tones


def test_bayers_matrix_is_the_published_one():
    four = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]
    assert tones.bayer(4).tolist() == four
    for size in (2, 4, 8, 16):
        assert sorted(tones.bayer(size).ravel()) == list(range(size**2))


@pytest.mark.parametrize("levels", [2, 3, 7])
def test_ordered_dithering_turns_on_as_many_points_as_the_tone_says(levels):
    for value in (0.0, 0.25, 0.5, 0.8, 1.0):
        out = tones.dither_ordered(torch.full((1, 1, 16, 16), value, dtype=torch.float64), levels, 8, (3, 5))
        steps = out * (levels - 1)
        assert (steps - steps.round()).abs().max() < 1e-9
        assert abs(out.mean().item() - value) <= 1 / 128 / (levels - 1)
    ramp = torch.tensor([[0.0, 0.1, 0.3, 0.9]]).repeat(4, 1)[None, None]
    by_hand = (ramp[0, 0].numpy() > (tones.bayer(4) + 0.5) / 16).astype(float)
    assert tones.dither_ordered(ramp, 2, 4, (0, 0))[0, 0].tolist() == by_hand.tolist()


PUBLISHED = {  # weights as printed, the pixel itself marked by *
    "floyd_steinberg": (16, ["  * 7", "3 5 1"]),
    "jarvis": (48, ["    * 7 5", "3 5 7 5 3", "1 3 5 3 1"]),
    "stucki": (42, ["    * 8 4", "2 4 8 4 2", "1 2 4 2 1"]),
    "burkes": (32, ["    * 8 4", "2 4 8 4 2"]),
    "sierra": (32, ["    * 5 3", "2 4 5 4 2", "  2 3 2"]),
    "sierra_lite": (4, ["  * 2", "1 1"]),
    "atkinson": (8, ["  * 1 1", "1 1 1", "  1"]),
}


@pytest.mark.parametrize("kernel", PUBLISHED)
def test_error_diffusion_is_the_published_loop_pixel_by_pixel(kernel):
    divisor, rows = PUBLISHED[kernel]
    centre = rows[0].index("*") // 2
    weights = [
        (dy, place // 2 - centre, int(sign))
        for dy, row in enumerate(rows)
        for place, sign in enumerate(row)
        if sign not in " *"
    ]
    assert sum(w for *_, w in weights) == (6 if kernel == "atkinson" else divisor)
    rng = np.random.default_rng(0)
    for height, width, levels in ((9, 13, 2), (4, 5, 5), (12, 3, 3), (1, 1, 2)):
        image = rng.random((height, width, 2))
        room = np.pad(image * (levels - 1), [(0, 2), (2, 2), (0, 0)])
        for y in range(height):
            for x in range(2, width + 2):
                value = room[y, x].copy()
                room[y, x] = np.clip(np.floor(value + 0.5), 0, levels - 1)
                for dy, dx, weight in weights:
                    room[y + dy, x + dx] += weight * (value - room[y, x]) / divisor
        expected = room[:height, 2:-2] / (levels - 1)
        assert np.array_equal(tones.diffuse_error(image, levels, kernel), expected)


def test_banding_has_so_many_levels_and_no_error_above_half_a_step():
    ramp = torch.linspace(0, 1, 500).view(1, 1, 1, -1)
    for levels, shift in ((6, 0.0), (6, 0.3), (17, -0.4)):
        out = tones.band(ramp, levels, shift)
        assert levels - 1 <= len(out.unique()) <= levels + 1
        assert (out - ramp).abs().max() <= 0.5 / (levels - 1) + 1e-6
    only_luma = tones.Banding(levels=(4, 4), luma=1.0).degrade(scene(), RandomStream(0, 0), 255)
    difference = only_luma - scene()
    assert (difference - difference.mean(1, keepdim=True)).abs().max() < 1e-6  # the same in red, green and blue


@pytest.mark.parametrize("shape", ["dots", "lines"])
@pytest.mark.parametrize("angle", [0.0, 15.0, 45.0])
def test_a_screen_prints_as_much_ink_as_the_tone_says_in_the_period_of_its_pitch(shape, angle):
    for ink in (0.0, 0.2, 0.5, 0.9, 1.0):
        assert abs(tones.print_screen(np.full((96, 96), ink), 8.0, angle, (0.0, 0.0), shape).mean() - ink) < 0.03
    dots = tones.print_screen(np.full((96, 96), 0.3), 8.0, 0.0, (0.0, 0.0), shape)
    assert np.allclose(dots[8:], dots[:-8])  # a pitch further down it is the same
    assert not np.allclose(dots[4:], dots[:-4])
    spectrum = np.abs(np.fft.rfft2(dots - dots.mean()))
    assert np.unravel_index(spectrum.argmax(), spectrum.shape) in [(12, 0), (0, 12), (84, 0)]  # 96 / 8 periods


def test_inks_of_a_halftone_multiply_to_the_image():
    image = scene()[0].double().numpy()
    for black in (0.0, 0.5, 1.0):
        *colours, key = tones.separate(image, black)
        assert all(ink.min() >= -1e-12 and ink.max() <= 1 for ink in (*colours, key))
        assert np.allclose([(1 - ink) * (1 - key) for ink in colours], image)
    assert np.allclose(1 - tones.separate(image[:1], 0.5)[0], image[0])


def test_screentone_keeps_black_and_white_solid_and_is_grey():
    image = torch.cat([torch.full((1, 3, 24, 8), v) for v in (0.05, 0.5, 0.95)], 3)
    out = tones.Screentone(solid=(0.1, 0.9)).degrade(image, RandomStream(0, 0), 255)
    assert out[..., :8].max() == 0
    assert out[..., -8:].min() == 1
    assert out[..., 8:16].std() > 0.2
    assert torch.equal(out[:, 0], out[:, 2])


# Sampling


def test_resampling_is_done_by_every_filter_that_is_named():
    image, seen = scene(height=32, width=32), {}
    for place in range(600):
        out = sampling.Resample(scale=4).degrade(image, RandomStream(0, place), 255)
        seen[out.numpy().tobytes()] = out
    assert len(seen) == 4 + 16  # four filters, and nearest at each of 16 places
    area = image.reshape(1, 3, 8, 4, 8, 4).mean((3, 5))
    assert any(torch.allclose(out, area, atol=1e-6) for out in seen.values())
    assert any(torch.equal(out, image[..., 1::4, 2::4]) for out in seen.values())


def test_aliasing_repeats_every_second_point_and_keeps_the_size():
    image = scene(height=12, width=12)
    out = sampling.sample_points(image, 2.0, False, (0.0, 0.0))
    assert torch.equal(out, image[..., 1::2, 1::2].repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert sampling.sample_points(image, 2.7, True, (0.3, -0.2)).shape == image.shape
    assert torch.equal(sampling.sample_points(image, 1.0, False, (0.0, 0.0)), image)


@pytest.mark.parametrize("parity", [0, 1])
def test_interlacing_weaves_two_moments(parity):
    image = scene(height=9, width=20)
    ahead, behind = sampling.move_columns(image, 2.0), sampling.move_columns(image, -2.0)
    assert torch.equal(ahead[..., 2:], image[..., :-2])
    woven = sampling.interlace(image, "weave", 4.0, parity)
    for row in range(9):
        assert torch.equal(woven[:, :, row], (ahead if row % 2 == parity else behind)[:, :, row])
    bob = sampling.interlace(image, "bob", 4.0, parity)
    lines = [max(row - (row + parity) % 2, 0) for row in range(9)]
    assert torch.equal(bob, ahead[:, :, lines])
    assert torch.allclose(sampling.interlace(image, "blend", 4.0, parity)[:, :, 3], woven[:, :, 3:5].mean(2))
    half = sampling.move_columns(torch.arange(5.0).view(1, 1, 1, 5), 0.5)
    assert half.flatten().tolist() == [0.0, 0.5, 1.5, 2.5, 3.5]


def test_a_halo_is_the_detail_that_is_added_once_more():
    step = torch.zeros(1, 1, 9, 41)
    step[..., 20:] = 1
    out = sampling.add_halo(step, 2.0, 1.5)[0, 0, 4].double().numpy()
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    blurred = np.convolve(step[0, 0, 4].numpy(), taps / taps.sum(), "same")
    assert np.allclose(out[6:-6], (step[0, 0, 4].numpy() + 2 * (step[0, 0, 4].numpy() - blurred))[6:-6], atol=1e-5)
    assert out.max() > 1.5  # overshoot: twice the detail, which is almost a half at the edge
    ringing = sampling.Ringing(sinc=1.0, cutoff=(1.0, 1.0)).degrade(step, RandomStream(0, 0), 255)[0, 0, 4]
    signs = torch.sign(ringing[24:36] - 1)
    assert (signs[1:] != signs[:-1]).sum() >= 3  # echoes: above and below white in turn


NEW = ["video_codec", "webp", "avif", "chroma_subsampling", "banding", "ordered_dither", "error_diffusion"]
NEW += ["halftone", "screentone", "resample", "aliasing", "interlacing", "ringing"]


@pytest.mark.parametrize("name", NEW)
def test_each_changes_a_photograph_and_can_be_set_by_name(name):
    if name == "video_codec":
        pytest.importorskip("av")
    images = scene() * 2 - 1
    changed = sum(not torch.equal(DEGRADATIONS[name]()(images, [k], seed=0), images) for k in range(3))
    assert changed >= 2
    recipe = RECIPES["denoise"]()
    recipe.set("degradation", f"chain(parts=[{name},jpeg])")
    assert recipe.degradation.build().parts[0].scale in (1, 4)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("video_codec", {"codecs": ["h265"]}, "codecs of h264, hevc"),
        ("video_codec", {"frames": 0}, "1 to 30 frames"),
        ("avif", {"chroma": ["4:1:1"]}, "chroma of 4:2:0"),
        ("chroma_subsampling", {"schemes": []}, "schemes of"),
        ("ordered_dither", {"sizes": (3,)}, "sizes of 2, 4, 8"),
        ("error_diffusion", {"kernels": ["floyd"]}, "Did you mean 'floyd_steinberg'"),
        ("banding", {"levels": (1, 4)}, "from 2 to 256"),
        ("resample", {"scale": 0}, "whole number of times"),
        ("interlacing", {"kinds": ["comb"]}, "weave, blend, bob"),
        ("halftone", {"pitch": (0.5, 2)}, "pitch as a range"),
    ],
)
def test_wrong_options_are_refused(name, options, words):
    with pytest.raises(UsageError, match=words):
        DEGRADATIONS[name](**options)


def test_chroma_is_drawn_at_every_phase():
    image = scene(height=16, width=16)
    what = ChromaSubsampling(schemes=["4:2:0"], filters=["nearest"])
    assert len({what.degrade(image, RandomStream(0, k), 255).numpy().tobytes() for k in range(40)}) == 4
