"""The command `report`."""

from pathlib import Path
from typing import Annotated

import typer

from .console import Device, JsonFlag, print_json, say


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders, finished or in training.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Output file; required for several runs.", show_default="RUN/report.html"),
    ] = None,
    neighbours: Annotated[bool, typer.Option(help="Show the training images nearest to random samples.")] = True,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Write a page about one run or several.

    It shows samples, findings, metrics and curves, and the command that repeats the run.
    """
    from ..reporting import report as write

    page = write(*runs, output=output, neighbours=neighbours, device=device)
    if as_json:
        names = [str(run) for run in runs]
        return print_json({"report": str(page.path), "runs": names, "bytes": page.size, "notes": page.notes})
    for note in page.notes:
        say(note, "dim")
    say(f"Report: {page.path} ({page.size / 1e6:.1f} MB)")
