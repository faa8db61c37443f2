"""Ranges of images that are obviously not what was meant are said, and `levels:LOW:HIGH:PATH` scales them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ganvas.data import open_source
from ganvas.data.sources import absolute_source
from ganvas.errors import UsageError, UserError

RANDOM = np.random.default_rng(0)
MASKS = RANDOM.integers(0, 2, (4, 8, 8), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))


def save(root: Path, images: np.ndarray, form: str) -> str:
    """The same images as a folder of files of a format, as an array, or as an IDX file."""
    root.mkdir(parents=True, exist_ok=True)
    if form == "npz":
        np.savez(root / "x.npz", images=images)
    elif form == "idx":
        (root / "t-images-idx3-ubyte").write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, *images.shape) + images.tobytes())
    else:
        for k, image in enumerate(images):
            if form == "tif":
                tifffile.imwrite(root / f"{k}.tif", image)
            else:
                Image.fromarray(image).save(root / f"{k}.{form}")
    return str(root / "x.npz" if form == "npz" else root)


BITS = {bits: RANDOM.integers(0, 2**bits, (4, 8, 8)).astype(np.uint16) for bits in (10, 12, 14, 16)}
FLOATS = RANDOM.random((4, 8, 8), dtype=np.float32)
NOTES = {  # name: (images, format, what is said)
    "masks of 0 and 1": (MASKS, "png", "if 1 is white, --data levels:0:1:PATH"),
    "masks in an array": (MASKS.astype(np.int64), "npz", "if 1 is white, --data levels:0:1:PATH"),
    "masks in an IDX file": (MASKS, "idx", "if 1 is white, --data levels:0:1:PATH"),
    "masks of classes": (MASKS * 20, "png", "if 20 is white, --data levels:0:20:PATH"),
    "10 bits": (BITS[10], "png", "if 1,023 is white, --data levels:0:1023:PATH"),
    "12 bits": (BITS[12], "npz", "if 4,095 is white, --data levels:0:4095:PATH"),
    "14 bits": (BITS[14], "tif", "if 16,383 is white, --data levels:0:16383:PATH"),
    "16 bits": (BITS[16], "png", ""),
    "8 bits": (MASKS * 255, "png", ""),
    "black": (MASKS * 0, "png", "all 4 images are of one level, 0 of 255 (black)"),
    "one value": (MASKS * 0 + 90, "npz", "all 4 images are of one level, 90 of 255"),
    "little contrast": (MASKS * 5 + 120, "png", "from 120 to 125 of 255; --data levels:120:125:PATH"),
    "floats of 0 to 1 in an array": (FLOATS, "npz", "are read as [0, 1]"),
}


@pytest.mark.parametrize("case", NOTES)
def test_ranges_that_are_not_what_was_meant_are_said(case, tmp_path):
    images, form, sentence = NOTES[case]
    source = save(tmp_path / "x", images, form)
    for _ in range(2):  # prepared, then from the cache
        data = open_source(source)
        assert sentence in " ".join(data.notes)
        assert sentence or not data.notes


SCALED = {  # name: (images, format, low, high, top of the result)
    "masks": (MASKS, "png", 0, 1, 255),
    "masks in an array": (MASKS, "npz", 0, 1, 255),
    "masks in an IDX file": (MASKS, "idx", 0, 1, 255),
    "12 bits": (BITS[12], "png", 0, 4095, 65535),
    "10 bits in an array": (BITS[10], "npz", 0, 1023, 65535),
    "floats of 0 to 1": (FLOATS, "tif", 0, 1, 65535),
    "floats around 0": (FLOATS * 4000 - 1000, "tif", -1000, 3000, 65535),
    "signed integers": ((FLOATS * 4000 - 1000).astype(np.int32), "tif", -1000, 3000, 65535),
    "integers in an array": ((FLOATS * 4000 - 1000).astype(np.int32), "npz", -1000, 3000, 65535),
    "outside": (FLOATS, "tif", 0.25, 0.5, 65535),
    "negative": (MASKS * 255, "png", 255, 0, 255),
}


@pytest.mark.parametrize("case", SCALED)
def test_levels_scale_a_range_to_black_and_white(case, tmp_path):
    images, form, low, high, top = SCALED[case]
    path = save(tmp_path / "x", images, form)
    data = open_source(f"levels:{low}:{high}:{path}")
    expected = np.clip((images.astype(np.float64) - low) / (high - low), 0, 1) * top
    assert data.images.dtype == (np.uint8 if top == 255 else np.uint16)
    assert abs(data.images[..., 0] - expected).max() <= 0.51
    assert not any("levels:" in note for note in data.notes)
    if case in ("masks", "12 bits"):
        assert data.fingerprint != open_source(path).fingerprint


def test_colours_of_16_bits_in_an_array_and_transparency(tmp_path):
    colours = np.repeat(BITS[12][..., None], 3, 3)
    data = open_source("levels:0:4095:" + save(tmp_path / "x", colours, "npz"))
    assert abs(data.images[..., 2] - BITS[12] * (255 / 4095)).max() <= 0.51
    alpha = np.concatenate([np.repeat(MASKS[..., None], 3, 3), MASKS[..., None] * 100 + 100], -1)
    clear = open_source("levels:0:1:" + save(tmp_path / "y", alpha, "png"))
    np.testing.assert_array_equal(clear.images[..., 3], alpha[..., 3])
    np.testing.assert_array_equal(clear.images[..., 0], MASKS * 255)


def test_parts_of_a_pair_have_levels_of_their_own(tmp_path):
    masks, photos = save(tmp_path / "m", MASKS, "png"), save(tmp_path / "p", BITS[16], "png")
    plain = open_source(f"source={masks},target={photos}")
    assert plain.notes == ["sources: the brightest level is 1 of 255, nearly black; if 1 is white, --data"
                           " levels:0:1:PATH scales it"]  # fmt: skip
    data = open_source(f"source=levels:0:1:{masks},target={photos}")
    np.testing.assert_array_equal(data.sources[..., 0], MASKS * 255)
    np.testing.assert_array_equal(data.images[..., 0], BITS[16])
    assert data.fingerprint != plain.fingerprint
    both = save(tmp_path / "ab", np.concatenate([MASKS, 1 - MASKS], 2), "png")
    np.testing.assert_array_equal(open_source(f"AB:levels:0:1:{both}").images[..., 0], 255 - 255 * MASKS)
    grey = open_source(f"grey:levels:0:1:{masks}")
    np.testing.assert_array_equal(grey.images[..., 0], MASKS * 255)
    patches = open_source(f"levels:0:1:{masks}", patch=8)
    np.testing.assert_array_equal(patches.images[..., 0], MASKS * 255)


def test_floating_point_images_name_the_option(tmp_path):
    with pytest.raises(UserError, match="floating-point numbers of unknown range.*--data levels:LOW:HIGH:PATH"):
        open_source(save(tmp_path / "x", FLOATS, "tif"))
    with pytest.raises(UserError, match="float64 from 0 to 5000; .*--data levels:LOW:HIGH:PATH"):
        open_source(save(tmp_path / "y", np.linspace(0, 5000, 256).reshape(4, 8, 8), "npz"))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("levels:0:1:digits", "stands directly before"),
        ("levels:0:1:a=x,b=y", "stands directly before"),
        ("levels:3:3:x", "black and white are both 3"),
        ("levels:0:1:nowhere", "no data source, folder or file 'nowhere'"),
    ],
)
def test_levels_that_cannot_be(name, sentence):
    with pytest.raises(UsageError, match=sentence):
        open_source(name)


def test_the_path_behind_levels_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_source("levels:-1:1:x") == f"levels:-1:1:{tmp_path}/x"
    assert absolute_source("source=levels:0:1:m,target=p") == f"source=levels:0:1:{tmp_path}/m,target={tmp_path}/p"
