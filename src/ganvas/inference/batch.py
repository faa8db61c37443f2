"""Image files through a network, one after the other; meanwhile the next is read and the last one written."""

import math
import os
import time
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.remote import NoAnswer
from ..errors import BadImage, UsageError, UserError, printable
from ..imaging.decode import SUFFIXES as READ
from ..imaging.decode import read_header
from ..imaging.encode import SUFFIXES as WRITTEN
from ..imaging.encode import check_quality, check_size, format_of, save
from ..imaging.file_kinds import count_kinds
from ..imaging.photo import Photo, open_photo, treat_alpha
from ..imaging.provenance import mark_photo
from ..paths import as_address, is_left_behind, path_text
from ..policy import give_back_buffers
from .places import Places, check_addresses, walk_store
from .whole_files import find_whole, work_on

if TYPE_CHECKING:
    from .video import FilmOptions

LARGE = 16_000_000  # pixels: larger images are not read ahead, nor written behind

Size = Callable[[Photo], tuple[int, int]]  # (height, width) of an image's result
Share = Callable[[float], None]  # called with the share of an image that is done
Change = Callable[[Photo, Path, Share], Photo]  # an image, the file it will be written to, and its progress


@dataclass(frozen=True)
class FileOptions:
    """Options for reading and writing image files."""

    recursive: bool = False  # also the folders inside the input folder
    resume: bool = False  # skip outputs that exist and are newer than their input
    form: str | None = None  # suffix of a folder's outputs; None: the input's where it can be written, else PNG
    quality: int = 95  # of JPEG and WebP
    lossless: bool = False  # WebP without loss
    start: float = 0.0  # of a film: seconds before the first frame
    frames: int | None = None  # of a film: number of frames, None for all
    codec: str = "auto"  # of a film
    crf: int | None = None  # of a film's codec
    no_provenance: bool = False  # do not write that a model changed the image
    pages: str | None = None  # of a stack: `inference.stacks.PAGES`
    alpha: str | None = None  # transparency or plane: `imaging.photo.treat_alpha`; None: transparency, not to be chosen

    def film(self, source_type: str | None = None) -> "FilmOptions":
        """The options of a film; raises `UsageError` for values out of range."""
        from .video import FilmOptions

        values = self.start, self.frames, self.codec, self.crf, self.quality, self.lossless
        return FilmOptions(*values, None if self.no_provenance else source_type)

    def check(self) -> None:
        """Raise `UsageError` for values out of range, of images."""
        check_quality(self.quality)
        if self.alpha not in (None, "transparency", "plane"):
            raise UsageError(f"--alpha is transparency or plane (data, as in game textures), got {self.alpha!r}.")
        if self.form is not None:
            format_of(f"_.{self.form.lower().lstrip('.')}")

    def check_no_film(self, source: Path) -> None:
        """Raise `UsageError` for options of films with images."""
        values = {"--start": self.start, "--frames": self.frames, "--crf": self.crf}
        given = [name for name, value in values.items() if value] + ["--codec"] * (self.codec != "auto")
        if given:
            raise UsageError(f"{given[0]} is for films, and {printable(source)} is none; leave it out.")


@dataclass(frozen=True)
class Job:
    """One image file to read and the file to write."""

    source: Path
    output: Path


@dataclass
class Outcome:
    """The result of a job: its status, what to note, and why it failed."""

    job: Job
    status: str  # done, skipped, failed
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0  # the network's
    large: bool = False
    frames: int | None = None  # of a film
    problem: Exception | None = None

    def as_dict(self) -> dict[str, object]:
        """The outcome as the JSON answer has it."""
        files = {"file": path_text(self.job.source), "output": path_text(self.job.output), "status": self.status}
        frames = {} if self.frames is None else {"frames": self.frames}
        return {**files, "reason": self.reason, "notes": self.notes, "seconds": round(self.seconds, 3), **frames}


@dataclass(frozen=True)
class Work:
    """The change of every image, and what describes it."""

    change: Change
    about: dict[str, Any]  # of the JSON answer
    size: Size
    source_type: str | None  # what the results say of themselves: `imaging.provenance`
    channels: int = 3  # of the input, for a stack


@dataclass(frozen=True)
class Batch:
    """The jobs of an image or a folder of images."""

    source: Path
    output: Path
    jobs: list[Job]
    other_files: int = 0  # files of the folder that are no images
    other_kinds: str = ""  # sentences on those of a known kind
    options: FileOptions = FileOptions()
    frames: int | None = None  # of a film, 0 if unknown; None: images
    stack: bool = False  # an array or a TIFF of several pages: `inference.stacks`
    places: Places = field(default_factory=Places)


def jobs_for(source: Path, output: Path, options: FileOptions = FileOptions()) -> Batch:
    """List the jobs of an image or a folder; raises `UsageError` if there are none or one would replace its input."""
    options.check()
    if source.is_dir() or as_address(source) or as_address(output):
        options.check_no_film(source)
        return _folder(source, output, options)
    if not source.exists():
        raise UsageError(f"{printable(source)} does not exist; give an image or a folder of images.")
    if whole := find_whole(source, output, options):
        if _same(source, whole.output):
            raise UsageError(f"{printable(source)} would be written over itself; give another -o.")
        jobs = [Job(source, whole.output)]
        return Batch(source, output, jobs, options=options, frames=whole.frames, stack=whole.stack)
    options.check_no_film(source)
    if output.is_dir() or not output.suffix:
        file = output / output_name(source, options.form)
    elif options.form is not None:
        raise UsageError(f"--format is for folders; the suffix of {printable(output)} is the format.")
    else:
        file = output
    format_of(file)
    if _same(source, file):
        raise UsageError(f"{printable(source)} would be written over itself; give another -o.")
    return Batch(source, output, [Job(source, file)], options=options)


def check_folders(source: Path, output: Path) -> None:
    """Raise `UsageError` for an output that is a file, or the folder of the images itself."""
    if as_address(source) or as_address(output):
        check_addresses(source, output)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{printable(output)} is a file; images of a folder go into a folder.")
    if _same(source, output):
        raise UsageError("The output folder is the input folder, whose images would be written over; give another.")


def _folder(source: Path, output: Path, options: FileOptions) -> Batch:
    check_folders(source, output)
    files = [*walk_files(source, output, options.recursive)]
    images, others = [f for f in files if is_image(f)], [f for f in files if not is_image(f)]
    if not images:
        deeper = "" if options.recursive else " (--recursive also looks into its folders)"
        kinds = f" It holds {len(others):,} other files; {count_kinds(others)}." if count_kinds(others) else ""
        raise UsageError(f"There are no images in {path_text(source)}{deeper}.{kinds}")
    jobs = [Job(p, output / p.relative_to(source).parent / output_name(p, options.form)) for p in images]
    check_names(jobs, output)
    return Batch(source, output, jobs, len(others), count_kinds(others), options, places=Places(source, output))


def walk_files(source: Path, output: Path, recursive: bool) -> Iterator[Path]:
    """Yield the files of a folder in order, without what systems leave behind and without those of the output."""
    if as_address(source):
        yield from walk_store(source, output, recursive)
        return
    for folder, inner, names in os.walk(source):
        inner[:] = sorted(d for d in inner if not is_left_behind(d) and not _same(Path(folder) / d, output))
        yield from (Path(folder) / name for name in sorted(names) if not is_left_behind(name))
        if not recursive:
            break


def is_image(file: Path) -> bool:
    """True for a name with the suffix of images that are read."""
    return file.suffix.lower() in READ


def output_name(source: Path, form: str | None) -> str:
    """Name of the output, by the source's name alone: another suffix than its own is added to the whole name.

    A name that looks as if one had been added gets its suffix once more, so that two names never become one.
    """
    own = source.suffix.lower()
    suffix = f".{form.lower().lstrip('.')}" if form else own
    if suffix not in WRITTEN or (form is None and suffix == ".gif"):  # 256 colours are too few for a network's images
        suffix = ".png"
    looks_added = Path(source.stem).suffix.lower() in READ
    return source.name + suffix if looks_added or WRITTEN.get(own) != WRITTEN[suffix] else source.stem + own


def check_names(jobs: Sequence[Job], output: Path) -> None:
    """Raise `UsageError` if two sources would become one file."""
    folds, sources = _folds_names(output), dict[str, Path]()
    for job in jobs:
        name = str(job.output)
        name = unicodedata.normalize("NFC", name).casefold() if folds else name
        if name in sources:
            both = f"{path_text(sources[name])} and {path_text(job.source)}"
            raise UsageError(f"{both} would both be written as {path_text(job.output)}; rename one of them.")
        sources[name] = job.source


def _folds_names(folder: Path) -> bool:
    """True if names that differ in case alone are one file at a folder; found by looking, nothing is written."""
    if as_address(folder):
        return False
    whole = folder.resolve()
    for place in (whole, *whole.parents):
        other = place.with_name(place.name.swapcase())
        if place.name and other.name != place.name and place.exists():
            return other.exists() and other.samefile(place)
    return False


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return a.resolve() == b.resolve()


def own_size(photo: Photo) -> tuple[int, int]:
    """(height, width) of an image, and of the result of a change that keeps it."""
    return photo.array.shape[0], photo.array.shape[1]


def run_jobs(
    batch: Batch,
    change: Change,
    progress: Callable[[Job, float], None] | None = None,
    size: Size = own_size,
    source_type: str | None = None,
    channels: int = 3,
) -> Iterator[Outcome]:
    """Change every image; a job that fails does not stop the others.  An image is written whole or not at all.

    Outcomes come in the order in which they are known.  `progress` is called with the share of a job that is done,
    `size` gives the result's, which is refused before where its format does not hold it.  `source_type` is what results
    say of themselves (`imaging.provenance`), unless the options say no, `channels` those of the input, for a stack.
    """
    with batch.places as places:
        ready = {job for job in batch.jobs if batch.options.resume and places.is_up_to_date(job.source, job.output)}
        yield from (Outcome(job, "skipped", "exists already") for job in batch.jobs if job in ready)
        left = [job for job in batch.jobs if job not in ready]
        if work := work_on(batch, change, progress, source_type, channels):
            yield from (_change_whole(job, work) for job in left)
        else:
            mark = None if batch.options.no_provenance else source_type
            yield from _change_images(replace(batch, jobs=left), change, progress, size, mark)


def _change_images(
    batch: Batch,
    change: Change,
    progress: Callable[[Job, float], None] | None,
    size: Size,
    source_type: str | None,
) -> Iterator[Outcome]:
    """Change images one after the other: `run_jobs`."""
    places, writing = batch.places, deque[tuple[Outcome, Future[list[str]]]]()
    write = partial(_save, batch.options, places, source_type)
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        for outcome, photos in _read_ahead(batch.jobs, places, reader):
            while writing and (len(writing) > 1 or outcome.large):
                yield _wait(*writing.popleft())
            if batch.options.alpha:
                photos[:] = [treat_alpha(photos.pop(), batch.options.alpha) for _ in photos[:]]
            result = _change(outcome, photos, places, change, progress, size) if photos else None
            if result is None:
                yield outcome
                continue
            if outcome.large:
                give_back_buffers()  # the source's
            writing.append((outcome, writer.submit(write, result, outcome.job.output)))
            del result
            while writing and outcome.large:
                yield _wait(*writing.popleft())
        while writing:
            yield _wait(*writing.popleft())


def _save(options: FileOptions, places: Places, source_type: str | None, photo: Photo, file: Path) -> list[str]:
    """Write a result with its mark; returns notes."""
    photo = mark_photo(photo, file, source_type)
    notes = save(photo, places.part(file), quality=options.quality, lossless=options.lossless)
    places.finish(file)
    return notes


def _change_whole(job: Job, work: Callable[[Outcome], None]) -> Outcome:
    """Change a file of many images: the outcome."""
    outcome, start = Outcome(job, "done"), time.perf_counter()
    try:
        work(outcome)
    except Exception as problem:
        _fail(outcome, problem)
    outcome.seconds = time.perf_counter() - start
    return outcome


def _read_ahead(jobs: Sequence[Job], places: Places, reader: Executor) -> Iterator[tuple[Outcome, list[Photo]]]:
    """Yield (outcome, [photo]); the next photo is decoded meanwhile.

    Pop it from the list: no other reference then keeps it alive.  The list is empty if decoding failed.
    """
    following: Future[Photo | None] | None = None
    for k, job in enumerate(jobs):
        outcome, photos = Outcome(job, "done"), []
        try:
            photos.append((following.result() if following else None) or _open(job.source, places))
            outcome.large = math.prod(photos[0].array.shape[:2]) > LARGE
        except Exception as problem:
            _fail(outcome, problem)
        ahead = k + 1 < len(jobs) and not outcome.large
        following = reader.submit(_open_unless_large, jobs[k + 1].source, places) if ahead else None
        yield outcome, photos


def _open(file: Path, places: Places) -> Photo:
    with places.reading(file) as part:
        return open_photo(part)


def _open_unless_large(file: Path, places: Places) -> Photo | None:
    """Decode an image ahead; None if it is too large for that."""
    with places.reading(file) as part:
        try:
            size = read_header(part).size
        except BadImage:  # `open_photo` knows more kinds, and gives the reason if it does not know this one
            return None
        return open_photo(part) if math.prod(size) <= LARGE else None


def _change(
    outcome: Outcome,
    photos: list[Photo],
    places: Places,
    change: Change,
    progress: Callable[[Job, float], None] | None,
    size: Size,
) -> Photo | None:
    """Change an image; None, and a reason in the outcome, if that fails."""
    job, start = outcome.job, time.perf_counter()
    try:
        check_size(job.output, *size(photos[0]))
        part = places.part(job.output)
        result = change(photos.pop(), part, lambda share: progress(job, share) if progress else None)
    except Exception as problem:
        _fail(outcome, problem)
        return None
    outcome.seconds, outcome.notes = time.perf_counter() - start, list(result.notes)
    return result


def _wait(outcome: Outcome, saving: Future[list[str]]) -> Outcome:
    try:
        outcome.notes += saving.result()
    except Exception as problem:
        _fail(outcome, problem)
    return outcome


def _fail(outcome: Outcome, problem: Exception) -> None:
    """Mark an outcome as failed, with the error's sentence, or its type where it has none.

    A storage that does not answer ends the batch, instead of each image after its own wait.
    """
    if isinstance(problem, NoAnswer):
        raise problem
    outcome.status, outcome.problem = "failed", problem
    if isinstance(problem, BadImage):
        outcome.reason = problem.reason
    elif isinstance(problem, UserError):
        outcome.reason = str(problem)
    elif isinstance(problem, OSError):
        outcome.reason = problem.strerror or str(problem)
    else:
        outcome.reason = f"{type(problem).__name__}: {problem}"
