"""A person's image through a model that translates: what it keeps, what it gets, and what the model sees."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from torch import nn

from ganvas.errors import UserError
from ganvas.imaging.encode import save
from ganvas.imaging.photo import open_photo
from ganvas.inference.translate import Translator
from ganvas.models.model import Model
from ganvas.policy import Policy
from ganvas.tasks.translation import Applied


class Halved(nn.Module):
    """Half as far from white, in as many channels as asked for; the last of four is 0.5."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        made = (1 + x[:, :1] if self.channels == 1 else 1 + x[:, :3].expand(-1, 3, -1, -1)) / 2
        return torch.cat([made, torch.full_like(made[:, :1], 0.5)], 1) if self.channels == 4 else made


def model(takes, gives):
    data = {"channels": gives, "source_channels": takes, "class_names": []}
    return Model(Applied(Halved(gives)), Policy(torch.device("cpu")), {"data": data})


def opened(array, **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", **options)
    return open_photo(file.getvalue())


def drawn(*shape, dtype=np.uint8):
    return np.random.RandomState(0).randint(0, np.iinfo(dtype).max, shape).astype(dtype)


def halved(values, top=255):
    return (values.astype(float) + top) / 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_depth_of_grey_is_kept(dtype):
    array = drawn(9, 7, dtype=dtype)
    made = Translator(model(1, 1)).change(opened(array)).array
    assert made.dtype == dtype
    np.testing.assert_allclose(made[..., 0], halved(array, np.iinfo(dtype).max), atol=0.51)


def test_floating_point_is_kept(tmp_path):
    array = np.random.RandomState(0).rand(9, 7).astype(np.float32)
    Image.fromarray(array).save(tmp_path / "a.tif")
    made = Translator(model(1, 1)).change(open_photo(tmp_path / "a.tif")).array
    assert made.dtype == np.float32
    np.testing.assert_allclose(made[..., 0], (array + 1) / 2, atol=1e-6)


def test_grey_becomes_colours_where_the_model_makes_them():
    grey = drawn(9, 7)
    for takes in (1, 3):
        made = Translator(model(takes, 3)).change(opened(grey))
        assert made.array.shape == (9, 7, 3)
        assert not made.neutral


def test_colours_become_grey_where_the_model_makes_that():
    made = Translator(model(3, 1)).change(opened(drawn(9, 7, 3)))
    assert made.array.shape == (9, 7, 1)


def test_a_colourless_rgb_image_may_become_colourful():
    """Unlike in enlarging, colour is what a model that translates is for."""

    class Red(Halved):
        def forward(self, x):
            return torch.cat([x[:, :1], -torch.ones_like(x[:, :2])], 1)

    grey = np.repeat(drawn(9, 7)[..., None], 3, 2)
    red = model(3, 3)
    red.task.generator = Red(3)
    made = Translator(red).change(opened(grey)).array
    np.testing.assert_array_equal(made[..., 0], grey[..., 0])
    assert not made[..., 1:].any()


def test_transparency_is_carried_over_and_hidden_parts_are_seen_white():
    array = drawn(9, 7, 4)
    array[0, :, 3], array[1:, :, 3] = 0, np.maximum(array[1:, :, 3], 100)
    network = model(3, 3)
    made = Translator(network).change(opened(array)).array
    np.testing.assert_array_equal(made[..., 3], array[..., 3])
    np.testing.assert_allclose(made[1:, :, :3], halved(array[1:, :, :3]), atol=2)
    seen = network.task.generator.seen[0]
    assert (seen[:, :, 0] == 1).all()
    np.testing.assert_allclose((seen[0, :, 1:].permute(1, 2, 0) + 1) * 127.5, array[1:, :, :3], atol=1e-2)


def test_transparency_that_a_model_makes():
    made = Translator(model(1, 4)).change(opened(drawn(9, 7))).array
    assert made.shape == (9, 7, 4)
    assert (made[..., 3] == 191).all()
    network = model(4, 4)
    Translator(network).change(opened(drawn(9, 7, 3)))
    assert (network.task.generator.seen[0][:, 3] == 1).all()  # an opaque image is shown opaque


def test_a_transparent_image_for_a_model_of_four_channels():
    array, network = drawn(9, 7, 4), model(4, 4)
    Translator(network).change(opened(array))
    seen = (network.task.generator.seen[0][0].permute(1, 2, 0) + 1) * 127.5
    np.testing.assert_allclose(seen[..., 3], array[..., 3], atol=1e-3)


def test_metadata_are_kept_and_a_foreign_profile_is_not(tmp_path):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    file = io.BytesIO()
    Image.fromarray(drawn(8, 12, 3)).save(file, "JPEG", icc_profile=icc, exif=exif, dpi=(300, 300))
    photo = open_photo(file.getvalue())
    made = Translator(model(3, 3)).change(photo)
    assert made.array.shape == (12, 8, 3)
    save(made, tmp_path / "out.png")
    again = Image.open(tmp_path / "out.png")
    assert again.info["icc_profile"] == icc
    assert again.getexif()[0x010F] == "a camera"
    grey = Translator(model(3, 1)).change(photo)
    assert grey.metadata.icc is None
    assert any("colour profile is left behind" in note for note in grey.notes)


def test_too_large_a_image_is_a_sentence():
    network = model(1, 1)

    class Full(nn.Module):
        def forward(self, x):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    network.task.generator = Full()
    with pytest.raises(UserError, match="7x9 pixels need more memory"):
        Translator(network).change(opened(drawn(9, 7)))
