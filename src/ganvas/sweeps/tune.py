"""Find better options of a recipe: every trial is a run, chosen by Optuna, kept in a study that many workers share."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import Recipe
from ..data.dataset import Dataset
from ..errors import UsageError, UserError, did_you_mean
from ..evaluation.evaluate import evaluate, find_metric
from ..files import explain_failure, write_json
from ..paths import user_path
from ..run import Run
from ..training.choice import apply_preset, find_preset
from ..training.lock import folder_lock, run_holder
from ..training.recorder import Evaluated
from ..training.session import find_recipe, train
from .cluster import check_place, choose_workers
from .space import Range, defaults_in, read_space

CHECKS = 5  # evaluations of a trial while it trains, by which poor ones are ended
YOUNG = 60.0  # seconds in which another worker's new trial may not have begun its run
PRUNERS = ("median", "hyperband", "none")  # which trials are ended early
FIRST_SEED = 1_000_000  # of the samples that are measured, far from those seen while training


class Pruned(Exception):
    """The trial is worse than others were at that point."""


@dataclass(frozen=True)
class Measure:
    """The training of a trial and its measurement, the same for all trials but for their own options."""

    recipe: str | Recipe
    data: str | Dataset
    metric: str
    samples: int
    images: int | None
    minutes: float | None
    seed: int
    options: dict[str, Any]  # of `train`

    def __call__(self, folder: Path, own: dict[str, Any], resume: bool, report: Callable[[float, int], None]) -> float:
        """Train a trial's run, or the rest of it, and measure it.  `report` gets the metric, and images, on the way."""

        def watch(event: object) -> None:
            if isinstance(event, Evaluated):
                report(float(event.numbers[self.metric]), int(event.numbers.get("trained_images", 0)))

        begins = not (resume and Run(folder).exists())
        options: dict[str, Any] = {"images": self.images, "minutes": self.minutes, "resume": not begins}
        if begins:
            values = {**dict(self.options.get("set", {})), **own}
            options = {**self.options, **options, "seed": self.seed, "set": values}
            if self.images:  # by minutes the length is not known before
                every = max(self.images // CHECKS, 1)
                options |= {"eval_images": every, "eval_metric": self.metric, "eval_samples": min(self.samples, 1000)}
        run = train(self.recipe if begins else None, data=self.data, outdir=folder, on_event=watch, **options)
        numbers = evaluate(self.metric, self.data, str(run.path), samples=self.samples, seed=FIRST_SEED)
        return float(numbers[self.metric])


@dataclass
class Tuning:
    """One worker of a study: it draws trials, trains and measures them."""

    study: Any
    measure: Measure
    outdir: Path
    ranges: list[Range]
    notify: Callable[[str], None]

    def run(self, trials: int) -> None:
        """Take trials until the study has as many; first those that a killed worker left behind."""
        for trial in self.leftovers():
            self.take(trial, resume=True)
        while trial := self.draw(trials):
            self.take(trial)

    def run_on(self, place: str, trials: int, workers: int | None) -> None:
        """Take trials here, or by the workers of a Ray cluster."""
        if place != "ray":
            return self.run(trials)
        from .tune_ray import run_on_ray

        run_on_ray(self, trials, choose_workers(workers, self.measure.options.get("device", "auto")))

    def leftovers(self) -> list[Any]:
        """The trials that killed workers left behind."""
        from optuna.trial import Trial

        running = [t for t in self.study.get_trials(deepcopy=False) if t.state.name == "RUNNING" and self.left(t)]
        return [Trial(self.study, old._trial_id) for old in running if self.is_drawn(old)]

    def is_drawn(self, trial: Any) -> bool:
        """True for a trial with all its options; one whose worker was killed while it drew them ends as failed."""
        if len(trial.params) < len(self.ranges):
            self.study.tell(trial.number, state=state("FAIL"))
            return False
        return True

    def draw(self, trials: int) -> Any:
        """A new trial; None if the study has as many as it is to have."""
        if self.active() >= trials:
            return None
        trial = self.study.ask({one.path: one.distribution() for one in self.ranges})
        trial.set_user_attr("worker", f"{socket.gethostname()}:{os.getpid()}")
        if self.active(before=trial.number) >= trials:  # another worker was faster
            self.study.tell(trial, state=state("FAIL"))
            return None
        return trial

    def active(self, before: int | None = None) -> int:
        """Trials that are done or at work, of those numbered below `before`."""
        trials = self.study.get_trials(deepcopy=False)
        return sum(counts(t) and (before is None or t.number < before) for t in trials)

    def left(self, trial: Any) -> bool:
        """True for a trial whose worker is no more."""
        host, _, pid = str(trial.user_attrs.get("worker", "")).rpartition(":")
        if run_holder(self.folder(trial.number)) is not None:
            return False
        if host == socket.gethostname():
            return not alive(int(pid))
        start = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
        return not host and time.time() - start > YOUNG

    def folder(self, number: int) -> Path:
        """The run of a trial."""
        return self.outdir / "trials" / f"{number:04d}"

    def take(self, trial: Any, resume: bool = False) -> None:
        """Train and measure one trial, and tell the study."""

        def report(value: float, images: int) -> None:
            trial.report(value, images)
            if trial.should_prune():
                raise Pruned

        self.begin(trial)
        try:
            value = self.measure(self.folder(trial.number), trial.params, resume, report)
        except Pruned:
            return self.prune(trial)
        except UserError as problem:
            return self.fail(trial, str(problem))
        self.complete(trial, value)

    def begin(self, trial: Any) -> None:
        """Say which options a trial has."""
        self.notify(f"Trial {trial.number}: {describe_values(trial.params)}")

    def complete(self, trial: Any, value: float) -> None:
        """Tell the study the result of a trial."""
        self.study.tell(trial, value)
        self.notify(f"Trial {trial.number}: {self.measure.metric} {value:.4g}")

    def prune(self, trial: Any) -> None:
        """Tell the study that a trial ended early."""
        self.study.tell(trial, state=state("PRUNED"))
        self.notify(f"Trial {trial.number}: ended early, worse than others at that point")

    def fail(self, trial: Any, reason: str) -> None:
        """Tell the study why a trial has no result."""
        trial.set_user_attr("error", reason)
        self.study.tell(trial, state=state("FAIL"))
        self.notify(f"Trial {trial.number} failed: {reason}")


def tune(
    recipe: str | Recipe,
    *,
    data: str | Dataset,
    outdir: str | os.PathLike[str],
    trials: int = 20,
    images: int | None = None,
    minutes: float | None = None,
    metric: str = "fd",
    space: Sequence[str] = (),
    samples: int = 2000,
    seed: int = 0,
    storage: str | None = None,
    pruner: str = "median",
    on: str = "local",
    workers: int | None = None,
    notify: Callable[[str], None] = lambda sentence: None,
    **options: Any,
) -> dict[str, Any]:
    """Find options of a recipe with which it trains better, by `trials` runs of `images` or `minutes` each.

    `space` are ranges as `g_optimizer.lr=log(1e-4,1e-2)`, by default `tune_space`; the first trial has the recipe's
    own values.  The study is `outdir/study.db`, or in `storage`, any database of Optuna's, which several workers may
    share; a killed call goes on where it stopped.  `pruner` ends poor trials early: median, hyperband or none.
    `on="ray"` trains `workers` trials at once on a Ray cluster; `options` are those of `train`.
    Returns the best trial and numbers of trials.  Raises `UsageError` for a space, metric or study that does not fit.
    """
    check_numbers(trials, images, minutes)
    check_place(on, workers)
    prune = find_pruner(pruner, images)
    name, built = built_recipe(recipe, options)
    ranges, place = read_space(built, space), make_folder(outdir)
    lengths, source = {"images": images, "minutes": minutes}, data if isinstance(data, str) else data.fingerprint
    settings = {"recipe": name, "metric": metric, "space": [str(one) for one in ranges], "data": source, **lengths}
    with folder_lock(place):  # two that began the same study at once would fail, or both try the recipe's own values
        study = open_study(storage or f"sqlite:///{place / 'study.db'}", metric, seed, settings, prune)
        enqueue_defaults(study, built, ranges)
    each = Measure(recipe, data, metric, samples, images, minutes, seed, options)
    Tuning(study, each, place.absolute(), ranges, notify).run_on(on, trials, workers)
    return summarise(study, place, settings)


def make_folder(outdir: str | os.PathLike[str]) -> Path:
    """The folder of a study, created if need be."""
    place = user_path(outdir, "--outdir")
    with explain_failure(place):
        (place / "trials").mkdir(parents=True, exist_ok=True)
    return place


def check_numbers(trials: int, images: int | None, minutes: float | None) -> None:
    """Raise `UsageError` for no trials, or for none or two lengths of a trial."""
    if (images is None) == (minutes is None):
        raise UsageError("Give the length of a trial: --images or --minutes.")
    if trials < 1:
        raise UsageError(f"--trials must be at least 1, got {trials}.")


def built_recipe(recipe: str | Recipe, options: dict[str, Any]) -> tuple[str, Recipe]:
    """The name of a recipe, and a copy with the preset and the options that all trials have."""
    name, built = (recipe, find_recipe(recipe)) if isinstance(recipe, str) else ("a recipe", recipe.copy())
    apply_preset(built, find_preset(recipe, options.get("preset")))
    for path, value in dict(options.get("set", {})).items():
        built.set(path, str(value))
    return name, built


def import_optuna() -> Any:
    """Optuna; raises `UsageError` with the way to install it."""
    try:
        import optuna
    except ImportError as problem:
        raise UsageError(f'Tuning takes Optuna: pip install "ganvas[tune]" ({problem}).') from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def find_pruner(name: str, images: int | None) -> Any:
    """The pruner of a name; raises `UsageError` for an unknown one, and for hyperband without `images`.

    `median` ends trials that are worse than the median of the others at that point (after `CHECKS` trials).
    `hyperband` gives brackets of trials a third, a ninth ... of the images first (Li et al. 2018).
    """
    pruners = import_optuna().pruners
    if name not in PRUNERS:
        raise UsageError(f"--pruner must be one of {', '.join(PRUNERS)}, got {name!r}.{did_you_mean(name, PRUNERS)}")
    if name != "hyperband":
        return pruners.MedianPruner(CHECKS) if name == "median" else pruners.NopPruner()
    if not images:
        raise UsageError("The pruner hyperband needs the length of a trial in images: --images.")
    return pruners.HyperbandPruner(min_resource=max(images // CHECKS, 1), max_resource=images)


def open_study(storage: str, metric: str, seed: int, settings: dict[str, Any], pruner: Any) -> Any:
    """The study in a storage, new or of the same settings; raises `UsageError` for another one."""
    optuna = import_optuna()
    direction = "minimize" if metric in find_metric(metric).less else "maximize"
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=CHECKS)
    try:
        storing = {"storage": storage, "study_name": "ganvas", "load_if_exists": True}
        study = optuna.create_study(direction=direction, sampler=sampler, pruner=pruner, **storing)
    except Exception as problem:  # of SQLAlchemy, of its drivers, of Optuna
        raise UserError(f"The study in {storage} cannot be opened: {str(problem).splitlines()[0]}.") from None
    before = study.user_attrs.get("settings")
    if before is None:
        study.set_user_attr("settings", settings)
    elif changed := next((key for key in settings if before.get(key) != settings[key]), None):
        both = f"{changed} {before.get(changed)!r}, and now it is {settings[changed]!r}"
        raise UsageError(f"The study is of {both}; give a new --outdir.")
    return study


def enqueue_defaults(study: Any, built: Recipe, ranges: list[Range]) -> None:
    """Let the first trial of a new study have the recipe's own values."""
    if not study.get_trials(deepcopy=False) and (own := defaults_in(built, ranges)):
        study.enqueue_trial(own)


def state(name: str) -> Any:
    """A state of a trial in Optuna."""
    return import_optuna().trial.TrialState[name]


def counts(trial: Any) -> bool:
    """True for a trial that is done, at work, or failed for a reason of its own; not for one that was given back."""
    return trial.state.name in ("RUNNING", "COMPLETE", "PRUNED") or "error" in trial.user_attrs


def describe_values(values: dict[str, Any]) -> str:
    """Options with their values, in one line."""
    return ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items())


def alive(pid: int) -> bool:
    """True if a process of this machine lives."""
    try:
        os.kill(pid, 0)
    except OSError as problem:
        return not isinstance(problem, ProcessLookupError)
    return True


def summarise(study: Any, outdir: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The result of a study; writes the config of its best run to best.json, and the page report.html."""
    from .page import write_page

    trials = [t for t in study.get_trials(deepcopy=False) if counts(t)]
    complete = [t for t in trials if t.state.name == "COMPLETE"]
    if not complete:
        raise UserError("No trial could be measured; see the trials' own messages.")
    best = study.best_trial
    folder = outdir / "trials" / f"{best.number:04d}"
    write_json(outdir / "best.json", Run(folder).config())
    report = write_page(outdir / "report.html", study, settings)
    ends = {name.lower(): sum(t.state.name == name for t in trials) for name in ("COMPLETE", "PRUNED", "FAIL")}
    return {
        "trials": len(trials),
        **ends,
        "metric": settings["metric"],
        "best": {"trial": best.number, "value": best.value, "set": best.params, "run": str(folder)},
        "recipe": str(outdir / "best.json"),
        "report": str(report),
    }
