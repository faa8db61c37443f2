"""Training runs as processes of their own: started, found, stopped and resumed by their folders."""

import contextlib
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..api import UserError, read_records, run_holder
from .security import inside

STARTING = ".starting"  # folder below the runs with the output of each process
TRASH = ".trash"
UPLOADS = "uploads"  # folder below the runs with data from the page
NAME = re.compile(r"[\w][\w .,=+-]{0,79}")
SOON = 120.0  # seconds after its start in which a process without a run folder is still starting


def check_name(name: str) -> None:
    """Raise `UserError` for a name that no folder of a run or of data may have."""
    if not NAME.fullmatch(name) or len(name.encode()) > 200:
        raise UserError(f"A name is letters, digits, spaces and . , = + - up to 80, not {name[:80]!r}.")


class Runs:
    """The runs below one folder; nothing of them is kept in memory, so a new server finds the same."""

    def __init__(self, root: Path):
        self.root = root.resolve()

    def folders(self) -> list[Path]:
        """Folders of runs, at most two levels deep, the newest first."""
        files = [*self.root.glob("*/config.json"), *self.root.glob("*/*/config.json")]
        folders = {file.parent for file in files if not file.parent.name.startswith(".")}
        runs = (f for f in folders if f.parent not in folders)  # RUN/model and RUN/best are models of a run
        return sorted((r for r in runs if not r.parent.name.startswith(".")), key=lambda r: -_last_change(r))

    def path(self, name: str) -> Path:
        """The folder of a run by its name below the root; raises `UserError` for others."""
        folder = inside(self.root, name)
        hidden = any(part.startswith(".") for part in folder.relative_to(self.root).parts)
        if hidden or folder == self.root or not (folder / "config.json").is_file():
            raise UserError(f"There is no run {name!r}.")
        return folder

    def card(self, folder: Path) -> dict[str, Any]:
        """One run for the list: recipe, data, progress, speed, newest measure, worst finding, state."""
        name = folder.relative_to(self.root).as_posix()
        try:
            record = read_records([folder])[0]
        except UserError as problem:
            return {"name": name, "state": "damaged", "problem": str(problem)}
        speed = record.values("images_per_second")
        left = max(record.planned - record.images, 0) / speed[-1] if speed and speed[-1] > 0 else None
        state = self.state(folder, record.images >= record.planned > 0)
        findings = sorted(record.findings, key=lambda f: ["trouble", "warning", "note"].index(f.severity))
        return {
            "name": name,
            "state": state,
            "problem": "" if state == "running" else failure(self.output(folder)),
            "title": record.title,
            "images": record.images,
            "planned": record.planned,
            "images_per_second": speed[-1] if speed else None,
            "seconds_left": left,
            "grid": record.snapshots[-1][0] if record.snapshots else None,
            "finding": {"severity": findings[0].severity, "text": findings[0].trouble} if findings else None,
            "measure": dict(record.evaluations[-1]) if record.evaluations else None,
        }

    def state(self, folder: Path, complete: bool) -> str:
        """Running, starting again, finished, stopped, or died: its process ended without a word."""
        if run_holder(folder):
            return "running"
        if self._starts(folder):
            return "starting"
        if complete:
            return "finished"
        return "died" if (folder / ".lock").exists() else "stopped"

    def _starts(self, folder: Path) -> bool:
        """True if a process was started a moment ago and has neither printed anything nor locked the run yet."""
        log, lock = self._log(folder), folder / ".lock"
        with contextlib.suppress(OSError):
            facts = log.stat()
            later = not lock.exists() or lock.stat().st_mtime < facts.st_mtime
            return not facts.st_size and later and time.time() - facts.st_mtime < SOON
        return False

    def starting(self) -> list[dict[str, Any]]:
        """Processes that were started and have no run folder yet, or failed before they made one."""
        rows = []
        for log in sorted((self.root / STARTING).rglob("*.log")):
            name = log.relative_to(self.root / STARTING).as_posix().removesuffix(".log")
            if (self.root / name / "config.json").exists():
                continue
            problem = failure(tail(log))
            if problem or time.time() - log.stat().st_mtime < SOON:
                state = "failed" if problem else "starting"
                rows.append({"name": name, "state": state, "problem": problem or "reading the data"})
        return rows

    def output(self, folder: Path) -> str:
        """The end of what the last process of a run printed; empty for a run of the command line."""
        log = self._log(folder)
        return tail(log) if log.is_file() else ""

    def forget(self, name: str) -> None:
        """Forget a start that failed; raises `UserError` for anything else."""
        row = next((row for row in self.starting() if row["name"] == name), {"state": "none"})
        if row["state"] != "failed":
            raise UserError(f"There is no start of {name[:80]!r} that failed.")
        inside(self.root / STARTING, f"{name}.log").unlink(missing_ok=True)

    def _log(self, folder: Path) -> Path:
        return self.root / STARTING / f"{folder.relative_to(self.root)}.log"

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Start a run of a new name; its process outlives the studio."""
        check_name(name)
        if name == UPLOADS:
            raise UserError(f"The folder {UPLOADS} is for data; give the run another name.")
        folder = inside(self.root, name)
        if (folder / "config.json").exists():
            raise UserError(f"There is a run called {name!r} already; resume it, or take another name.")
        self.resume(folder, arguments)

    def resume(self, folder: Path, arguments: Sequence[str]) -> None:
        """Start `ganvas train ... --outdir FOLDER --resume`."""
        if run_holder(folder):
            raise UserError(f"{folder.name} is being trained already.")
        output = self._log(folder)
        output.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "ganvas", "train", *arguments, "--outdir", str(folder), "--resume"]
        with output.open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        threading.Thread(target=process.wait, daemon=True).start()  # no zombie remains

    def stop(self, folder: Path) -> None:
        """Ask the process of a run to save and end."""
        holder = run_holder(folder)
        if holder is None:
            raise UserError(f"{folder.name} is not being trained.")
        number, host = holder
        if host != platform.node():
            raise UserError(f"{folder.name} is being trained on {host}; stop it there.")
        os.kill(number, signal.SIGTERM)

    def delete(self, folder: Path) -> Path:
        """Move a run into the trash folder; raises `UserError` while it is being trained."""
        if run_holder(folder):
            raise UserError(f"{folder.name} is being trained; stop it first.")
        trash = self.root / TRASH
        trash.mkdir(exist_ok=True)
        target = trash / f"{folder.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        while target.exists():
            target = target.with_name(target.name + "+")
        folder.rename(target)
        return target


def tail(log: Path) -> str:
    """The last 4,000 bytes of a text file."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4000))
        return file.read().decode(errors="replace").strip()


def failure(output: str) -> str:
    """The sentence that a process of ganvas ended with, or the last line of a traceback; empty for other output."""
    if "ganvas: " in output:
        return " ".join(output.rpartition("ganvas: ")[2].split())
    return output.splitlines()[-1] if "Traceback (most recent call last)" in output else ""


def _last_change(folder: Path) -> float:
    """Time of the last line of a run's log, or of its config."""
    times = [file.stat().st_mtime for file in (folder / "log.jsonl", folder / "config.json") if file.exists()]
    return max(times, default=0.0)
