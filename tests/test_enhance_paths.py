"""Every way to a network keeps depth, transparency and metadata, and its tiles are the whole image.

A weight file, the same as .onnx, by its name in a folder, by other engines, and an image among the pages of a stack.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import ImageCms

from ganvas.imaging.photo import open_photo
from published import compact_shapes, tensors

PATHS = {  # exporting and converting take seconds: these are slow
    "file": ("--model", "lib/net.pth"),
    "onnx": ("--model", "lib/net.onnx"),
    "models": ("--models", "lib", "--model", "net.pth"),
    "models onnx": ("--models", "lib", "--model", "net.onnx"),
    "onnxruntime": ("--model", "lib/net.pth", "--engine", "onnxruntime"),
    "openvino": ("--model", "lib/net.pth", "--engine", "openvino"),
    "stack": ("--model", "lib/net.pth"),
}
SLOW = ("onnx", "models onnx", "onnxruntime", "openvino")
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in PATHS]
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the network in both kinds of file, an image (20, 24, 4) of each depth, and a stack of two."""
    folder = tmp_path_factory.mktemp("paths")
    (folder / "lib").mkdir()
    state = tensors(compact_shapes(scale=2, convolutions=1))
    last = max(key.rpartition(".")[0] for key in state)
    state = {key: value * (0.05 if key.startswith(last) else 1) for key, value in state.items()}  # little is clipped
    torch.save({"params": state}, folder / "lib" / "net.pth")
    for dtype, top in (("uint8", 255), ("uint16", 65535), ("float32", 1)):
        wave = (0.35 * np.sin(np.arange(20 * 24 * 4).reshape(20, 24, 4) / 9) + 0.5) * top  # which nothing clips
        wave[..., 3] = np.linspace(0.3 * top, 0.85 * top, 24)
        array = wave.astype(dtype)
        for name, count in ((f"{dtype}.tif", 1), (f"{dtype}_stack.tif", 2)):
            with tifffile.TiffWriter(folder / name) as tif:
                for _ in range(count):
                    tags = [(34675, 7, len(ICC), ICC, True), (315, 2, 0, "Author", True)]
                    options = {"extrasamples": ["unassalpha"], "resolution": (300, 300), "metadata": None}
                    tif.write(array, photometric="rgb", extratags=tags, **options)
    return folder


def result(command, path, dtype, *options):
    for package in ("onnx", "onnxscript", "onnxruntime") if "onnx" in path else ("openvino",) * (path == "openvino"):
        pytest.importorskip(package)
    if path.endswith("onnx") and not os.path.exists("lib/net.onnx"):
        from ganvas.export.onnx import export_onnx

        export_onnx("lib/net.pth", Path("lib/net.onnx"))
    source = f"{dtype}_stack.tif" if path == "stack" else f"{dtype}.tif"
    more = ("--precision", "fp32", "--device", "cpu", *(() if "--engine" in PATHS[path] else ("--engine", "torch")))
    code, _, err = command("upscale", "-i", source, "-o", "out.tif", *PATHS[path], *more, *options)
    assert code == 0, err
    with tifffile.TiffFile("out.tif") as tif:
        pages = [(page.asarray(), {tag.code: tag.value for tag in page.tags.values()}) for page in tif.pages]
    assert len(pages) == (2 if path == "stack" else 1)
    return pages


@pytest.mark.parametrize("path", NAMES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_depth_alpha_and_metadata(path, dtype, place, command, monkeypatch):
    monkeypatch.chdir(place)
    expected = expected_of(command, dtype)
    for array, tags in result(command, path, dtype):
        assert (array.shape, array.dtype) == ((40, 48, 4), np.dtype(dtype))
        top = 1 if dtype == "float32" else np.iinfo(dtype).max
        off = np.abs(array.astype(np.float64) - expected).max() / top
        assert off <= max(1e-4, 1.01 / top if top > 1 else 0)
        assert (tags[34675], tags[315]) == (ICC, "Author")
        assert tags[282][0] / tags[282][1] == 300
        assert b"compositeWithTrainedAlgorithmicMedia" in tags[700]
        alpha = open_photo(f"{dtype}.tif").array[..., 3]
        assert np.abs(array[::2, ::2, 3].astype(np.float64) - alpha).max() / top < 0.05  # enlarged


_EXPECTED = {}


def expected_of(command, dtype):
    """The weight file's result, computed once."""
    if dtype not in _EXPECTED:
        ((array, _),) = result(command, "file", dtype)
        _EXPECTED[dtype] = array.astype(np.float64)
    return _EXPECTED[dtype]


@pytest.mark.parametrize("path", NAMES)
def test_tiles_are_the_whole_image(path, place, command, monkeypatch):
    monkeypatch.chdir(place)
    whole, tiled = (result(command, path, "float32", "--tile", n, "--overlap", "exact") for n in ("0", "16"))
    for (a, _), (b, _) in zip(whole, tiled):
        assert np.abs(a - b).max() < 1e-4
