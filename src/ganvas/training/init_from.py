"""Initial weights of a run from another run or a model folder (`--init-from`)."""

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from ..catalog import name_of
from ..config import Recipe, Spec
from ..errors import UsageError, UserError
from ..game import ImageToImage
from ..models.cards import embedded_card
from ..models.folder import model_folder, weights_of
from ..models.keras_networks import is_of_keras
from ..networks.label_inputs import LABEL_SIZED
from ..networks.virtual_norm import ReferenceBatch
from ..paths import user_path
from ..run import Run, read_config, read_weights
from ..saved import check_networks
from ..tasks.base import Adversary, Task
from .init_from_file import files_of_players, fit_file, fit_keras, fit_partly, inherit_options, read_player, source_file

STATEFUL = ("loss", "penalties", "augment", "pool")  # parts of an `Adversary` with state of a training


def recipe_of(source: str | os.PathLike[str]) -> Recipe:
    """The recipe of a run or a model folder; raises `UserError` for one that does not say it."""
    if source_file(source):
        raise UsageError(f"{source} is a weight file and names no recipe: ganvas train RECIPE --init-from {source}.")
    saved = read_config(user_path(source, "--init-from") / "config.json")
    if "recipe" not in saved:
        raise UserError(f"{source} does not say its recipe; name one: ganvas train RECIPE --init-from {source}.")
    return Recipe.from_dict(saved["recipe"])


def inherit_defaults(recipe: Recipe, source: str | os.PathLike[str], *, replace: bool) -> None:
    """Give a recipe's networks the options that follow from the source.

    These are all of a weight file's network, which with `replace` also replace those that the recipe sets, and the
    `written` ones of a run's networks, such as a filter, where the recipe does not set them.
    """
    if weights := source_file(source):
        for player, file in files_of_players(weights).items():
            inherit_options(recipe, read_player(file, player), replace=replace, player=player)
        return
    card = embedded_card(source)
    config = (card.locate() if card else user_path(source)) / "config.json"
    saved = read_config(config) if os.path.isfile(config) else {}  # False too for a name that no system takes
    theirs = saved.get("task") or saved.get("recipe", {}).get("task", {})
    for part in ("generator", "discriminator"):
        ours, other = recipe.task.kwargs.get(part), theirs.get(part)
        if isinstance(ours, Spec) and isinstance(other, dict) and other.get("()") == name_of(ours.target):
            for name in getattr(ours.target, "written", ()):
                if name in other and name not in ours.kwargs:
                    ours.put(name, other[name])


def initialize(task: Task, source: str | os.PathLike[str], *, raw: bool = False) -> list[str]:
    """Load the weights of a run (both players), a model folder or a weight file (the generator alone) in place.

    A file of Keras brings the discriminator that lies beside it.

    The generator's are the averaged ones, or with `raw` those it trained with.  Parts sized by the classes keep their
    random weights where the classes differ, and parts sized by the scale where a file or a super-resolution run has
    another scale; every other difference of shape raises `UsageError`.  Returns notices.
    """
    card = embedded_card(source)
    path = card.locate() if card else user_path(source, "--init-from")
    scale = task.generator.scale if isinstance(task.generator, ImageToImage) else 1
    if path.is_file() and is_of_keras(path) and not raw:
        return fit_keras(task.generator, task.discriminator, files_of_players(str(path)))
    if path.is_file() and not raw:
        players, notices = {}, fit_file(task.generator, str(path), scale)
    else:
        players, notices = _players(path, raw), []
    for name, weights in players.items():
        network = task.generator if name == "generator" else task.discriminator
        if network is None:
            continue
        if name == "generator" and isinstance(network, ImageToImage) and _scale(path) not in (None, scale):
            reason = f"{path} (x{_scale(path)}, and this run is x{scale})"
            notices.append(fit_partly(network, weights, "The generator", reason))
        elif fresh := fit(network, weights, f"The {name} of {path}"):
            notices.append(f"The {name}'s {', '.join(fresh)} begin anew: other classes.")
    if "discriminator" not in players and task.discriminator is not None:
        notices.append(f"{path} holds a generator alone; the discriminator begins anew.")
    return notices


def _players(path: Path, raw: bool) -> dict[str, dict[str, Tensor]]:
    """Weights of each player in a run, a model folder or a weight file."""
    run = Run(path)
    if run.exists() and run.states():
        state = run.load_state(check=check_networks)["trainer"]
        parts = {name: _below(state["task"], name) for name in ("generator", "discriminator")}
        if not raw:
            parts["generator"] = dict(state["average"])
        return {name: part for name, part in parts.items() if part}
    if raw:
        raise UsageError(f"{path} holds no training state, so there are no raw weights; leave out --init-raw.")
    if folder := model_folder(path):
        return {"generator": read_weights(weights_of(folder))}
    raise UsageError(f"--init-from takes a run, a model folder, a weight file or an embedded model; {path} is neither.")


def _scale(path: Path) -> int | None:
    """The scale of a restoration run or model folder; None if its config.json does not say one."""
    folder = path if Run(path).exists() else model_folder(path)
    data = read_config(folder / "config.json").get("data") if folder else None
    scale = data.get("source_scale") if isinstance(data, dict) else None
    return scale if isinstance(scale, int) else None


def _below(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}


def fit(network: nn.Module, weights: Mapping[str, Tensor], owner: str) -> list[str]:
    """Load weights where they fit; returns the parts that keep their random weights because the classes differ.

    State of the other training that is no weight of a network (a pool, ADA's state, averages of penalties, the
    reference batch of virtual batch norm) is not loaded.
    """
    state = state_prefixes(network)
    ours, weights = ({k: v for k, v in s.items() if not k.startswith(state)} for s in (network.state_dict(), weights))
    missing, foreign = sorted(ours.keys() - weights.keys()), sorted(weights.keys() - ours.keys())
    odd = [k for k in missing + foreign if not _sized_by_labels(k)]
    if odd:
        raise UsageError(
            f"{owner} is another network, or for another size ({odd[0]} is in one only); take its recipe and size."
        )
    differing = [k for k in ours if k in weights and ours[k].shape != weights[k].shape]
    wrong = [k for k in differing if not _sized_by_labels(k)]
    joins = [k for k in missing + foreign if _sized_by_labels(k)]
    if wrong and joins:
        raise UsageError(
            f"{owner} {'is not' if joins[0] in missing else 'is'} conditioned on a label, and this one"
            f" {'is' if joins[0] in missing else 'is not'} ({joins[0]}); take a recipe and data of the same kind."
        )
    if wrong:
        a, b = (tuple(s[wrong[0]].shape) for s in (weights, ours))
        raise UsageError(
            f"{owner} has another shape ({wrong[0]} is {a}, here {b}); give the resolution, the channels and the"
            " widths it was trained with (its config.json says)."
        )
    fresh = {*differing, *(k for k in missing if _sized_by_labels(k))}
    fitting = {k: v for k, v in weights.items() if k in ours and k not in fresh}
    network.load_state_dict({**network.state_dict(), **fitting})
    return sorted({k.rpartition(".")[0] for k in fresh})


def state_prefixes(network: nn.Module) -> tuple[str, ...]:
    """Prefixes of the names of tensors that are state of a training and no weight of a network."""
    prefixes = []
    for path, part in network.named_modules():
        place = f"{path}." if path else ""
        if isinstance(part, Adversary):
            prefixes += [f"{place}{name}." for name in STATEFUL]
        if isinstance(part, ReferenceBatch):
            prefixes.append(place)
    return tuple(prefixes)


def _sized_by_labels(key: str) -> bool:
    return any(part in LABEL_SIZED for part in key.split("."))
