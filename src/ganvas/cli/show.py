"""The commands that list and describe components and recipes: `list`, `show`."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from .console import JsonFlag, console, plain, print_json, print_table
from .library import list_library

MODELS = "models"  # the list that is no shelf of the catalogue


def list_(
    shelf: Annotated[
        str | None, typer.Argument(help="One list: recipes, models, data, losses, networks, metrics, ...")
    ] = None,
    models: Annotated[Path | None, typer.Option(help="With models: a folder of models; lists those instead.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List recipes, models, losses, networks and more.

    Each entry has a name, a summary and a paper; models have commands and a licence.
    """
    from ..catalog import SHELVES
    from ..describe import entries
    from ..errors import UsageError, did_you_mean

    lists = [*SHELVES, MODELS]
    if models is not None and shelf != MODELS:
        raise UsageError(f"--models lists models: ganvas list models --models {models}")
    if shelf == MODELS:
        return list_library(models, as_json) if models else _list_models(as_json)
    if shelf is not None and shelf not in lists:
        raise UsageError(f"There is no list {shelf!r}.{did_you_mean(shelf, lists)} There are: {', '.join(lists)}.")
    shelves = {name: entries(name) for name in ([shelf] if shelf else SHELVES)}
    if as_json:
        return print_json({title: [entry._asdict() for entry in rows] for title, rows in shelves.items()})
    for title, rows in shelves.items():
        print_table(title, ["name", "summary", "paper"], [list(entry) for entry in rows])


def _list_models(as_json: bool) -> None:
    """List the embedded models, public weights, and own models below `runs` and `models` of this place."""
    from ..checkpoints import download
    from ..models.listing import embedded_rows, own_rows

    embedded, own = embedded_rows(), own_rows((Path("runs"), False), (Path("models"), True))
    folder = download.folder()
    public: list[dict[str, Any]] = [
        {"name": f.name, "purpose": f.what, "here": (folder / f.file).is_file()} for f in download.FILES.values()
    ]
    if as_json:
        return print_json({"embedded": embedded, "public": public, "own": own})
    rows = [[c["name"], ", ".join(c["commands"]), c["purpose"], _short(c["license"])] for c in embedded]
    print_table("Embedded: --model NAME (their cards: --json)", ["name", "command", "purpose", "licence"], rows)
    here = [[p["name"], p["purpose"], "here" if p["here"] else f"ganvas weights fetch {p['name']}"] for p in public]
    print_table("Public weights", ["name", "purpose", "state"], here)
    if own:
        print_table("Own: --model PATH", ["path", "what"], [[o["name"], o["purpose"]] for o in own])


def _short(license: str) -> str:
    """The name of a licence without its details: Apache-2.0 of "Apache-2.0 (weights); photographs: ..."."""
    return re.split(r"[,;(]", license)[0].strip()


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
