"""Images on a cluster, without one: names are listed lazily, and what is refused before Ray is imported."""

from __future__ import annotations

import os
import time
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from ganvas.errors import UsageError
from ganvas.inference.batch import FileOptions, jobs_for
from ganvas.inference.places import Places, time_there
from ganvas.sweeps import cluster
from ganvas.sweeps.bulk import Folder


@pytest.fixture
def folder(tmp_path):
    for name in ("in/b.png", "in/a.jpg", "in/deep/c.gif", "in/out/old.png", "in/.hidden.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "in/notes.txt").write_text("no image")
    return tmp_path / "in"


@pytest.mark.parametrize("options", [{}, {"recursive": True}, {"recursive": True, "form": "webp"}])
def test_a_cluster_lists_what_a_local_job_does(folder, options):
    output, options = folder / "out", FileOptions(**options)
    assert [*Folder(folder, output, options)()] == jobs_for(folder, output, options).jobs


def test_names_are_listed_when_they_are_asked_for(folder, monkeypatch):
    def walk(*_):
        yield folder / "a.jpg"
        raise AssertionError("listed ahead")

    monkeypatch.setattr("ganvas.sweeps.bulk.walk_files", walk)
    assert [job.source.name for job in islice(Folder(folder, folder / "out", FileOptions())(), 1)] == ["a.jpg"]


def test_what_was_written_since_the_beginning_is_known(tmp_path):
    old, new = tmp_path / "old.png", tmp_path / "new.png"
    old.write_bytes(b"1")
    os.utime(old, (1e9, 1e9))
    since = time_there(tmp_path)
    new.write_bytes(b"1")
    assert [Places().is_written(file, since) for file in (old, new, tmp_path / "none.png")] == [False, True, False]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new.png", "old.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--on", "spark"], "--on is local or ray, not 'spark'"),
        (["--workers", "2"], "--workers is of --on ray"),
    ],
)
def test_places_that_are_refused(folder, tmp_path, command, arguments, words):
    code, _, err = command("upscale", "-i", folder, "-o", tmp_path / "out", *arguments)
    assert (code, words in " ".join(err.split())) == (2, True)


def test_without_ray_one_sentence(folder, tmp_path, command, monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    start = time.monotonic()
    code, _, err = command("upscale", "-i", folder, "-o", tmp_path / "out", "--on", "ray")
    assert (code, 'pip install "ganvas[ray]"' in err, time.monotonic() - start < 1) == (2, True, True)


@pytest.mark.parametrize("given", ["film.mp4", "image.png"])
def test_a_cluster_is_for_folders(tmp_path, given):
    with pytest.raises(UsageError, match="for folders of images"):
        Folder(tmp_path / given, tmp_path / "out", FileOptions()).check()
