"""Two CPU processes train as one with the whole batch, and a run goes on with another number of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import processes
from ganvas import catalog
from ganvas.training import distributed

SCRIPT = Path(__file__).with_name("two_processes.py")


def torchrun(processes, *command):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    launcher += ["--master_addr", "127.0.0.1", "--master_port", str(free_port())]
    done = subprocess.run([*launcher, *command], capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def together(count, *command):
    """The processes of a run, with the environment that torchrun gives them."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
    shared["LOCAL_WORLD_SIZE"] = str(count)
    started = [processes.start(*command, **shared, RANK=str(k), LOCAL_RANK=str(k)) for k in range(count)]
    for process in started:
        process.wait()
    return started


def alone(*command):
    done = processes.run(*command)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def free_port():
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_of(store, ranks, world):
    """What the processes of a start, in threads here, take for their part of the store."""
    with ThreadPoolExecutor(len(ranks)) as threads:
        return [*threads.map(lambda rank: distributed.own_store(store, rank, world), ranks)]


def test_processes_of_a_start_see_nothing_of_an_earlier_one():
    """As after a restart by torchrun, whose store keeps what dead processes wrote."""
    store = torch.distributed.HashStore()
    first = start_of(store, [0, 1, 2], 3)
    first[2].set("address", "of the first start")
    assert {part.get("address") for part in first} == {b"of the first start"}
    second = start_of(store, [2, 1, 0], 3)
    assert not any(part.check(["address"]) for part in second)
    second[0].set("address", "of the second start")
    assert {part.get("address") for part in second} == {b"of the second start"}
    store.set("ganvas/asks/1", "a process that died while it asked")
    third = start_of(store, [1, 0], 2)
    third[1].set("address", "of the third start")
    assert {part.get("address") for part in third} == {b"of the third start"}


NAMES = ["dcgan", "dcgan_small"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What came of three steps of each recipe, by the number of processes."""
    recipes = []
    for name in NAMES:
        recipe = catalog.RECIPES[name]()
        changes = {"generator.width": "4", "discriminator.width": "4", "batch": "8"}
        changes |= {"g_optimizer": "sgd(lr=0.01)", "d_optimizer": "sgd(lr=0.01)"}  # Adam would magnify rounding
        for path, value in changes.items():
            recipe.set(path, value)
        recipes.append(recipe.to_dict())
    came = {}
    for count in (1, 2):
        out = tmp_path_factory.mktemp("steps") / "out.pt"
        for process in together(count, SCRIPT, out, json.dumps(recipes), 3):
            assert process.returncode == 0, process.stderr[-3000:]
        came[count] = torch.load(out, weights_only=True)
    return came


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_are_one_with_the_whole_batch(name, found):
    """Only the order of summation differs: gradients, weights, batch statistics and logs."""
    one, two = (found[count][NAMES.index(name)] for count in (1, 2))
    for player in "gd":
        for a, b in zip(one["gradients"][player], two["gradients"][player]):
            assert (a - b).norm() <= 1e-4 * a.norm() + 1e-7
    for key, value in one["task"].items():
        torch.testing.assert_close(two["task"][key], value, rtol=1e-4, atol=1e-5, msg=key)
    for key, value in one["terms"].items():
        assert two["terms"][key] == pytest.approx(value, rel=1e-3, abs=1e-5), key


def ganvas(*arguments):
    return ["-m", "ganvas", "train", *arguments]


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(tmp_path):
    run = tmp_path / "run"
    common = ["--outdir", str(run), "--device", "cpu", "--precision", "fp32", "--json"]
    small = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--set", "sync_batch_norm=true"]
    start = ["dcgan", "--data", "digits", "--resolution", "8", "--batch", "8", "--images", "64", *small]
    first = torchrun(2, *ganvas(*start, *common))
    assert json.loads(first.stdout)["images"] == 64  # one object, from one process
    second = alone(*ganvas("--resume", "--images", "128", "--outdir", str(run), "--json"))
    assert json.loads(second.stdout)["images"] == 128
    third, other = together(2, *ganvas("--resume", "--images", "192", "--outdir", str(run), "--json"))
    assert (third.returncode, other.returncode) == (0, 0), third.stderr[-3000:] + other.stderr[-3000:]
    assert (json.loads(third.stdout)["images"], other.stdout) == (192, "")
    images = [json.loads(line)["images"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert images == sorted(set(images))


def test_a_batch_that_does_not_split_is_a_sentence(tmp_path):
    line = ganvas("dcgan", "--data", "digits", "--resolution", "8", "--batch", "9", "--outdir", str(tmp_path / "r"))
    first, other = together(2, *line)
    assert 0 not in (first.returncode, other.returncode)
    assert "does not split" in first.stderr
    assert not (tmp_path / "r").exists()
