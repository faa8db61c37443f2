"""The option `--models`: a folder of models, among which `--model` is chosen by name; and its list."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from .console import console, print_json, print_table, say
from .help import option_group

if TYPE_CHECKING:
    from ..models.library import Library

THREE = 3  # the scale that the tensors of an ESRGAN do not tell from 2

ModelsFolder = Annotated[
    Path | None, option_group("Weight files")("--models", help="Folder of models; --model is a name in it.")
]


def check_name(folder: Path | None, model: str | None) -> None:
    """Raise `UsageError` for a folder of models without the name of one."""
    from ..errors import UsageError
    from ..models.library import MOST_NAMES, Library

    if folder is not None and model is None:
        names = ", ".join(list(Library(folder).own)[:MOST_NAMES]) or "it has none"
        raise UsageError(f"--models needs --model, the name of a model in {folder}: {names}.")


@dataclass
class Choice:
    """The models of a command: `--model` and what else names one, looked up in the folder of `--models` if given."""

    folder: Path | None
    entries: list[dict[str, Any]] = field(default_factory=list)  # of the models that were chosen, as JSON

    def __post_init__(self) -> None:
        self.library: Library | None = None
        if self.folder:
            from ..models.library import Library

            self.library = Library(self.folder)

    def split(self, names: str) -> list[str]:
        """The names in `a,b`; a model of the folder or a path with a comma is one."""
        from ..models.resolve import split_models

        return [names] if self.library and self.library.find(names) else split_models(names)

    def locate(self, name: str) -> tuple[str, int | None]:
        """The model that a name means, as `resolve` takes it, and the scale of its entry where shapes do not say it.

        A model of the folder is verified by its entry, with a note on both.
        """
        if self.library is None or (model := self.library.locate(name)) is None:
            return name, None
        if problem := self.library.problem_of(model):
            say(f"{problem} {model.name} is not verified.", "yellow")
        entry, verified = model.entry, model.verify()
        license = entry.license if entry else None
        self.entries.append({"name": model.name, "path": str(model.path), "license": license, "verified": verified})
        if entry is None:
            return str(model.path), None
        state = "verified by its SHA-256" if verified else "not verified: its entry has no file of that type"
        author = f" by {entry.author}" if entry.author else ""
        say(f"{name}: {model.path.name}{author}, licence {license or 'unknown'}, {state}.")
        return str(model.path), THREE if entry.scale == THREE else None

    def as_json(self) -> dict[str, Any]:
        """The chosen models for the JSON answer; nothing without a folder."""
        return {"models": self.entries} if self.library else {}


def list_library(folder: Path, as_json: bool) -> None:
    """Print the models of a folder with architecture, scale, channels, size and licence."""
    from ..models.library import Library, describe

    library = Library(folder)
    with console().status("Reading models") as status:
        rows: list[dict[str, Any]] = []
        for model in library.models:
            status.update(f"Reading {model.name}")
            rows.append(describe(model))
    missing = [{"name": e.names[0], "license": e.license, **_where(e)} for e in library.missing]
    problems = [*library.problems.values()] + [
        f"{path} is a link that leads out of {folder}." for path in library.outside
    ]
    if as_json:
        return print_json({"folder": str(folder), "models": rows, "missing": missing, "problems": problems})
    for row in rows:
        if row["problem"]:
            say(f"{row['name']}: {row['problem']}", "yellow")
    for problem in problems:
        say(problem, "yellow")
    columns = ["name", "architecture", "scale", "channels", "MB", "licence"]
    print_table(f"{folder}: --models {folder} --model NAME", columns, [_cells(row) for row in rows])
    if missing:
        count = "1 entry has" if len(missing) == 1 else f"{len(missing):,} entries have"
        say(f"{count} no file here; --json lists addresses, and so does --model NAME.")


def _where(entry: Any) -> dict[str, Any]:
    """The addresses, sizes and digests of an entry's files."""
    return {"entry": str(entry.file), "resources": [resource.as_json() for resource in entry.resources]}


def _cells(row: dict[str, Any]) -> list[str]:
    """The row of the table for a model."""
    network = [
        row.get("architecture", "not read"),
        f"x{row['scale']}" if "scale" in row else "",
        row.get("channels", ""),
    ]
    return [row["name"], *map(str, network), f"{row['bytes'] / 1e6:.3g}", row["license"] or ""]
