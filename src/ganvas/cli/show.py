"""The commands that list and describe components and recipes: `list`, `show`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from .console import JsonFlag, answer, table


def list_(
    shelf: Annotated[
        str | None, typer.Argument(help="recipes, data, losses, penalties, heads, networks, augment, metrics, ...")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """What there is: names, one sentence each, and where it was published."""
    from ..catalog import SHELVES, citation, sentence
    from ..errors import UsageError, did_you_mean
    from ..evaluation.evaluate import METRICS

    every = {**SHELVES, "metrics": METRICS}
    if shelf is not None and shelf not in every:
        raise UsageError(f"There is no list {shelf!r}.{did_you_mean(shelf, every)} There are: {', '.join(every)}.")
    shelves = {shelf: every[shelf]} if shelf else every
    found = {
        title: [{"name": n, "sentence": sentence(t), "citation": citation(t)} for n, t in shelf.items()]
        for title, shelf in shelves.items()
    }
    if as_json:
        return answer(found)
    for title, entries in found.items():
        table(
            title,
            ["name", "what it is", "published"],
            [[e["name"], e["sentence"], e["citation"]] for e in entries],
        )


def show(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a saved config.json.")],
    as_json: JsonFlag = False,
) -> None:
    """A recipe as built: every option with its value, its type and what it means."""
    from dataclasses import asdict

    from ..api import find_recipe
    from ..catalog import RECIPES, sentence
    from ..describe import describe

    rows = describe(find_recipe(recipe))
    about = sentence(RECIPES[recipe]) if recipe in RECIPES else f"The recipe saved in {recipe}."
    if as_json:
        return answer({"recipe": recipe, "sentence": about, "options": [asdict(r) for r in rows]})
    Console(highlight=False).print(about, "\n")
    meanings = [f"{r.meaning} ({r.type})" if r.meaning else r.type for r in rows]
    table("", ["option", "value", "what it means"], [[r.path, _short(r.value), m] for r, m in zip(rows, meanings)])
    Console(highlight=False).print("\nChange any of them with --set option=value.", style="dim")


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_short(v) for v in value) or "-"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
