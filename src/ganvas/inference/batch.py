"""A folder of images, one after the other: the next is read and the last one written while the network works."""

from __future__ import annotations

import math
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BadImage, UsageError, UserError
from ..imaging.decode import SUFFIXES as READ
from ..imaging.decode import peek, shown
from ..imaging.encode import SUFFIXES as WRITTEN
from ..imaging.encode import format_of, save
from ..imaging.photo import Photo, open_photo
from ..policy import give_back_buffers

LARGE = 16_000_000  # pixels: larger images are not read ahead, nor written behind

Change = Callable[[Photo, Path, Callable[[float], None]], Photo]  # an image, where it will be written, whom to tell


@dataclass(frozen=True)
class Job:
    """One image to be made from another."""

    source: Path
    output: Path


@dataclass
class Outcome:
    """What became of a job."""

    job: Job
    status: str  # done, skipped, failed
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0  # the network's
    large: bool = False
    problem: Exception | None = None

    def as_dict(self) -> dict[str, object]:
        """For the JSON answer."""
        said = {"file": shown(self.job.source), "output": shown(self.job.output), "status": self.status}
        return {**said, "reason": self.reason, "notes": self.notes, "seconds": round(self.seconds, 3)}


# --- which images -------------------------------------------------------------------------------------------


def jobs_for(source: Path, output: Path, *, recursive: bool = False, form: str | None = None) -> tuple[list[Job], int]:
    """What to make of a file or a folder, and how many files in it are no images.

    `form` is the suffix of what is written, without the dot; None: as the source's where that can be written, else
    PNG.  Raises `UsageError` if there is nothing, or if something would be written over its source.
    """
    if form is not None:
        format_of(f"_.{form.lower().lstrip('.')}")
    if source.is_dir():
        return _folder(source, output, recursive, form)
    if not source.exists():
        raise UsageError(f"{shown(source)} does not exist; give an image or a folder of images.")
    if output.is_dir() or not output.suffix:
        output = output / _name(source, form)
    elif form is not None:
        raise UsageError(f"--format is for folders; {shown(output)} says itself what is to be written.")
    format_of(output)
    if _same(source, output):
        raise UsageError(f"{shown(source)} would be written over itself; give another -o.")
    return [Job(source, output)], 0


def _folder(source: Path, output: Path, recursive: bool, form: str | None) -> tuple[list[Job], int]:
    if output.exists() and not output.is_dir():
        raise UsageError(f"{shown(output)} is a file; images of a folder go into a folder.")
    if _same(source, output):
        raise UsageError("The output folder is the input folder, whose images would be written over; give another.")
    images, others = _found(source, output, recursive)
    if not images:
        deeper = "" if recursive else " (--recursive also looks into its folders)"
        raise UsageError(f"There are no images in {shown(source)}{deeper}.")
    taken = Counter(str(p.parent / _name(p, form)).casefold() for p in images)
    jobs = []
    for p in images:
        name = _name(p, form)
        if taken[str(p.parent / name).casefold()] > 1:  # a.jpg and a.png: both keep their suffix
            name = p.name + Path(name).suffix if p.suffix.lower() != Path(name).suffix else p.name
        jobs.append(Job(p, output / p.relative_to(source).parent / name))
    return jobs, others


def _found(source: Path, output: Path, recursive: bool) -> tuple[list[Path], int]:
    """Images by their suffix, in order, and how many other files there are; what begins with a dot is left out."""
    images, others = [], 0
    for folder, inner, names in os.walk(source):
        inner[:] = sorted(d for d in inner if not d.startswith(".") and not _same(Path(folder) / d, output))
        for name in sorted(n for n in names if not n.startswith(".")):
            if Path(name).suffix.lower() in READ:
                images.append(Path(folder) / name)
            else:
                others += 1
        if not recursive:
            break
    return images, others


def _name(source: Path, form: str | None) -> str:
    suffix = f".{form.lower().lstrip('.')}" if form else source.suffix.lower()
    if suffix not in WRITTEN or (form is None and suffix == ".gif"):  # 256 colours are too few for what is made
        suffix = ".png"
    return source.stem + suffix


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return a.resolve() == b.resolve()


# --- one after the other --------------------------------------------------------------------------------------


def work(
    jobs: Sequence[Job],
    change: Change,
    *,
    resume: bool = False,
    quality: int = 95,
    lossless: bool = False,
    tell: Callable[[Job, float], None] | None = None,
) -> Iterator[Outcome]:
    """Make every image, whatever becomes of the others; outcomes are in the order in which they are known.

    `resume` leaves images alone that are there already and newer than their source.  `tell` hears the share of a job
    that is done.  An image appears whole or not at all.
    """
    left = []
    for job in jobs:
        if resume and _there(job):
            yield Outcome(job, "skipped", "is there already")
        else:
            left.append(job)
    writing: deque[tuple[Outcome, Future[list[str]]]] = deque()
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        for outcome, read in _reading(left, reader):
            while writing and (len(writing) > 1 or outcome.large):
                yield _written(*writing.popleft())
            made = _changed(outcome, read, change, tell) if read else None
            if made is None:
                yield outcome
                continue
            if outcome.large:
                give_back_buffers()  # the source's
            writing.append((outcome, writer.submit(save, made, outcome.job.output, quality=quality, lossless=lossless)))
            del made
            while writing and outcome.large:
                yield _written(*writing.popleft())
        while writing:
            yield _written(*writing.popleft())


def _reading(jobs: Sequence[Job], reader: Executor) -> Iterator[tuple[Outcome, list[Photo]]]:
    """Every job with its image in a list, from which it is to be taken so that nothing else holds it; one is ahead.

    The list is empty if there is none.
    """
    following: Future[Photo | None] | None = None
    for k, job in enumerate(jobs):
        outcome, read = Outcome(job, "done"), []
        try:
            read.append((following.result() if following else None) or open_photo(job.source))
            outcome.large = math.prod(read[0].array.shape[:2]) > LARGE
        except Exception as problem:
            _failed(outcome, problem)
        ahead = k + 1 < len(jobs) and not outcome.large
        following = reader.submit(_small, jobs[k + 1].source) if ahead else None
        yield outcome, read


def _there(job: Job) -> bool:
    try:
        made = job.output.stat()
        return made.st_size > 0 and made.st_mtime >= job.source.stat().st_mtime
    except OSError:
        return False


def _small(file: Path) -> Photo | None:
    """An image read ahead; None if it is too large for that."""
    try:
        size = peek(file).size
    except BadImage:  # `open_photo` knows more kinds, and will say why if it does not know this one
        return None
    return open_photo(file) if math.prod(size) <= LARGE else None


def _changed(
    outcome: Outcome, read: list[Photo], change: Change, tell: Callable[[Job, float], None] | None
) -> Photo | None:
    """What the network makes of an image; None, and a reason, if that fails."""
    job, begun = outcome.job, time.perf_counter()
    try:
        job.output.parent.mkdir(parents=True, exist_ok=True)
        made = change(read.pop(), job.output, lambda share: tell(job, share) if tell else None)
    except Exception as problem:
        _failed(outcome, problem)
        return None
    outcome.seconds, outcome.notes = time.perf_counter() - begun, list(made.notes)
    return made


def _written(outcome: Outcome, writing: Future[list[str]]) -> Outcome:
    try:
        outcome.notes += writing.result()
    except Exception as problem:
        _failed(outcome, problem)
    return outcome


def _failed(outcome: Outcome, problem: Exception) -> Outcome:
    """A failure with its sentence; what nobody foresaw has its type for one."""
    outcome.status, outcome.problem = "failed", problem
    if isinstance(problem, UserError):
        outcome.reason = getattr(problem, "reason", None) or str(problem)
    elif isinstance(problem, OSError):
        outcome.reason = problem.strerror or str(problem)
    else:
        outcome.reason = f"{type(problem).__name__}: {problem}"
    return outcome
