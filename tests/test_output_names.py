"""Two sources never become one file, and the name of a result depends on its source alone."""

from __future__ import annotations

import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from ganvas.errors import UsageError
from ganvas.imaging.encode import check_size
from ganvas.inference import batch
from ganvas.inference.batch import FileOptions, jobs_for

NAMES = [  # one stem with every suffix, and what the names of their results look like
    *("a.jpg", "a.jpeg", "a.png", "a.apng", "a.bmp", "a.gif", "a.webp", "a.tif", "a.tiff", "a.ppm", "a.avif", "a.jp2"),
    *("a.jpg.png", "a.png.jpg", "a.jpg.png.png", "a.png.png", "a.gif.png", "a.avif.png", "a.PNG.jpg", "a.jpg.jpg"),
    *("a.tif.png.png", "a.v2.png", "a_0001.tif", "a-1.png", "é.png", "b.JPG", "c.Png"),
]


def draw(file, colour=(1, 2, 3), size=(8, 8)):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(file, {".apng": "PNG"}.get(file.suffix.lower()))


def outputs(folder, form, names):
    """The name of each source's result."""
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"")
    jobs = jobs_for(folder, folder.parent / "out", FileOptions(form=form)).jobs
    return {job.source.name: job.output.name for job in jobs}


@pytest.mark.parametrize("form", [None, "png", "jpg", "tif", "webp", "bmp", "gif"])
def test_every_source_has_a_file_of_its_own_name(tmp_path, form):
    together = outputs(tmp_path / "all", form, NAMES)
    assert len({*together.values()}) == len(NAMES)
    alone = [outputs(tmp_path / str(k), form, [name])[name] for k, name in enumerate(NAMES)]
    assert [together[name] for name in NAMES] == alone
    assert together["a.v2.png"].startswith("a.v2.png" if form in (None, "png") else "a.v2.png.")


@pytest.mark.parametrize("first", ["cat.ppm", "cat.gif", "cat.jp2"])
def test_going_on_with_a_folder_that_has_grown(tmp_path, command, first):
    options = ("-i", tmp_path / "in", "-o", tmp_path / "out", "--model", "bicubic", "--outscale", 1, "--resume")
    draw(tmp_path / "in" / first, (250, 0, 0))
    assert command("upscale", *options)[0] == 0
    draw(tmp_path / "in" / "cat.png", (0, 0, 250))
    os.utime(tmp_path / "in" / "cat.png", (1e9, 1e9))  # copied with its time
    assert command("upscale", *options)[0] == 0
    red, blue = (np.asarray(Image.open(tmp_path / "out" / n))[0, 0] for n in (f"{first}.png", "cat.png"))
    assert red[0] > 240 > 9 > red[2]
    assert list(blue) == [0, 0, 250]


TWINS = [("A.png", "a.png"), ("É.png", "é.png"), ("é.png", unicodedata.normalize("NFD", "é.png")), ("ß.png", "ss.png")]


@pytest.mark.parametrize("names", TWINS, ids=["case", "accent", "composed", "sharp s"])
def test_names_that_a_file_system_takes_for_one(tmp_path, monkeypatch, names):
    for name in names:
        draw(tmp_path / "in" / name)
    assert len({job.output for job in jobs_for(tmp_path / "in", tmp_path / "out").jobs}) == 2
    monkeypatch.setattr(batch, "_folds_names", lambda folder: True)
    with pytest.raises(UsageError, match="would both be written as .*; rename one of them"):
        jobs_for(tmp_path / "in", tmp_path / "out")


def test_suffixes_that_differ_in_case(tmp_path, command):
    """Suffixes are written in small letters."""
    for name in ("a.PNG", "a.png", "b.png"):
        draw(tmp_path / "in" / name)
    options = ("-i", tmp_path / "in", "-o", tmp_path / "out", "--model", "bicubic", "--outscale", 1)
    code, _, err = command("upscale", *options)
    assert code == 2
    assert "a.PNG and " in err
    assert not (tmp_path / "out").exists()


LIMITS = [("a.webp", 16383), ("a.jpg", 65500), ("a.gif", 65535)]


@pytest.mark.parametrize(("name", "side"), LIMITS)
def test_a_limit_of_the_format_is_found_before_the_network_runs(tmp_path, command, monkeypatch, name, side):
    from ganvas.inference.enhance import Enhancer

    monkeypatch.setattr(Enhancer, "photo", lambda *_, **__: pytest.fail("the network ran"))
    draw(tmp_path / "in" / "a.png", size=(8, 2))
    options = ("--model", "bicubic", "--width", side + 1, "--height", 1)
    code, _, err = command("upscale", "-i", tmp_path / "in" / "a.png", "-o", tmp_path / name, *options)
    assert code == 2
    assert f"up to {side:,} pixels a side, not {side + 1}x1" in err


@pytest.mark.parametrize(("name", "side"), LIMITS)
def test_the_limits_are_those_of_the_encoders(tmp_path, name, side):
    for width, height in ((side, 1), (1, side)):
        check_size(name, height, width)
        Image.new("RGB", (width, height)).save(tmp_path / name)
        assert Image.open(tmp_path / name).size == (width, height)
    with pytest.raises(Exception, match=r"."):
        Image.new("RGB", (side + 1, 1)).save(tmp_path / name)


def test_a_bmp_ends_at_four_gigabytes():
    check_size("a.bmp", 37_000, 37_000)
    with pytest.raises(UsageError, match=r"BMP holds up to 4.3 GB"):
        check_size("a.bmp", 40_000, 40_000)


def test_masks_are_found_by_the_names_of_the_images(tmp_path):
    from ganvas.inference.region import Region

    masks, size = tmp_path / "masks", (8, 8)
    draw(masks / "a.png", (255, 255, 255))
    region = Region(masks)
    for output in ("a", "a.jpg", "a.avif"):  # stems of results of a.png, a.jpg and a.avif
        assert region.read(output, size).all()
    draw(masks / "a.jpg.png", (0, 0, 0))
    assert [region.read(output, size).any() for output in ("a", "a.jpg")] == [True, False]
