"""Images cut at their own resolution: which pixels, from where, in pairs, and what cannot be cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.data.batches import Batches, iterate_once
from ganvas.data.patches import choose_tile, tile_starts
from ganvas.data.sources import open_saved, open_source
from ganvas.errors import UserError

SIZES = {"a.png": (70, 50), "b.png": (64, 64), "c.png": (33, 90)}  # (width, height)


def ramp(width, height, k=0):
    """Every pixel says where it is: red across, green down, blue which image."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, k)], 2).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for k, (name, size) in enumerate(SIZES.items()):
        Image.fromarray(ramp(*size, k)).save(tmp_path / "images" / name)
    return tmp_path / "images"


@pytest.fixture
def pairs(tmp_path):
    """Targets twice as large as their sources, whose pixels say where in the source they are."""
    for side, factor in (("low", 1), ("high", 2)):
        (tmp_path / side).mkdir()
        for k, (name, (width, height)) in enumerate(SIZES.items()):
            big = ramp(width, height, k).repeat(factor, 0).repeat(factor, 1)
            Image.fromarray(big).save(tmp_path / side / name)
    return f"source={tmp_path / 'low'},target={tmp_path / 'high'}"


def opened(name, tmp_path, patch=16, **more):
    return open_source(str(name), cache=tmp_path / "cache", patch=patch, **more)


PHOTOGRAPHS = [(340, 512)] * 12 + [(512, 340)] * 8  # (height, width), both orientations
CUT = [  # sizes of images, window, the tile, how many images are too small
    (PHOTOGRAPHS, 256, (340, 340), 0),
    (PHOTOGRAPHS, 96, (192, 192), 0),
    ([*PHOTOGRAPHS, (200, 400)], 256, (340, 340), 1),  # below the window
    ([*PHOTOGRAPHS, (260, 512)], 256, (340, 340), 1),  # one among many does not shrink the tiles of all
    ([(100, 100)], 64, (100, 100), 0),
]


@pytest.mark.parametrize(("sizes", "side", "tile", "dropped"), CUT)
def test_tiles_are_of_a_size_that_most_images_have(sizes, side, tile, dropped):
    chosen, small = choose_tile({f"{k}.png": size for k, size in enumerate(sizes)}, (side, side))
    assert (chosen, len(small)) == (tile, dropped)


EARLIER = "27b8923d609a1d2562db84a4b70e13c2"  # of the folder below, by the version of df9150c


def test_a_run_of_an_earlier_version_finds_its_tiles(tmp_path):
    """Those were limited by the medians of heights and of widths, and left the portraits out."""
    (tmp_path / "in").mkdir()
    for k in range(20):
        size = (60, 40) if k < 12 else (40, 60)
        Image.fromarray(ramp(*size, k)).save(tmp_path / "in" / f"{k:02}.png")
    options = {"cache": tmp_path / "cache", "patch": 32}
    assert len(open_source(str(tmp_path / "in"), **options).skipped) == 0
    found = open_saved(str(tmp_path / "in"), EARLIER, None, 0, **options)
    assert (found.fingerprint, found.images.shape[1:3], len(found.skipped)) == (EARLIER, (40, 60), 8)


def test_tiles_cover_every_pixel_once_where_they_can():
    for length in range(16, 70):
        covered = np.zeros(length, int)
        for start in tile_starts(length, 16):
            covered[start : start + 16] += 1
        assert covered.min() == 1
        assert len(tile_starts(length, 16)) == -(-length // 16)


def test_a_folder_is_cut_at_its_own_resolution(folder, tmp_path):
    data = opened(folder, tmp_path)
    assert data.facts.resolution == (16, 16)
    assert data.images.shape[1:] == (32, 32, 3)  # room for a window to move
    assert len(data) == sum(-(-w // 32) * -(-h // 32) for w, h in SIZES.values())
    for tile in np.asarray(data.images):
        (x, y, k), (width, height) = tile[0, 0].astype(int), (32, 32)
        np.testing.assert_array_equal(tile, ramp(x + width, y + height, k)[y:, x:])
    seen = {(int(p[2]), int(p[0]), int(p[1])) for tile in np.asarray(data.images) for p in tile.reshape(-1, 3)}
    assert len(seen) == sum(w * h for w, h in SIZES.values())
    assert "32x32 of 3 images" in data.notes[0]


def test_windows_move_and_follow_from_seed_and_place(folder, tmp_path):
    data = opened(folder, tmp_path)
    batches = Batches(data, seed=3)
    whole = batches.at(0, 12)["image"]
    assert whole.shape == (12, 3, 16, 16)
    parts = torch.cat([batches.at(0, 5)["image"], batches.at(5, 7)["image"]])
    assert torch.equal(whole, parts)
    again = batches.at(len(data), 12)
    levels = ((whole + 1) * 127.5).round().long()
    assert (levels[:, 0].diff(dim=2) == 1).all()
    assert (levels[:, 1].diff(dim=1) == 1).all()
    corners = set()
    for start in range(0, 40 * len(data), len(data)):
        for image in ((batches.at(start, len(data))["image"][:, :2, 0, 0] + 1) * 127.5).round().int().tolist():
            corners.add(tuple(image))
    assert len(corners) > 300  # of 17 x 17 for every tile
    assert not torch.equal(again["image"], whole)
    assert torch.equal(batches.preview([1, 2])["image"], batches.preview([1, 2])["image"])
    assert next(iterate_once(data, 4))["image"].shape == (4, 3, 16, 16)


def test_every_corner_of_a_tile_is_reached(folder, tmp_path):
    batches = Batches(opened(folder, tmp_path), seed=0)
    found = np.array(batches.window.random_corners(range(5000)))
    assert found.min() == 0
    assert found.max() == 16
    assert abs(found.mean() - 8) < 0.3


def test_pairs_of_two_sizes_stay_aligned(pairs, tmp_path):
    data = opened(pairs, tmp_path)
    assert (data.facts.resolution, data.facts.scale, data.facts.source_channels) == ((16, 16), 2, 3)
    batch = Batches(data, seed=1, needs={"source"}).at(0, len(data))
    assert batch["source"].shape[1:] == (3, 8, 8)
    assert batch["image"].shape[1:] == (3, 16, 16)
    assert torch.equal(batch["image"][:, :, ::2, ::2], batch["source"])
    assert torch.equal(batch["image"][:, :, 1::2, 1::2], batch["source"])
    assert "the target 2 times as large" in data.notes[0]


def test_small_images_are_skipped(folder, tmp_path):
    Image.new("RGB", (15, 80)).save(folder / "thin.png")
    data = opened(folder, tmp_path)
    assert dict(data.skipped)["thin.png"] == "is 15x80, smaller than the 16x16 that are cut out"
    with pytest.raises(UserError, match="no patches can be cut"):
        opened(folder, tmp_path, patch=512)


def test_one_small_image_does_not_take_room_from_the_others(folder, tmp_path):
    Image.new("RGB", (20, 80)).save(folder / "thin.png")
    data = opened(folder, tmp_path)
    assert data.images.shape[1:3] == (32, 32)
    assert "thin.png" in dict(data.skipped)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGBA", 4)])
def test_channels_are_those_of_the_images(mode, channels, tmp_path):
    (tmp_path / "in").mkdir()
    image = Image.fromarray(ramp(40, 40)).convert(mode)
    if mode == "RGBA":
        image.putalpha(128)
    image.save(tmp_path / "in" / "a.png")
    assert opened(tmp_path / "in", tmp_path).facts.channels == channels


def test_sixteen_bits_stay(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray((np.arange(1600, dtype=np.uint16) * 40).reshape(40, 40)).save(tmp_path / "in" / "a.png")
    data = opened(tmp_path / "in", tmp_path)
    assert (data.images.dtype, data.facts.channels) == (np.uint16, 1)
    assert np.asarray(data.images).max() == 1599 * 40


def test_pairs_must_be_of_one_scale(pairs, tmp_path):
    Image.fromarray(ramp(200, 150)).save(tmp_path / "low" / "d.png")
    Image.fromarray(ramp(200, 150)).save(tmp_path / "high" / "d.png")
    with pytest.raises(UserError, match=r"d\.png is 200x150 and d\.png 200x150; a target is 2 times"):
        opened(pairs, tmp_path)


def test_a_damaged_image_is_named(folder, tmp_path):
    whole = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"a\.png"):
        opened(folder, tmp_path)


def test_what_is_seen_whole_is_not_cut(folder, tmp_path):
    assert open_source(str(folder), cache=tmp_path / "cache", resolution=(16, 16)).window is None
    assert open_source("digits", patch=16).images.shape[1:3] == (32, 32)


def test_strips_of_both_orientations_are_cut_by_their_shorter_side(tmp_path):
    (tmp_path / "strips").mkdir()
    for name, size in {"wide.png": (100, 20), "tall.png": (20, 100)}.items():
        Image.new("RGB", size).save(tmp_path / "strips" / name)
    data = opened(tmp_path / "strips", tmp_path)
    assert (data.images.shape[1:3], len(data), data.skipped) == ((20, 20), 10, [])
