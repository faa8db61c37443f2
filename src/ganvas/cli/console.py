"""Output of the commands: notes and progress on stderr, the result alone on stdout."""

import json
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import printable
from ..paths import hidden_by_name

if TYPE_CHECKING:
    from rich.console import Console

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Device = Annotated[str, typer.Option(help="Device: auto, cpu, cuda or mps.")]
NoProvenance = Annotated[
    bool, typer.Option("--no-provenance", help="Do not write into the images that a model made them.")
]
Output = Annotated[Path, typer.Option("-o", "--output", help="File or folder to write.")]

# What steers a terminal, turns the direction of what follows, or is no text; names of files may hold it.
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: object) -> str:
    """A text as a terminal may show it: what UNSEEN finds is written as escapes."""
    return UNSEEN.sub(lambda match: printable(match[0]), str(text))


def console(*, stderr: bool = True, quiet: bool = False) -> "Console":
    """Console of rich, imported only when something is printed; brackets and colons in a text are text."""
    from rich.console import Console

    return Console(stderr=stderr, quiet=quiet, highlight=False, markup=False, emoji=False)


def say(text: object, style: str | None = None, *, on: "Console | None" = None, end: str = "\n") -> None:
    """Print a note on stderr, or on a console that is in use."""
    (on or console()).print(plain(text), style=style, end=end, soft_wrap=True)


def say_hidden(built_in: Collection[str], *names: object) -> None:
    """Say which built-in names are those of files or folders here too, and how to take these."""
    for sentence in (sentence for name in names for sentence in hidden_by_name(name, built_in)):
        say(f"{sentence}.", "yellow")


def check_model(name: str, command: str) -> None:
    """Say if an embedded model hides a path of that name; raises `UsageError` if the command does not take it."""
    from ..models.cards import NAMES, check_embedded

    say_hidden(NAMES, name)
    check_embedded(name, command)


def print_json(result: dict[str, Any]) -> None:
    """Print the JSON result on stdout, in ASCII where stdout cannot take its text as it is."""
    text = json.dumps(result, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # another locale, or names that are no text
        text = json.dumps(result)
    typer.echo(text)


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table on stdout, without columns that are empty in all rows."""
    from rich import box
    from rich.table import Table

    used = [k for k in range(len(columns)) if any(row[k] for row in rows)]
    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for k in used:
        table.add_column(columns[k], no_wrap=k == 0, style="cyan" if k == 0 else None)
    for row in rows:
        table.add_row(*(plain(row[k]) for k in used))
    console(stderr=False).print(table)
