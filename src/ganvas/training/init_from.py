"""Starting a run from the weights of another one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..errors import UsageError, UserError
from ..files import read_json
from ..models.folder import WEIGHTS, model_folder
from ..networks.virtual_norm import Reference
from ..run import Run, read_weights
from ..tasks.base import Adversary, Task

BY_THE_LABELS = ("embed", "classify")  # parts whose size follows from the classes: they begin anew for other classes
MEMORIES = ("loss", "penalties", "augment", "pool")  # of an `Adversary`: what it remembers of a training


def initialize(task: Task, source: str | os.PathLike[str], *, raw: bool = False) -> list[str]:
    """Give a task the weights of a run (both players) or of a model folder (the generator alone), in place.

    The generator's are the averaged ones, or with `raw` those it trained with.  Parts sized by the classes begin
    anew where the classes differ; every other difference of shape raises `UsageError`.  Returns what a person
    should know.
    """
    path = Path(source)
    players = _players(path, raw)
    told = []
    for name, weights in players.items():
        network = getattr(task, name)
        fresh = fit(network, weights, f"The {name} of {path}")
        if fresh:
            told.append(f"The {name}'s {', '.join(fresh)} begin anew: other classes.")
    if "discriminator" not in players and task.discriminator is not None:
        told.append(f"{path} holds a generator alone; the discriminator begins anew.")
    return told


def _players(path: Path, raw: bool) -> dict[str, dict[str, Tensor]]:
    """The weights of each player that a run or a model folder holds."""
    run = Run(path)
    if run.exists() and run.states():
        trained = run.load_state()["trainer"]
        parts = {name: _under(trained["task"], name) for name in ("generator", "discriminator")}
        if not raw:
            parts["generator"] = dict(trained["average"])
        return {name: part for name, part in parts.items() if part}
    if raw:
        raise UsageError(f"{path} holds no training state, so there are no raw weights; leave out --init-raw.")
    if folder := model_folder(path):
        return {"generator": read_weights(folder / WEIGHTS)}
    raise UsageError(f"--init-from takes a run or a model folder; {path} is neither.")


def _under(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}


def fit(network: nn.Module, weights: Mapping[str, Tensor], who: str) -> list[str]:
    """Load weights where they fit; returns the names of the parts that stay fresh because the classes differ.

    What belongs to the other training and not to the networks (a pool, ADA's state, averages of penalties, the
    reference batch of virtual batch norm) stays as it is here.
    """
    left = remembered(network)
    ours, weights = ({k: v for k, v in s.items() if not k.startswith(left)} for s in (network.state_dict(), weights))
    missing, foreign = sorted(ours.keys() - weights.keys()), sorted(weights.keys() - ours.keys())
    odd = [k for k in missing + foreign if not _sized_by_labels(k)]
    if odd:
        raise UsageError(
            f"{who} is another network, or for another size ({odd[0]} is in one only); take its recipe and resolution."
        )
    differing = [k for k in ours if k in weights and ours[k].shape != weights[k].shape]
    wrong = [k for k in differing if not _sized_by_labels(k)]
    joins = [k for k in missing + foreign if _sized_by_labels(k)]
    if wrong and joins:
        raise UsageError(
            f"{who} {'is not' if joins[0] in missing else 'is'} asked for by label, and this one"
            f" {'is' if joins[0] in missing else 'is not'} ({joins[0]}); take a recipe and data of the same kind."
        )
    if wrong:
        a, b = (tuple(s[wrong[0]].shape) for s in (weights, ours))
        raise UsageError(
            f"{who} has another shape ({wrong[0]} is {a}, here {b}); give the resolution, the channels and the"
            " widths it was trained with (its config.json says)."
        )
    fresh = {*differing, *(k for k in missing if _sized_by_labels(k))}
    fitting = {k: v for k, v in weights.items() if k in ours and k not in fresh}
    network.load_state_dict({**network.state_dict(), **fitting})
    return sorted({k.rpartition(".")[0] for k in fresh})


def remembered(network: nn.Module) -> tuple[str, ...]:
    """How the names begin of all that is no weight of a network, but memory of its training."""
    found = []
    for path, part in network.named_modules():
        place = f"{path}." if path else ""
        if isinstance(part, Adversary):
            found += [f"{place}{name}." for name in MEMORIES]
        if isinstance(part, Reference):
            found.append(place)
    return tuple(found)


def _sized_by_labels(key: str) -> bool:
    return any(part in BY_THE_LABELS for part in key.split("."))


def recipe_of(source: str | os.PathLike[str]) -> dict[str, Any]:
    """The recipe in a run's config.json, as a dict; raises `UserError` where there is none."""
    saved = read_json(Path(source) / "config.json")
    if "recipe" not in saved:
        raise UserError(f"{source} does not say its recipe; name one: ganvas train RECIPE --init-from {source}.")
    return dict(saved["recipe"])
