"""Evaluation during training: results of the averaged generator, the best snapshot, and when to stop."""

import math
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..catalog import METRICS
from ..checkpoints import download as weights
from ..data.dataset import Dataset
from ..data.toy import MIXTURES
from ..errors import UsageError, did_you_mean
from ..legacy import EVALUATION_KEYS
from ..models.model import Model
from .comparison import Comparison, Metric, Numbers
from .inputs import trained_through

if TYPE_CHECKING:
    from ..training.trainer import Trainer

FEW = 16  # images of a rehearsal: more than any metric needs at least
SIGNS = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}


def watchable() -> dict[str, tuple[str, ...]]:
    """Metrics available while training, with their results; the first decides the best snapshot."""
    return {name: metric.watch for name, metric in METRICS.items() if metric.watch}


def suitable_metric(metric: str, task: Any) -> tuple[str, str]:
    """The metric itself; `fid` and a notice in place of `fd`, if the run of this task is trained through its features.

    `task` is a spec as JSON.  Raises `UsageError` where Inception's weights are missing.
    """
    networks = trained_through(task)
    if metric != "fd" or "pocket" not in networks:
        return metric, ""
    if (weights.folder() / weights.FILES["inception"].file).is_file():
        return "fid", "Evaluated by fid, because the run is trained through pocket, the network of fd."
    raise UsageError(
        "This run is trained through the features of pocket, so fd, which looks through them, is no measure of it."
        " Take --eval-metric fid (ganvas weights fetch inception) or diversity."
    )


@dataclass(frozen=True)
class Goal:
    """A bound that stops a run: a result's name, a sign and a number."""

    key: str
    sign: str
    bound: float

    @classmethod
    def read(cls, text: str) -> "Goal":
        """A goal from `fd<12`; raises `UsageError` for anything else."""
        match = re.fullmatch(r"\s*([a-z_]+)\s*(<=|>=|<|>)\s*([-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?)\s*", text)
        if not match:
            raise UsageError(f"--stop-when takes a number's name, a sign and a bound, as fd<12; got {text!r}.")
        return cls(EVALUATION_KEYS.get(match[1], match[1]), match[2], float(match[3]))

    def reached(self, value: float) -> bool:
        """True if a value is good enough."""
        return bool(SIGNS[self.sign](value, self.bound))


class Watch:
    """Measures a model against the training data every so many images, and keeps the best result."""

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
        notice: str = "",  # of why this metric is taken
    ):
        self.dataset, self.every, self.metric, self.notice = dataset, every, metric, notice
        self.goal = Goal.read(stop_when) if stop_when else None
        self.function = self._check_metric()
        self.key = self.goal.key if self.goal else self.function.watch[0]  # of the result that decides the best
        self.options: dict[str, int] = {}
        if "size" in self.function.options:  # subsets of kid are no larger than the data
            self.options["size"] = min(self.function.options["size"].default, samples, len(dataset))
        self.patience, self.comparison = patience, Comparison(dataset, samples=samples, device=device)
        self.measure = {"metric": metric, "result": self.key, "samples": samples}  # of the best
        self.measure |= {"revision": self.function.revision} if self.function.revision > 1 else {}
        self.best: float | None = None
        self.last: float | None = None
        self.since = 0  # evaluations since the best

    @property
    def reason(self) -> str:
        """Reason to stop: `goal`, `patience`, or nothing."""
        if self.goal and self.last is not None and self.goal.reached(self.last):
            return "goal"
        return "patience" if self.patience is not None and self.since >= self.patience else ""

    def _check_metric(self) -> Metric:
        """The metric; raises `UsageError` for what would otherwise fail in the middle of the run."""
        if self.metric not in METRICS or not METRICS[self.metric].watch:
            known = watchable()
            problem = f"{self.metric} cannot be measured while training" if self.metric in METRICS else ""
            problem = problem or f"There is no metric {self.metric!r}"
            raise UsageError(f"{problem}.{did_you_mean(self.metric, known)} --eval-metric takes {', '.join(known)}.")
        if self.metric == "modes" and self.dataset.name not in MIXTURES:
            raise UsageError(
                f"While training, modes are counted for {', '.join(MIXTURES)} alone; take --eval-metric fd."
            )
        if self.metric != "modes" and self.dataset.facts.kind == "points":
            raise UsageError("Points are not images; measure their modes: --eval-metric modes.")
        if self.metric == "fid":
            weights.path("inception")
        metric: Metric = METRICS[self.metric]
        if self.goal and self.goal.key not in metric.watch:
            results = ", ".join(metric.watch)
            raise UsageError(f"--stop-when asks for {self.goal.key}, and {self.metric} gives {results}.")
        return metric

    @torch.no_grad()
    def rehearse(self, trainer: "Trainer", config: dict[str, Any]) -> None:
        """Measure a few images: what cannot be measured is refused before there is a run."""
        few, count = min(FEW, len(self.dataset)), min(FEW, self.comparison.samples)
        sides = Comparison(self.dataset.subset(range(few)), samples=count, device=self.comparison.device)
        options = {name: min(value, few, count) for name, value in self.options.items()}
        with torch.random.fork_rng(), trainer.use_average() as task:
            self.function(sides.beside(Model(task, trainer.policy, config)), **options)

    @torch.no_grad()
    def look(self, model: Model) -> tuple[Numbers, bool]:
        """The results of a model as it is, and true if it is the best so far; the global generators stay as they are.

        A result that is not a number is never the best.
        """
        with torch.random.fork_rng():
            numbers = self.function(self.comparison.beside(model), **self.options)
        value, less = float(numbers[self.key]), self.key in self.function.less
        better = not math.isnan(value) and (self.best is None or (value < self.best if less else value > self.best))
        self.last = value
        self.best, self.since = (value, 0) if better else (self.best, self.since + 1)
        return numbers, better

    def state_dict(self) -> dict[str, Any]:
        """The last and the best result, how they were measured, and the evaluations since, for a resumed run."""
        return {"best": self.best, "last": self.last, "since": self.since, "measure": self.measure}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`, unless it holds results that were measured in another way."""
        first = {k: v for k, v in self.measure.items() if k != "revision"}  # of states that do not say it
        same = state.get("measure", first) == self.measure
        self.best, self.last, self.since = (
            (state["best"], state.get("last"), state["since"]) if same else (None, None, 0)
        )
