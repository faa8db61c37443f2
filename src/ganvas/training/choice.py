"""The recipe and the preset of a run: as named, or chosen for the data and the machine."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ..catalog import RECIPES
from ..config import Recipe
from ..data.cache import SMALLEST
from ..data.dataset import Dataset
from ..errors import UsageError, did_you_mean
from ..policy import pick_device
from ..recipes.presets import NAMES, Preset, presets
from ..recipes.recommended import Rule, Shape, recommend
from ..run import Run
from .distributed import under_torchrun
from .request import TrainRequest

AUTO = "auto"  # as `TrainRequest.preset`


def choose(request: TrainRequest, open_data: Callable[[], Dataset]) -> tuple[TrainRequest, list[str]]:
    """The request with a recipe and a preset; what is not named is chosen here, and a notice says so.

    `open_data` opens the data at their own size, where the recipe depends on them.  Raises `UsageError` for a preset
    that there is not, and for several processes without a recipe.
    """
    if request.recipe is not None or request.init_from is not None:
        return with_preset(request)
    if under_torchrun():
        raise UsageError("Missing RECIPE: name one to train with several processes.")
    dataset = open_data()
    shape = shape_of(dataset)
    rule = recommend(shape if request.minutes is None else replace(shape, minutes=request.minutes))
    user, preset = request.set, AUTO if request.preset is None else request.preset
    request, notices = with_preset(replace(request, recipe=rule.recipe, preset=preset, set=()))
    changes = [change.partition("=") for change in rule.changes]
    both = {**{k: v for k, _, v in changes}, **user} if isinstance(user, Mapping) else [*rule.changes, *user]
    size = limited(request, dataset.facts.resolution, rule.largest) if request.preset == "tiny" else None
    if size is not None:
        request = replace(request, resolution=size)
        notices = [f"Images are reduced to {size[1]}x{size[0]}; --resolution takes another size.", *notices]
    return replace(request, set=both), [" ".join([describe_choice(rule, dataset), *notices])]


def shape_of(dataset: Dataset) -> Shape:
    """The properties of a data set that decide on a recipe."""
    facts = dataset.facts
    paired = dataset.paired or bool(dataset.derivation)
    labels = np.empty(0, np.int64) if dataset.labels is None else dataset.labels[dataset.labels >= 0]
    return Shape(
        images=len(dataset),
        kind=facts.kind,
        sources="none" if not facts.source_channels else "paired" if paired else "unpaired",
        scale=facts.scale,
        classes=facts.classes,
        colours=facts.kind == "images" and facts.channels >= 3,
        each=int(np.bincount(labels, minlength=facts.classes).min()) if facts.classes else 0,
    )


def describe_choice(rule: Rule, dataset: Dataset) -> str:
    """The recipe that was chosen, and the data it was chosen for."""
    height, width = dataset.facts.resolution
    changes = f" with {', '.join(rule.changes)}" if rule.changes else ""
    count = f"{len(dataset):,} of {width}x{height}" if dataset.facts.kind == "images" else f"{len(dataset):,}"
    return f"Recipe {rule.recipe}{changes}, for {rule.why} ({count}); `ganvas list recipes` has others."


def with_preset(request: TrainRequest) -> tuple[TrainRequest, list[str]]:
    """The request with its preset by name, and a notice where it is chosen here.

    `AUTO` is the preset of the run whose weights it starts from; otherwise `tiny` on the CPU, where no option of the
    recipe is set and the recipe has it.  Raises `UsageError` for a preset that there is not.
    """
    if request.preset != AUTO:
        find_preset(request.recipe, request.preset)
        return request, []
    known = presets(request.recipe) if isinstance(request.recipe, str) and request.recipe in RECIPES else {}
    if request.init_from is not None:
        source = Run(request.init_from)
        name = source.config().get("preset") if source.exists() else None
        notices = [f"Preset {name}, as in {source.path}."]
    else:
        name, notices = "tiny", [f"No GPU: {describe_preset('tiny', known)}; --preset paper: as published."]
        if request.set or pick_device(request.device or "auto").type != "cpu":
            name = None
    if name not in known:
        return replace(request, preset=None), []
    return replace(request, preset=name), notices


def describe_preset(name: str, known: dict[str, Preset]) -> str:
    """A preset in a few words: `preset tiny, images of at most 64 pixels a side`."""
    largest = known[name].largest if name in known else None
    return f"preset {name}" + (f", images of at most {largest} pixels a side" if largest else "")


def find_preset(recipe: str | Recipe | None, name: str | None) -> Preset:
    """The preset of that name; raises `UsageError` for a name that there is not, or that the recipe lacks."""
    if name is None:
        return Preset()
    if name not in NAMES:
        raise UsageError(f"There is no preset {name!r}.{did_you_mean(name, NAMES)} There are: {', '.join(NAMES)}.")
    if not isinstance(recipe, str) or recipe not in RECIPES:
        raise UsageError(f"--preset {name} changes a recipe by name, and this one is saved or your own; use --set.")
    known = presets(recipe)
    if name not in known:
        raise UsageError(f"{recipe} has no preset {name}; it has: {', '.join(known)}.")
    return known[name]


def apply_preset(recipe: Recipe, preset: Preset) -> None:
    """Change the options of a recipe that a preset names, in place."""
    for path, value in preset.changes.items():
        recipe.set(path, value)


def smaller(request: TrainRequest, size: tuple[int, int]) -> tuple[int, int] | None:
    """The (height, width) to which its preset limits images of `size`; None where they stay as they are."""
    return limited(request, size, find_preset(request.recipe, request.preset).largest)


def limited(request: TrainRequest, size: tuple[int, int], largest: int | None) -> tuple[int, int] | None:
    """The (height, width) of images of `size` whose longest side is limited; None where they stay as they are."""
    longest = max(size)
    if request.size is not None or isinstance(request.data, Dataset) or largest is None or longest <= largest:
        return None
    height, width = (max(round(side * largest / longest), SMALLEST) for side in size)
    return height, width
