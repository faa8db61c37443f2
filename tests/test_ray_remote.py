"""Images from an address to an address by two workers of a local Ray cluster, on moto's S3; `make test-reach`."""

from __future__ import annotations

import functools
import json
import os
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ray = pytest.importorskip("ray")
s3fs = pytest.importorskip("s3fs")
moto = pytest.importorskip("moto.server")

from ganvas.data.remote import Store  # noqa: E402
from ganvas.errors import UserError  # noqa: E402
from ganvas.imaging.photo import Photo  # noqa: E402
from ganvas.inference.batch import FileOptions, Work, own_size  # noqa: E402
from ganvas.sweeps.bulk import Bulk, Folder  # noqa: E402
from ganvas.sweeps.cluster import WorkerOptions, connect  # noqa: E402

pytestmark = pytest.mark.slow  # run by make test-reach, which installs Ray
TWICE = ["--model", "bicubic", "--outscale", 2]
ON_RAY = ["--on", "ray", "--workers", 2, "--json"]


@pytest.fixture(scope="module", autouse=True)
def server():
    """A server of S3 in this process, and a cluster whose workers know it: their environment is that of its start."""
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    given = {"AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()), "AWS_ACCESS_KEY_ID": "x"}
    given |= {"AWS_SECRET_ACCESS_KEY": "y", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        with pytest.MonkeyPatch.context() as paths:
            paths.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
            connect()
        yield
        ray.shutdown()
    server.stop()


@pytest.fixture
def bucket(tmp_path):
    """Forty images in a folder and in a bucket."""
    system = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    system.mkdir("bucket")
    noise = np.random.default_rng(0)
    for k in range(40):
        file = tmp_path / "in" / ("deep" if k % 2 else "") / f"{k:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 255, (12, 10, 3), np.uint8)).save(file)
        system.put_file(str(file), f"bucket/in/{file.relative_to(tmp_path / 'in')}")
    yield system
    if system.exists("bucket"):
        system.rm("bucket", recursive=True)


def results(system):
    return {path.removeprefix("bucket/out/"): facts for path, facts in system.find("bucket/out", detail=True).items()}


def dates(system):
    return {name: str(facts["LastModified"]) for name, facts in results(system).items()}


def open_copies(place: Path, fault: str) -> Work:
    """Copies; the worker with image 13 dies of it, once, or its storage no longer answers."""
    tempfile.tempdir = str(place)  # what a killed process leaves

    def change(photo: Photo, output: Path, share: object) -> Photo:
        with (place / "changed").open("a") as log:
            log.write(f"{output.name}\n")
        if output.name == "13.png" and not (place / "dates").exists():
            if fault == "silence":
                Store.send = Store.fetch_to = silence
                return photo
            time.sleep(1.1)  # the clock of a bucket counts seconds
            system = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
            (place / "dates").write_text(json.dumps(dates(system)))
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(photo, array=255 - photo.array)

    return Work(change, {"model": "copy"}, own_size, None)


def silence(self, *_):
    from ganvas.data.remote import explain_remote

    with explain_remote(self.address):
        raise TimeoutError


def run(place, fault=""):
    folder = Folder(Path("s3://bucket/in"), Path("s3://bucket/out"), FileOptions(recursive=True))
    return [*Bulk(folder, functools.partial(open_copies, place, fault), WorkerOptions(2)).run()]


def test_a_lost_worker_loses_nothing_and_nothing_is_written_twice(bucket, tmp_path):
    bucket.pipe_file("bucket/out/00.png", b"of an earlier command")
    outcomes = run(tmp_path)
    assert {(one["status"], one["reason"]) for one in outcomes} == {("done", "")}
    names = {f"{'deep/' if k % 2 else ''}{k:02d}.png" for k in range(40)}
    assert {one["output"] for one in outcomes} == {f"s3://bucket/out/{name}" for name in names}
    assert results(bucket).keys() == names  # nothing else: no part of a file, no probe of the clock
    before = {name: date for name, date in json.loads((tmp_path / "dates").read_text()).items() if name != "00.png"}
    assert len(before) >= 3
    assert {name: dates(bucket)[name] for name in before} == before
    changed = (tmp_path / "changed").read_text().split()
    assert [name for name in set(changed) if changed.count(name) > 1 and name in map(os.path.basename, before)] == []
    with bucket.open("bucket/out/00.png") as file:
        assert np.array_equal(np.asarray(Image.open(file)), 255 - np.asarray(Image.open(tmp_path / "in/00.png")))


def test_a_storage_that_no_longer_answers_ends_the_job_in_a_sentence(bucket, tmp_path):
    with pytest.raises(UserError, match=r"^The workers cannot go on: s3://bucket/\w+ does not answer; .* --resume"):
        run(tmp_path, "silence")
    for name in results(bucket):
        with bucket.open(f"bucket/out/{name}") as file:
            Image.open(file).load()


def test_the_command_gives_what_the_local_one_gives(bucket, tmp_path, command):
    bucket.pipe_file("bucket/in/99.png", b"no image")
    (tmp_path / "in/99.png").write_bytes(b"no image")
    assert command("upscale", "-i", tmp_path / "in", "-o", tmp_path / "out", "--recursive", *TWICE)[0] == 1
    line = ["upscale", "-i", "s3://bucket/in", "-o", "s3://bucket/out", "--recursive", *TWICE, *ON_RAY]
    code, out, err = command(*line)
    answer = json.loads(out)
    assert (code, answer["done"], answer["failed"], answer["workers"]) == (1, 40, 1, 2), err
    assert [one["file"] for one in answer["failures"]] == ["s3://bucket/in/99.png"]
    files = (tmp_path / "out").rglob("*.png")
    here = {file.relative_to(tmp_path / "out").as_posix(): file.read_bytes() for file in files}
    assert {name: bucket.cat_file(f"bucket/out/{name}") for name in results(bucket)} == here
    bucket.rm_file("bucket/out/deep/07.png")
    answer = json.loads(command(*line, "--resume")[1])
    assert (answer["done"], answer["skipped"], answer["failed"]) == (1, 39, 1)


@pytest.mark.parametrize(
    ("source", "output", "endpoint", "words"),
    [
        ("s3://none/in", "s3://bucket/out", "", "s3://none/in does not exist; make the bucket"),
        ("s3://bucket/in", "s3://none/out", "", "s3://none/out does not exist; make the bucket"),
        ("s3://bucket/in", "s3://bucket/out", "http://127.0.0.1:9", "s3://bucket/in does not answer"),
        ("{here}/in", "s3://bucket/out", "http://127.0.0.1:9", "s3://bucket/out does not answer"),
        ("s3://bucket/in", "s3://bucket/out", "no key", "s3://bucket/in cannot be opened: credentials are missing"),
    ],
)
def test_storage_that_is_refused(bucket, tmp_path, command, monkeypatch, source, output, endpoint, words):
    if endpoint == "no key":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.setenv("HOME", str(tmp_path))
    elif endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    start = time.monotonic()
    code, _, err = command("upscale", "-i", source.format(here=tmp_path), "-o", output, *TWICE, *ON_RAY)
    assert (code, words in " ".join(err.split()), "Traceback" in err) == (1, True, False), err
    assert time.monotonic() - start < 30
    assert results(bucket) == {}
