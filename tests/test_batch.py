"""Folders of images by `ganvas upscale` and `ganvas restore`: every file its own, nothing half-written."""

from __future__ import annotations

import gc
import json
import os
import shutil
import struct
import threading
import time
import weakref
import zlib
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ganvas.errors import UsageError, UserError
from ganvas.export.pth import save_network
from ganvas.imaging.photo import Photo, open_photo
from ganvas.inference import batch as batch
from ganvas.inference.batch import Batch, FileOptions, Job, jobs_for, run_jobs
from ganvas.inference.enhance import EnhanceOptions, Enhancer, Target
from ganvas.models import cards, resolve
from ganvas.networks.compact import Compact
from ganvas.policy import Policy


@pytest.fixture
def model(tmp_path_factory):
    """A network that repeats pixels, as a file."""
    network = Compact(scale=2, width=4, convolutions=1)
    torch.nn.init.zeros_(network.body[-1].weight)
    torch.nn.init.zeros_(network.body[-1].bias)
    file = tmp_path_factory.mktemp("model") / "repeats.safetensors"
    save_network(network, file)
    return file


def random_image(file, height=10, width=12, mode="RGB"):
    file.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(len(file.name)).integers(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(array).convert(mode).save(file)
    return array


def names(folder):
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())


def upscaled(command, folder, model, *more):
    return command("upscale", "-i", folder / "in", "-o", folder / "out", "--model", model, "--device", "cpu", *more)


# --- folders -------------------------------------------------------------------------------------------------


def test_one_bad_file_does_not_stop_the_rest(tmp_path, command, model):
    """Pain 12: folders crash on one bad file.  Exit code 1 and a table; the others are there."""
    for name in ("a.png", "c.jpg"):
        random_image(tmp_path / "in" / name)
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    (tmp_path / "in" / "cut.png").write_bytes((tmp_path / "in" / "a.png").read_bytes()[:100])
    (tmp_path / "in" / "notes.txt").write_text("not an image either, and not called one")
    code, out, err = upscaled(command, tmp_path, model)
    assert code == 1
    assert "b.png" in out
    assert "cut.png" in out
    assert "2 done, 2 failed; 1 other files were left alone" in err
    assert "Traceback" not in out + err
    assert names(tmp_path / "out") == ["a.png", "c.jpg"]
    code, out, _ = upscaled(command, tmp_path, model, "--json")
    assert code == 1
    said = json.loads(out)
    assert (said["done"], said["failed"], said["other_files"], said["scale"]) == (2, 2, 1, 2.0)
    by_name = {os.path.basename(f["file"]): f for f in said["files"]}
    assert by_name["b.png"]["status"] == "failed"
    assert "not an image" in by_name["b.png"]["reason"]


def test_the_result_is_the_networks(tmp_path, command, model):
    array = random_image(tmp_path / "in.png")
    code, out, err = command("upscale", "-i", tmp_path / "in.png", "-o", tmp_path / "out.png", "--model", model)
    assert (code, out) == (0, "")
    assert "1 done" in err
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), array.repeat(2, 0).repeat(2, 1))


def test_floating_point_in_colour_is_read_ahead_too(tmp_path, command, model):
    values = np.random.RandomState(0).random_sample((10, 12, 3)).astype(np.float32)
    random_image(tmp_path / "in" / "a.png")
    for name in ("b.tif", "c.tif"):  # a kind whose header the data's own reader does not know
        tifffile.imwrite(tmp_path / "in" / name, values, photometric="rgb")
    code, _, err = command("upscale", "-i", tmp_path / "in", "-o", tmp_path / "out", "--model", model)
    assert code == 0, err
    for name in ("b.tif", "c.tif"):
        made = tifffile.imread(tmp_path / "out" / name)
        np.testing.assert_allclose(made, values.repeat(2, 0).repeat(2, 1), atol=1e-5)


def test_sub_folders_and_unusual_names(tmp_path, command, model):
    """Pain 12: sub-folders and names beyond ASCII."""
    unusual = ["Ünï 漢字 😀.png", "a b.png", "-dash.png", "sub/deep/x.PNG", "sub/two\nlines.png", "[red]x.png"]
    for name in unusual:
        random_image(tmp_path / "in" / name)
    random_image(tmp_path / "in" / ".hidden.png")
    code, _, err = upscaled(command, tmp_path, model, "--recursive")
    assert code == 0, err
    assert names(tmp_path / "out") == sorted(n.replace(".PNG", ".png") for n in unusual)
    (tmp_path / "flat").mkdir()
    assert command("upscale", "-i", tmp_path / "in", "-o", tmp_path / "flat", "--model", model)[0] == 0
    assert len(names(tmp_path / "flat")) == 4, "only with --recursive into folders"


def test_a_name_that_is_no_text(tmp_path, command, model):
    random_image(tmp_path / "in" / "x.png")
    os.rename(tmp_path / "in" / "x.png", os.fsencode(tmp_path / "in") + b"/\xff\xfe.png")
    code, out, err = upscaled(command, tmp_path, model, "--json")
    assert code == 0, err
    assert json.loads(out)["done"] == 1
    assert os.listdir(os.fsencode(tmp_path / "out")) == [b"\xff\xfe.png"]


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        (None, ["a.bmp", "a.jpg", "a.png", "b.gif.png", "c.ppm.png", "d.tif", "e.webp"]),
        ("png", ["a.bmp.png", "a.jpg.png", "a.png", "b.gif.png", "c.ppm.png", "d.tif.png", "e.webp.png"]),
        ("JPG", ["a.bmp.jpg", "a.jpg", "a.png.jpg", "b.gif.jpg", "c.ppm.jpg", "d.tif.jpg", "e.webp.jpg"]),
    ],
)
def test_formats_and_names_that_would_meet(form, wanted, tmp_path):
    """Each image has a file of its own, in the format of its source where that can be written."""
    for name in ("a.png", "a.jpg", "a.bmp", "b.gif", "c.ppm", "d.tif", "e.webp"):
        random_image(tmp_path / name)
    jobs = jobs_for(tmp_path, tmp_path / "out", FileOptions(form=form)).jobs
    made = sorted(j.output.name for j in jobs)
    assert len(set(map(str.casefold, made))) == 7
    assert made == wanted


def test_quality_and_format_reach_the_file(tmp_path, command, model):
    random_image(tmp_path / "in" / "a.png", 60, 60)
    sizes = []
    for quality in (10, 95):
        assert upscaled(command, tmp_path, model, "--format", "jpg", "--quality", quality)[0] == 0
        sizes.append((tmp_path / "out" / "a.png.jpg").stat().st_size)
    assert 2 * sizes[0] < sizes[1]


def test_lossless_reaches_the_file(tmp_path, command, model):
    array = random_image(tmp_path / "in.png", 20, 30)
    for options, exact in (([], False), (["--lossless"], True)):
        arguments = ("-i", tmp_path / "in.png", "-o", tmp_path / "out.webp", "--model", model, *options)
        assert command("upscale", *arguments)[0] == 0
        written = np.asarray(Image.open(tmp_path / "out.webp"))
        assert np.array_equal(written, array.repeat(2, 0).repeat(2, 1)) == exact


def test_scale_and_width_in_folders(tmp_path, command, model):
    """Pain 12: scale, format and width are ignored for folders elsewhere."""
    random_image(tmp_path / "in" / "a.png", 10, 20)
    random_image(tmp_path / "in" / "b.png", 30, 20)
    assert upscaled(command, tmp_path, model, "--outscale", 3)[0] == 0
    assert [Image.open(tmp_path / "out" / f).size for f in ("a.png", "b.png")] == [(60, 30), (60, 90)]
    assert upscaled(command, tmp_path, model, "--width", 50)[0] == 0
    assert [Image.open(tmp_path / "out" / f).size for f in ("a.png", "b.png")] == [(50, 25), (50, 75)]


def test_resume_skips_what_is_there(tmp_path, command, model):
    """Pain 12: a batch that was stopped goes on; an image that has changed since is made again."""
    for name in ("a.png", "b.png", "c.png"):
        random_image(tmp_path / "in" / name)
    assert upscaled(command, tmp_path, model)[0] == 0
    before = {n: (tmp_path / "out" / n).stat().st_mtime_ns for n in ("a.png", "b.png", "c.png")}
    (tmp_path / "out" / "b.png").unlink()
    (tmp_path / "out" / "c.png").write_bytes(b"")
    random_image(tmp_path / "in" / "d.png")
    code, out, _ = upscaled(command, tmp_path, model, "--resume", "--json")
    assert code == 0
    said = {os.path.basename(f["file"]): f["status"] for f in json.loads(out)["files"]}
    assert said == {"a.png": "skipped", "b.png": "done", "c.png": "done", "d.png": "done"}
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == before["a.png"]
    later = before["a.png"] + 10**10
    os.utime(tmp_path / "in" / "a.png", ns=(later, later))
    said = json.loads(upscaled(command, tmp_path, model, "--resume", "--json")[1])
    assert (said["done"], said["skipped"]) == (1, 3)


def test_a_grey_model_and_a_folder_with_colours(tmp_path, command):
    """Bad input: a model for other channels is a sentence for each image that it does not suit."""
    save_network(Compact(channels=1, scale=2, width=4, convolutions=1), tmp_path / "grey.pth")
    random_image(tmp_path / "in" / "colour.png")
    random_image(tmp_path / "in" / "grey.png", mode="L")
    code, out, _ = upscaled(command, tmp_path, tmp_path / "grey.pth", "--json")
    assert code == 1
    said = {os.path.basename(f["file"]): f for f in json.loads(out)["files"]}
    assert said["grey.png"]["status"] == "done"
    assert "for grey images" in said["colour.png"]["reason"]


# --- bad input -----------------------------------------------------------------------------------------------


def test_the_output_folder_is_not_the_input_folder(tmp_path, command, model):
    """Nothing is overwritten: not by the same name, a link, or a single file."""
    before = random_image(tmp_path / "in" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for output in (tmp_path / "in", tmp_path / "link", tmp_path / "in" / ".." / "in"):
        code, _, err = command("upscale", "-i", tmp_path / "in", "-o", output, "--model", model)
        assert code == 2
        assert "written over" in err
    for output in (tmp_path / "in" / "a.png", tmp_path / "link", tmp_path / "link" / "a.png"):
        code, _, err = command("upscale", "-i", tmp_path / "in" / "a.png", "-o", output, "--model", model)
        assert code == 2
        assert "over itself" in err
    assert np.array_equal(np.asarray(Image.open(tmp_path / "in" / "a.png")), before)


def test_results_inside_the_source_are_not_sources(tmp_path, command, model):
    random_image(tmp_path / "in" / "a.png")
    for _ in range(2):
        arguments = ("-i", tmp_path / "in", "-o", tmp_path / "in" / "large", "--model", model, "--recursive", "--json")
        code, out, _ = command("upscale", *arguments)
        assert code == 0
        assert json.loads(out)["done"] == 1


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["-i", "nothing", "-o", "out"], "does not exist"),
        (["-i", "empty", "-o", "out"], "no images"),
        (["-i", "in", "-o", "in/a.png"], "is a file"),
        (["-i", "in/a.png", "-o", "out.xyz"], "suffix .xyz"),
        (["-i", "in", "-o", "out", "--format", "pgn"], "Did you mean '.png'"),
        (["-i", "in/a.png", "-o", "out.png", "--format", "png"], "--format is for folders"),
        (["-i", "in", "-o", "out", "--quality", "101"], "--quality"),
        (["-i", "in", "-o", "out", "--tile", "5"], "--tile"),
        (["-i", "in", "-o", "out", "--tile", "15"], "at least 16"),
        (["-i", "in", "-o", "out", "--tile", "big"], "--tile"),
        (["-i", "in", "-o", "out", "--overlap", "-1"], "--overlap"),
        (["-i", "in", "-o", "out", "--strength", "2"], "--strength"),
        (["-i", "in", "-o", "out", "--outscale", "0"], "--outscale"),
        (["-i", "in", "-o", "out", "--outscale", "2", "--width", "5"], "not both"),
        (["-i", "in", "-o", "out", "--device", "nothing"], "device"),
        (["-i", "in", "-o", "out", "--precision", "fp8"], "--precision"),
        (["-i", "in", "-o", "out", "--model", "nothing.pth"], "There is no model"),
        (["-i", "in", "-o", "out", "--model-scale", "3"], "for x2"),
    ],
)
def test_wrong_usage_is_a_sentence(arguments, word, tmp_path, monkeypatch, command, model):
    monkeypatch.chdir(tmp_path)
    random_image(tmp_path / "in" / "a.png")
    (tmp_path / "empty").mkdir()
    before = names(tmp_path)
    code, out, err = command("upscale", "--model", model, *arguments)
    assert (code, out) == (2, ""), err
    assert word in err
    assert names(tmp_path) == before, "nothing was written"


def test_restore_keeps_the_size(tmp_path, command):
    save_network(Compact(scale=1, width=4, convolutions=1), tmp_path / "clean.pth")
    random_image(tmp_path / "a.png", 17, 23)
    arguments = ("-i", tmp_path / "a.png", "-o", tmp_path / "b.png", "--model", tmp_path / "clean.pth")
    assert command("restore", *arguments)[0] == 0
    assert Image.open(tmp_path / "b.png").size == (23, 17)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--tile", 16, "--overlap", 2], {"tile": 16, "overlap": 2}),
        (["--tile", 16, "--overlap", "exact"], {"tile": 16, "overlap": None}),
        (["--wrap"], {"wrap": True}),
        (["--strength", 0.4], {"strength": 0.4}),
        (["--keep-colours"], {"keep_colours": True}),
        (["--grain", 9], {"grain": 9.0}),
        (["--outscale", 1.5], {"target": Target(outscale=1.5)}),
        (["--width", 31, "--height", 57], {"target": Target(width=31, height=57)}),
    ],
)
@pytest.mark.parametrize("verb", ["upscale", "restore"])
def test_options_reach_the_network(verb, arguments, options, tmp_path, command):
    network = Compact(scale=2, width=4, convolutions=4)
    save_network(network, tmp_path / "m.safetensors")
    random_image(tmp_path / "a.png", 91, 77)
    paths = ("-i", tmp_path / "a.png", "-o", tmp_path / "b.png", "--model", tmp_path / "m.safetensors")
    code, _, err = command(verb, *paths, "--device", "cpu", "--precision", "fp32", *arguments)
    assert code == 0
    assert ("tiles see" in err) == (options.get("overlap") == 2), "its radius is 6"
    ours = Enhancer(resolve.resolve(tmp_path / "m.safetensors"), Policy(torch.device("cpu")), EnhanceOptions(**options))
    expected = ours.photo(open_photo(tmp_path / "a.png")).array
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), expected)
    plain = Enhancer(ours.model, ours.policy).photo(open_photo(tmp_path / "a.png")).array
    assert "tile" in options or not np.array_equal(expected, plain)


def test_a_faithful_model_and_precision_reach_the_network(tmp_path, command):
    for name in ("a", "b"):
        save_network(Compact(scale=2, width=4, convolutions=1), tmp_path / f"{name}.safetensors")
    random_image(tmp_path / "in.png")
    a, b = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    paths = ("-i", tmp_path / "in.png", "-o", tmp_path / "out.png")
    code, out, _ = command(
        "upscale", *paths, "--model", a, "--psnr-model", b, "--strength", 0, "--precision", "fp32", "--json"
    )
    assert (code, json.loads(out)["precision"]) == (0, "fp32")
    mixed = np.asarray(Image.open(tmp_path / "out.png"))
    code, out, _ = command("upscale", *paths, "--model", b, "--precision", "fp32", "--json")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), mixed)
    code, out, _ = command("upscale", *paths, "--model", b, "--precision", "bf16", "--json")
    assert json.loads(out)["precision"] == "bf16"


def test_upscale_takes_the_embedded_model(tmp_path, monkeypatch, command, model):
    known = cards.EMBEDDED["x4"]
    small = {f"small-x{scale}": replace(known, name=f"small-x{scale}", scale=scale) for scale in (2, 4)}
    (tmp_path / "small-x2").mkdir()
    shutil.copy(model, tmp_path / "small-x2" / cards.WEIGHT_FILE)  # the other's file is missing
    for name, value in {"FOLDER": tmp_path, "EMBEDDED": small, "NAMES": small}.items():
        monkeypatch.setattr(cards, name, value)
    random_image(tmp_path / "a.png", 10, 10)
    arguments = ("-i", tmp_path / "a.png", "-o", tmp_path / "b.png")
    assert command("upscale", *arguments, "--outscale", 1.5)[0] == 0
    assert Image.open(tmp_path / "b.png").size == (15, 15)
    code, _, err = command("upscale", *arguments)
    assert code == 2
    assert "lacks the embedded model small-x4" in err


def test_one_bad_file_alone_is_a_sentence(tmp_path, command, model):
    (tmp_path / "a.png").write_bytes(b"no image")
    code, out, err = command("upscale", "-i", tmp_path / "a.png", "-o", tmp_path / "b.png", "--model", model)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert not (tmp_path / "b.png").exists()


def test_huge_dimensions_are_refused_unread(tmp_path, command, model):
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    body = struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\1\0IDAT" + bytes(256)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    random_image(tmp_path / "in" / "small.png")
    code, out, _ = upscaled(command, tmp_path, model, "--json")
    assert code == 1
    said = {os.path.basename(f["file"]): f for f in json.loads(out)["files"]}
    assert "megapixels" in said["huge.png"]["reason"]
    assert said["small.png"]["status"] == "done"


def test_no_space_left_leaves_nothing_half_written(tmp_path, command, model, monkeypatch):
    from ganvas.imaging import encode as formats

    def full(out, *rest, **more):
        out.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(formats, "write_png", full)
    for name in ("a.png", "b.png"):
        random_image(tmp_path / "in" / name)
    random_image(tmp_path / "out" / "a.png")
    before = (tmp_path / "out" / "a.png").read_bytes()
    code, out, _ = upscaled(command, tmp_path, model)
    assert code == 1
    assert "No space" in out
    assert names(tmp_path / "out") == ["a.png"]
    assert (tmp_path / "out" / "a.png").read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path, command, model):
    random_image(tmp_path / "in" / "a.png")
    (tmp_path / "out").mkdir(mode=0o500)
    assert upscaled(command, tmp_path, model)[0] == 1


# --- beside each other ---------------------------------------------------------------------------------------


def blank(side=8):
    return Photo(np.zeros((side, side, 3), np.uint8))


@pytest.fixture
def ten(tmp_path):
    for k in range(10):
        random_image(tmp_path / "in" / f"{k}.png")
    return jobs_for(tmp_path / "in", tmp_path / "out")


def test_reading_and_writing_are_beside_the_network(ten, monkeypatch):
    """The next image is read, and the last one written, in threads of their own and never many at once."""
    threads, read, written = set(), batch.open_photo, batch.save
    alive, most = [0], [0]

    def reading(file):
        threads.add(threading.current_thread().name.split("_")[0])
        alive[0] += 1
        most[0] = max(most[0], alive[0])
        return read(file)

    def writing(photo, output, **how):
        threads.add(threading.current_thread().name.split("_")[0])
        alive[0] -= 1
        return written(photo, output, **how)

    monkeypatch.setattr(batch, "open_photo", reading)
    monkeypatch.setattr(batch, "save", writing)
    outcomes = list(run_jobs(ten, lambda photo, output, tell: photo))
    assert [o.status for o in outcomes] == ["done"] * 10
    assert [o.job for o in outcomes] == ten.jobs
    assert threads >= {"read", "write"}
    assert most[0] <= 5


def test_a_large_image_is_alone(ten, monkeypatch):
    """Pain 6: while a large one is made nothing else is held, and its source is let go before it is written."""
    monkeypatch.setattr(batch, "LARGE", 50)
    seen = []
    gc.freeze()  # what was there before need not be looked through 20 times

    def change(photo, output, tell):
        gc.collect()
        assert not [s for s in seen if s() is not None], "an earlier image, or what was made of it, is still held"
        made = photo.with_array(photo.array[:4].copy())
        seen.extend([weakref.ref(made), weakref.ref(photo)])
        return made

    def saving(photo, output, **how):
        gc.collect()
        assert seen[-1]() is None, "the source is still held while the result is written"
        return []

    monkeypatch.setattr(batch, "save", saving)
    outcomes = list(run_jobs(ten, change))
    gc.unfreeze()
    assert [o.reason for o in outcomes] == [""] * 10
    assert len(seen) == 20


def test_nothing_is_read_beside_a_large_image(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "LARGE", 200)
    read, opened = [], batch.open_photo
    monkeypatch.setattr(batch, "open_photo", lambda file: (read.append(file.name), opened(file))[1])
    for name, side in {"a.png": 20, "b.png": 8, "c.png": 8, "d.png": 20, "e.png": 8}.items():
        random_image(tmp_path / "in" / name, side, side)

    def change(photo, output, tell):
        time.sleep(0.05)  # as long as reading ahead would take
        if output.name in ("a.png", "d.png"):
            assert read[-1] == output.name
        return photo

    outcomes = list(run_jobs(jobs_for(tmp_path / "in", tmp_path / "out"), change))
    assert [o.reason for o in outcomes] == [""] * 5


def test_failures_of_every_kind_are_told(ten):
    problems = [UserError("a sentence"), OSError(5, "Input/output error"), ValueError("odd"), MemoryError()]

    def change(photo, output, tell):
        if problems:
            raise problems.pop(0)
        return photo

    said = [(o.status, o.reason) for o in run_jobs(ten, change)]
    assert said[:4] == [
        ("failed", "a sentence"),
        ("failed", "Input/output error"),
        ("failed", "ValueError: odd"),
        ("failed", "MemoryError: "),
    ]
    assert [s for s, _ in said[4:]] == ["done"] * 6


def test_stopping_leaves_whole_files(ten):
    """Ctrl-C: what was made is whole, what was not is not there."""

    def change(photo, output, tell):
        if output.name == "5.png":
            raise KeyboardInterrupt
        return photo

    with pytest.raises(KeyboardInterrupt):
        list(run_jobs(ten, change))
    folder = ten.jobs[0].output.parent
    assert names(folder) == [f"{k}.png" for k in range(5)]
    for file in folder.iterdir():
        Image.open(file).load()


def test_progress_is_told(ten):
    told = []

    def change(photo, output, tell):
        tell(0.5)
        return photo

    list(run_jobs(replace(ten, jobs=ten.jobs[:2]), change, lambda job, share: told.append((job.source.name, share))))
    assert told == [("0.png", 0.5), ("1.png", 0.5)]


def test_one_job_of_nothing(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        jobs_for(tmp_path / "none.png", tmp_path / "out.png")
    none, out = tmp_path / "none.png", tmp_path / "out.png"
    (outcome,) = run_jobs(Batch(none, out, [Job(none, out)]), lambda *a: blank())
    assert outcome.status == "failed"
    assert not (tmp_path / "out.png").exists()
