"""Runs at an address: sent after every snapshot, states last; continued from an empty folder; one process writes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import fsspec
import pytest

import ganvas
from ganvas import api
from ganvas.errors import UsageError, UserError
from ganvas.paths import as_address
from ganvas.run import Run, weights_hash
from ganvas.training.mirror import HOLDER, MARK, Mirror
from ganvas.training.recorder import Finished, Notice, Snapshot
from ganvas.training.request import TrainRequest

pytestmark = pytest.mark.slow  # run by make test-reach

SMALL = {"generator.width": 4, "discriminator.width": 4}
TINY = {"resolution": 8, "batch": 8, "device": "cpu", "precision": "fp32", "set": SMALL, "snapshot_images": 8}
ADDRESS = "memory://bucket/run"


@pytest.fixture
def memory(monkeypatch, tmp_path):
    """Storage in memory, and a function that gives this process an empty cache: that of a new machine."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    count = iter(range(99))

    def move():
        monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / f"machine{next(count)}"))

    move()
    yield system, move
    system.store.clear()


def train(place=ADDRESS, images=24, **options):
    return ganvas.train("dcgan", data="digits", outdir=place, images=images, **{**TINY, **options})


def stop_at(at, **options):
    """A run that is killed after its snapshot of so many images, without a goodbye."""

    def die(event):
        if isinstance(event, Snapshot) and event.images == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(on_event=die, **options)


def names(system):
    return sorted(path.removeprefix("/bucket/run/") for path in system.find("/bucket/run"))


def test_a_run_is_the_same_at_an_address_and_goes_on_from_an_empty_folder(memory, tmp_path):
    system, move = memory
    whole = train(tmp_path / "whole")
    stop_at(16)
    assert "state/000000000008.pt" in names(system)
    move()
    heard = []
    run = train(resume=True, on_event=heard.append)
    assert weights_hash(run) == weights_hash(whole)
    assert run.log()[-1]["images"] == 24
    files = {p.relative_to(run.path).as_posix() for p in run.path.rglob("*") if p.is_file()}
    assert {*names(system)} == files - {".mirror"} | {MARK}
    assert [name for name in names(system) if name.startswith("state/")] == [f"state/{n:012d}.pt" for n in (16, 24)]
    system.store.clear()
    move()
    assert weights_hash(train(resume=True)) == weights_hash(whole)


def test_a_second_start_is_refused_and_what_is_no_run_is_left_alone(memory):
    system, move = memory
    train(images=8)
    before = names(system)
    with pytest.raises(UsageError, match="holds another run; add --resume"):
        train(images=8)
    move()
    with pytest.raises(UsageError, match="holds another run; add --resume"):
        train(images=8)
    assert names(system) == before
    system.pipe_file("/bucket/other/letter.txt", b"dear")
    with pytest.raises(UsageError, match="files that are not a run"):
        train("memory://bucket/other", images=8, resume=True)
    with pytest.raises(UsageError, match="memory://bucket/none is not|does not exist"):
        ganvas.train(outdir="memory://bucket/none", resume=True)


def test_states_are_sent_last_and_a_half_sent_run_continues(memory, monkeypatch, tmp_path):
    system, _ = memory
    whole = train(tmp_path / "whole")
    sent = []
    put = type(system).put_file

    def record(self, local, path, *rest, **more):
        sent.append(path.removeprefix("/bucket/run/"))
        if len(sent) > 20:  # the storage is gone in the middle of a mirror
            raise SystemExit
        return put(self, local, path, *rest, **more)

    monkeypatch.setattr(type(system), "put_file", record)
    with pytest.raises(SystemExit):
        train()
    monkeypatch.undo()
    before = sent[: sent.index("state/000000000000.pt")]
    assert {"config.json", "model/generator.safetensors", "samples/000000000000.png"} == {*before} - {
        "model/README.md",
        "model/config.json",
    }
    newest = max(name for name in names(system) if name.startswith("state/"))
    system.pipe_file(f"/bucket/run/{newest}", system.cat_file(f"/bucket/run/{newest}")[:999])
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "new"))
    heard = []
    session = api.prepare(TrainRequest("dcgan", "digits", ADDRESS, images=24, resume=True, **TINY))
    heard = session.notices
    for _ in session:
        pass
    session.close()
    assert any("truncated" in sentence for sentence in heard)
    assert weights_hash(session.run) == weights_hash(whole)


def test_a_machine_that_comes_back_takes_what_another_has_trained(memory, monkeypatch):
    _, move = memory
    stop_at(8)
    first = os.environ["GANVAS_CACHE"]
    move()
    run = train(resume=True)
    monkeypatch.setenv("GANVAS_CACHE", first)
    heard = []
    assert weights_hash(train(resume=True, on_event=heard.append)) == weights_hash(run)
    assert heard == [Finished("done")]
    assert first in str(Mirror(ADDRESS, TrainRequest("dcgan", "digits", ADDRESS).folder).folder)


def test_whoever_comes_later_has_the_address(memory, monkeypatch, tmp_path):
    system, move = memory
    first = api.prepare(TrainRequest("dcgan", "digits", ADDRESS, images=24, **TINY))
    events = iter(first)
    while not isinstance(next(events), Snapshot):
        pass
    next(events)
    with pytest.raises(UserError, match=rf"is being trained by process {os.getpid()} on this machine"):
        train(resume=True)
    move()
    second = api.prepare(TrainRequest("dcgan", "digits", ADDRESS, images=24, resume=True, **TINY))
    assert any("ends at its next snapshot" in sentence for sentence in second.notices)
    with pytest.raises(UserError, match="was taken over by process"):
        for _ in events:
            pass
    first.close()
    assert json.loads(system.cat_file(f"/bucket/run/{HOLDER}"))["process"] == os.getpid()
    second.close()
    assert HOLDER not in names(system)


def test_a_storage_that_fails_for_a_while_delays_the_mirror(memory, monkeypatch):
    system, _ = memory
    put, fails = type(system).put_file, [False]

    def fail(self, *args, **options):
        if fails[0]:
            raise OSError("the wire is cut")
        return put(self, *args, **options)

    monkeypatch.setattr(type(system), "put_file", fail)
    heard = []

    def watch(event):
        heard.append(event)
        if isinstance(event, Snapshot):
            fails[0] = event.images == 8

    run = train(on_event=watch)
    assert ["the wire is cut" in e.sentence for e in heard if isinstance(e, Notice)] == [True]
    assert {"state/000000000024.pt", "report.html"} <= {*names(system)}
    fails[0], before = True, names(system)
    with pytest.raises(UserError, match="was not mirrored: .*wire is cut.* whole in .*--resume"):
        ganvas.train(outdir=ADDRESS, resume=True, images=32)
    fails[0] = False
    ganvas.train(outdir=ADDRESS, resume=True)
    assert "state/000000000032.pt" in names(system) != before
    assert Run(run.path).log()[-1]["images"] == 32


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("https://host/run", "nothing can be written there"),
        ("nonsense://bucket/run", "no kind of address"),
        ("file:///folder/run", "write the path: /folder/run"),
    ],
)
def test_addresses_that_cannot_be_written_are_refused(address, sentence, memory):
    with pytest.raises(UsageError, match=sentence):
        train(address)


def test_where_files_grow_they_are_renamed_when_they_are_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "one"))
    place, heard = f"local://{tmp_path}/bucket/run", []
    first = train(place, images=8)
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "two"))
    monkeypatch.setattr(type(fsspec.filesystem("local")), "mv", lambda self, a, b: (heard.append(b), os.replace(a, b)))
    assert weights_hash(train(place, images=8, resume=True)) == weights_hash(first)
    assert any(name.endswith("report.html") for name in heard)
    assert not list((tmp_path / "bucket").rglob("*.part"))


def test_a_start_that_could_not_write_is_no_run(memory, monkeypatch):
    system, _ = memory
    pipe = type(system).pipe_file

    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr(type(system), "pipe_file", refuse)
    with pytest.raises(UserError, match="not allowed"):
        train(images=8)
    monkeypatch.setattr(type(system), "pipe_file", pipe)
    train(images=8)
    assert "state/000000000008.pt" in names(system)


def test_what_a_storage_answers_is_one_sentence(memory, monkeypatch):
    system, _ = memory

    def answer(problem):
        def fail(*_, **__):
            raise problem

        monkeypatch.setattr(type(system), "find", fail)
        with pytest.raises(UserError) as caught:
            train()
        return str(caught.value)

    class NoCredentialsError(Exception):
        pass

    class EndpointConnectionError(Exception):
        pass

    assert "credentials are missing" in answer(NoCredentialsError())
    assert "does not answer" in answer(EndpointConnectionError())
    assert "not allowed" in answer(PermissionError())
    assert answer(ValueError("odd\nmore")) == f"{ADDRESS} failed: odd."


def test_an_address_survives_being_a_path():
    from pathlib import Path

    assert [as_address(x) for x in ("s3://b/run", Path("s3://b/run"), "runs/x", "C:/run")] == ["s3://b/run"] * 2 + [
        None
    ] * 2


# --- S3 itself, by moto's server ---------------------------------------------------------------------------


def command(cache, *line):
    environment = {**os.environ, "GANVAS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-m", "ganvas", "train", *map(str, line)]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_five_times_it_goes_on_from_an_empty_folder(s3, tmp_path):
    line = ["dcgan", "--data", "digits", "--resolution", 8, "--batch", 8, "--images", 4000, "--precision", "fp32"]
    line += ["--set", "generator.width=4", "--set", "discriminator.width=4", "--snapshot-images", 80]
    whole = command(tmp_path / "whole", *line, "--outdir", tmp_path / "run", "--json")
    expected = json.loads(whole.communicate()[0])["weights_sha256"]
    store = Mirror(s3, tmp_path / "none").store
    chance, kills = random.Random(5), 0
    while kills < 5:
        before = {name for name in store.sizes() if name.startswith("state/")}
        process = command(tmp_path / f"machine{kills}", *line, "--outdir", s3, "--resume")
        while {name for name in store.sizes() if name.startswith("state/")} == before:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 1.5))
        assert process.poll() is None, "it was too quick to be killed"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        shutil.rmtree(tmp_path / f"machine{kills}")
        kills += 1
    last = command(tmp_path / "last", *line, "--outdir", s3, "--resume", "--json")
    out, err = last.communicate()
    answer = json.loads(out)
    assert (answer["images"], answer["weights_sha256"]) == (4000, expected), err


@pytest.mark.slow
def test_s3_refuses_in_a_sentence(s3, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"s3://none/run does not exist; make the bucket"):
        train("s3://none/run")
    start = time.perf_counter()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"s3://bucket/run does not answer"):
        train(s3)
    assert time.perf_counter() - start < 10
