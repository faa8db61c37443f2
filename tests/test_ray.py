"""Work on a local Ray cluster of two workers; `make test-reach`."""

from __future__ import annotations

import functools
import json
import os
import signal
import time
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ray = pytest.importorskip("ray")
pyarrow = pytest.importorskip("pyarrow")

from ganvas.errors import UserError  # noqa: E402
from ganvas.imaging.photo import Photo  # noqa: E402
from ganvas.inference.batch import FileOptions, Job, Work, own_size  # noqa: E402
from ganvas.sweeps.bulk import Bulk, Folder, blocks_of, plan_tasks, stream  # noqa: E402
from ganvas.sweeps.cluster import WorkerOptions, choose_workers, connect  # noqa: E402

pytestmark = pytest.mark.slow  # run by make test-reach, which installs Ray
TWO = WorkerOptions(2)
SMALL = 96 << 20  # bytes that the driver may grow by over a million names, which are 200 MB as objects


@pytest.fixture(scope="module", autouse=True)
def local():
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), before])  # of the workers, too
    connect()
    os.environ["PYTHONPATH"] = before
    yield
    ray.shutdown()


@pytest.fixture
def images(tmp_path):
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0)
    for k in range(40):
        Image.fromarray(noise.integers(0, 255, (12, 10, 3), np.uint8)).save(tmp_path / f"in/{k:02d}.png")
    return tmp_path


def open_negative(place: Path) -> Work:
    """The negative of an image; each worker leaves its process id, and the one with image 13 dies of it, once."""
    (place / "log" / str(os.getpid())).touch()

    def change(photo: Photo, output: Path, share: object) -> Photo:
        with (place / "changed").open("a") as log:
            log.write(f"{output.name}\n")
        if output.name == "13.png" and not (place / "dates").exists():
            dates = {file.name: file.stat().st_mtime_ns for file in (place / "out").glob("*.png")}
            (place / "dates").write_text(json.dumps(dates))
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(photo, array=255 - photo.array)

    return Work(change, {"model": "negative", "list": []}, own_size, None)


def open_slow(place: Path) -> Work:
    """Copies, which take a while; each worker leaves the names that it had, and waits for the other one."""
    (place / "log" / str(os.getpid())).touch()
    until = time.monotonic() + 120
    while len([*(place / "log").iterdir()]) < 2 and time.monotonic() < until:
        time.sleep(0.05)

    def change(photo: Photo, output: Path, share: object) -> Photo:
        with (place / "log" / str(os.getpid())).open("a") as log:
            log.write(f"{output.name}\n")
        time.sleep(0.2)
        return photo

    return Work(change, {"model": "copy"}, own_size, None)


def bulk(place: Path) -> Bulk:
    (place / "log").mkdir(exist_ok=True)
    options = FileOptions()
    folder = Folder(place / "in", place / "out", options)
    return Bulk(folder, functools.partial(open_negative, place), TWO)


def test_a_lost_worker_loses_nothing_and_nothing_is_written_twice(images):
    outcomes = [*bulk(images).run()]
    assert sorted(Path(one["file"]).name for one in outcomes) == [f"{k:02d}.png" for k in range(40)]
    assert {(one["status"], one["reason"]) for one in outcomes} == {("done", "")}
    assert len([*(images / "log").iterdir()]) == 3  # two, and the one that took the place of the lost one
    dates = json.loads((images / "dates").read_text())
    assert len(dates) >= 3  # of 08 to 11; 12 may be in the hands of the thread that writes
    assert {name: (images / "out" / name).stat().st_mtime_ns for name in dates} == dates
    changed = (images / "changed").read_text().split()
    assert [name for name in set(changed) if changed.count(name) > 1 and name in dates] == []
    assert len([*(images / "out").glob("*.png")]) == 40


def test_an_earlier_result_is_replaced(images):
    (images / "out").mkdir()
    (images / "dates").touch()  # no worker dies
    (images / "out/07.png").write_bytes(b"old")
    assert len([*bulk(images).run()]) == 40
    assert Image.open(images / "out/07.png").size == (10, 12)


class Count:
    """The number of names in a table."""

    def __call__(self, names):
        return pyarrow.table({"count": [len(names)]})


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_million_names_cost_the_driver_no_memory():
    def jobs():
        return (Job(Path(f"/a/folder/of/many/{k:09d}.png"), Path(f"/out/{k:09d}.png")) for k in range(1_000_000))

    total, start = 0, None
    for block in stream(jobs, TWO, Count):
        total += sum(block["count"].to_pylist())
        start = start or resident()
    assert total == 1_000_000
    assert resident() - start < SMALL


def test_tasks_grow_with_the_names():
    sizes = [len(table) for table in blocks_of(repeat(Job(Path("a"), Path("b")), 200), 2, 8)]
    assert (sum(sizes), set(sizes)) == (200, {8})
    sizes = [len(table) for table in blocks_of(repeat(Job(Path("a"), Path("b")), 100_000), 2, 8)]
    assert (sum(sizes), max(sizes)) == (100_000, 512)


def names_of_length(count, length):
    return lambda: (Job(Path(f"/{k:0{length}}.png"), Path("/out.png")) for k in range(count))


@pytest.mark.parametrize(
    ("count", "workers", "size", "ahead"),
    [(200, 2, 10, 2), (40, 2, 10, 1), (16, 2, 8, 1), (6, 2, 3, 1), (3, 4, 1, 1), (20_000, 2, 8, 2)],
)
def test_few_names_are_divided_equally(count, workers, size, ahead):
    planned, _, at_once = plan_tasks(names_of_length(count, 9), workers)
    assert (planned, at_once) == (size, ahead)


@pytest.mark.parametrize("length", [1, 90])
def test_a_task_has_as_many_names_as_planned(length):
    """Ray would join short names, and divide long ones."""
    sizes = []
    for block in stream(names_of_length(40, length), TWO, Count):
        sizes += block["count"].to_pylist()
    assert sizes == [10, 10, 10, 10]


def test_names_that_are_no_text(tmp_path):
    job = Job(Path(os.fsdecode(b"/a/\xff.png")), Path("b"))
    [table] = blocks_of(iter([job]), 2, 8)
    assert os.fsdecode(table["source"][0].as_py()) == str(job.source)


def test_the_command_gives_what_the_local_one_gives(images, command):
    (images / "in/99.png").write_bytes(b"no image")
    here, there = images / "here", images / "there"
    options = ["--model", "bicubic", "--outscale", 2, "--json"]
    assert command("upscale", "-i", images / "in", "-o", here, *options)[0] == 1
    code, out, err = command("upscale", "-i", images / "in", "-o", there, *options, "--on", "ray", "--workers", 2)
    answer = json.loads(out)
    assert (code, answer["done"], answer["failed"], answer["workers"]) == (1, 40, 1, 2), err
    assert [Path(one["file"]).name for one in answer["failures"]] == ["99.png"]
    assert {f.name: f.read_bytes() for f in here.iterdir()} == {f.name: f.read_bytes() for f in there.iterdir()}
    again = ["upscale", "-i", images / "in", "-o", there, *options, "--on", "ray", "--workers", 2, "--resume"]
    assert json.loads(command(*again)[1])["skipped"] == 40


def test_two_images_of_one_result_are_refused_before_there_is_one(images, command):
    """Both are 07.png: a suffix is written in small letters."""
    (images / "in/07.PNG").write_bytes((images / "in/07.png").read_bytes())
    arguments = ["upscale", "-i", images / "in", "-o", images / "out", "--model", "bicubic"]
    for place in ([], ["--on", "ray", "--workers", 1]):
        code, _, err = command(*arguments, *place)
        assert (code, "would both be written as" in err) == (2, True), err
        assert not (images / "out").exists()


@pytest.mark.parametrize("count", [40, 6])
def test_both_workers_get_names(images, count):
    """Each image takes a while: one worker alone would have them all only if the other had no share."""
    for file in sorted((images / "in").iterdir())[count:]:
        file.unlink()
    options = FileOptions()
    folder = Folder(images / "in", images / "out", options)
    (images / "log").mkdir()
    work = functools.partial(open_slow, images)
    assert len([*Bulk(folder, work, TWO).run()]) == count
    assert [len(file.read_text().split()) for file in (images / "log").iterdir()] == [count // 2] * 2


def test_what_a_worker_refuses_is_one_sentence(images, command):
    arguments = ["-i", images / "in", "-o", images / "out", "--on", "ray", "--workers", 1]
    code, _, err = command("restore", *arguments, "--model", images / "none.pth")
    assert (code, "none.pth" in err, "Traceback" in err) == (2, True, False)
    assert not (images / "out").exists()


def test_more_workers_than_there_are_cores():
    cores = int(ray.cluster_resources()["CPU"])
    with pytest.raises(UserError, match=f"has {cores} CPU cores"):
        choose_workers(cores + 1, "cpu")
    with pytest.raises(UserError, match="has 0 GPUs"):
        choose_workers(1, "cuda")


def test_features_are_those_of_one_machine(tmp_path, command):
    outputs = {}
    for name, place in {"here": [], "there": ["--on", "ray", "--workers", 2]}.items():
        code, out, err = command("features", "digits", "-o", tmp_path / f"{name}.npz", "--json", *place)
        assert code == 0, err
        outputs[name] = json.loads(out), np.load(tmp_path / f"{name}.npz")
    (one, local), (two, remote) = outputs["here"], outputs["there"]
    assert {**one, "output": ""} == {**two, "output": ""}
    assert np.array_equal(local["labels"], remote["labels"])
    np.testing.assert_allclose(local["features"], remote["features"], rtol=1e-4, atol=1e-5)


def test_a_synthesis_is_that_of_one_machine(tmp_path, command):
    here, there = tmp_path / "here", tmp_path / "there"
    options = ["--per-class", 3, "--json"]
    place = ["--on", "ray", "--workers", 2]
    assert command("synthesize", "digits", "-o", here, *options)[0] == 0
    code, out, err = command("synthesize", "digits", "-o", there, *options, *place)
    assert (code, json.loads(out)["written"]) == (0, 30), err
    files = {f.relative_to(here): f.read_bytes() for f in here.rglob("*.png")}
    assert {f.relative_to(there): f.read_bytes() for f in there.rglob("*.png")} == files
    next(there.rglob("*.png")).unlink()
    code, out, err = command("synthesize", "digits", "-o", there, *options, *place, "--resume")
    assert (code, json.loads(out)["written"]) == (0, 1), err


def test_a_synthesis_without_classes_is_refused(tmp_path, command):
    run = tmp_path / "run"
    train = ["--data", "digits", "--resolution", 8, "--images", 16, "--batch", 8, "--device", "cpu", "--outdir", run]
    assert command("train", "dcgan_small", *train, "--set", "generator.width=4")[0] == 0
    arguments = ["synthesize", run, "-o", tmp_path / "out", "--count", 4, "--copies", "--on", "ray", "--workers", 1]
    code, _, err = command(*arguments)
    assert (code, "classes" in err) == (2, True), err
