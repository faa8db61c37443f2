"""Evaluation during training: results of the averaged generator, the best snapshot, and when to stop."""

import math
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from ..catalog import METRICS
from ..checkpoints import download as weights
from ..data.dataset import Dataset
from ..data.toy import MIXTURES
from ..errors import UsageError, did_you_mean
from ..legacy import EVALUATION_KEYS
from ..models.model import Model
from .comparison import Comparison, FilePairs, Metric, Numbers
from .inputs import trained_through

if TYPE_CHECKING:
    from ..training.trainer import Trainer

SHARE, MOST = 0.01, 100  # of the time of a run for evaluations, where no interval is given; and their number
FEW = 16  # images of a rehearsal: more than any metric needs at least
SIGNS = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}


def watchable() -> dict[str, tuple[str, ...]]:
    """Metrics available while training, with their results; the first decides the best snapshot."""
    return {name: metric.watch for name, metric in METRICS.items() if metric.watch}


def paired() -> list[str]:
    """Metrics of images beside their originals."""
    return [name for name, metric in METRICS.items() if metric.sides is FilePairs]


def suitable_metric(metric: str, task: Any) -> tuple[str, str]:
    """The metric itself; another and a notice in place of `fd`, if the run is trained through its network.

    That is `fid` where Inception's weights are here, otherwise `swd`, which needs no network.  `task` is a spec as
    JSON.
    """
    if metric != "fd" or "pocket" not in trained_through(task):
        return metric, ""
    other = "fid" if (weights.folder() / weights.FILES["inception"].file).is_file() else "swd"
    return other, f"Evaluated by {other}, because the run is trained through pocket, the network of fd."


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


class Evaluation:
    """Measures a model every so many images, keeps the best result, and says when to stop.

    Base of `Watch` and `paired_watch.PairedWatch`.
    """

    every: int  # images between evaluations; 0: chosen after the first, by what it costs
    notice = ""  # a sentence for the user

    def __init__(
        self,
        function: Metric,
        *,
        every: int,
        stop_when: str | None = None,
        patience: int | None = None,  # evaluations without a new best one
    ):
        self.function, self.metric, self.every, self.patience = function, function.name, every, patience
        self.goal = Goal.read(stop_when) if stop_when else None
        results = function.watch or (function.less + function.more)
        if self.goal and self.goal.key not in results:
            raise UsageError(f"--stop-when asks for {self.goal.key}, and {self.metric} gives {', '.join(results)}.")
        self.key = self.goal.key if self.goal else results[0]  # of the result that decides the best
        self.measure: Numbers = {}  # how results were measured
        self.best: float | None = None
        self.last: float | None = None
        self.since = 0  # evaluations since the best

    @property
    def reason(self) -> str:
        """Reason to stop: `goal`, `patience`, or nothing."""
        if self.goal and self.last is not None and self.goal.reached(self.last):
            return "goal"
        return "patience" if self.patience is not None and self.since >= self.patience else ""

    def due(self, before: int, now: int, first: int) -> bool:
        """True if an evaluation lies in (before, now]; `first` is the interval while none is chosen."""
        every = self.every or first
        return before // every != now // every

    def choose_interval(self, images: int, seconds: float, cost: float) -> None:
        """Choose how often a run of so many images and seconds can be evaluated at `cost` seconds each."""
        count = min(max(int(SHARE * seconds / max(cost, 1e-9)), 1), MOST)
        self.every = math.ceil(images / count)

    def rehearse(self, trainer: "Trainer", config: dict[str, Any]) -> None:
        """Measure a little: what cannot be measured is refused before there is a run."""
        raise NotImplementedError

    def numbers(self, model: Model) -> Numbers:
        """The results of a model."""
        raise NotImplementedError

    def sheet(self) -> Image.Image | None:
        """Images of the last evaluation for the report; None without any."""
        return None

    @torch.no_grad()
    def look(self, model: Model) -> tuple[Numbers, bool]:
        """The results of a model as it is, and true if it is the best so far; the global generators stay as they are.

        A result that is not a number is never the best.
        """
        with torch.random.fork_rng():
            numbers = self.numbers(model)
        value, less = float(numbers[self.key]), self.key in self.function.less
        better = not math.isnan(value) and (self.best is None or (value < self.best if less else value > self.best))
        self.last = value
        self.best, self.since = (value, 0) if better else (self.best, self.since + 1)
        return numbers, better

    def state_dict(self) -> dict[str, Any]:
        """The last and the best result, how they were measured, and the evaluations since, for a resumed run."""
        state = {"best": self.best, "last": self.last, "since": self.since, "measure": self.measure}
        return {**state, "every": self.every}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`, unless it holds results that were measured in another way."""
        self.every = self.every or state.get("every", 0)
        first = {k: v for k, v in self.measure.items() if k != "revision"}  # of states that do not say it
        same = state.get("measure", first) == self.measure
        self.best, self.last, self.since = (
            (state["best"], state.get("last"), state["since"]) if same else (None, None, 0)
        )


class Watch(Evaluation):
    """Measures a model against the training data."""

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
        self.dataset, self.notice = dataset, notice
        super().__init__(self._check_metric(metric), every=every, stop_when=stop_when, patience=patience)
        self.options: dict[str, int] = {}
        if "size" in self.function.options:  # subsets of kid are no larger than the data
            self.options["size"] = min(self.function.options["size"].default, samples, len(dataset))
        self.comparison = Comparison(dataset, samples=samples, device=device)
        self.measure = {"metric": metric, "result": self.key, "samples": samples}  # of the best
        self.measure |= {"revision": self.function.revision} if self.function.revision > 1 else {}

    def _check_metric(self, name: str) -> Metric:
        """The metric; raises `UsageError` for what would otherwise fail in the middle of the run."""
        if name not in METRICS or not METRICS[name].watch:
            known = watchable()
            problem = f"{name} cannot be measured while training" if name in METRICS else ""
            problem += " without --eval-data source=DIR,target=DIR" if name in paired() else ""
            problem = problem or f"There is no metric {name!r}"
            raise UsageError(f"{problem}.{did_you_mean(name, known)} --eval-metric takes {', '.join(known)}.")
        if name == "modes" and self.dataset.name not in MIXTURES:
            raise UsageError(
                f"While training, modes are counted for {', '.join(MIXTURES)} alone; take --eval-metric fd."
            )
        if name != "modes" and self.dataset.facts.kind == "points":
            raise UsageError("Points are not images; measure their modes: --eval-metric modes.")
        if name == "fid":
            weights.path("inception")
        metric: Metric = METRICS[name]
        return metric

    @torch.no_grad()
    def rehearse(self, trainer: "Trainer", config: dict[str, Any]) -> None:
        few, count = min(FEW, len(self.dataset)), min(FEW, self.comparison.samples)
        sides = Comparison(self.dataset.subset(range(few)), samples=count, device=self.comparison.device)
        options = {name: min(value, few, count) for name, value in self.options.items()}
        with torch.random.fork_rng(), trainer.use_average() as task:
            self.function(sides.beside(Model(task, trainer.policy, config)), **options)

    def numbers(self, model: Model) -> Numbers:
        return self.function(self.comparison.beside(model), **self.options)
