"""Stacks through a network: arrays and TIFFs of several pages or bands in, files of the same kind and numbers out."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import torch

import ganvas
from ganvas import catalog
from ganvas.errors import UsageError, UserError
from ganvas.imaging.photo import open_photo
from ganvas.inference.enhance import EnhanceOptions, Enhancer
from ganvas.inference.stacks import StackOptions, change_stack
from ganvas.models.resolve import ImageModel
from ganvas.policy import Policy

CPU = Policy(torch.device("cpu"))
TYPES = ("uint8", "uint16", "int16", "float16", "float32", "float64", "bool")


def network(channels, scale=2):
    torch.manual_seed(0)
    net = catalog.NETWORKS["compact"](channels=channels, width=8, convolutions=1, scale=scale).eval()
    for p in net.requires_grad_(False).parameters():
        p.add_(torch.randn(p.shape) * 0.05)
    return net


def enhancer(channels, tile=None):
    return Enhancer(ImageModel(network(channels), channels, "M"), CPU, EnhanceOptions(tile=tile))


def numbers(shape, dtype):
    """Smooth numbers that fill the range of a type; those of int16 are from -1000 to 3000."""
    wave = (np.sin(np.arange(np.prod(shape)) / 7).reshape(shape) + 1) / 2
    low, high = {"uint8": (0, 255), "uint16": (0, 65535), "int16": (-1000, 3000)}.get(dtype, (0, 1))
    values = low + (high - low) * wave
    return (values > 0.5 if dtype == "bool" else values.round() if low != high and dtype[0] in "ui" else values).astype(
        dtype
    )


def by_hand(net, image, low, high, dtype):
    """The result of (H, W, C) numbers computed in one step."""
    x = torch.from_numpy((image.astype(np.float64) - low) / (high - low) * 2 - 1).permute(2, 0, 1)[None].float()
    y = (net(x)[0].permute(1, 2, 0).double().numpy() + 1) / 2 * (high - low) + low
    y = y.clip(low, high)
    return y >= 0.5 if dtype == "bool" else (y.round() if dtype[0] in "ui" else y).astype(dtype)


def run(source, output, channels, pages=None, tile=None):
    model = enhancer(channels, tile)
    return change_stack(source, output, model.photo, StackOptions(channels, pages), lambda share: None)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("axes", ["last", "first", "npz"])
def test_arrays_of_every_type_and_order(dtype, axes, tmp_path):
    array = numbers((2, 9, 10, 5), dtype)
    low, high = {"uint8": (0, 255), "uint16": (0, 65535)}.get(dtype, (float(array.min()), float(array.max())))
    low, high = (0, 1) if dtype[:2] in ("fl", "bo") else (low, high)
    suffix = "npz" if axes == "npz" else "npy"
    source, output = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    stored = array.transpose(0, 3, 1, 2) if axes == "first" else array
    np.savez(source, images=stored, labels=np.arange(2)) if axes == "npz" else np.save(source, stored)
    notes = run(source, output, 5)
    result = np.load(output)
    if axes == "npz":
        assert np.array_equal(result["labels"], [0, 1])
        result = result["images"]
    expected = np.stack([by_hand(network(5), image, low, high, dtype) for image in array])
    expected = expected.transpose(0, 3, 1, 2) if axes == "first" else expected
    assert (result.shape, result.dtype) == (expected.shape, np.dtype(dtype))
    if dtype == "bool":
        assert (result == expected).mean() > 0.99
    else:
        step = 1 if dtype[0] in "ui" else 2e-3 if dtype == "float16" else 1e-5
        assert np.abs(result.astype(np.float64) - expected).max() <= step
        assert dtype[0] not in "ui" or (result == expected).mean() > 0.95  # rounded, not cut off
    assert bool(notes) == (dtype == "int16")
    assert len([*tmp_path.iterdir()]) == 2


SHAPES = {  # of an array, the channels of the network, --pages: the shape of the result
    ((9, 10), 1, None): (18, 20),
    ((4, 9, 10), 1, None): (4, 18, 20),
    ((4, 9, 10), 3, None): (4, 18, 20),  # grey through a network for RGB
    ((9, 10, 5), 5, None): (18, 20, 5),
    ((5, 9, 10), 5, None): (5, 18, 20),
    ((5, 9, 10), 5, "channels"): (5, 18, 20),
    ((2, 9, 10, 4), 4, None): (2, 18, 20, 4),
    ((2, 2, 9, 10), 2, None): (2, 2, 18, 20),
    ((2, 9, 10, 4), 3, None): (2, 18, 20, 4),  # RGBA
    ((2, 9, 10, 1), 3, None): (2, 18, 20, 1),
}
REFUSED = {
    ((4, 9, 10), 5, None): "has 1 channels, and the model takes 5",
    ((4, 9, 10), 5, "channels"): "has 4 channels, and the model takes 5",
    ((2, 9, 10, 5), 3, None): "has 5 channels, and the model takes 3",
    ((2, 9, 10, 65), 5, None): "has 9 channels",
    ((2, 100, 90, 65), 5, None): "1 to 64 channels",
    ((65, 9, 10), 5, "channels"): "has 65 channels, and images have 1 to 64",
    ((9,), 1, None): "array of shape",
    ((0, 9, 10), 1, None): "array of shape",
}


@pytest.mark.parametrize(("shape", "channels", "pages"), SHAPES)
def test_shapes(shape, channels, pages, tmp_path):
    np.save(tmp_path / "a.npy", numbers(shape, "uint16"))
    run(tmp_path / "a.npy", tmp_path / "b.npy", channels, pages)
    assert np.load(tmp_path / "b.npy").shape == SHAPES[shape, channels, pages]


@pytest.mark.parametrize(("shape", "channels", "pages"), REFUSED)
def test_other_shapes_are_sentences(shape, channels, pages, tmp_path):
    np.save(tmp_path / "a.npy", numbers(shape, "uint8"))
    with pytest.raises(UserError, match=REFUSED[shape, channels, pages]):
        run(tmp_path / "a.npy", tmp_path / "b.npy", channels, pages)
    assert not (tmp_path / "b.npy").exists()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_pages_are_images_with_their_depth_alpha_and_metadata(dtype, tmp_path):
    pages = numbers((3, 9, 10, 4), dtype)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for k, page in enumerate(pages):
            tags = [(270, 2, 0, f"page {k}", True)]
            tif.write(
                page, photometric="rgb", extrasamples=["unassalpha"], metadata=None, extratags=tags, resolution=(72, 72)
            )
    single = [Enhancer(ImageModel(network(3), 3, "M"), CPU).photo]
    run(tmp_path / "a.tif", tmp_path / "b.tif", 3)
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert len(tif.pages) == 3
        for k, page in enumerate(tif.pages):
            assert (page.shape, page.dtype, page.description) == ((18, 20, 4), np.dtype(dtype), f"page {k}")
            assert page.tags[282].value[0] / page.tags[282].value[1] == 72
            tifffile.imwrite(tmp_path / "one.tif", pages[k], photometric="rgb", extrasamples=["unassalpha"])
            expected = single[0](open_photo(tmp_path / "one.tif")).array
            assert np.array_equal(page.asarray(), expected)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_pages_are_channels_of_one_image(compression, tmp_path):
    array = numbers((9, 10, 5), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", array.transpose(2, 0, 1), photometric="minisblack", compression=compression)
    tifffile.imwrite(tmp_path / "c.tif", array, photometric="minisblack", planarconfig="contig")  # one page of 5 bands
    expected = by_hand(network(5), array, 0, 65535, "uint16")
    run(tmp_path / "a.tif", tmp_path / "b.tif", 5)
    result = tifffile.imread(tmp_path / "b.tif")
    assert (result.shape, result.dtype) == ((5, 18, 20), np.uint16)
    assert np.abs(result.transpose(1, 2, 0).astype(int) - expected).max() <= 1
    run(tmp_path / "c.tif", tmp_path / "d.tif", 5)
    assert np.array_equal(tifffile.imread(tmp_path / "d.tif"), result.transpose(1, 2, 0))
    with pytest.raises(UserError, match="has 5 channels, and the model takes 4"):
        run(tmp_path / "a.tif", tmp_path / "e.tif", 4, "channels")
    assert not (tmp_path / "e.tif").exists()


def test_tiles_of_stacks_are_the_whole_image(tmp_path):
    np.save(tmp_path / "a.npy", numbers((60, 70, 5), "float32"))
    run(tmp_path / "a.npy", tmp_path / "whole.npy", 5, tile=0)
    run(tmp_path / "a.npy", tmp_path / "tiles.npy", 5, tile=20)
    assert np.abs(np.load(tmp_path / "whole.npy") - np.load(tmp_path / "tiles.npy")).max() < 1e-5


def test_the_commands(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("volume.npy", numbers((3, 9, 10), "int16"))
    tifffile.imwrite("pages.tif", numbers((3, 9, 10), "uint16"), photometric="minisblack")
    code, out, err = command(
        "upscale", "-i", "volume.npy", "-o", "large.npy", "--model", "x2", "--precision", "fp32", "--json"
    )
    assert code == 0, err
    assert (np.load("large.npy").shape, np.load("large.npy").dtype) == ((3, 18, 20), np.int16)
    (file,) = json.loads(out)["files"]
    assert any("reach from -1000 to 3000" in note for note in file["notes"])
    code, _, err = command("restore", "-i", "pages.tif", "-o", "clean.tif", "--precision", "fp32")
    assert code == 0, err
    with tifffile.TiffFile("clean.tif") as tif:
        assert (len(tif.pages), tif.pages[0].dtype) == (3, np.uint16)
        assert b"compositeWithTrainedAlgorithmicMedia" in tif.pages[2].tags[700].value
    for arguments, reason in (
        (("-i", "volume.npy", "-o", "large.png"), "so is its result: give -o NAME.npy"),
        (("-i", "volume.npy", "-o", "volume.npy"), "written over itself"),
        (("-i", "volume.npy", "-o", "b.npy", "--pages", "bands"), "--pages is images or channels"),
        (("-i", "volume.npy", "-o", "b.npy", "--frames", "3"), "--frames"),
        (("-i", "pages.tif", "-o", "b.png", "--pages", "images"), "leave it out"),
    ):
        code, _, err = command("upscale", *arguments, "--model", "x2")
        assert (code, reason in " ".join(err.split())) == (2, True), err
    np.save("odd.npy", np.array([["a", "b"]]))
    np.save("nan.npy", np.full((9, 10), np.nan))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "volume.npy").read_bytes()[:90])
    for name, reason in (("odd", "no levels of images"), ("nan", "not finite"), ("cut", "cannot be read as an array")):
        code, _, err = command("upscale", "-i", f"{name}.npy", "-o", "c.npy", "--model", "x2")
        assert (code, reason in " ".join(err.split())) == (1, True), err
    assert not (tmp_path / "c.npy").exists()


def test_python_takes_arrays_and_tensors_of_the_models_channels():
    model, image = enhancer(5), numbers((9, 10, 5), "uint8")
    result = model(image)
    assert np.abs(result.astype(int) - by_hand(network(5), image, 0, 255, "uint8")).max() <= 1
    x = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    assert np.abs(((model(x)[0] + 1) * 127.5).round().permute(1, 2, 0).clamp(0, 255).numpy() - result).max() <= 1
    with pytest.raises(UsageError, match="M takes 5 channels, and this tensor has 3"):
        model(x[:, :3])
    for image in (np.zeros((9, 10, 65), np.uint8), np.zeros((2, 9, 10, 65), np.uint8), torch.zeros(1, 65, 9, 10)):
        with pytest.raises(UsageError, match="1 to 64"):
            ganvas.enhance(image, model="x2")
    with pytest.raises(UserError, match="x2 takes 3 channels, and this image has 5"):
        ganvas.enhance(np.zeros((9, 10, 5), np.uint8), model="x2")
