"""Output of the commands: notes and progress on stderr, the result alone on stdout."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Device = Annotated[str, typer.Option(help="Device: auto, cpu, cuda or mps.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="File or folder to write.")]


def escape(problem: object) -> str:
    """Escape what rich would read as markup."""
    return str(problem).replace("[", r"\[")


def console(*, stderr: bool = True, quiet: bool = False) -> "Console":
    """Console of rich, imported only when something is printed; progress and notes go to stderr."""
    from rich.console import Console

    return Console(stderr=stderr, quiet=quiet, highlight=False)


def say(text: str) -> None:
    """Print a note on stderr."""
    console().print(text, soft_wrap=True)


def print_json(result: dict[str, Any]) -> None:
    """Print the JSON result on stdout."""
    typer.echo(json.dumps(result, ensure_ascii=False))


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table on stdout, without columns that are empty in all rows."""
    from rich import box
    from rich.table import Table

    used = [k for k in range(len(columns)) if any(row[k] for row in rows)]
    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for k in used:
        table.add_column(columns[k], no_wrap=k == 0, style="cyan" if k == 0 else None)
    for row in rows:
        table.add_row(*(escape(row[k]) for k in used))
    console(stderr=False).print(table)
