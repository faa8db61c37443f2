"""A study on a local Ray cluster of two workers: killed and continued, workers lost; `make test-reach`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("ray")
optuna = pytest.importorskip("optuna")

from ganvas.training.lock import run_holder  # noqa: E402

pytestmark = pytest.mark.slow  # run by make test-reach, which installs Ray
SMALL = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--set", "batch=16", "--samples", "40"]
LINE = ["tune", "dcgan_small", "--data", "digits", "--on", "ray", "--workers", "2", "--device", "cpu", *SMALL, "--json"]


def begin(outdir, *options):
    command = [sys.executable, "-m", "ganvas", *LINE, "--outdir", str(outdir), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def trials_of(outdir):
    if not (outdir / "study.db").exists():
        return []
    try:
        return optuna.load_study(study_name="ganvas", storage=f"sqlite:///{outdir / 'study.db'}").trials
    except Exception:  # it is being written
        return []


def wait_for(condition):
    until = time.monotonic() + 240
    while not (answer := condition()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return answer


def steps(outdir):
    """The images of every line of the log of every trial."""
    logs = sorted(outdir.glob("trials/*/log.jsonl"))
    return {log.parent.name: [json.loads(line)["images"] for line in log.read_text().splitlines()] for log in logs}


def training(outdir):
    """The process id of a worker that trains; None if there is none."""
    holders = [run_holder(folder) for folder in outdir.glob("trials/*")]
    return next((holder[0] for holder in holders if holder and holder[0]), None)


@pytest.mark.timeout(900)
def test_a_study_is_continued_after_a_lost_worker_and_a_kill(tmp_path):
    outdir = tmp_path / "t"
    first = begin(outdir, "--trials", "5", "--images", "1600")
    killed = wait_for(lambda: steps(outdir) and training(outdir))
    os.kill(killed, signal.SIGKILL)  # its trial is resumed by another worker
    wait_for(lambda: [t for t in trials_of(outdir) if t.state.is_finished()] or first.poll() is not None)
    first.kill()
    first.communicate()
    before = {t.number: t.value for t in trials_of(outdir) if t.state.is_finished()}
    second = begin(outdir, "--trials", "5", "--images", "1600")
    out, err = second.communicate(timeout=600)
    assert second.returncode == 0, err[-3000:]
    answer = json.loads(out)
    assert (answer["trials"], answer["fail"]) == (5, 0)
    trials = trials_of(outdir)
    assert {t.state.name for t in trials if t.number < 5} <= {"COMPLETE", "PRUNED"}
    assert {number: trials[number].value for number in before} == before
    for images in steps(outdir).values():
        assert images == sorted(set(images))
    assert not [*outdir.glob(".ray-*")] or before
    assert Path(answer["recipe"]).exists()
