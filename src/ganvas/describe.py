"""Descriptions of the catalogue's entries and of their options, read from docstrings, signatures and comments.

The help of the command, the forms of the studio and the tables of the documentation all come from here.
"""

import ast
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from .catalog import SHELVES, Shelf, name_of
from .config import DECIDED_ELSEWHERE, Recipe, Spec, options, type_name


class Entry(NamedTuple):
    """One line of `ganvas list`."""

    name: str
    sentence: str
    citation: str


def entries(shelf: str) -> list[Entry]:
    """The entries of one of `SHELVES`, read from docstrings without importing them."""
    return [entry(shelf, name) for name in SHELVES[shelf]]


def entry(shelf: str, name: str) -> Entry:
    """One entry: its name, the first sentence of its docstring without the citation, and the paper it cites."""
    table = SHELVES[shelf]
    if not isinstance(table, Shelf):
        return Entry(name, table[name], "")
    place = table.addresses[name]
    if place.startswith("torch."):
        return Entry(name, f"PyTorch's {place.partition(':')[2]}.", "")
    module, _, target = place.partition(":")
    text = _docstrings(module).get(target, "")
    first = text.partition("\n\n")[0].replace("\n", " ").strip()
    return Entry(name, re.sub(r" \([^()]*(19|20)\d\d[^()]*\)", "", first), _citation(text))


def _citation(docstring: str) -> str:
    """The paper that a docstring names first, as `Authors YEAR`, or nothing."""
    paper = r"(?!After|As|See)\b([A-Z][\w'-]+(?:,? (?:and )?[A-Z][\w'-]+)*(?: et al\.)? (?:19|20)\d\d)"
    match = re.search(paper, " ".join(docstring.split()))
    return match[1] if match else ""


@cache
def _docstrings(module: str) -> dict[str, str]:
    """The docstrings of a module's classes and functions by name, from its source."""
    file = Path(__file__).parent.joinpath(*module.split(".")).with_suffix(".py")
    nodes = ast.parse(file.read_text(encoding="utf-8")).body
    return {n.name: ast.get_docstring(n) or "" for n in nodes if isinstance(n, (ast.ClassDef, ast.FunctionDef))}


@dataclass(frozen=True)
class Option:
    """An option of a recipe, changed by `--set path=value`."""

    path: str
    value: Any
    type: str
    meaning: str


def describe(recipe: Recipe) -> list[Option]:
    """List every option of a recipe with its value, type and meaning."""
    hints, comments = get_type_hints(Recipe), meanings(Recipe)
    rows: list[Option] = []
    for field in fields(recipe):
        prefix = "" if field.name == "task" else field.name
        annotation = hints[field.name]
        rows += _rows(field.name, prefix, getattr(recipe, field.name), annotation, comments.get(field.name, ""))
    return rows


def _rows(path: str, prefix: str, value: Any, annotation: Any, meaning: str) -> Iterator[Option]:
    """Yield the row of one option, and those of the components in it."""
    yield Option(path, text(value), type_name(annotation), meaning)
    parts = value if isinstance(value, list) else [value]
    for place, part in enumerate(parts):
        if isinstance(part, Spec):
            inside = f"{prefix}.{place}" if isinstance(value, list) else prefix
            comments = meanings(part.target)
            for name, parameter in options(part.target).items():
                if name not in DECIDED_ELSEWHERE:
                    path = f"{inside}.{name}" if inside else name
                    yield from _rows(path, path, part.get(name), parameter.annotation, comments.get(name, ""))


def text(value: Any) -> Any:
    """Convert a value to the form of `--set`; plain JSON values stay what they are."""
    if isinstance(value, Spec):
        return name_of(value.target)
    if isinstance(value, (list, tuple)):
        return [text(v) for v in value]
    return value


@cache
def meanings(target: type) -> dict[str, str]:
    """Meaning of each option of a class: the comment on the line that declares it, or torch's docstring."""
    if not target.__module__.startswith("ganvas."):
        return _from_docstring(inspect.getdoc(target) or "")
    comments: dict[str, str] = {}
    for base in reversed([c for c in target.__mro__ if c.__module__.startswith("ganvas.")]):
        source = textwrap.dedent(inspect.getsource(base))
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            declared = re.match(r"\s*(?:def __init__\(self, \*, )?(\w+)\s*:", token.line)
            if token.type == tokenize.COMMENT and declared:
                comments[declared[1]] = re.sub(r"^#\s*", "", token.string)
    return comments


def _from_docstring(text: str) -> dict[str, str]:
    """Parse `name (type, optional): meaning` as torch writes it, up to the default."""
    ends = r"(?=\(default|;|\. |\n\s*\n|\n\s+\w+ \(|\Z)"
    rows = re.findall(r"^\s+(\w+) \([^\n]*\) ?:\s+(.+?)" + ends, text, re.MULTILINE | re.DOTALL)
    return {name: " ".join(meaning.split()) for name, meaning in rows}
