"""Files of many images that become one file: films, animations and stacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError, printable
from ..imaging.encode import SUFFIXES as WRITTEN
from ..imaging.photo import Photo, treat_alpha
from ..imaging.provenance import mark_photo
from .stacks import PAGES, StackOptions, change_stack, check_output, is_stack

if TYPE_CHECKING:
    from .batch import Batch, Change, FileOptions, Job, Outcome

Progress = Callable[["Job", float], None]
Work = Callable[["Outcome"], None]  # changes the file of an outcome's job


@dataclass(frozen=True)
class WholeFile:
    """The result of a film or a stack, and what its source is."""

    output: Path
    frames: int | None = None  # of a film, 0 if unknown
    stack: bool = False


def find_whole(source: Path, output: Path, options: FileOptions) -> WholeFile | None:
    """The result of a film, an animation or a stack; None for an image.

    Raises `UsageError` for options that it does not take, and for an output of another kind.
    """
    whole = _film(source, output, options) or _stack(source, output, options)
    if whole is not None and options.form is not None:
        raise UsageError(f"--format is for folders of images; the suffix of {printable(output)} is the format.")
    return whole


def _film(source: Path, output: Path, options: FileOptions) -> WholeFile | None:
    from .video import check_film, is_film, output_name

    file = output / output_name(source) if output.is_dir() or not output.suffix else output
    if not is_film(source, file):
        return None
    if options.pages:
        raise UsageError(f"--pages is for stacks, and {printable(source)} is a film; leave it out.")
    return WholeFile(file, frames=check_film(source, file, options.film()))


def _stack(source: Path, output: Path, options: FileOptions) -> WholeFile | None:
    if options.pages not in (None, *PAGES):
        raise UsageError(f"--pages is {' or '.join(PAGES)}, got {options.pages!r}.")
    file = output / source.name if output.is_dir() or not output.suffix else output
    if not is_stack(source, file):
        if options.pages:
            raise UsageError("--pages is for arrays, and for TIFFs of several pages that become TIFFs; leave it out.")
        return None
    options.check_no_film(source)
    check_output(source, file)
    return WholeFile(file, stack=True)


def work_on(
    batch: Batch, change: Change, progress: Progress | None, source_type: str | None, channels: int
) -> Work | None:
    """The function that changes the film or the stack of a batch; None for images."""
    if batch.frames is None and not batch.stack:
        return None
    work = _change_film if batch.frames is not None else _change_stack
    mark = None if batch.options.no_provenance else source_type

    def run(outcome: Outcome) -> None:
        job, alpha = outcome.job, batch.options.alpha

        def change_image(photo: Photo) -> Photo:
            return change(treat_alpha(photo, alpha) if alpha else photo, job.output, lambda share: None)

        def show(share: float) -> None:
            if progress:
                progress(job, share)

        work(outcome, batch.options, change_image, show, mark, channels)

    return run


def _change_film(
    outcome: Outcome,
    options: FileOptions,
    change: Callable[[Photo], Photo],
    show: Callable[[float], None],
    mark: str | None,
    channels: int,
) -> None:
    from .video import change_film

    job = outcome.job
    outcome.frames, outcome.notes = change_film(
        job.source,
        job.output,
        change,
        options.film(mark),
        resume=options.resume,
        progress=lambda done, total: show(done / total),
    )


def _change_stack(
    outcome: Outcome,
    options: FileOptions,
    change: Callable[[Photo], Photo],
    show: Callable[[float], None],
    mark: str | None,
    channels: int,
) -> None:
    job = outcome.job
    mark = mark if job.output.suffix.lower() in WRITTEN else None  # an array holds no mark
    stack_options = StackOptions(channels, options.pages)
    outcome.notes = change_stack(
        job.source, job.output, lambda photo: mark_photo(change(photo), job.output, mark), stack_options, show
    )
