"""The command `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import Device, JsonFlag, answer, plain, say


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs, also ones that are training.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write. (RUN/report.html; needed for several)")
    ] = None,
    neighbours: Annotated[bool, typer.Option(help="Look for the training images nearest to random samples.")] = True,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """One page about a run, or several side by side: samples, curves, measures, the doctor, how to do it again."""
    from ..reporting import report as write

    written = write(*runs, output=output, neighbours=neighbours, device=device)
    if as_json:
        names = [str(run) for run in runs]
        return answer({"report": str(written.path), "runs": names, "bytes": written.size, "notes": written.notes})
    for note in written.notes:
        say(f"[dim]{plain(note)}[/]")
    say(f"Report: {plain(written.path)} ({written.size / 1e6:.1f} MB)")
