"""Evaluating while it trains: how good the averaged generator is, which snapshot was best, when to stop."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..checkpoints import download as weights
from ..data.dataset import Dataset
from ..errors import UsageError, did_you_mean
from ..models.model import Model
from . import measures as catalogue
from .comparison import Numbers, Options, Question

COUNTED = ("ring", "grid")  # data whose modes are known
SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Goal:
    """What is good enough: a number's name, a sign and a bound."""

    key: str
    sign: str
    bound: float

    @classmethod
    def read(cls, text: str) -> Goal:
        """A goal from `fd<12`; raises `UsageError` for anything else."""
        found = re.fullmatch(r"\s*([a-z_]+)\s*(<=|>=|<|>)\s*([-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?)\s*", text)
        if not found:
            raise UsageError(f"--stop-when takes a number's name, a sign and a bound, as fd<12; got {text!r}.")
        return cls(found[1], found[2], float(found[3]))

    def reached(self, value: float) -> bool:
        return SIGNS[self.sign](value, self.bound)


class Watch:
    """Measures a model against the training data every so many images, and remembers what was best."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        every: int,  # images
        metric: str = "fd",
        samples: int = 2000,
        stop_when: str | None = None,
        patience: int | None = None,  # evaluations without a new best one
        device: str = "auto",
    ):
        self.dataset, self.every, self.metric = dataset, every, metric
        self.goal = Goal.read(stop_when) if stop_when else None
        self.key = self._checked()
        size = min(Options.size, samples, len(dataset))  # of a subset of kid, however few images there are
        self.patience, self.options = patience, Options(samples=samples, size=size, device=device)
        self.question = Question(dataset, None, self.options)
        self.best: float | None = None
        self.since = 0  # evaluations since the best
        self.reason = ""  # why to stop: `goal` or `patience`

    def _checked(self) -> str:
        """The number that says which snapshot is best; raises `UsageError` for what would fail later, in the middle."""
        known = catalogue.WATCHED
        if self.metric not in known:
            said = f"{self.metric} cannot be measured while training" if self.metric in catalogue.MEASURES else ""
            near = did_you_mean(self.metric, known)
            said = said or f"There is no metric {self.metric!r}"
            raise UsageError(f"{said}.{near} --eval-metric takes {', '.join(known)}.")
        if self.metric == "modes" and self.dataset.name not in COUNTED:
            raise UsageError(f"While training, modes are counted for {' and '.join(COUNTED)} alone.")
        if self.metric != "modes" and self.dataset.facts.kind == "points":
            raise UsageError("Points are no images, and are judged by their modes: --eval-metric modes.")
        if self.metric == "fid":
            weights.path("inception")
        if self.goal and self.goal.key not in known[self.metric]:
            there = ", ".join(known[self.metric])
            raise UsageError(f"--stop-when asks for {self.goal.key}, and {self.metric} gives {there}.")
        return self.goal.key if self.goal else known[self.metric][0]

    @torch.no_grad()
    def look(self, model: Model) -> tuple[Numbers, bool]:
        """The numbers of a model as it is, and whether it is the best so far; draws nothing from the global generators.

        A number that is not one is never the best.
        """
        with torch.random.fork_rng():
            self.question.b = model
            self.question.__dict__.pop("fake", None)  # the model has changed since it was looked at
            found = catalogue.MEASURES[self.metric](self.question)
        value, less = float(found[self.key]), self.key in catalogue.LESS_IS_BETTER
        better = not math.isnan(value) and (self.best is None or (value < self.best if less else value > self.best))
        self.best, self.since = (value, 0) if better else (self.best, self.since + 1)
        if self.goal and self.goal.reached(value):
            self.reason = "goal"
        elif self.patience is not None and self.since >= self.patience:
            self.reason = "patience"
        return found, better

    def state_dict(self) -> dict[str, Any]:
        """What changes while it watches."""
        return {"best": self.best, "since": self.since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.since, self.reason = state["best"], state["since"], ""
