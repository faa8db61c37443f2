"""Long work of the studio: jobs with an id, progress, a result and an end, one at a time."""

import queue
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..api import UserError

WAITING = 64  # jobs that may wait
REMEMBERED = 200  # finished jobs that are remembered
REMEMBERED_SECONDS = 3600.0  # and for how long, with their files


class Cancelled(BaseException):
    """Ends a job from inside its progress; no `except Exception` of the work catches it."""


class QueueFull(UserError):
    """More jobs than may wait."""


@dataclass
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
    changed: threading.Condition = field(default_factory=threading.Condition)

    def as_dict(self) -> dict[str, Any]:
        """The job as the API shows it."""
        names = ("id", "title", "status", "share", "result", "problem")
        return {name: getattr(self, name) for name in names}

    def report(self, share: float, **result: Any) -> None:
        """Note the share that is done and parts of the result; raises `Cancelled` if it was cancelled."""
        if self.status == "cancelled":
            raise Cancelled
        with self.changed:
            self.share, self.result = share, self.result | result
            self.changed.notify_all()

    def end(self, status: str, problem: str = "") -> None:
        with self.changed:
            if self.status not in ("done", "failed"):
                self.status, self.problem, self.ended = status, problem, time.monotonic()
            self.changed.notify_all()

    @property
    def over(self) -> bool:
        return self.status in ("done", "failed", "cancelled")

    def follow(self, most: float = 3600.0) -> Iterator[dict[str, Any]]:
        """The job whenever it changed, at most twenty times a second, until it is over."""
        end, last = time.monotonic() + most, None
        while time.monotonic() < end:
            with self.changed:
                if (now := self.as_dict()) == last:
                    self.changed.wait(5.0)
                    now = self.as_dict()
            if now != last:
                yield now
                last = now
            if self.over:
                return
            time.sleep(0.05)


class Jobs:
    """A queue of jobs and the one thread that works on them; finished jobs and their files go after a while."""

    def __init__(self, waiting: int = WAITING):
        self.place = Path(tempfile.mkdtemp(prefix="ganvas-studio-"))
        self.queue: queue.Queue[Job] = queue.Queue(waiting)
        self.jobs: dict[str, Job] = {}
        self.lock = threading.Lock()
        threading.Thread(target=self._run, daemon=True, name="jobs").start()

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
        if not job.over:
            job.end("cancelled")
        return job

    def close(self) -> None:
        """Cancel everything and remove all files."""
        for job in list(self.jobs.values()):
            if not job.over:
                job.end("cancelled")
        shutil.rmtree(self.place, ignore_errors=True)

    def _run(self) -> None:
        while True:
            job = self.queue.get()
            if not job.over:
                job.status = "running"
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
