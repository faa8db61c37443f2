"""Images of any number of channels: arrays in, training, three of them on sheets, arrays out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.data.memory import channel_axis
from ganvas.data.sources import open_source
from ganvas.errors import UsageError, UserError
from ganvas.imaging.grid import grid

TINY = {"batch": 4, "images": 8, "device": "cpu", "precision": "fp32"}


def stacks(channels, count=8, side=16):
    """Smooth images whose channels are all different."""
    y, x = np.mgrid[:side, :side] / side
    phase = np.arange(channels)[:, None, None] + np.arange(count)[:, None, None, None]
    waves = np.sin(6 * (x + 2 * y) + phase)  # (count, channels, side, side)
    return (127.5 + 127.5 * waves).round().astype(np.uint8).transpose(0, 2, 3, 1)


@pytest.mark.parametrize("channels", [2, 5, 12, 64])
def test_arrays_of_any_channels_are_read_as_they_are(channels, tmp_path):
    array = stacks(channels)
    for name, stored in (("last", array), ("first", array.transpose(0, 3, 1, 2))):
        np.save(tmp_path / f"{name}.npy", stored)
        dataset = open_source(str(tmp_path / f"{name}.npy"), resolution=None)
        assert np.array_equal(dataset.images, array)
        assert dataset.facts.channels == channels
        assert any(f"of {channels} channels" in note for note in dataset.notes)
    assert dict(dataset.summary())["channels"].startswith(f"{channels} (displayed: the first")


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((9, 32, 32, 3), 3), ((9, 3, 32, 32), 1), ((9, 8, 8, 32), 3), ((9, 12, 8, 8), 1), ((9, 5, 40, 60), 1),
        ((9, 40, 60, 5), 3), ((9, 10, 10, 10), 3), ((9, 100, 90, 65), None), ((9, 65, 100, 90), None),
    ],
)  # fmt: skip
def test_where_the_channels_are(shape, axis):
    assert channel_axis(shape) == axis


def test_sixty_five_channels_are_a_sentence(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 100, 90, 65), np.uint8))
    with pytest.raises(UserError, match="1 to 64 channels"):
        open_source(str(tmp_path / "a.npy"))
    with pytest.raises(UsageError, match="1 to 64 channels, got"):
        ganvas.train("dcgan_small", data=np.zeros((4, 100, 90, 65), np.uint8), outdir=tmp_path / "run", **TINY)
    assert not (tmp_path / "run").exists()


def test_a_sheet_has_the_first_three():
    images = torch.from_numpy(stacks(5)).permute(0, 3, 1, 2) / 127.5 - 1
    assert np.array_equal(np.asarray(grid(images)), np.asarray(grid(images[:, :3])))
    assert np.array_equal(np.asarray(grid(images[:, 3:])), np.asarray(grid(images[:, 3:4])))


@pytest.mark.parametrize("channels", [2, 5])
def test_a_generator_of_stacks(channels, tmp_path, command):
    small = {"generator.width": 4, "discriminator.width": 4}
    run = ganvas.train("dcgan_small", data=stacks(channels), outdir=tmp_path / "run", resolution=16, set=small, **TINY)
    assert ganvas.load(run.path).sample(3).shape == (3, channels, 16, 16)
    assert Image.open(next(run.samples.glob("*.png"))).mode == "RGB"
    code, _out, _ = command("sample", str(run.path), "-o", str(tmp_path / "out.npz"), "--seeds", "0-2")
    assert code == 0
    assert np.load(tmp_path / "out.npz")["images"].shape == (3, 16, 16, channels)
    code, _, err = command("sample", str(run.path), "-o", str(tmp_path / "folder"), "--seeds", "0-2")
    assert code
    assert f"no {channels} channels" in err
    assert not (tmp_path / "folder").exists()


def test_restoring_stacks(tmp_path):
    """A network for 5 channels is trained on an array and applied to arrays and tensors of any size."""
    small = {"generator.width": 4, "generator.convolutions": 1, "degradation.scale": 2}
    run = ganvas.train("compact", data=stacks(5), outdir=tmp_path / "run", resolution=16, set=small, **TINY)
    model, image = ganvas.load(run.path, device="cpu", precision="fp32"), stacks(5, 1, 10)[0]
    result = model(image)
    assert (result.shape, result.dtype) == ((20, 20, 5), np.uint8)
    x = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    assert np.array_equal(((model(x)[0] + 1) * 127.5).round().permute(1, 2, 0).numpy(), result)
    with pytest.raises(UsageError, match="takes 5 channel.s. and gives 5"):
        model(image[..., :3])
    with pytest.raises(UsageError, match="takes 5 channel.s. and gives 5"):
        model(Image.new("RGB", (8, 8)))


def test_what_needs_colours_says_so(tmp_path):
    with pytest.raises(UsageError, match="Jpeg degrades grey, RGB and RGBA images, and these have 5 channels"):
        ganvas.train("dejpeg", data=stacks(5), outdir=tmp_path / "run", resolution=16, **TINY)


@pytest.mark.parametrize("degradation", ["lens_blur", "motion_blur", "sensor_noise"])
def test_degradations_of_stacks_degrade_each_channel(degradation):
    from ganvas.catalog import DEGRADATIONS

    image = torch.from_numpy(stacks(5, 2)).permute(0, 3, 1, 2) / 127.5 - 1
    result = DEGRADATIONS[degradation]()(image, [0, 1], seed=0)
    assert result.shape == image.shape
    assert all(not torch.equal(result[:, k], image[:, k]) for k in range(5))
