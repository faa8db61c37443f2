"""What a person asked for, made into a recipe, and completed from a run's own config when it is to be continued."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from .. import catalog
from ..config import Recipe, Spec
from ..data.dataset import Dataset
from ..data.sources import parse_resolution
from ..data.transforms import parse_transforms
from ..errors import UsageError, did_you_mean
from ..files import read_json
from ..policy import PrecisionName
from ..run import Run
from .init_from import recipe_of

LARGEST_SEED = 2**63 - 1


@dataclass
class Request:
    """What a person asked for, before anything is looked at."""

    recipe: str | Recipe | None  # a name, a saved config.json, or a Recipe; None: as the run to resume
    data: str | Dataset | None
    outdir: str | os.PathLike[str]
    images: int | None = None
    minutes: float | None = None
    seed: int | None = None
    batch: int | None = None
    resolution: str | int | tuple[int, int] | None = None
    device: str = "auto"
    precision: PrecisionName | None = None
    compile: Literal["auto", "on", "off"] = "auto"
    set: Sequence[str] | Mapping[str, Any] = ()
    hold_out: int | None = None  # images kept from training, to see whether the discriminator learns by heart
    heal: bool = False  # do what the doctor advises: go back, and on with lower learning rates
    labels: int | None = None  # keep so many, class by class alike, and hide the others
    augment: str = ""
    init_from: str | os.PathLike[str] | None = None  # a run or a model folder whose weights this run begins with
    init_raw: bool = False  # its generator as trained instead of averaged
    freeze_d: int | None = None
    resume: bool = False
    snapshot_images: int | None = None
    eval_images: int | None = None  # images between evaluations; None: none
    eval_metric: str = "fd"
    eval_samples: int = 2000
    stop_when: str | None = None  # as fd<12
    patience: int | None = None  # evaluations without a better one, after which to stop
    workers: int = 0
    tensorboard: bool = False
    cache: Path | None = None


def made_recipe(request: Request) -> Recipe:
    """The recipe asked for, with every override applied."""
    wanted = request.recipe
    if wanted is None and request.init_from is not None:
        wanted = Recipe.from_dict(recipe_of(request.init_from))
    recipe = find_recipe(wanted)
    for name in ("batch", "images", "freeze_d"):
        value = getattr(request, name)
        if value is not None:
            recipe.set(name, str(value))
    changes = request.set.items() if isinstance(request.set, Mapping) else [_change(text) for text in request.set]
    for path, value in changes:
        recipe.set(path, value if isinstance(value, str) else repr(value))
    if request.augment:
        _refuse_sight(part.partition("=")[0].strip() for part in request.augment.split(","))
        recipe.transforms = [Spec(catalog.AUGMENT[name], **given) for name, given in parse_transforms(request.augment)]
    _refuse_sight(catalog.name_of(spec.target) for spec in recipe.transforms)
    for name in getattr(recipe.task.target, "files", ()):  # found from anywhere, as the data are
        if Path(given := str(recipe.task.get(name))).is_file():
            recipe.task.put(name, os.path.abspath(given))
    return recipe


def _refuse_sight(names: Iterable[str]) -> None:
    """Raise `UsageError` for a change to the data that is one of what the discriminator looks through."""
    for name in names:
        if name in catalog.D_AUGMENT:
            raise UsageError(
                f"{name} changes what the discriminator sees, real and fake alike, not the data: --set augment={name}."
            )


def find_recipe(wanted: str | Recipe | None) -> Recipe:
    """A fresh recipe by name or from a saved config.json; a `Recipe` is copied."""
    if isinstance(wanted, Recipe):
        return wanted.copy()
    if wanted is None:
        raise UsageError(f"Which recipe? One of: {', '.join(catalog.RECIPES)}.")
    if wanted in catalog.RECIPES:
        return catalog.RECIPES[wanted]()
    if wanted.endswith(".json") or os.sep in wanted:
        saved = read_json(Path(wanted))
        return Recipe.from_dict(saved.get("recipe", saved))
    raise UsageError(
        f"There is no recipe {wanted!r}.{did_you_mean(wanted, catalog.RECIPES)}"
        f" There are: {', '.join(catalog.RECIPES)}."
    )


def _change(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise UsageError(f"--set takes path=value, for example generator.width=128; got {text!r}.")
    return path.strip(), value.strip()


def asked_resolution(request: Request) -> tuple[int, int] | None:
    """(height, width) as asked for; None: as the data suggest."""
    return None if request.resolution is None else parse_resolution(request.resolution)


def check_numbers(request: Request) -> None:
    """Raise `UsageError` for numbers that cannot mean anything."""
    for name, value, least, most in (
        ("--seed", request.seed, 0, LARGEST_SEED),
        ("--snapshot-images", request.snapshot_images, 1, math.inf),
        ("--eval-images", request.eval_images, 1, math.inf),
        ("--eval-samples", request.eval_samples, 2, math.inf),
        ("--patience", request.patience, 1, math.inf),
        ("--minutes", request.minutes, 0, math.inf),
        ("--workers", request.workers, 0, 1024),
        ("--hold-out", request.hold_out, 0, math.inf),
    ):
        if value is not None and not least <= value <= most:  # not-a-number is in no range
            range_ = f"at least {least}" if most == math.inf else f"from {least} to {most}"
            raise UsageError(f"{name} must be {range_}, got {value}.")
    for name, asked in (("--stop-when", request.stop_when), ("--patience", request.patience)):
        if asked is not None and request.eval_images is None and not request.resume:
            raise UsageError(f"{name} needs numbers to go by: give --eval-images, the images between evaluations.")


def continued(request: Request) -> Request:
    """A request to resume, completed from the run's own config; what contradicts it is refused.

    Everything may be repeated as it was first given.  Whether the data are the same is for their fingerprint to say,
    not for their path.
    """
    config = Run.open(request.outdir).config()
    if not {"recipe_name", "recipe", "data", "seed", "precision"} <= config.keys():
        raise UsageError(f"{request.outdir}/config.json was not written by ganvas train; it cannot be resumed.")
    recipe, data = _continued_recipe(request, config), config["data"]
    if isinstance(request.data, str) and {request.data, data["source"]} & catalog.SOURCES.keys():
        _same(request, "data", request.data, data["source"])
    _same(request, "seed", request.seed, config["seed"])
    begun = None if request.init_from is None else str(request.init_from)
    _same(request, "init_from", begun, config.get("init_from"))
    _same(request, "labels", request.labels, data.get("labels_kept"))
    _same(request, "hold_out", request.hold_out, data.get("held_out"))
    _same(request, "precision", None if request.precision == "auto" else request.precision, config["precision"])
    asked, found = asked_resolution(request), tuple(data["resolution"])
    if asked is not None and asked != found:
        _same(request, "resolution", "{1}x{0}".format(*asked), "{1}x{0}".format(*found))
    first = data.get("asked_resolution")
    watched = config.get("evaluation") if request.eval_images is None else None
    return replace(
        request,
        **(watched or {}),
        recipe=recipe,
        data=request.data or data.get("path") or data["source"],
        seed=config["seed"],
        labels=data.get("labels_kept"),
        hold_out=data.get("held_out"),
        batch=None,
        resolution=None if first is None else (first[0], first[1]),
        precision=config["precision"],
        freeze_d=None,
        set=(),
        augment="",
    )


def _continued_recipe(request: Request, config: Mapping[str, Any]) -> Recipe:
    """The recipe of a run; one with components of your own has to be handed over again, as it was.

    Raises `UsageError` if what was asked for, its overrides included, differs in more than the number of images.
    """
    asked = request.recipe
    if isinstance(asked, str) and asked in catalog.RECIPES:
        _same(request, "recipe", asked, config["recipe_name"])
        asked = None
    if asked is None:
        asked = Recipe.from_dict(config["recipe"])
    made, saved = made_recipe(replace(request, recipe=asked, images=None)), config["recipe"]
    changed = list(_changes({**saved, "images": 0}, {**made.to_dict(), "images": 0}))
    if changed:
        raise _contradiction(request, ", ".join(changed))
    made.images = saved["images"]
    if request.images is not None:
        made.set("images", str(request.images))
    return made


def _changes(was: Any, now: Any, path: str = "") -> Iterator[str]:
    """Every place where two recipes, as JSON, differ: `batch 8 (asked: 16)`."""
    if isinstance(was, dict) and isinstance(now, dict) and was.get("()") == now.get("()"):
        for name in sorted(was.keys() | now.keys()):
            yield from _changes(was.get(name), now.get(name), f"{path}.{name}".removeprefix("."))
    elif was != now:
        yield f"{path.removeprefix('task.')} {_briefly(was)} (asked: {_briefly(now)})"


def _briefly(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_briefly, value))}]"
    text = value["()"] if isinstance(value, dict) else "its default" if value is None else str(value)
    return text if len(text) < 40 else f"{text[:37]}..."


def _same(request: Request, name: str, asked: Any, was: Any) -> None:
    if asked is not None and asked != was:
        raise _contradiction(request, f"{name} {was} (asked: {asked})")


def _contradiction(request: Request, what: str) -> UsageError:
    return UsageError(f"{request.outdir} was started with {what}; resume as it was, or start a new run.")
