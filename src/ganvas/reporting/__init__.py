"""The report: one page that a person can send to a colleague, made of nothing but what lies in run folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError, UserError
from ..files import write_bytes
from .neighbours import SEARCHED
from .page import whole_page
from .plot import COLOURS
from .read import read_records

FILE = "report.html"


@dataclass(frozen=True)
class Report:
    """A page that was written."""

    path: Path
    size: int  # bytes
    notes: list[str]  # what it does not show and why, a sentence each


def report(
    *runs: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    neighbours: bool = True,
    searched: int = SEARCHED,
    device: str = "auto",
) -> Report:
    """Write the report of a run into its folder, or one that compares several runs to `output`.

    `neighbours`: look for the training images nearest to random samples, among `searched` at most.
    Raises `UsageError` for folders that are no runs and for several without an `output`, `UserError` for damaged ones;
    what can be left out is left out and said in `notes` and on the page.  A page is written whole or not at all.
    """
    place = _place(runs, output)
    records = read_records(runs)
    content, notes = whole_page(records, searched=searched if neighbours else 0, device=device)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UserError(f"{place.parent} cannot be made: {problem.strerror}.") from None
    write_bytes(place, content)
    return Report(place, len(content), notes)


def _place(runs: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str] | None) -> Path:
    """Where the page goes; raises `UsageError` where that is not clear."""
    if not 1 <= len(runs) <= COLOURS:
        raise UsageError(f"A report is of 1 to {COLOURS} runs, got {len(runs)}.")
    if len({Path(run).resolve() for run in runs}) < len(runs):
        raise UsageError("A run is named twice; a report compares different ones.")
    if output is None and len(runs) > 1:
        raise UsageError("Several runs are compared in a page of its own: say where with -o OUT.html.")
    place = Path(output) if output is not None else Path(runs[0]) / FILE
    if place.suffix.lower() not in (".html", ".htm") or place.is_dir():
        raise UsageError(f"A report is an .html file, got {place}.")
    return place
