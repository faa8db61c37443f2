"""The run folder: whole or not at all, never over another, and only ever read as data."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap

import pytest
import torch

from ganvas.errors import UsageError, UserError
from ganvas.files import atomic_write, write_json
from ganvas.run import Run, read_state, weights_hash


@pytest.fixture
def run(tmp_path):
    run = Run.create(tmp_path / "run")
    run.write_config({"recipe_name": "dcgan"})
    return run


def state(value=0.0):
    return {"trainer": {"images": 1, "weights": torch.full((64, 64), float(value))}, "retries": 0, "seconds": 0.0}


def test_a_new_folder_or_an_empty_one(tmp_path):
    (tmp_path / "empty").mkdir()
    assert Run.create(tmp_path / "empty").samples.is_dir()
    assert Run.create(tmp_path / "a" / "b").samples.is_dir()


def test_another_run_is_never_overwritten(run):
    before = run.config_file.read_bytes()
    with pytest.raises(UsageError, match="holds another run; add --resume"):
        Run.create(run.path)
    assert run.config_file.read_bytes() == before


def test_a_folder_with_other_files_is_refused_and_untouched(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="files that are not a run"):
        Run.create(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        Run.create(tmp_path / "x")


def test_open_wants_a_run(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        Run.open(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is not a run"):
        Run.open(tmp_path)


def test_the_last_two_states_are_kept(run):
    for images in (0, 100, 200, 1000):
        run.save_state(state(images), images)
    assert [int(f.stem) for f in run.states()] == [1000, 200]
    assert run.load_state()["trainer"]["weights"][0, 0] == 1000


@pytest.mark.parametrize("cut", [0, 1, 100, -1, -100])
def test_a_truncated_state_is_told_and_the_one_before_is_used(run, cut):
    run.save_state(state(1), 100)
    newest = run.save_state(state(2), 200)
    newest.write_bytes(newest.read_bytes()[:cut])
    told = []
    assert run.load_state(told.append)["trainer"]["weights"][0, 0] == 1
    assert len(told) == 1
    assert "000000000200.pt" in told[0]
    assert "one before it is used" in told[0]


def test_a_damaged_byte_is_noticed(run):
    run.save_state(state(1), 100)
    newest = run.save_state(state(2), 200)
    content = bytearray(newest.read_bytes())
    middle = content.index(torch.full((64,), 2.0).numpy().tobytes())
    content[middle + 5] ^= 1
    newest.write_bytes(content)
    told = []
    assert run.load_state(told.append)["trainer"]["weights"][0, 0] == 1
    assert "damaged" in told[0]


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch bomb-went-off",))


def test_a_foreign_state_runs_no_code(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    good = run.save_state(state(1), 100)
    bad = run.path / "state" / "000000000200.pt"
    torch.save({"trainer": Bomb()}, bad)
    pickled = run.path / "state" / "000000000300.pt"
    pickled.write_bytes(pickle.dumps(Bomb()))
    told = []
    assert run.load_state(told.append)["trainer"]["weights"][0, 0] == 1
    assert len(told) == 2
    assert not (tmp_path / "bomb-went-off").exists()
    assert good.exists()


def test_a_state_of_something_else_is_refused(run):
    file = run.path / "state" / "000000000100.pt"
    torch.save({"model": torch.zeros(3)}, file)
    with pytest.raises(UserError, match="was not written by ganvas"):
        read_state(file)
    with pytest.raises(UserError, match="no training state"):
        run.load_state()


def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "x.json"
    write_json(file, {"a": 1})

    def fail():
        with atomic_write(file) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert file.read_text() == '{\n  "a": 1\n}\n'
    assert os.listdir(tmp_path) == ["x.json"]


def test_a_full_disk_is_a_sentence_and_the_snapshot_before_survives(run):
    """The kernel refuses to let the process's files grow past 8 kB: what a full disk does, for this process alone."""
    run.save_state(state(1), 100)
    script = textwrap.dedent(f"""
        import resource, signal, sys, torch
        from ganvas.run import Run
        from ganvas.errors import UserError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        try:
            Run({str(run.path)!r}).save_state({{"trainer": {{"weights": torch.randn(512, 512)}}}}, 200)
        except UserError as problem:
            sys.exit(str(problem))
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "could not be written" in done.stderr
    assert "untouched" in done.stderr
    assert os.listdir(run.path / "state") == ["000000000100.pt"]
    assert run.load_state()["trainer"]["weights"][0, 0] == 1


def test_the_log_forgets_what_will_be_done_again(run):
    for images in (10, 20, 30):
        run.append_log({"images": images})
    with run.log_file.open("a") as file:
        file.write('{"images": 4')  # a kill in the middle of a line
    assert [line["images"] for line in run.log()] == [10, 20, 30]
    run.rewind_log(20)
    assert [line["images"] for line in run.log()] == [10, 20]


def test_config_that_is_not_json_is_a_sentence(run):
    run.config_file.write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        run.config()
    run.config_file.write_text("[]")
    with pytest.raises(UserError, match="JSON object"):
        run.config()


def test_weights_hash_sees_every_tensor(run):
    run.save_state(state(1), 100)
    one = weights_hash(run)
    assert one == weights_hash(run)
    run.save_state(state(1 + 1e-7), 200)
    assert weights_hash(run) != one
