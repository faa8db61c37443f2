"""A request to resume a run, completed from the run's own config; what contradicts the config is refused."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .. import catalog
from ..config import Recipe
from ..errors import UsageError, UserError
from ..run import Run
from .choice import AUTO
from .request import EVALUATION, MAY_CHANGE, TrainRequest
from .session import resolve_recipe


def complete_from_run(request: TrainRequest) -> TrainRequest:
    """Complete a request to resume from the run's own config; raises `UsageError` for what contradicts it.

    Everything may be repeated as it was first given.  The data are compared by their fingerprint, not by their path.
    `EVALUATION` and `MAY_CHANGE`, the length and options of one session (minutes, cache) may be others.
    """
    config = Run.open(request.folder).config()
    if not {"recipe_name", "recipe", "data", "seed", "precision"} <= config.keys():
        raise UsageError(f"{request.outdir}/config.json was not written by ganvas train; it cannot be resumed.")
    if missing := sorted({"source", "fingerprint", "resolution"} - config["data"].keys()):
        raise UserError(f"{request.outdir}/config.json is damaged: data.{missing[0]} is missing.")
    recipe, data = _resolve_saved_recipe(request, config), config["data"]
    _refuse_changes(request, config)
    saved = {"heal": config.get("heal"), **config.get("options", {}), **(config.get("evaluation") or {})}
    saved.setdefault("log", "tensorboard" if saved.get("tensorboard") else None)  # an option of earlier versions
    unchanged: dict[str, Any] = {k: saved.get(k) for k in (*EVALUATION, *MAY_CHANGE) if getattr(request, k) is None}
    return replace(
        request,
        **unchanged,
        init_from=config.get("init_from"),
        init_raw=config.get("init_raw"),
        recipe=recipe,
        data=request.data or data.get("path") or data["source"],
        seed=config["seed"],
        labels=data.get("labels_kept"),
        hold_out=data.get("held_out"),
        batch=None,
        preset=None,
        resolution=data.get("asked_resolution"),
        precision=config["precision"],
        freeze_d=None,
        set=(),
        augment="",
    )


def _refuse_changes(request: TrainRequest, config: Mapping[str, Any]) -> None:
    """Raise `UsageError` for an option that is not as it was when the run was started."""
    data = config["data"]
    is_name = isinstance(request.data, str) and {request.data, data["source"]} & catalog.SOURCES.keys()
    for name, value, was in (
        ("data", request.data if is_name else None, data["source"]),
        ("seed", request.seed, config["seed"]),
        ("init_from", _absolute(request.init_from), _absolute(config.get("init_from"))),
        ("init_raw", request.init_raw or None, config.get("init_raw", False)),
        ("labels", request.labels, data.get("labels_kept")),
        ("hold_out", request.hold_out, data.get("held_out") or 0),
        ("precision", None if request.precision == "auto" else request.precision, config["precision"]),
        ("preset", None if request.preset == AUTO else request.preset, config.get("preset") or "paper"),
        ("resolution", _size_text(request.size), _size_text(data["resolution"])),
    ):
        _refuse_change(request, name, value, was)


def _resolve_saved_recipe(request: TrainRequest, config: Mapping[str, Any]) -> Recipe:
    """The recipe of a run; one with components outside the catalogue has to be given again, as it was.

    Raises `UsageError` if the requested recipe, with its overrides, differs in more than the number of images.
    """
    requested = request.recipe
    if isinstance(requested, str) and requested in catalog.RECIPES:
        _refuse_change(request, "recipe", requested, config["recipe_name"])
        requested = None
    if requested is None:
        requested = Recipe.from_dict(config["recipe"])
    recipe, saved = resolve_recipe(replace(request, recipe=requested, preset=None, images=None)), config["recipe"]
    differences = list(_differences({**saved, "images": 0}, {**recipe.to_dict(), "images": 0}))
    if differences:
        raise _contradiction(request, ", ".join(differences))
    recipe.images = saved["images"]
    if request.images is not None:
        recipe.set("images", str(request.images))
    return recipe


def _differences(was: Any, now: Any, path: str = "") -> Iterator[str]:
    """Every place where two recipes, as JSON, differ: `batch 8 (requested: 16)`."""
    if isinstance(was, dict) and isinstance(now, dict) and was.get("()") == now.get("()"):
        for name in sorted(was.keys() | now.keys()):
            yield from _differences(was.get(name), now.get(name), f"{path}.{name}".removeprefix("."))
    elif was != now:
        yield f"{path.removeprefix('task.')} {_shorten(was)} (requested: {_shorten(now)})"


def _absolute(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.path.abspath(path)


def _size_text(size: Sequence[int] | None) -> str | None:
    return None if size is None else f"{size[1]}x{size[0]}"


def _shorten(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_shorten, value))}]"
    text = value["()"].rpartition(":")[2] if isinstance(value, dict) else "its default" if value is None else str(value)
    return text if len(text) < 40 else f"{text[:37]}..."


def _refuse_change(request: TrainRequest, name: str, value: Any, was: Any) -> None:
    if value is not None and value != was:
        raise _contradiction(request, f"{name} {was} (requested: {value})")


def _contradiction(request: TrainRequest, difference: str) -> UsageError:
    return UsageError(f"{request.outdir} was started with {difference}; resume as it was, or start a new run.")
