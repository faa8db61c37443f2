"""TIFFs of several pages as data: pages as images, pages and bands as channels; pairs of arrays and of pages."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

import ganvas
from ganvas.data.pair_files import PairFiles
from ganvas.data.sources import absolute_source, open_source
from ganvas.errors import UsageError, UserError

TINY = {"batch": 2, "images": 4, "device": "cpu", "precision": "fp32", "resolution": 8}


def waves(*shape, dtype=np.uint8):
    top = np.iinfo(dtype).max
    values = (np.sin(np.arange(np.prod(shape)).reshape(shape) / 5) + 1) / 2 * top
    return values.round().astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("colour", [False, True])
def test_pages_are_images(dtype, colour, tmp_path):
    pages = waves(4, 9, 10, *([3] if colour else []), dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="rgb" if colour else "minisblack")
    dataset = open_source(f"pages:{tmp_path / 'a.tif'}")
    assert np.array_equal(dataset.images, pages if colour else pages[..., None])
    assert dataset.images.dtype == dtype
    assert not any("frame" in note for note in dataset.notes)
    assert len(open_source(f"pages:{tmp_path}")) == 4


@pytest.mark.parametrize("kind", ["pages", "bands", "both"])
def test_pages_and_bands_are_channels(kind, tmp_path):
    array = waves(3, 9, 10, 6)  # three images
    for k, image in enumerate(array):
        planes = image.transpose(2, 0, 1)
        stored = {"pages": planes, "bands": image, "both": planes.reshape(2, 3, 9, 10).transpose(0, 2, 3, 1)}[kind]
        options = {"planarconfig": "contig"} if kind != "pages" else {}
        with tifffile.TiffWriter(tmp_path / f"{k}.tif") as tif:
            for page in [stored] if kind == "bands" else stored:
                tif.write(page, photometric="minisblack", metadata=None, **options)
    dataset = open_source(f"channels:{tmp_path}")
    assert np.array_equal(dataset.images, array)
    assert "6 channels from the pages and bands of 3 files" in dataset.notes
    assert open_source(f"channels:{tmp_path}", resolution=(8, 8)).images.shape == (3, 8, 8, 6)
    assert np.array_equal(open_source(f"channels:{tmp_path / '1.tif'}").images, array[1:2])


def test_levels_and_absolute_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("a.tif", waves(5, 9, 10, dtype=np.uint16) >> 4, photometric="minisblack")
    pages, channels = open_source("pages:levels:0:4095:a.tif"), open_source("channels:levels:0:4095:a.tif")
    assert (pages.images.max(), channels.images.max()) == (65535, 255)
    assert absolute_source("pages:a.tif") == f"pages:{tmp_path / 'a.tif'}"
    with pytest.raises(UsageError, match=r"a.tif is a TIFF: pages:a.tif takes its pages as images, channels:a.tif"):
        open_source("a.tif")


def test_what_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "many.tif", waves(65, 9, 10), photometric="minisblack")
    with pytest.raises(UserError, match="65 channels or more, and images have 1 to 64"):
        open_source(f"channels:{tmp_path / 'many.tif'}")
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as tif:
        tif.write(waves(9, 10))
        tif.write(waves(9, 12))
    with pytest.raises(UserError, match="pages of 10x9 uint8 and 12x9 uint8, which are not the channels"):
        open_source(f"channels:{tmp_path / 'sizes.tif'}")
    (tmp_path / "text.tif").write_text("nothing")
    with pytest.raises(UsageError, match="is no TIFF, nor a folder that holds some"):
        open_source(f"pages:{tmp_path / 'text.tif'}")
    with pytest.raises(UserError):
        open_source(f"channels:{tmp_path}")
    with pytest.raises(UsageError, match="no data source, folder or file"):
        open_source("pages:nothing.tif")


def test_pairs_of_arrays_in_order(tmp_path):
    large, small = waves(4, 16, 16, 5), waves(4, 8, 8, 2)
    np.save(tmp_path / "hr.npy", large)
    np.savez(tmp_path / "lr.npz", images=small)
    dataset = open_source(f"source={tmp_path / 'lr.npz'},target={tmp_path / 'hr.npy'}")
    assert np.array_equal(dataset.images, large)
    assert np.array_equal(dataset.sources, small)
    assert (dataset.paired, dataset.facts.scale, dataset.facts.source_channels) == (True, 2, 2)
    np.save(tmp_path / "odd.npy", waves(4, 12, 12, 5))  # of no whole factor: scaled to the targets
    assert open_source(f"source={tmp_path / 'odd.npy'},target={tmp_path / 'hr.npy'}").sources.shape == (4, 16, 16, 5)
    np.save(tmp_path / "few.npy", large[:3])
    with pytest.raises(UserError, match="3 sources and 4 targets are no pairs"):
        open_source(f"source={tmp_path / 'few.npy'},target={tmp_path / 'hr.npy'}")
    np.save(tmp_path / "wide.npy", waves(4, 8, 16, 5))
    with pytest.raises(UserError, match="another shape"):
        open_source(f"source={tmp_path / 'wide.npy'},target={tmp_path / 'hr.npy'}")
    with pytest.raises(UserError, match="one side is points"):
        open_source(f"source=ring,target={tmp_path / 'hr.npy'}")


def test_pairs_of_pages_by_number(tmp_path):
    large, small = waves(3, 16, 16), waves(3, 8, 8)
    tifffile.imwrite(tmp_path / "hr.tif", large, photometric="minisblack")
    tifffile.imwrite(tmp_path / "lr.tif", small, photometric="minisblack")
    name = f"source=pages:{tmp_path / 'lr.tif'},target=pages:{tmp_path / 'hr.tif'}"
    dataset = open_source(name, patch=8)
    assert (len(dataset), dataset.facts.scale) == (3, 2)
    pairs = PairFiles(name)  # of --eval-data
    assert [np.array_equal(a, b[..., None]) for a, b in zip(pairs.read(1), (small[1], large[1]))] == [True, True]


def test_held_out_pairs_of_arrays(tmp_path):
    """--eval-data in the order of two arrays, each at its own size and with its own channels."""
    large, small = waves(3, 16, 16), waves(3, 8, 8, 5)
    np.save(tmp_path / "hr.npy", large)
    np.save(tmp_path / "lr.npy", small)
    name = f"source={tmp_path / 'lr.npy'},target={tmp_path / 'hr.npy'}"
    pairs = PairFiles(name, 2)
    assert (len(pairs), pairs.names) == (2, ["00000", "00001"])
    assert [np.array_equal(a, b) for a, b in zip(pairs.read(1), (small[1], large[1][..., None]))] == [True, True]
    np.save(tmp_path / "lr.npy", small[:2])
    with pytest.raises(UserError, match="2 sources and 3 targets"):
        PairFiles(name)


def test_training_and_translating_between_channels(tmp_path, command):
    """pix2pix from five channels to one, from arrays and from TIFFs; applied to a stack."""
    for k in range(4):
        (tmp_path / "in").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "in" / f"{k}.tif", waves(5, 8, 8) + k, photometric="minisblack")
    np.save(tmp_path / "out.npy", waves(4, 8, 8))
    small = {"generator.width": 4, "generator.depth": 3, "discriminator.width": 4}
    data = f"source=channels:{tmp_path / 'in'},target={tmp_path / 'out.npy'}"
    run = ganvas.train("pix2pix", data=data, outdir=tmp_path / "run", set=small, eval_data=data, **TINY)
    assert Image.open(run.path / "validation" / "last.png").mode == "RGB"  # three of the five channels
    source, output = tmp_path / "in" / "0.tif", tmp_path / "b.tif"
    code, _, err = command("translate", "-i", source, "-o", output, "--model", run.path)
    assert code == 0, err
    assert (tifffile.imread(output).shape, tifffile.imread(output).dtype) == ((8, 8), np.uint8)
    np.save(tmp_path / "c.npy", waves(2, 8, 8, 5, dtype=np.uint16))
    code, _, err = command("translate", "-i", tmp_path / "c.npy", "-o", tmp_path / "d.npy", "--model", run.path)
    assert code == 0, err
    assert (np.load(tmp_path / "d.npy").shape, np.load(tmp_path / "d.npy").dtype) == ((2, 8, 8, 1), np.uint16)
