"""Long work of the studio: jobs with an id, progress, a result and an end, one at a time."""

import asyncio
import contextlib
import math
import queue
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..api import UserError
from .scratch import Scratch

WAITING = 64  # jobs that may wait
REMEMBERED = 200  # finished jobs that are remembered
REMEMBERED_SECONDS = 3600.0  # and for how long, with their files
CLOSING = 2.0  # seconds that the end of the server waits for the job that runs


def finite(value: Any) -> Any:
    """A value for JSON, which has no NaN and no infinity: they become null."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Cancelled(BaseException):
    """Ends a job from inside its progress; no `except Exception` of the work catches it."""


class QueueFull(UserError):
    """More jobs than may wait."""


@dataclass(eq=False)
class Job:
    """One piece of work: `work(job)` returns its result, a JSON object, and calls `job.report`."""

    title: str
    work: Callable[["Job"], dict[str, Any]]
    folder: Path  # private; it goes with the job
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    status: str = "waiting"  # waiting, running, done, failed, cancelled
    share: float = 0.0
    result: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    ended: float = 0.0
    changes: int = 0
    changed: threading.Lock = field(default_factory=threading.Lock)

    def as_dict(self) -> dict[str, Any]:
        """The job as the API shows it."""
        names = ("id", "title", "status", "share", "result", "problem")
        return {name: finite(getattr(self, name)) for name in names}

    def report(self, share: float, **result: Any) -> None:
        """Note the share that is done and parts of the result; raises `Cancelled` if it was cancelled."""
        if self.status == "cancelled":
            raise Cancelled
        with self.changed:
            self.share, self.result = share, self.result | result
            self.changes += 1

    def end(self, status: str, problem: str = "") -> None:
        with self.changed:
            if not self.over:
                self.status, self.problem, self.ended = status, problem, time.monotonic()
                self.changes += 1

    def begin(self) -> bool:
        """Mark a job that waits as running; False if it was cancelled before."""
        with self.changed:
            if self.over:
                return False
            self.status = "running"
            self.changes += 1
            return True

    @property
    def over(self) -> bool:
        return self.status in ("done", "failed", "cancelled")

    async def follow(self, most: float = 3600.0) -> AsyncIterator[dict[str, Any]]:
        """The job whenever it changed, at most twenty times a second, until it is over; no thread waits for it."""
        end, last = time.monotonic() + most, -1
        while time.monotonic() < end:
            over, now = self.over, self.changes
            if now != last:
                yield self.as_dict()
                last = now
            if over:
                return
            await asyncio.sleep(0.05)


class Jobs:
    """A queue of jobs and the one thread that works on them; finished jobs and their files go after a while."""

    def __init__(self, waiting: int = WAITING):
        self.queue: queue.Queue[Job | None] = queue.Queue(waiting)  # None ends the thread
        self.jobs: dict[str, Job] = {}
        self.lock = threading.Lock()
        self.scratch: Scratch | None = None
        self.thread = threading.Thread(target=self._run, daemon=True, name="jobs")
        self.thread.start()

    @property
    def place(self) -> Path:
        """The folder of all jobs, made on first use."""
        with self.lock:
            self.scratch = self.scratch or Scratch()
            return self.scratch.path

    def new_folder(self) -> Path:
        """A private folder for the files of a job to come."""
        return Path(tempfile.mkdtemp(dir=self.place))

    def add(self, title: str, work: Callable[[Job], dict[str, Any]], folder: Path | None = None) -> Job:
        """A new job at the end of the queue; raises `QueueFull`, and removes its files, if too many wait."""
        job = Job(title, work, folder or self.new_folder())
        self._forget()
        try:
            with self.lock:
                self.queue.put_nowait(job)
                self.jobs[job.id] = job
        except queue.Full:
            shutil.rmtree(job.folder, ignore_errors=True)
            raise QueueFull(f"{self.queue.maxsize} jobs wait already; try again when some are done.") from None
        return job

    def get(self, name: str) -> Job:
        """The job of an id; raises `UserError` for one that is not known any more."""
        with self.lock:
            job = self.jobs.get(name)
        if job is None:
            raise UserError(f"There is no job {name[:40]!r}; finished jobs are kept for an hour.")
        return job

    def cancel(self, name: str) -> Job:
        """Cancel a job that waits or runs; one that is over stays what it is."""
        job = self.get(name)
        job.end("cancelled")
        with self.queue.mutex:
            waited = job in self.queue.queue
            if waited:  # its place is free for others
                self.queue.queue.remove(job)
        if waited:
            shutil.rmtree(job.folder, ignore_errors=True)
        return job

    def close(self) -> None:
        """Cancel everything, wait a moment for the job that runs, and remove all files."""
        for job in list(self.jobs.values()):
            job.end("cancelled")
        with self.queue.mutex:
            self.queue.queue.clear()
        with contextlib.suppress(queue.Full):  # closed before
            self.queue.put_nowait(None)
        self.thread.join(CLOSING)
        self._remove_files()

    def _remove_files(self) -> None:
        with self.lock:
            scratch, self.scratch = self.scratch, None
        if scratch:
            scratch.remove()

    def _run(self) -> None:
        while (job := self.queue.get()) is not None:
            if job.begin():
                self._work(job)
            if job.status == "cancelled":
                shutil.rmtree(job.folder, ignore_errors=True)

    def _work(self, job: Job) -> None:
        try:
            result = job.work(job)
            job.report(1.0, **result)
            job.end("done")
        except Cancelled:
            job.end("cancelled")
        except UserError as problem:
            job.end("failed", str(problem))
        except Exception as problem:  # a job's defect must not end the studio
            job.end("failed", f"{type(problem).__name__}: {problem}")

    def _forget(self) -> None:
        """Forget the oldest finished jobs, and remove their files."""
        now = time.monotonic()
        with self.lock:
            over = sorted((j for j in self.jobs.values() if j.over), key=lambda j: j.ended)
            old = [j for k, j in enumerate(over) if len(over) - k > REMEMBERED or now - j.ended > REMEMBERED_SECONDS]
            for job in old:
                del self.jobs[job.id]
        for job in old:
            shutil.rmtree(job.folder, ignore_errors=True)
