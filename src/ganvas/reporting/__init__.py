"""The report: one self-contained HTML page about one or more runs, made from the files in their folders."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError, UserError
from ..files import write_bytes
from ..paths import user_path
from .neighbours import SEARCHED
from .page import build_page
from .plot import COLOURS
from .read import read_records

FILE = "report.html"


@dataclass(frozen=True)
class Report:
    """A written page: its file, size and notes."""

    path: Path
    size: int  # bytes
    notes: list[str]  # sentences about content that is left out, and why


def report(
    *runs: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    neighbours: bool = True,
    searched: int = SEARCHED,
    device: str = "auto",
) -> Report:
    """Write the report of a run into its folder, or one that compares several runs to `output`.

    `neighbours`: show the training images nearest to random samples, among `searched` at most.
    Raises `UsageError` for folders that are not runs and for several runs without `output`, `UserError` for a damaged
    config.  Other content that cannot be read is left out, with a sentence in `notes` and on the page.
    """
    runs = tuple(user_path(run, "RUN") for run in runs)
    file = _output_file(runs, None if output is None else user_path(output, "--output"))
    records = read_records(runs)
    content, notes = build_page(records, searched=searched if neighbours else 0, device=device)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UserError(f"The folder {file.parent} cannot be made: {problem.strerror}.") from None
    write_bytes(file, content)
    return Report(file, len(content), notes)


def _output_file(runs: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str] | None) -> Path:
    """The file to write; raises `UsageError` if that is not clear or the runs do not suit."""
    if not 1 <= len(runs) <= COLOURS:
        raise UsageError(f"A report shows 1 to {COLOURS} runs, got {len(runs)}.")
    if len({Path(run).resolve() for run in runs}) < len(runs):
        raise UsageError("A run is given twice; a report compares different runs.")
    if output is None and len(runs) > 1:
        raise UsageError("Missing -o OUT.html: several runs are compared in a page of their own.")
    file = Path(output) if output is not None else Path(runs[0]) / FILE
    if file.suffix.lower() not in (".html", ".htm") or file.is_dir():
        raise UsageError(f"A report is an .html file, got {file}.")
    return file
