"""The commands that list and describe components and recipes: `list`, `show`."""

from typing import Annotated, Any

import typer

from .console import JsonFlag, console, plain, print_json, print_table


def list_(
    shelf: Annotated[
        str | None, typer.Argument(help="One list: recipes, data, losses, penalties, networks, metrics, ...")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List recipes, losses, networks, data sets and more.

    Each entry has a name, a summary and a paper.
    """
    from ..catalog import SHELVES
    from ..describe import entries
    from ..errors import UsageError, did_you_mean

    if shelf is not None and shelf not in SHELVES:
        raise UsageError(f"There is no list {shelf!r}.{did_you_mean(shelf, SHELVES)} There are: {', '.join(SHELVES)}.")
    shelves = {name: entries(name) for name in ([shelf] if shelf else SHELVES)}
    if as_json:
        return print_json({title: [entry._asdict() for entry in rows] for title, rows in shelves.items()})
    for title, rows in shelves.items():
        print_table(title, ["name", "summary", "paper"], [list(entry) for entry in rows])


def show(
    recipe: Annotated[str, typer.Argument(help="Name from `ganvas list recipes`, or a saved config.json.")],
    as_json: JsonFlag = False,
) -> None:
    """Show every option of a recipe: value, type, meaning."""
    from dataclasses import asdict

    from ..catalog import RECIPES
    from ..describe import describe, entry
    from ..recipes.presets import presets
    from ..training.session import find_recipe

    rows = describe(find_recipe(recipe))
    sizes = {name: preset.changes for name, preset in presets(recipe).items()} if recipe in RECIPES else {}
    about = entry("recipes", recipe).sentence if recipe in RECIPES else f"Recipe saved in {recipe}."
    if as_json:
        options = [asdict(r) for r in rows]
        return print_json({"recipe": recipe, "sentence": about, "options": options, "presets": sizes})
    out = console(stderr=False)
    out.print(plain(about), "\n")
    meanings = [f"{r.meaning} ({r.type})" if r.meaning else r.type for r in rows]
    print_table("", ["option", "value", "meaning"], [[r.path, _format(r.value), m] for r, m in zip(rows, meanings)])
    if len(sizes) > 1:
        lines = {name: "\n".join(f"{k}={v}" for k, v in changes.items()) for name, changes in sizes.items()}
        print_table("", ["--preset", "changes"], [[name, text or "none"] for name, text in lines.items()])
    out.print("\nChange an option with --set option=value.", style="dim")


def _format(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_format(v) for v in value) or "-"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
