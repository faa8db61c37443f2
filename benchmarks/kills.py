"""Kill a training at random moments, restart it by the same line, and compare it with one that was never killed.

    python benchmarks/kills.py --kills 200 --jobs 1 --outdir kills

A life is one run folder: the command is started, killed (SIGKILL) and started again by the same line until it ends by
itself.  Half of the kills wait for a temporary file to exist.  Most processes are forked from one that has imported
torch and typer and nothing of ganvas; every eighth life starts the interpreter anew.  OUTDIR/kills.jsonl has a line for
each kill and for each life; the same command goes on after the lives that are there.
"""

import argparse
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random

MOST = 5  # kills of a life
TIMES = ("seconds", "images_per_second", "diagnostics/data_wait_share")
OPTIONS = "train dcgan_small --images 48 --batch 8 --snapshot-images 8 --eval-images 16 --eval-samples 8 --hold-out 4"
OPTIONS += (
    " --patience 99 --set generator.width=4 --set discriminator.width=4 --device cpu --precision fp32 --resume --json"
)


class Launcher:
    """Starts the command in another process: forked from one that has torch, or as a new interpreter."""

    def __init__(self, folder: Path):
        own = {"GANVAS_CACHE": str(folder / "cache"), "PYTHONPYCACHEPREFIX": str(folder / "pycache")}
        self.environment = {**os.environ, **own, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
        served = {key: value for key, value in self.environment.items() if key != "PYTHONPYCACHEPREFIX"}
        served["KILLS_PYCACHE"] = own["PYTHONPYCACHEPREFIX"]  # of the forks alone: not of torch
        self.output, pipe = (folder / f"output-{threading.get_ident()}.txt").open("wb"), subprocess.PIPE
        self.server = subprocess.Popen(
            [sys.executable, __file__, "--serve"], stdin=pipe, stdout=pipe, stderr=self.output, env=served
        )
        self.pid, self.process = 0, None

    def start(self, arguments: list[str], *, anew: bool) -> None:
        self.process = None
        if anew:
            line = [sys.executable, "-m", "ganvas", *arguments]
            self.process = subprocess.Popen(line, stdout=self.output, stderr=self.output, env=self.environment)
            self.pid = self.process.pid
        else:
            self.server.stdin.write(json.dumps(arguments).encode() + b"\n")
            self.server.stdin.flush()
            self.pid = int(self.server.stdout.readline())

    def ended(self) -> bool:
        if self.process:
            return self.process.poll() is not None
        return bool(select.select([self.server.stdout], [], [], 0)[0])

    def wait(self) -> int:
        """The exit code; -9 after a kill."""
        return self.process.wait() if self.process else int(self.server.stdout.readline())

    def close(self) -> None:
        self.server.stdin.close()
        self.server.wait()
        self.output.close()


def serve() -> None:
    """Fork a process for every line of arguments; print its number, and later its exit code."""
    import numpy  # noqa: F401
    import PIL.Image  # noqa: F401
    import torch
    import typer  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            os.dup2(2, 1)
            sys.pycache_prefix = os.environ["KILLS_PYCACHE"]
            sys.argv = ["ganvas", *json.loads(line)]
            code = 1
            try:
                from ganvas.cli import main

                main()
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                os._exit(code)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def parts(run: Path) -> list[str]:
    """Temporary files of a run."""
    names = []
    for folder in (run, run / "state", run / "samples", run / "model", run / "best"):
        try:
            names += [entry.name for entry in os.scandir(folder) if entry.name.endswith(".tmp")]
        except FileNotFoundError:
            continue
    return names


def attempt(launcher: Launcher, arguments: list[str], run: Path, *, after: float, part: int, anew: bool) -> dict:
    """Start the command and kill it after so many seconds, or while its temporary file of this number exists."""
    old = set(parts(run))
    launcher.start(arguments, anew=anew)
    start, seen = time.monotonic(), set()
    while not launcher.ended():
        time.sleep(0.0002 if part else 0.001)
        if part:
            new = set(parts(run)) - old
            seen |= new
            due = bool(new) and len(seen) >= part
        else:
            due = time.monotonic() - start >= after
        if due:
            with contextlib.suppress(ProcessLookupError):
                os.kill(launcher.pid, signal.SIGKILL)
            break
    code, seconds = launcher.wait(), time.monotonic() - start
    state = max((int(file.stem) for file in (run / "state").glob("[0-9]*.pt")), default=None)
    left = sorted(set(parts(run)) - old)
    return {"code": code, "seconds": round(seconds, 3), "parts": len(seen), "left": len(left), "state": state}


def lines(file: Path) -> list[dict]:
    """The lines of a log, without times."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def differences(run: Path, whole: Path) -> list[str]:
    """What of a run is not as in the uninterrupted one."""
    from ganvas.run import Run, weights_hash

    problems = [] if weights_hash(Run(run)) == weights_hash(Run(whole)) else ["weights"]
    problems += [name for name in ("log.jsonl", "evaluation.jsonl") if lines(run / name) != lines(whole / name)]
    for file in sorted(whole.rglob("*")):
        name = str(file.relative_to(whole))
        if not file.is_file() or file.suffix in (".jsonl", ".html", ".pt"):
            problems += [] if (run / name).exists() else [f"no {name}"]
        elif not (run / name).exists() or (run / name).read_bytes() != file.read_bytes():
            problems.append(name)
    extra = {file.relative_to(run) for file in run.rglob("*")} - {file.relative_to(whole) for file in whole.rglob("*")}
    return problems + sorted(f"extra {name}" for name in extra)


class Lives:
    """Lives of one run each, until there were enough kills; several threads may take them in turn."""

    def __init__(self, folder: Path, kills: int, seed: int):
        self.folder, self.kills, self.seed, self.lock = folder, kills, seed, threading.Lock()
        self.log = folder / "kills.jsonl"
        rows = [json.loads(row) for row in self.log.read_text().splitlines()] if self.log.exists() else []
        self.done = {row["life"]: row for row in rows if "equal" in row}
        self.killed = [row for row in rows if "kill" in row and row["life"] in self.done]
        self.next, self.seconds, self.command = 0, {}, self.data()
        self.parts = 8  # temporary files of a run that are seen

    def data(self) -> list[str]:
        """The command without its folder; its images are made here."""
        from numpy.random import RandomState
        from PIL import Image

        images = self.folder / "images"
        images.mkdir(parents=True, exist_ok=True)
        for k, pixels in enumerate(RandomState(0).randint(0, 256, (24, 8, 8)).astype("uint8")):
            Image.fromarray(pixels).save(images / f"{k}.png")
        return [*OPTIONS.split(), "--data", str(images)]

    def time(self, launcher: Launcher, anew: bool) -> float:
        """Seconds of an uninterrupted run, measured on first use; one run stays, to compare with."""
        with self.lock:
            if anew not in self.seconds:
                run = self.folder / ("whole" if not self.seconds else "again")
                shutil.rmtree(run, ignore_errors=True)
                arguments = [*self.command, "--outdir", str(run)]
                row = attempt(launcher, arguments, run, after=1e9, part=0, anew=anew)
                assert row["code"] == 0, f"{run}: {row}"
                self.seconds[anew] = row["seconds"]
            return self.seconds[anew]

    def take(self) -> int | None:
        """The number of the next life; none if there were enough kills."""
        with self.lock:
            while self.next in self.done:
                self.next += 1
            self.next += 1
            return None if len(self.killed) >= self.kills else self.next - 1

    def write(self, row: dict) -> None:
        with self.lock, self.log.open("a") as log:
            log.write(json.dumps(row) + "\n")

    def live(self, launcher: Launcher, life: int) -> None:
        """One run, killed and restarted until it ends by itself."""
        random, run, kills, anew = Random(f"{self.seed}-{life}"), self.folder / f"life-{life}", 0, life % 8 == 7
        arguments = [*self.command, "--outdir", str(run)]
        shutil.rmtree(run, ignore_errors=True)
        self.time(launcher, anew)
        while True:
            wanting = sum(row["left"] > 0 for row in self.killed) * 2 <= len(self.killed)
            after, part = random.uniform(0, self.seconds[anew]), random.randint(1, self.parts) if wanting else 0
            if kills == MOST or len(self.killed) >= self.kills:
                after, part = 1e9, 0
            row = attempt(launcher, arguments, run, after=after, part=part, anew=anew)
            self.parts = max(self.parts, row["parts"])
            if row["code"] != -signal.SIGKILL:
                self.seconds[anew] = row["seconds"] if not kills else self.seconds[anew]  # a busy machine changes
                break
            kills += 1
            self.killed.append(row)
            self.write({"life": life, "kill": kills, "anew": anew, **row})
        problems = differences(run, self.folder / "whole") if row["code"] == 0 else [f"exit {row['code']}"]
        self.done[life] = {"life": life, "kills": kills, "equal": not problems, "differences": problems}
        self.write(self.done[life])
        if not problems:
            shutil.rmtree(run)

    def work(self) -> None:
        launcher = Launcher(self.folder)
        while (life := self.take()) is not None:
            self.live(launcher, life)
        launcher.close()

    def summary(self) -> dict:
        different = {life: row["differences"] for life, row in self.done.items() if not row["equal"]}
        while_parts = sum(row["left"] > 0 for row in self.killed)
        before = sum(row["state"] is None for row in self.killed)
        counts = {"kills": len(self.killed), "with a temporary file": while_parts, "before the first state": before}
        return {**counts, "lives": len(self.done), "different": different}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--outdir", type=Path, default=Path("kills"))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return 0
    args.outdir.mkdir(parents=True, exist_ok=True)
    lives = Lives(args.outdir.absolute(), args.kills, args.seed)
    workers = [threading.Thread(target=lives.work) for _ in range(args.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(json.dumps(lives.summary()))
    return bool(lives.summary()["different"])


if __name__ == "__main__":
    sys.exit(main())
