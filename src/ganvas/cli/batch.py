"""Options and display of the commands that change an image or a folder of images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import console, print_json, print_table, say
from .help import option_group
from .machines import On, Workers

if TYPE_CHECKING:
    from ..inference.batch import Batch, FileOptions, Job, Outcome, Work

option, film_option = option_group("Files"), option_group("Films and animations")

Input = Annotated[
    Path, typer.Option("-i", "--input", help="Input image, film, stack (.npy, .tif), or a folder, also at s3://...")
]

Alpha = Annotated[
    str,
    typer.Option(
        help="Alpha is transparency, or a plane of data (game textures): then colours under alpha 0 are kept."
    ),
]


@dataclass(frozen=True)
class FileArguments:
    """Options for reading and writing image files: `inference.batch.FileOptions`."""

    recursive: Annotated[bool, option("--recursive", help="Also read the folders inside the input folder.")] = False
    resume: Annotated[bool, option("--resume", help="Skip outputs that exist and are newer than their input.")] = False
    form: Annotated[
        str | None,
        option("--format", help="Output format of a folder: png, jpg, webp or tif.", show_default="the input's"),
    ] = None
    quality: Annotated[int, option(help="Quality of JPEG and WebP, 1 to 100.")] = 95
    lossless: Annotated[bool, option("--lossless", help="Write WebP without loss.")] = False
    no_provenance: Annotated[
        bool, option("--no-provenance", help="Do not write into the result that a model changed the image.")
    ] = False
    pages: Annotated[
        str | None,
        option(help="Pages of a TIFF or an array: images, or channels of one.", show_default="by the model"),
    ] = None
    start: Annotated[float, film_option(help="Second at which to begin.")] = 0.0
    frames: Annotated[int | None, film_option(help="Number of frames, for a try.", show_default="all")] = None
    codec: Annotated[
        str, film_option(help="Video codec: h264, hevc, vp9, ffv1 (without loss) or auto, by the output's suffix.")
    ] = "auto"
    crf: Annotated[
        int | None, film_option(help="Quality of the codec: smaller is more faithful.", show_default="16 for h264")
    ] = None

    on: On = "local"
    workers: Workers = None

    def options(self, alpha: str | None = None) -> FileOptions:
        """The options of files."""
        from ..inference.batch import FileOptions

        values = {name: value for name, value in vars(self).items() if name not in ("on", "workers")}
        return FileOptions(**values, alpha=alpha)

    def jobs(self, source: Path, output: Path, alpha: str | None = None) -> Batch:
        """List the jobs of an image or a folder: `inference.batch.jobs_for`; on a cluster it is the workers' task."""
        from ..inference.batch import Batch, jobs_for
        from ..sweeps.cluster import check_place

        check_place(self.on, self.workers)
        if self.on != "ray":
            return jobs_for(source, output, self.options(alpha))
        from ..sweeps.bulk import Folder

        Folder(source, output, options := self.options(alpha)).check()
        return Batch(source, output, [], options=options)


def change_files(batch: Batch, files: FileArguments, device: str, open_work: Callable[[], Work], as_json: bool) -> None:
    """Change every image of a batch, here or on a cluster, and end with the summary."""
    from ..inference.batch import run_jobs

    if files.on == "ray":
        return change_on_cluster(batch, files, device, open_work, as_json)
    work = open_work()
    with BatchConsole(batch) as display:
        for outcome in run_jobs(batch, work.change, display.progress, work.size, work.source_type, work.channels):
            display.show(outcome)
    display.finish(work.about, as_json=as_json)


def change_on_cluster(
    batch: Batch, files: FileArguments, device: str, open_work: Callable[[], Work], as_json: bool
) -> None:
    """Change every image of a folder by the workers of a Ray cluster."""
    from ..sweeps.bulk import Bulk, Folder
    from ..sweeps.cluster import choose_workers

    folder, workers = Folder(batch.source, batch.output, batch.options), choose_workers(files.workers, device)
    bulk = Bulk(folder, open_work, workers)
    about = {**bulk.about(), "workers": workers.count}
    display = ClusterConsole(batch.output)
    for outcome in bulk.run():
        display.show(outcome)
    display.finish(about, as_json=as_json)


def changed_options(*groups: Any) -> list[str]:
    """List the options of groups whose values are not the defaults, as `--tile`."""
    changed = [f.name for group in groups for f in fields(group) if getattr(group, f.name) != f.default]
    return ["--" + name.replace("_", "-") for name in changed]


class BatchConsole:
    """The terminal's view of a batch: a bar with the time left, a line for each failure, notes, and the summary."""

    def __init__(self, batch: Batch):
        from rich import progress as rich

        self.console, self.batch, self.total = console(), batch, len(batch.jobs)
        self.steps = batch.frames or self.total  # of the bar: images, or a film's frames
        self.twentieths, self.began = 0, time.monotonic()
        self.outcomes: list[Outcome] = []
        self.notes: set[str] = set()
        columns = (rich.TextColumn("{task.description}", markup=False), rich.BarColumn(), rich.MofNCompleteColumn())
        times = (rich.TimeElapsedColumn(), rich.TextColumn("left"), rich.TimeRemainingColumn())
        self.bar = rich.Progress(*columns, *times, console=self.console, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("", total=self.steps)

    def __enter__(self) -> BatchConsole:
        self.bar.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.bar.stop()

    def progress(self, job: Job, share: float) -> None:
        """Advance the bar to the share of an image or a film that is done."""
        if self.batch.frames is not None:
            return self._show_frames(job, share)
        others = len([o for o in self.outcomes if o.job != job])
        self.bar.update(self.task, completed=others + share, description=self._name(job)[-40:])

    def _show_frames(self, job: Job, share: float) -> None:
        """Advance the bar by frames; without a terminal, print twenty lines with the time left."""
        done = round(share * self.steps)
        self.bar.update(self.task, completed=done, description=self._name(job)[-40:])
        if not self.console.is_terminal and int(share * 20) > self.twentieths:
            self.twentieths = int(share * 20)
            left = round((time.monotonic() - self.began) * (1 - share) / share)
            say(f"{done}/{self.steps} frames, {left // 60}:{left % 60:02d} left", on=self.console)

    def show(self, outcome: Outcome) -> None:
        """Count a finished image and print its failure and its notes, each note once."""
        self.outcomes.append(outcome)
        self.bar.update(self.task, completed=self.steps * len(self.outcomes) / self.total)
        name = self._name(outcome.job)
        if outcome.status == "failed" and self.total > 1:
            say(f"{name}: {outcome.reason}", "red", on=self.bar.console)
        elif not self.console.is_terminal and self.total > 1:
            say(f"{len(self.outcomes)}/{self.total} {name}: {outcome.status}", on=self.console)
        for note in outcome.notes:
            if note not in self.notes:
                self.notes.add(note)
                say(f"{name}: {note}", "yellow", on=self.bar.console)

    def finish(self, model: dict[str, Any], *, as_json: bool) -> None:
        """Print the summary, or as JSON with what describes the model, and exit with 1 if an image failed.

        The error of a single image is raised instead.
        """
        from ..errors import UserError
        from ..paths import path_text

        last = self.outcomes[-1]
        if last.job.source == self.batch.source and isinstance(last.problem, UserError):
            raise last.problem
        counts = {s: sum(o.status == s for o in self.outcomes) for s in ("done", "skipped", "failed")}
        others = self.batch.other_files
        if as_json:
            print_json({**model, **counts, "other_files": others, "files": [o.as_dict() for o in self.outcomes]})
        else:
            failed = [[self._name(o.job), o.reason] for o in self.outcomes if o.status == "failed"]
            if failed:
                print_table("Failed", ["file", "why"], failed)
            summary = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
            kinds = f" ({self.batch.other_kinds})" if self.batch.other_kinds else ""
            also = f"; {others} other files were left alone{kinds}" if others else ""
            say(f"{summary}{also}: {path_text(self.batch.output)}")
        raise typer.Exit(1 if counts["failed"] else 0)

    def _name(self, job: Job) -> str:
        """The path of an image inside the input folder."""
        from ..errors import printable

        source = self.batch.source
        return printable(job.source.relative_to(source) if job.source != source else job.source)


class ClusterConsole:
    """The terminal's view of images on a cluster: their number while they are listed, failures, and the summary."""

    FAILURES = 100  # kept for the summary; all of them are printed

    def __init__(self, output: Path):
        self.console, self.output, self.milestone = console(), output, 1
        self.counts = {"done": 0, "skipped": 0, "failed": 0}
        self.failed: list[dict[str, Any]] = []
        self.notes: set[str] = set()

    def show(self, outcome: dict[str, Any]) -> None:
        """Count an image and print its failure and its notes; at 1, 2, 5, 10, 20, ... images print their number."""
        self.counts[outcome["status"]] += 1
        if outcome["status"] == "failed":
            say(f"{outcome['file']}: {outcome['reason']}", "red", on=self.console)
            self.failed += [outcome] if len(self.failed) < self.FAILURES else []
        for note in outcome["notes"]:
            if note not in self.notes:
                self.notes.add(note)
                say(f"{outcome['file']}: {note}", "yellow", on=self.console)
        if sum(self.counts.values()) == self.milestone:
            say(f"{self.milestone:,} images ...", "dim", on=self.console)
            self.milestone = self.milestone * 5 // 2 if str(self.milestone)[0] == "2" else self.milestone * 2

    def finish(self, about: dict[str, Any], *, as_json: bool) -> None:
        """Print the summary, or as JSON with what describes the model, and exit with 1 if an image failed."""
        from ..paths import path_text

        if as_json:
            print_json({**about, **self.counts, "failures": self.failed})
        else:
            say(f"{', '.join(f'{n:,} {status}' for status, n in self.counts.items() if n)}: {path_text(self.output)}")
        raise typer.Exit(1 if self.counts["failed"] else 0)
