"""Every file is written whole or not at all, and is on the disk before it has its name."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ganvas.checkpoints import download
from ganvas.cli.save import save_interpolation, save_samples
from ganvas.data.cache import Annotations, ArrayWriter, SourceOptions, load_or_build
from ganvas.export.folder import export_folder
from ganvas.export.pth import save_network
from ganvas.imaging.decode import save_png
from ganvas.imaging.encode import save
from ganvas.imaging.grid import grid
from ganvas.imaging.photo import Photo
from ganvas.metrics.frechet import Gaussian
from ganvas.metrics.statistics import save_statistics
from ganvas.networks.rrdb import RRDBNet
from ganvas.reporting import report
from ganvas.run import Run
from reports import write_run

IMAGES = torch.linspace(-1, 1, 4 * 64).reshape(4, 1, 8, 8)


def make_run(folder):
    run = Run(folder / "run")
    run.samples.mkdir(parents=True, exist_ok=True)
    return run


def save_photo(folder, name):
    save(Photo(np.zeros((8, 8, 3), np.uint8)), folder / name)
    return [folder / name]


def save_run(folder):
    run = make_run(folder)
    run.write_config({"recipe": {}})
    state = run.save_state({"trainer": {}}, 100)
    sheet = run.save_grid(grid(IMAGES), 100)
    run.save_model(nn.Linear(2, 2), {"format": 1}, "# card", run.model)
    run.rewind_log(100)
    model = [run.model / name for name in ("config.json", "README.md", "generator.safetensors")]
    return [run.config_file, state, sheet, run.log_file, *model]


def save_report(folder):
    return [report(write_run(folder / "run"), neighbours=False).path]


def save_weights(folder, name):
    save_network(RRDBNet(width=4, growth=2, blocks=1), folder / name)
    return [folder / name]


def save_export(folder):
    save_run(folder)
    place = folder / "export"
    if place.exists():
        shutil.rmtree(place)
    export_folder(folder / "run", place)
    return [place]


def save_prepared(folder):
    def build(path):
        with ArrayWriter(path, (8, 8, 1), np.uint8) as rows:
            rows.append(np.zeros((8, 8, 1), np.uint8))
        return Annotations(labels=np.zeros(1, np.int64))

    load_or_build("key", build, SourceOptions("test", cache=folder))
    return [folder / "data" / "key"]


def public_file(folder, monkeypatch):
    source = folder / "copy.pth"
    source.write_bytes(b"weights")
    monkeypatch.setenv("GANVAS_CACHE", str(folder))
    known = replace(
        download.FILES["vgg16"], address=source.as_uri(), size=7, sha256=download.digest(source), file="vgg16.pth"
    )
    monkeypatch.setitem(download.FILES, "vgg16", known)
    return source


def add_weights(folder, monkeypatch):
    return [download.add("vgg16", public_file(folder, monkeypatch))]


def fetch_weights(folder, monkeypatch):
    public_file(folder, monkeypatch)
    return [download.fetch("vgg16")]


def save_gaussian(folder):
    save_statistics(folder / "s.npz", Gaussian.of(torch.randn(10, 3).double()), {"features": "pocket"})
    return [folder / "s.npz"]


def save_sheet(folder, name):
    return save_samples(iter([IMAGES]), range(4), folder / name)


def save_film(folder, name):
    save_interpolation(IMAGES, folder / name, fps=4, columns=2)
    return [folder / name]


def save_plain(folder):
    save_png(np.zeros((8, 8), np.uint8), folder / "a.png")
    return [folder / "a.png"]


WRITERS = {
    "a run": lambda folder, _: save_run(folder),
    "a report": lambda folder, _: save_report(folder),
    "weights.pth": lambda folder, _: save_weights(folder, "w.pth"),
    "weights.safetensors": lambda folder, _: save_weights(folder, "w.safetensors"),
    "an export": lambda folder, _: save_export(folder),
    "prepared data": lambda folder, _: save_prepared(folder),
    "a copy of public weights": add_weights,
    "a download": fetch_weights,
    "statistics": lambda folder, _: save_gaussian(folder),
    "a preview": lambda folder, _: save_plain(folder),
    **{f"image{k}": lambda folder, _, k=k: save_photo(folder, f"a{k}") for k in (".png", ".jpg", ".tif", ".webp")},
    "a grid": lambda folder, _: save_sheet(folder, "a.png"),
    "an archive": lambda folder, _: save_sheet(folder, "a.npz"),
    "a folder of samples": lambda folder, _: save_sheet(folder, "samples"),
    "a strip": lambda folder, _: save_film(folder, "walk.png"),
    "an animation": lambda folder, _: save_film(folder, "walk.gif"),
}


@pytest.fixture
def trace(monkeypatch):
    """(what, inode, size or path) of every fsync and every rename, in order."""
    events, sync, rename = [], os.fsync, os.replace

    def traced_fsync(number):
        sync(number)
        found = os.fstat(number)
        events.append(("fsync", found.st_ino, found.st_size))

    def traced_rename(old, new, **options):
        inside = [p for p, _, names in os.walk(old) for p in (p, *(os.path.join(p, n) for n in names))] or [old]
        events.extend(("content", os.stat(p).st_ino, os.stat(p).st_size) for p in inside)
        rename(old, new, **options)
        events.append(("rename", os.stat(new).st_ino, os.path.realpath(new)))

    monkeypatch.setattr(os, "fsync", traced_fsync)
    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, traced_rename)
    return events


@pytest.mark.skipif(os.name != "posix", reason="folders are synchronised where the system can")
@pytest.mark.parametrize("writer", WRITERS)
def test_content_is_on_the_disk_before_its_name_and_the_name_after(writer, tmp_path, monkeypatch, trace):
    for file in WRITERS[writer](tmp_path, monkeypatch):
        at = max((k for k, e in enumerate(trace) if e[0] == "rename" and e[2] == os.path.realpath(file)), default=None)
        assert at is not None, f"{file} was written in its place"
        first = at
        while trace[first - 1][0] == "content":
            first -= 1
        synced = {(inode, size) for what, inode, size in trace[:first] if what == "fsync"}
        assert {(inode, size) for _, inode, size in trace[first:at]} <= synced
        folder = os.stat(os.path.dirname(file)).st_ino
        assert any(what == "fsync" and inode == folder for what, inode, _ in trace[at:])


@pytest.mark.parametrize("writer", WRITERS)
def test_a_failed_rename_leaves_what_was_there_and_nothing_else(writer, tmp_path, monkeypatch):
    WRITERS[writer](tmp_path, monkeypatch)
    if writer in ("prepared data", "a download", "a report", "an export"):
        return  # what is there is not written again, or the fixture writes before
    contents = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, fail)
    with pytest.raises(Exception, match="No space left on device"):
        WRITERS[writer](tmp_path, monkeypatch)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == contents
