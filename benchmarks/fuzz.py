"""Mutated and hostile files through everything that reads files: nothing crashes, hangs, bloats or runs code.

    python benchmarks/fuzz.py --images 100000 --files 10000 --jobs 1 [--seed 0] [--log fuzz.jsonl] [--state fuzz.json]
    python benchmarks/fuzz.py --case "image 1234" [--keep FILE]

Case N of a kind depends on the seed, the kind and N alone.  Each runs in a worker process, which is killed after 10
seconds of processor time (or six times as long on the clock) and reported beyond 2 GB; a refusal by the project's own
error is what a hostile file should meet, any other error is a finding.  A hook reports processes, sockets, unpickled
classes and files written elsewhere.  With --state an interrupted run goes on where it stood.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

SECONDS, BYTES = 10.0, 2 << 30
KINDS = ("image", "file")
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "pty.spawn")
FORBIDDEN = (*FORBIDDEN, "socket.connect", "socket.bind", "socket.getaddrinfo", "pickle.find_class", "ctypes.dlopen")


class Hook:
    """An audit hook that notes what a case must not do."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.folder: str | None = None  # where files may be written; None: not watching
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.folder is None:
            return
        if event in FORBIDDEN:
            self.events.append(f"{event} {arguments!r}"[:200])
        elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            name = (
                os.path.realpath(os.fsdecode(arguments[0])) if isinstance(arguments[0], (str, bytes)) else self.folder
            )
            if not name.startswith((self.folder, "/dev/null")):
                self.events.append(f"writes {name}")


def build(kind: str, seed: int, number: int, folder: Path):
    """The case of a number, reproducible alone."""
    import fuzz_files
    import fuzz_images

    rng = np.random.default_rng([seed, KINDS.index(kind), number])
    return (fuzz_images if kind == "image" else fuzz_files).case(rng, folder)


def perform(kind: str, seed: int, number: int, hook: Hook, top: Path) -> dict:
    """Build a case and do it; an entry for the log."""
    folder = top / "case"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    entry = {"case": f"{kind} {number}", "seed": seed, "problem": "", "where": "", "refused": False}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        made = build(kind, seed, number, folder)
        _reset_peak()
        before, start = _peak(), time.process_time()
        hook.events, hook.folder = [], str(top.resolve())
        try:
            entry["refused"] = bool(made.act())
        except BaseException as problem:
            entry["problem"] = f"{type(problem).__name__}: {problem}"[:300]
            own = [f for f in traceback.extract_tb(problem.__traceback__) if "ganvas/" in f.filename]
            entry["where"] = f"{Path(own[-1].filename).name}:{own[-1].name}" if own else "?"
        hook.folder = None
    entry |= {"what": made.what[:300], "seconds": round(time.process_time() - start, 3)}
    entry["megabytes"] = (_peak() - before) >> 20
    if hook.events:
        entry["problem"] = f"does {hook.events[0]}"
    elif not entry["problem"] and entry["seconds"] > SECONDS:
        entry["problem"] = f"takes {entry['seconds']} s"
    elif not entry["problem"] and entry["megabytes"] > BYTES >> 20:
        entry["problem"] = f"takes {entry['megabytes']} MB"
    return entry


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Largest resident memory since `_reset_peak`, in bytes."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), 0)


def work(pipe, seed: int, top: Path) -> None:
    """A worker: takes (kind, number), answers with an entry."""
    os.environ |= {"OMP_NUM_THREADS": "1"}
    import torch

    torch.set_num_threads(1)
    os.environ |= {"FUZZ_FOLDER": str(top), "GANVAS_CACHE": str(top / "cache"), "HOME": str(top)}
    hook = Hook()
    for kind in KINDS:  # what is imported and made once is not a case's
        build(kind, seed, 0, Path(tempfile.mkdtemp(dir=top)))
    pipe.send("ready")
    while (task := pipe.recv()) is not None:
        pipe.send(perform(*task[:1], seed, task[1], hook, top))


def _fast_folder() -> str | None:
    """Memory where there is some: every saved file is synchronised to the disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Worker:
    """A worker process that is replaced when a case does not end."""

    def __init__(self, seed: int):
        self.seed, self.process = seed, None

    def start(self) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, end = context.Pipe()
        self.top = Path(tempfile.mkdtemp(prefix="ganvas-fuzz-", dir=_fast_folder()))
        self.process = context.Process(target=work, args=(end, self.seed, self.top), daemon=True)
        self.process.start()
        end.close()
        self.pipe.recv()

    def stop(self) -> None:
        if self.process is None:
            return
        with contextlib.suppress(OSError):
            self.pipe.send(None)
            self.process.join(10)
        self._kill()

    def _kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.process = None
        shutil.rmtree(self.top, ignore_errors=True)

    def run(self, kind: str, number: int) -> dict:
        """The entry of a case; that of one which had to be killed is written here."""
        if self.process is None:
            self.start()
        began, used = time.monotonic(), self._seconds()
        self.pipe.send((kind, number))
        problem = ""
        try:
            while not self.pipe.poll(0.25):
                spent, resident = self._seconds() - used, self._resident()
                if spent > SECONDS or time.monotonic() - began > 6 * SECONDS:
                    problem = f"hangs: over {spent:.0f} s"
                elif resident > 2 * BYTES:
                    problem = f"takes {resident >> 20} MB"
                if problem:
                    break
            else:
                return self.pipe.recv()
        except (EOFError, OSError):
            problem = "ends the process"
        pid = self.process.pid
        self._kill()
        return {"case": f"{kind} {number}", "seed": self.seed, "problem": problem, "where": f"pid {pid}", "what": "",
                "refused": False, "seconds": round(time.monotonic() - began, 2), "megabytes": 0}  # fmt: skip

    def _seconds(self) -> float:
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            return 0.0

    def _resident(self) -> int:
        try:
            return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return 0


class Campaign:
    """Counts, findings and progress of a run of the fuzzer."""

    def __init__(self, arguments: argparse.Namespace):
        self.arguments, self.lock, self.began = arguments, threading.Lock(), time.monotonic()
        self.counts: collections.Counter[str] = collections.Counter()
        self.findings: list[dict] = []
        self.slowest: list[tuple[float, str]] = []
        self.largest: list[tuple[int, str]] = []
        self.next: dict[str, int] = {}
        state = arguments.state
        if state and state.exists():
            saved = json.loads(state.read_text())
            self.next, self.counts = saved["next"], collections.Counter(saved["counts"])
            self.findings, self.slowest, self.largest = saved["findings"], saved["slowest"], saved["largest"]

    def job(self, index: int) -> None:
        """Every case whose number is `index` modulo the number of jobs."""
        worker, jobs = Worker(self.arguments.seed), self.arguments.jobs
        try:
            for kind, total in zip(KINDS, (self.arguments.images, self.arguments.files)):
                key = f"{kind} {index}/{jobs}"
                for number in range(self.next.get(key, index), total, jobs):
                    self.add(kind, worker.run(kind, number))
                    self.next[key] = number + jobs
                    if (number // jobs) % 100 == 0:
                        self.save()
        finally:
            worker.stop()
            self.save()

    def add(self, kind: str, entry: dict) -> None:
        with self.lock:
            self.counts[f"{kind}s"] += 1
            self.counts[f"{kind}s refused"] += entry["refused"]
            self.slowest = sorted([*self.slowest, [entry["seconds"], entry["case"], entry["what"]]], reverse=True)[:10]
            self.largest = sorted([*self.largest, [entry["megabytes"], entry["case"], entry["what"]]], reverse=True)[
                :10
            ]
            if entry["problem"]:
                self.findings.append(entry)
                print(json.dumps(entry), flush=True)
                if self.arguments.log:
                    with self.arguments.log.open("a") as log:
                        log.write(json.dumps(entry) + "\n")
            elif self.arguments.verbose:
                print(json.dumps(entry), flush=True)

    def save(self) -> None:
        if not self.arguments.state:
            return
        with self.lock:
            names = ("next", "counts", "findings", "slowest", "largest")
            part = self.arguments.state.with_suffix(".part")
            part.write_text(json.dumps({name: getattr(self, name) for name in names}))
            part.replace(self.arguments.state)

    def summary(self) -> dict:
        """What was done and what it showed."""
        kinds = collections.Counter(f"{f['problem'][:80]} ({f['where']})" for f in self.findings)
        return {
            **self.counts,
            "findings": len(self.findings),
            "kinds": dict(kinds.most_common()),
            "slowest": self.slowest[:5],
            "largest": self.largest[:5],
            "minutes": round((time.monotonic() - self.began) / 60, 1),
        }


def repeat(case: str, seed: int, keep: Path | None) -> None:
    """One case in this process, with its traceback."""
    kind, number = case.split()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"FUZZ_FOLDER": folder, "GANVAS_CACHE": f"{folder}/cache"}
        place = Path(folder) / "case"
        place.mkdir()
        made = build(kind, seed, int(number), place)
        print(made.what)
        if keep:
            keep.write_bytes(made.content) if made.content else shutil.copytree(place, keep)
        start = time.process_time()
        try:
            print("refused:", made.act())
        finally:
            print(f"{time.process_time() - start:.2f} s")


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="mutated images")
    parser.add_argument("--files", type=int, default=100, help="mutated runs, models, states, statistics and data")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="findings, one JSON object a line")
    parser.add_argument("--state", type=Path, help="progress, to go on after an interruption")
    parser.add_argument("--case", help="repeat one case, as 'image 1234', with its traceback")
    parser.add_argument("--keep", type=Path, help="with --case: also write the mutated file or folder here")
    parser.add_argument("--verbose", action="store_true", help="print every case")
    options = parser.parse_args(arguments)
    if options.case:
        repeat(options.case, options.seed, options.keep)
        return {}
    campaign = Campaign(options)
    threads = [threading.Thread(target=campaign.job, args=(k,)) for k in range(options.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(campaign.summary(), indent=1))
    return campaign.summary()


if __name__ == "__main__":
    sys.exit(1 if main().get("findings") else 0)
