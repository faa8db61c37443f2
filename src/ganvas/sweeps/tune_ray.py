"""Trials of a study on a Ray cluster: Ray Tune places and restarts them, the study chooses and ends them."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..training.lock import run_holder
from .cluster import WorkerOptions, connect, reason_of
from .tune import Measure, Tuning

LOSSES = 3  # workers lost over one trial, after which it has failed
PATIENCE = 30.0  # seconds in which the workers of a killed call end


def run_on_ray(tuning: Tuning, trials: int, workers: WorkerOptions) -> None:
    """Take trials until the study has as many, `workers.count` at once; first those that a killed call left behind.

    Only this process knows the study; a lost worker's trial is resumed by another one.  Raises `UserError` if the
    cluster cannot go on.
    """
    connect()
    from ray import tune

    wait_for_ends(tuning)
    desk = Desk(tuning, trials)
    place = tuning.outdir / f".ray-{os.getpid()}"
    run = tune.with_resources(
        tune.with_parameters(train_trial, measure=tuning.measure, outdir=tuning.outdir, folder=os.getcwd()),
        tune.PlacementGroupFactory([{k[4:-1].upper(): v for k, v in workers.resources().items()}]),
    )
    searching = tune.TuneConfig(
        search_alg=search_of(desk), scheduler=scheduler_of(desk), num_samples=-1, max_concurrent_trials=workers.count
    )
    failing = tune.FailureConfig(max_failures=LOSSES)
    running = tune.RunConfig(storage_path=str(place), failure_config=failing, verbose=0)
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    try:
        tune.Tuner(run, tune_config=searching, run_config=running).fit()
    except (RuntimeError, tune.TuneError) as problem:
        raise UserError(f"Ray Tune cannot go on: {reason_of(problem)}; run the command again.") from None
    finally:
        shutil.rmtree(place, ignore_errors=True)


def wait_for_ends(tuning: Tuning) -> None:
    """Wait for the workers of a killed call, which end a moment after it."""
    until = time.monotonic() + PATIENCE
    running = [t.number for t in tuning.study.get_trials(deepcopy=False) if t.state.name == "RUNNING"]
    while any(run_holder(tuning.folder(n)) is not None for n in running) and time.monotonic() < until:
        time.sleep(0.2)


def train_trial(config: dict[str, Any], measure: Measure, outdir: Path, folder: str) -> None:
    """Train and measure a trial in a worker; a second call, after a lost worker, resumes it."""
    from ray import tune

    os.chdir(folder)

    def report(value: float, images: int) -> None:
        tune.report({"value": value, "images": images, "end": ""})

    try:
        value = measure(outdir / "trials" / f"{config['number']:04d}", config["params"], True, report)
    except UserError as problem:
        tune.report({"end": "fail", "reason": str(problem)})
    else:
        tune.report({"end": "complete", "value": value})


class Desk:
    """The trials that are out, by Ray's names of them; what they report goes to the study."""

    def __init__(self, tuning: Tuning, trials: int):
        self.tuning, self.trials = tuning, trials
        self.left = tuning.leftovers()
        self.out: dict[str, Any] = {}

    def give(self, name: str) -> dict[str, Any] | None:
        """The next trial for a worker; None if there are as many as there are to be."""
        trial = self.left.pop(0) if self.left else self.tuning.draw(self.trials)
        if trial is None:
            return None
        self.tuning.begin(trial)
        self.out[name] = trial
        return {"number": trial.number, "params": trial.params}

    def take(self, name: str, result: dict[str, Any]) -> bool:
        """Tell the study what a trial reports; True if it is to end early."""
        if (trial := self.out.get(name)) is None:
            return False
        if result["end"] == "fail":
            self.tuning.fail(self.out.pop(name), result["reason"])
        elif result["end"] == "complete":
            self.tuning.complete(self.out.pop(name), result["value"])
        else:
            trial.report(result["value"], result["images"])
            if trial.should_prune():
                self.tuning.prune(self.out.pop(name))
                return True
        return False

    def lose(self, name: str) -> None:
        """Tell the study of a trial that ended without a result."""
        if name in self.out:
            self.tuning.fail(self.out.pop(name), f"Its worker was lost {LOSSES + 1} times.")


def search_of(desk: Desk) -> Any:
    """The study as a search algorithm of Ray Tune."""
    from ray.tune.search import Searcher

    class Search(Searcher):
        def suggest(self, trial_id: str) -> Any:
            return desk.give(trial_id) or Searcher.FINISHED

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            desk.lose(trial_id)

        def save(self, checkpoint_path: str) -> None:
            """Nothing: the study is on the disk."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing: a killed call goes on by the study."""

    return Search(metric="value", mode="min")


def scheduler_of(desk: Desk) -> Any:
    """The pruning of the study as a scheduler of Ray Tune."""
    from ray.tune.schedulers import FIFOScheduler

    class Pruning(FIFOScheduler):
        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
            return self.STOP if desk.take(trial.trial_id, result) else self.CONTINUE

        def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
            if "end" in result:
                desk.take(trial.trial_id, result)

    return Pruning()
