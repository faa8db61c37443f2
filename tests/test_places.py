"""Folders of images at addresses: read one by one, written whole, once; what is refused, here and on a cluster."""

from __future__ import annotations

import io
import json
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

fsspec = pytest.importorskip("fsspec")

from ganvas.data.remote import Store  # noqa: E402
from ganvas.inference.batch import FileOptions, jobs_for  # noqa: E402
from ganvas.inference.places import walk_store  # noqa: E402
from ganvas.sweeps import cluster  # noqa: E402
from ganvas.sweeps.bulk import Folder  # noqa: E402

IN, OUT = "memory://bucket/in", "memory://bucket/out"
TWICE = ["--model", "bicubic", "--outscale", 2]
NAMES = ["a.png", "b.jpg", "deep/c.png", "deep/er/a.png"]


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """Storage in memory with four images, the same in a folder, and a place for temporary files."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    noise = np.random.default_rng(0)
    for name in NAMES:
        file = tmp_path / "in" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 255, (12, 10, 3), np.uint8)).save(file)
        system.pipe_file(f"/bucket/in/{name}", file.read_bytes())
    system.pipe_file("/bucket/in/.hidden.png", b"")
    system.pipe_file("/bucket/in/notes.txt", b"no image")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    yield system
    system.store.clear()


def files_of(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*.[pj]*g"))}


def drawn(system):
    """The images of a synthesis at an address, without its hidden file of settings."""
    return {name: content for name, content in results(system).items() if name.endswith(".png")}


def results(system, root="/bucket/out/"):
    return {path.removeprefix(root): system.cat_file(path) for path in system.find(root.rstrip("/"))}


@pytest.mark.parametrize(("source", "output"), [(IN, OUT), ("{here}/in", OUT), (IN, "{here}/there")])
def test_addresses_give_what_folders_give(bucket, tmp_path, command, source, output):
    source, output = (text.format(here=tmp_path) for text in (source, output))
    assert command("upscale", "-i", tmp_path / "in", "-o", tmp_path / "here", "--recursive", *TWICE)[0] == 0
    line = ["upscale", "-i", source, "-o", output, "--recursive", *TWICE, "--json"]
    code, out, err = command(*line)
    answer = json.loads(out)
    assert (code, answer["done"], answer["other_files"]) == (0, 4, 0 if source != IN else 1), err
    assert answer["files"][0]["output"] == f"{output}/a.png"
    here = files_of(tmp_path / "here")
    assert [*here] == NAMES
    assert (files_of(tmp_path / "there") or results(bucket)) == here
    assert [*Path(tempfile.gettempdir()).iterdir()] == []
    assert json.loads(command(*line, "--resume")[1])["skipped"] == 4


def test_few_files_are_kept_here_at_a_time(bucket, command, monkeypatch):
    put, there = type(bucket).put_file, []

    def count(self, *args, **options):
        there.append(len([*Path(tempfile.gettempdir()).rglob("*.[pj]*g")]))
        return put(self, *args, **options)

    monkeypatch.setattr(type(bucket), "put_file", count)
    assert command("upscale", "-i", IN, "-o", OUT, "--recursive", *TWICE)[0] == 0
    assert len(there) == len(NAMES)
    assert max(there) <= 2  # the result that is sent, and an image that is read


def test_resume_does_what_is_missing_or_older(bucket, command):
    assert command("upscale", "-i", IN, "-o", OUT, *TWICE)[0] == 0
    time.sleep(0.01)
    bucket.pipe_file("/bucket/in/b.jpg", bucket.cat_file("/bucket/in/b.jpg"))
    bucket.rm_file("/bucket/out/a.png")
    answer = json.loads(command("upscale", "-i", IN, "-o", OUT, *TWICE, "--recursive", "--resume", "--json")[1])
    assert (answer["done"], answer["skipped"]) == (4, 0)
    answer = json.loads(command("upscale", "-i", IN, "-o", OUT, *TWICE, "--resume", "--json")[1])
    assert (answer["done"], answer["skipped"]) == (0, 2)


def test_an_image_that_cannot_be_read_fails_alone(bucket, command):
    bucket.pipe_file("/bucket/in/a.png", b"no image")
    code, out, _ = command("upscale", "-i", IN, "-o", OUT, *TWICE, "--json")
    answer = json.loads(out)
    assert (code, answer["done"], answer["failed"]) == (1, 1, 1)
    assert {*results(bucket)} == {"b.jpg"}
    assert [*Path(tempfile.gettempdir()).iterdir()] == []


@pytest.mark.parametrize("call", ["get_file", "put_file"])
def test_a_storage_that_no_longer_answers_ends_the_job_in_a_sentence(bucket, command, monkeypatch, call):
    before, answers = getattr(type(bucket), call), iter([True])

    def answer(self, *args, **options):
        if not next(answers, False):
            raise TimeoutError
        return before(self, *args, **options)

    monkeypatch.setattr(type(bucket), call, answer)
    code, _, err = command("upscale", "-i", IN, "-o", OUT, *TWICE, "--recursive")
    assert (code, err.count("does not answer"), "Traceback" in err) == (1, 1, False), err
    monkeypatch.undo()
    assert {*results(bucket)} <= {"a.png"}
    for content in results(bucket).values():
        Image.open(io.BytesIO(content)).load()


def test_a_cluster_lists_what_a_local_job_does(bucket):
    options = FileOptions(recursive=True)
    jobs = jobs_for(Path(IN), Path(OUT), options).jobs
    assert [*Folder(Path(IN), Path(OUT), options)()] == jobs
    assert [str(job.output) for job in jobs] == [f"memory:/bucket/out/{name}" for name in NAMES]


def test_the_results_are_no_images_of_the_next_job(bucket):
    bucket.pipe_file("/bucket/in/out/a.png", b"")
    listed = [str(file) for file in walk_store(Path(IN), Path(IN, "out"), recursive=True)]
    assert listed == [f"memory:/bucket/in/{name}" for name in ["a.png", "b.jpg", "notes.txt", *NAMES[2:]]]


def test_features_are_written_to_an_address(bucket, tmp_path, command):
    code, out, err = command("features", tmp_path / "in", "-o", "memory://bucket/f.npz", "--json")
    answer = json.loads(out)
    assert (code, answer["output"]) == (0, "memory://bucket/f.npz"), err
    features = np.load(io.BytesIO(bucket.cat_file("/bucket/f.npz")))["features"]
    assert features.shape == (answer["images"], answer["width"])
    assert [*Path(tempfile.gettempdir()).iterdir()] == []


def test_a_synthesis_is_written_to_an_address_and_goes_on_there(bucket, tmp_path, command):
    line = ["synthesize", "digits", "--per-class", 2, "--json", "-o"]
    assert command(*line, tmp_path / "out")[0] == 0
    code, out, err = command(*line, "memory://bucket/out")
    assert (code, json.loads(out)["output"]) == (0, "memory://bucket/out"), err
    assert drawn(bucket) == (here := files_of(tmp_path / "out"))
    assert "add --resume" in command(*line, "memory://bucket/out")[2]
    bucket.rm_file("/bucket/out/3/00000013.png")
    code, out, err = command(*line, "memory://bucket/out", "--resume")
    assert (code, json.loads(out)["written"]) == (0, 1), err
    assert drawn(bucket) == here
    assert "holds other files" in command(*line, "memory://bucket/in")[2]


class Pages:
    """A bucket of a million names, which S3 lists in pages of a thousand."""

    def __init__(self):
        self.pages = 0

    def split_path(self, path):
        return *path.split("/", 1), None

    def call_s3(self, method, *, Bucket, Prefix, Delimiter, ContinuationToken="0"):
        assert (method, Bucket, Prefix, Delimiter) == ("list_objects_v2", "bucket", "in/", "/")
        self.pages, first = self.pages + 1, int(ContinuationToken)
        files = [{"Key": f"in/{k:09d}.png"} for k in range(first, first + 1000)]
        odd = [{"Key": "in/"}, {"Key": "in/../a.png"}]
        more = {"IsTruncated": True, "NextContinuationToken": str(first + 1000)} if first < 999_000 else {}
        return {"Contents": [*odd, *files], "CommonPrefixes": [{"Prefix": "in//"}, {"Prefix": "in/deep/"}], **more}


def test_names_are_listed_a_page_at_a_time():
    store = Store("memory://bucket/in")
    store.system, store.root = Pages(), "bucket/in"
    assert [name for name, _ in islice(store.entries(), 1500)][-1] == "000001498.png"
    assert store.system.pages == 2
    assert [name for name, folder in islice(store.entries(), 1500) if folder] == ["deep"]


@pytest.mark.parametrize("place", [[], ["--on", "ray"]], ids=["local", "ray"])
@pytest.mark.parametrize(
    ("source", "output", "words"),
    [
        (IN, IN, "is the input folder"),
        (f"{IN}/a.png", OUT, "is a file; an address is that of a folder of images"),
        (IN, f"{IN}/a.png", "is a file; an address is that of a folder of images"),
        ("{here}/in/a.png", OUT, "of images"),
        ("https://a.org/in", OUT, "https:// has no folders of images; take a bucket"),
        (IN, "https://a.org/out", "https:// has no folders of images; take a bucket"),
        ("nonsense://bucket/in", OUT, "no kind of address"),
        ("file:///in", OUT, "write the path: /in"),
        (IN, "file:///out", "write the path: /out"),
        ("memory://bucket/none", OUT, "There are no images in memory://bucket/none"),
    ],
)
def test_places_that_are_refused(bucket, tmp_path, command, monkeypatch, source, output, words, place):
    monkeypatch.setattr(cluster, "find_spec", lambda name: True)
    monkeypatch.setattr(cluster, "choose_workers", None)  # it is refused before Ray is imported
    before = results(bucket, "/bucket/")
    source, output = (text.format(here=tmp_path) for text in (source, output))
    code, _, err = command("upscale", "-i", source, "-o", output, *TWICE, *place)
    assert (code, words in " ".join(err.split())) == (2, True), err
    assert results(bucket, "/bucket/") == before
    assert not Path("memory:").exists()


@pytest.mark.parametrize("line", ["upscale -o out -i X", "stylize X s.png -o out", "translate -i in --model m -o X"])
def test_a_storage_of_a_missing_package_is_one_sentence(command, line):
    code, _, err = command(*line.replace("X", "abfs://bucket/x").split())
    assert (code, "pip install" in err, "Traceback" in err) == (1, True, False), err
