"""`ganvas.enhance`: the pixels of the commands, in the type of the input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.api import ApplyOptions, apply
from ganvas.imaging.decode import save_png
from ganvas.imaging.photo import open_photo
from ganvas.models.cards import EMBEDDED

EXACT = {"device": "cpu", "precision": "fp32"}
CHANNELS = {(): "L", (2,): "LA", (3,): "RGB", (4,): "RGBA"}


def levels(*shape, top=256, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, top, shape).astype(dtype)


def in_colour(*shape, **options):
    array = levels(*shape, **options)
    if shape[-1] in (2, 4):
        array[..., -1] = np.iinfo(array.dtype).max
    return array


@pytest.mark.parametrize("channels", list(CHANNELS))
@pytest.mark.parametrize("model", ["clean", "x2"])
def test_arrays_and_pil_images_give_the_same_pixels(channels, model):
    array, scale = in_colour(14, 18, *channels), EMBEDDED[model].scale
    result = ganvas.enhance(array, model=model, **EXACT)
    assert (result.shape, result.dtype) == ((14 * scale, 18 * scale, *channels), np.uint8)
    image = ganvas.enhance(Image.fromarray(array), model=model, **EXACT)
    assert image.mode == CHANNELS[channels]
    assert np.array_equal(np.asarray(image), result)
    many = ganvas.enhance(np.stack([array.reshape(14, 18, -1)] * 2), model=model, **EXACT)
    assert np.array_equal(many[1].reshape(result.shape), result)


def test_a_file_gives_the_pixels_that_the_command_writes(tmp_path):
    file = tmp_path / "photo.png"
    save_png(in_colour(15, 17, 3), file)
    [outcome] = apply("upscale", file, tmp_path / "large.png", ApplyOptions(outscale=1.5, device="cpu"))
    assert outcome.status == "done"
    result = ganvas.enhance(file, outscale=1.5, device="cpu")
    assert result.size == (26, 22)
    assert np.array_equal(np.asarray(result), open_photo(tmp_path / "large.png").array)


def test_sixteen_bits_stay_sixteen(tmp_path):
    array = levels(12, 12, 3, top=65536, dtype=np.uint16)
    result = ganvas.enhance(array, model="clean", **EXACT)
    assert result.dtype == np.uint16
    assert len(np.unique(result & 255)) > 100  # the low byte is used
    grey = Image.fromarray(array[..., 0])
    grey.save(tmp_path / "grey.png")
    for image in (grey, tmp_path / "grey.png"):
        assert ganvas.enhance(image, model="clean", **EXACT).mode == "I;16"
        assert np.array_equal(
            ganvas.enhance(image, model="clean", **EXACT), ganvas.enhance(array[..., 0], model="clean", **EXACT)
        )


def test_tensors_stay_tensors_and_strength_0_is_bicubic():
    x = torch.rand(2, 3, 8, 10) * 2 - 1
    assert ganvas.enhance(x, **EXACT).shape == (2, 3, 32, 40)
    assert torch.equal(ganvas.enhance(x, model="clean", strength=0, **EXACT), x)


def test_a_loaded_model_is_a_model():
    array = in_colour(12, 12, 3)
    expected = ganvas.enhance(array, model="clean", **EXACT)
    assert np.array_equal(ganvas.enhance(array, model=ganvas.load("clean", **EXACT), **EXACT), expected)


def test_a_phone_photograph_is_turned_upright(tmp_path):
    image = Image.fromarray(in_colour(10, 16, 3))
    image.getexif()[0x0112] = 6
    assert ganvas.enhance(image, model="clean", **EXACT).size == (10, 16)


@pytest.mark.parametrize(
    ("image", "options", "sentence"),
    [
        (levels(4, 4) / 255.0, {}, "got float64 .4, 4. from 0"),
        (levels(4, 4, 5), {}, "takes 3 channels, and this image has 5"),
        (levels(4, 4, 65), {}, r"An image has 1 to 64 channels, the last axis, got \(4, 4, 65\)"),
        (torch.rand(3, 8, 8), {}, r"\(N, C, H, W\), C from 1 to 64, got \(3, 8, 8\)"),
        (torch.rand(1, 3, 8, 8), {}, "x \\* 2 - 1 converts those"),
        (levels(4, 4), {"model": "claen"}, "no model claen. Did you mean 'clean'"),
        (levels(4, 4), {"model": "digits"}, "digits cannot restore"),
        (levels(4, 4), {"strength": 2}, "--strength must be from 0"),
        (Image.fromarray(np.zeros((4, 4), np.float32)), {}, "of mode F from 0 to 0"),
    ],
)
def test_what_is_refused(image, options, sentence):
    with pytest.raises(ganvas.UserError, match=sentence):
        ganvas.enhance(image, **options)
