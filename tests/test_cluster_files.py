"""The files for SLURM and Kubernetes; lost workers of torchrun, as processes of this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

TOP = Path(__file__).parents[1]
SMALL = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--set", "sync_batch_norm=true"]
TINY = ["dcgan", "--data", "digits", "--resolution", "8", "--batch", "8", "--device", "cpu", "--precision", "fp32"]
LENGTH = ["--images", "1600", "--snapshot-images", "200"]
TRAIN = ["-m", "ganvas", "train", *TINY, *SMALL, *LENGTH, "--resume"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def documents():
    return {one["kind"]: one for one in yaml.safe_load_all((TOP / "examples/kubernetes.yaml").read_text())}


def container():
    return documents()["Job"]["spec"]["template"]["spec"]["containers"][0]


def test_the_pods_find_each_other():
    job, service = documents()["Job"], documents()["Service"]
    name, pods = service["metadata"]["name"], job["spec"]["template"]["spec"]
    assert (pods["subdomain"], service["spec"]["clusterIP"]) == (name, "None")
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert f"--rdzv-endpoint={job['metadata']['name']}-0.{name}:29400" in container()["command"]
    assert f"--nnodes={job['spec']['completions']}" in container()["command"]
    assert job["spec"]["completionMode"] == "Indexed"
    mounted = {one["name"] for one in container()["volumeMounts"]}
    assert mounted == {one["name"] for one in pods["volumes"]}


def trained(run):
    log = run / "log.jsonl"
    return [json.loads(line)["images"] for line in log.read_text().splitlines()] if log.exists() else []


def kill_a_worker(run, launcher):
    """Kill a process that trains once the run has a snapshot."""
    until = time.monotonic() + 200
    while len([*(run / "state").glob("*.pt")]) < 2:
        assert time.monotonic() < until
        assert launcher.poll() is None
        time.sleep(0.05)
    listed = subprocess.run(["pgrep", "-f", f"ganvas train.*{run}"], capture_output=True, text=True).stdout
    ids = [int(pid) for pid in listed.split()]
    trainings = [pid for pid in ids if b"distributed.run" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(trainings[-1], signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("nodes", [1, 2])
def test_torchrun_starts_processes_again(tmp_path, nodes):
    run = tmp_path / "run"
    port = free_port()
    place = ["--rdzv-backend", "c10d", "--rdzv-id", "test", "--rdzv-endpoint", f"127.0.0.1:{port}"]
    size = ["--nnodes", str(nodes), "--nproc-per-node", str(2 // nodes)]
    command = [sys.executable, "-m", "torch.distributed.run", *size, *place, "--max-restarts", "3", *TRAIN]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    launchers = [subprocess.Popen([*command, "--outdir", str(run)], **quiet) for _ in range(nodes)]
    try:
        kill_a_worker(run, launchers[0])
        assert [launcher.wait(timeout=400) for launcher in launchers] == [0] * nodes
    finally:
        for launcher in launchers:
            launcher.terminate()  # ends its processes
            launcher.wait()
    images = trained(run)
    assert images == sorted(set(images))
    assert images[-1] == 1600


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_file_for_slurm_goes_on_after_a_lost_worker(tmp_path):
    """srun and scontrol are stand-ins: two tasks of one process, which end together."""
    (tmp_path / "bin").mkdir()
    run = tmp_path / "run"
    srun = '"$@" & one=$!; "$@" & two=$!; wait -n || { kill $one $two; wait; exit 1; }; wait -n'
    tools = {
        "scontrol": "#!/bin/sh\necho 127.0.0.1\necho other\n",
        "srun": f'#!/bin/bash\nset -u\n[ "$1" = --kill-on-bad-exit=1 ]; shift\n{srun}\n',
        "torchrun": f'#!/bin/sh\nexec {sys.executable} -m torch.distributed.run "$@"\n',
    }
    for name, text in tools.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    text = (TOP / "examples/slurm.sh").read_text()
    (tmp_path / "job.sh").write_text(text.replace(":29400", f":{free_port()}"))
    slurm = {"SLURM_JOB_NODELIST": "node[0-1]", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "1", "SLURM_JOB_ID": "7"}
    environment = {**os.environ, **slurm, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", str(tmp_path / "job.sh"), *TRAIN[3:-1], "--outdir", str(run)]
    with (tmp_path / "err").open("w") as err:
        job = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=err)
        kill_a_worker(run, job)
        assert job.wait(timeout=800) == 0, (tmp_path / "err").read_text()[-2000:]
    assert "Attempt 1 ended early." in (tmp_path / "err").read_text()
    images = trained(run)
    assert images == sorted(set(images))
    assert images[-1] == 1600
