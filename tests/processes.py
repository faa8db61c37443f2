"""`ganvas` and other modules as processes of their own, forked from one that has imported torch.

To start Python with torch takes seconds and a fork does not; for all else a fork is a process like another: it has its
own memory, is signalled, killed and waited for.  Tests of starting itself use subprocess.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

CORE = ("numpy", "PIL.Image", "torch", "safetensors.torch")  # nothing of ganvas, and nothing that few commands need
ALL = (*CORE, "torch._dynamo", "torch.distributed.nn", "sklearn.datasets", "ganvas.cli", "ganvas.training.session")


class Started:
    """A process that runs; the part of `subprocess.Popen` that the tests need."""

    def __init__(self, folder: Path, pid: int):
        self.folder, self.pid = folder, pid

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the number of the signal that killed it, or None while it runs."""
        with contextlib.suppress(FileNotFoundError):
            return int((self.folder / "code").read_text())
        return None

    poll = returncode.fget

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    @property
    def modules(self) -> set[str]:
        """What was imported until it exited, without what was there before."""
        return set(json.loads((self.folder / "modules").read_text()))

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = 240) -> int:
        end = time.monotonic() + timeout
        while (code := self.returncode) is None:
            if time.monotonic() > end:
                self.send_signal(signal.SIGKILL)
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.01)
        return code


@cache
def warm(modules: Sequence[str]) -> tuple[subprocess.Popen, Path]:
    """The process that forks, and the folder where the processes leave what they say."""
    place = Path(tempfile.mkdtemp(prefix="ganvas-processes-"))
    line, pipe = [sys.executable, __file__, *modules], subprocess.PIPE
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(line, stdin=pipe, stdout=pipe, text=True, env=environment)

    def end():
        process.kill()
        process.wait()
        shutil.rmtree(place, ignore_errors=True)

    atexit.register(end)
    return process, place


def start(*line, cwd: Path | None = None, warm_with: Sequence[str] = ALL, **environment) -> Started:
    """Start `python LINE`: a script and its arguments, or -m and a module; with more environment."""
    process, place = warm(warm_with)
    folder = Path(tempfile.mkdtemp(dir=place))
    wish = {"line": [*map(str, line)], "folder": str(folder), "cwd": str(cwd or os.getcwd())}
    wish["environment"] = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    process.stdin.write(json.dumps(wish) + "\n")
    process.stdin.flush()
    return Started(folder, int(process.stdout.readline()))


def run(*line, cwd: Path | None = None, warm_with: Sequence[str] = ALL, **environment) -> Started:
    """Run `python LINE` to its end."""
    process = start(*line, cwd=cwd, warm_with=warm_with, **environment)
    process.wait()
    return process


def reap(*_) -> None:
    """Write down the exit codes of the processes that have ended."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            code = FOLDERS.pop(ended[0]) / "code"
            code.with_suffix(".part").write_text(str(os.waitstatus_to_exitcode(ended[1])))
            code.with_suffix(".part").rename(code)


def become(wish: dict) -> None:
    """In the fork: run what is asked for, as if Python had been started with it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(wish["folder"]) / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(wish["cwd"])
    os.environ.clear()
    os.environ.update(wish["environment"])
    line, before = wish["line"], set(sys.modules)
    modules = Path(wish["folder"]) / "modules"
    atexit.register(lambda: modules.write_text(json.dumps([*sys.modules.keys() - before])))
    if line[0] == "-m":
        sys.argv = [line[1], *line[2:]]
        runpy.run_module(line[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = line
        sys.path[0] = str(Path(line[0]).parent)
        runpy.run_path(line[0], run_name="__main__")


def serve() -> None:
    """Fork for every line of stdin until it closes."""
    for name in sys.argv[1:]:
        __import__(name)
    signal.signal(signal.SIGCHLD, reap)
    for text in sys.stdin:
        wish = json.loads(text)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if not pid:
            return become(wish)
        FOLDERS[pid] = Path(wish["folder"])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        print(pid, flush=True)  # noqa: T201


FOLDERS: dict[int, Path] = {}
if __name__ == "__main__":
    serve()
