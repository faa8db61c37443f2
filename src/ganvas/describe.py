"""What components and recipes are made of, read from their signatures and the comments beside them.

The help of the command, the studio's forms and the tables of the documentation all come from here.
"""

from __future__ import annotations

import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, get_type_hints

from .catalog import NAMES
from .config import DECIDED_ELSEWHERE, Recipe, Spec, address, options, type_name


@dataclass(frozen=True)
class Option:
    """One thing that `--set path=value` can change."""

    path: str
    value: Any
    type: str
    meaning: str


def describe(recipe: Recipe) -> list[Option]:
    """Every option of a recipe with its value, its type and what it means."""
    hints, said = get_type_hints(Recipe), meanings(Recipe)
    found: list[Option] = []
    for field in fields(recipe):
        prefix = "" if field.name == "task" else field.name
        annotation = hints[field.name]
        found += _rows(field.name, prefix, getattr(recipe, field.name), annotation, said.get(field.name, ""))
    return found


def _rows(path: str, prefix: str, value: Any, annotation: Any, meaning: str) -> Iterator[Option]:
    """The row of one option, and those of the component that it holds."""
    yield Option(path, text(value), type_name(annotation), meaning)
    parts = value if isinstance(value, list) else [value]
    for place, part in enumerate(parts):
        if isinstance(part, Spec):
            inside = f"{prefix}.{place}" if isinstance(value, list) else prefix
            yield from _inside(part, inside)


def _inside(spec: Spec, prefix: str) -> Iterator[Option]:
    said = meanings(spec.target)
    for name, parameter in options(spec.target).items():
        value = spec.get(name)
        if name in DECIDED_ELSEWHERE:
            continue
        path = f"{prefix}.{name}" if prefix else name
        yield from _rows(path, path, value, parameter.annotation, said.get(name, ""))


def text(value: Any) -> Any:
    """A value as `--set` would take it; plain JSON values stay what they are."""
    if isinstance(value, Spec):
        return NAMES.get(address(value.target), value.target.__qualname__)
    if isinstance(value, (list, tuple)):
        return [text(v) for v in value]
    return value


@cache
def meanings(target: type) -> dict[str, str]:
    """What each option of a class means: the comment on the line that declares it, else torch's docstring."""
    if not target.__module__.startswith("ganvas."):
        return _from_docstring(inspect.getdoc(target) or "")
    found: dict[str, str] = {}
    for base in reversed([c for c in target.__mro__ if c.__module__.startswith("ganvas.")]):
        source = textwrap.dedent(inspect.getsource(base))
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            declared = re.match(r"\s*(\w+)\s*:", token.line)
            if token.type == tokenize.COMMENT and declared:
                found[declared[1]] = re.sub(r"^#\s*(noqa: \w+\s*)?", "", token.string)
    return found


def _from_docstring(text: str) -> dict[str, str]:
    """`name (type, optional): meaning` as torch writes it, up to the default."""
    ends = r"(?=\(default|;|\. |\n\s*\n|\n\s+\w+ \(|\Z)"
    rows = re.findall(r"^\s+(\w+) \([^\n]*\) ?:\s+(.+?)" + ends, text, re.MULTILINE | re.DOTALL)
    return {name: " ".join(meaning.split()) for name, meaning in rows}
