"""The average over flips and turns, and several models on one sheet: by hand, in tiles, in every depth."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from ganvas import catalog, cli
from ganvas.errors import UsageError
from ganvas.imaging.photo import Photo
from ganvas.inference.enhance import EnhanceOptions, Enhancer, Target
from ganvas.inference.side_by_side import SideBySide
from ganvas.models.resolve import ImageModel, resolve, split_models
from ganvas.policy import Policy

CPU = Policy(torch.device("cpu"))
NETWORKS = {
    "compact x4": ("compact", {"width": 8, "convolutions": 2}),
    "rrdb x2": ("rrdb", {"width": 8, "growth": 4, "blocks": 1, "scale": 2}),  # folds squares of 2 pixels
    "span x1": ("span", {"width": 8, "scale": 1}),
}


def network(name):
    kind, options = NETWORKS[name]
    torch.manual_seed(0)
    net = catalog.NETWORKS[kind](**options).eval().requires_grad_(False)
    for p in net.parameters():
        p.add_(torch.randn(p.shape) * 0.05)
    return net


def by_hand(net, x):
    """Every symmetry of a square written as index arithmetic: transposition, then mirrored rows and columns."""
    total = 0
    for transpose in (False, True):
        for rows in (1, -1):
            for columns in (1, -1):
                y = x.transpose(2, 3) if transpose else x
                y = y[:, :, torch.arange(y.shape[2])[::1] if rows > 0 else torch.arange(y.shape[2] - 1, -1, -1)]
                y = y[..., torch.arange(y.shape[3]) if columns > 0 else torch.arange(y.shape[3] - 1, -1, -1)]
                z = net(y)
                z = z[:, :, torch.arange(z.shape[2]) if rows > 0 else torch.arange(z.shape[2] - 1, -1, -1)]
                z = z[..., torch.arange(z.shape[3]) if columns > 0 else torch.arange(z.shape[3] - 1, -1, -1)]
                total = total + (z.transpose(2, 3) if transpose else z)
    return total / 8


def image(height, width):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("name", NETWORKS)
def test_tta_is_the_average_by_hand(name):
    net, x = network(name), image(16, 24)
    averaged = Enhancer(ImageModel(net, 3, name), CPU, EnhanceOptions(tta=True))(x)
    torch.testing.assert_close(averaged, by_hand(net, x), rtol=1e-5, atol=1e-5)
    plain = Enhancer(ImageModel(net, 3, name), CPU)(x)
    assert (averaged - plain).abs().max() > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(50, 70), (61, 47)])
def test_tiles_are_the_whole_image_with_tta_too(name, size):
    net, x = network(name), image(*size)
    whole, tiled = (
        Enhancer(ImageModel(net, 3, name), CPU, EnhanceOptions(tile=tile, overlap=None, tta=True))(x)
        for tile in (0, 20)
    )
    torch.testing.assert_close(tiled, whole, rtol=1e-5, atol=1e-5)


def picture(dtype, channels, height=12, width=20):
    top = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    array = np.random.default_rng(0).random((height, width, channels)) * top
    return Photo(array.astype(dtype), (0.0, float(top)), neutral=channels < 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("channels", "tta"), [(1, False), (2, True), (3, True), (4, False)])
def test_a_sheet_holds_every_result_as_it_is(dtype, channels, tta, tmp_path):
    models = [ImageModel(network(name), 3, f"models/{name}.pth") for name in NETWORKS]
    photo, options = picture(dtype, channels), EnhanceOptions(Target(2.0), tta=tta)
    sheet = SideBySide(models, CPU, options)
    shares = []
    result = sheet.change(photo, tmp_path / "out.png", shares.append)
    assert result.array.shape[:2] == sheet.size(photo)
    assert (result.array.dtype, result.array.shape[2]) == (dtype, channels)
    assert len(shares) == 3
    strip, place = len(result.array) - 24, 0
    for model in models:
        alone = Enhancer(model, CPU, options).photo(photo).array
        assert np.array_equal(result.array[strip:, place : place + 40], alone)
        place += 40 + 8
    assert result.array[:strip, :40, 0].min() < 0.3 * photo.top  # the name


def test_without_a_size_all_are_as_large_as_the_largest(tmp_path):
    models = [ImageModel(network(name), 3, name) for name in NETWORKS]
    sheet = SideBySide(models, CPU, EnhanceOptions())
    assert (sheet.scale, sheet.panel_size(picture(np.uint8, 3))) == (4, (48, 80))


def test_names_of_models():
    assert split_models("x2, x4") == ["x2", "x4"]
    assert split_models("x4") == ["x4"]


def test_a_path_with_a_comma_is_one_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").mkdir()
    assert split_models("a,b") == ["a,b"]


def test_one_model_is_no_sheet():
    with pytest.raises(UsageError, match="2 to 12 models, got 1"):
        SideBySide([resolve("x2")], CPU, EnhanceOptions())


def command(*words):
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def test_the_command_compares(tmp_path):
    Image.new("RGB", (16, 12), (90, 120, 30)).save(tmp_path / "in.png")
    line = ["upscale", "-i", tmp_path / "in.png", "-o", tmp_path / "sheet.png", "--device", "cpu", "--json"]
    result = command(*line, "--model", "x2,x4", "--outscale", 3, "--tta")
    assert result.exit_code == 0, result.output
    about = json.loads(result.stdout)
    assert (about["model"], about["tta"], about["loader"]) == ("x2,x4", True, "ganvas")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (2 * 48 + 8, 36 + 28)
    refused = command(*line, "--model", "x2,x4", "--psnr-model", "x2")
    assert isinstance(refused.exception, UsageError)
