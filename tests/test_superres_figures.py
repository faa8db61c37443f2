"""Published figures of super-resolution, from the commands that a user has: `ganvas upscale`, then `ganvas eval`."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from ganvas.imaging.resize import resize


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "count", "published", "within"),
    [("Set5", 5, 28.42, 0.02), pytest.param("BSD100", 100, 25.96, 0.01, marks=pytest.mark.slow)],
)
def test_bicubic_has_its_published_figure(name, count, published, within, shared_data, tmp_path, command):
    """x4, the small images enlarged by bicubic, PSNR on Y of BT.601, four pixels of border cut off."""
    folder = shared_data / "sr-benchmark" / name
    bicubic = ["upscale", "-i", folder / "LR", "-o", tmp_path / "x4", "--model", "bicubic", "--outscale", 4]
    code, _, err = command(*bicubic, "--format", "png", "--json")
    assert code == 0, err
    measure = ["eval", "psnr", folder / "HR", tmp_path / "x4", "--channel", "y", "--border", 4, "--json"]
    found = json.loads(command(*measure)[1])
    assert found["psnr"] == pytest.approx(published, abs=within)
    assert (found["images"], found["channel"], found["border"]) == (count, "y", 4)


def test_bicubic_is_matlabs(tmp_path, command):
    """The command's image is that of `ganvas.imaging.resize`, rounded once; grey stays grey."""
    photo = data.astronaut()[:40, :52]
    Image.fromarray(photo).save(tmp_path / "colour.png")
    Image.fromarray(photo[..., 0]).save(tmp_path / "grey.png")
    for name, wanted in (("colour", photo), ("grey", photo[..., :1])):
        output = tmp_path / f"{name}_x4.png"
        arguments = ["upscale", "-i", tmp_path / f"{name}.png", "-o", output, "--model", "bicubic", "--outscale", 4]
        code, _, err = command(*arguments)
        assert code == 0, err
        large = resize(torch.from_numpy(wanted.copy()).permute(2, 0, 1)[None].double(), scale=4).round().clamp(0, 255)
        found = np.asarray(Image.open(output)).reshape(160, 208, -1)
        assert np.abs(found - large[0].permute(1, 2, 0).numpy()).max() <= 1  # a half may go either way
        assert (found != large[0].permute(1, 2, 0).numpy()).mean() < 1e-3


def test_bicubic_asks_for_a_size(tmp_path, command):
    Image.fromarray(data.astronaut()[:16, :16]).save(tmp_path / "a.png")
    arguments = ["upscale", "-i", tmp_path / "a.png", "-o", tmp_path / "b.png", "--model"]
    code, _, err = command(*arguments, "bicubic")
    assert code == 2
    assert "give --outscale" in err
    code, _, err = command(*arguments, "bicubc")
    assert code == 2
    assert "Did you mean 'bicubic'" in err
