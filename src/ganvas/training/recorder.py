"""Log, evaluations, snapshots and states of a run: written between its steps, read back, and returned to.

Also the events of a run, as a `Session` yields them.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..doctor import Doctor, Finding
from ..doctor.signals import Signals
from ..errors import UserError
from ..game import Progress
from ..imaging.grid import beside_mask, grid
from ..models.model import Model
from ..policy import seed_generators
from ..run import Run, has_mask
from ..saved import check_state
from ..version import __version__
from .loggers import Loggers, logger_names
from .request import TrainRequest
from .trainer import Trainer

if TYPE_CHECKING:
    from ..evaluation.during_training import Evaluation

MAX_DIVERGENCES = 3
MAX_HEALS = 3  # times that a run returns to a state with lower learning rates
ADVICE = (
    "In a new run, try a lower learning rate (--set g_optimizer.lr=1e-4 --set d_optimizer.lr=1e-4), --precision fp32,"
    " or gradient clipping (--set clip_norm=1.0)."
)


@dataclass(frozen=True)
class Stepped:
    """One step of the game was taken."""

    progress: Progress


@dataclass(frozen=True)
class Logged:
    """A line was written to the log."""

    line: dict[str, Any]
    findings: tuple[Finding, ...] = ()  # of the doctor, new with this line


@dataclass(frozen=True)
class Evaluated:
    """The averaged generator was measured."""

    numbers: dict[str, Any]
    best: bool


@dataclass(frozen=True)
class Snapshot:
    """Samples, model and state were saved."""

    images: int
    grid: Path | None  # of a model that generates images


@dataclass(frozen=True)
class Notice:
    """One sentence for the user."""

    sentence: str


@dataclass(frozen=True)
class Finished:
    """The end of this session: `done`, `minutes`, `goal`, `patience`, or the name of a signal."""

    reason: str


Event = Stepped | Logged | Evaluated | Snapshot | Notice | Finished


class Recorder:
    """A trainer and the folder of its run: about 200 lines of log and 20 snapshots unless requested otherwise."""

    def __init__(
        self,
        run: Run,
        trainer: Trainer,
        request: TrainRequest,
        config: dict[str, Any],  # of the run
        card: str,  # the model's README, with a place for {images}
        evaluation: "Evaluation | None" = None,
    ):
        self.run, self.trainer, self.request, self.config = run, trainer, request, config
        self.card, self.evaluation, recipe = card, evaluation, trainer.recipe
        self.snapshot_images = request.snapshot_images or max(recipe.images // 20, recipe.batch)
        self.log_images = min(max(recipe.images // 200, recipe.batch), self.snapshot_images)
        self.model_config = {"format": 1, "task": recipe.task.to_dict(), "data": config["data"], "ganvas": __version__}
        self.doctor, self.signals = Doctor(config), Signals(trainer.data, self.log_images)
        self.writes = trainer.group.rank == 0
        self.divergences = self.heals = 0
        self.saved_at = -1  # images at the last snapshot, on every process alike
        self.seconds = 0.0  # of training, over all sessions of the run
        self.logs: Loggers | None = None
        self.restart_clock()

    def open_logs(self) -> None:
        """Log for other tools from here on, if requested."""
        if (names := logger_names(self.request.log)) and self.writes and not self.logs:
            self.logs = Loggers(names, self.run.path, self.config, self.trainer.images)

    def restart_clock(self) -> None:
        """Measure the speed from here on."""
        self.since, self.since_images = time.perf_counter(), self.trainer.images

    def resume(self) -> list[str]:
        """Restore the newest undamaged state; returns notices about it.

        A run that was killed before its first snapshot starts from the beginning.
        """
        notices: list[str] = []
        if self.run.states():
            state, before = self.run.load_state(notices.append, check=check_state), self.run.config()
            watch, now = state.get("watch"), self.config["evaluation"]
            if watch and (before.get("evaluation") or {}).items() <= (now or {}).items():
                watch.setdefault("measure", self.evaluation and self.evaluation.measure)  # states of old versions
            if watch and self.evaluation and watch.get("measure") != self.evaluation.measure:
                notices.append("Evaluations are measured in another way from here on: the best so far does not count.")
            self.restore(state)
            if self.trainer.images >= self.trainer.recipe.images:  # no length that the run had already passed
                self.config["recipe"]["images"] = before["recipe"]["images"]
        else:
            notices.append("There is no snapshot yet, so the run starts from the beginning.")
        self.trainer.group.wait()  # every process has read before the first one writes
        if self.writes:
            self.run.write_config(self.config)
            self.run.rewind_log(self.trainer.images)
        self.reread_log()
        return notices

    def reread_log(self) -> None:
        """Have the doctor forget lines that the log no longer has."""
        self.trainer.group.wait()  # the first process has written
        self.doctor = Doctor(self.config, self.run.log())

    def log(self) -> Logged:
        """Write one line: images, seconds, speed and the mean of every term and statistic since the last."""
        now = time.perf_counter()
        seconds, images = now - self.since, self.trainer.images - self.since_images
        terms, waiting = self.trainer.read(), self.trainer.data_seconds
        self.trainer.data_seconds = 0.0
        self.seconds, self.since, self.since_images = self.seconds + seconds, now, self.trainer.images
        counters = {"images": self.trainer.images, "seconds": round(self.seconds, 3)}
        line: dict[str, Any] = {**counters, "images_per_second": round(images / seconds, 2), **terms}
        line |= {"diagnostics/data_wait_share": round(waiting / seconds, 4)}
        line |= {"rollbacks": self.divergences} if self.divergences else {}
        if terms.get("g/gradient_norm") and "d/gradient_norm" in terms:
            line["diagnostics/gradient_ratio"] = terms["d/gradient_norm"] / terms["g/gradient_norm"]
        if self.logs:
            self.logs.scalars({k: v for k, v in line.items() if k != "images"}, self.trainer.images)
        findings = self.doctor.add(line)
        if findings:
            line["findings"] = [asdict(finding) for finding in findings]
        if self.writes:
            self.run.append_log(line)
        return Logged(line, tuple(findings))

    def evaluate(self, evaluation: "Evaluation") -> Evaluated:
        """Measure the averaged generator, append the numbers to the run, and save the best one as RUN/best."""
        start, trainer, event = time.perf_counter(), self.trainer, Evaluated({}, False)
        trainer.check()

        def measure() -> None:
            nonlocal event
            with trainer.use_average() as task:
                numbers, best = evaluation.look(Model(task, trainer.policy, self.model_config))
            event = Evaluated({"metric": evaluation.metric, "trained_images": trainer.images, **numbers}, best)
            self.run.append_evaluation(event.numbers)
            if self.logs:
                self.logs.scalars(numbers, trainer.images, prefix="evaluation/")
            if best:
                self._save_model(self.run.best)
            if sheet := evaluation.sheet():
                self.run.save_validation(sheet, best)

        trainer.group.first(measure)
        cost = time.perf_counter() - start
        self.since += cost  # the speed in the log is that of training
        if not evaluation.every:
            times = torch.tensor([self.seconds / trainer.images, cost])
            trainer.group.average([times])  # so that all processes choose alike
            evaluation.choose_interval(trainer.recipe.images, float(times[0]) * trainer.recipe.images, float(times[1]))
        return event

    def snapshot(self) -> Snapshot:
        """Save samples (if there are any), model and state; a step that a device skipped is noticed first."""
        trainer, images = self.trainer, self.trainer.images
        trainer.check()
        file = self.run.samples / f"{images:012d}.png" if trainer.task.draws_images else None
        trainer.group.first(self.save)
        self.saved_at = images
        self.since = time.perf_counter() if self.since_images == images else self.since
        return Snapshot(images, file)

    def save(self) -> None:
        """Write the grid (where there are images), the model and the state."""
        trainer, images = self.trainer, self.trainer.images
        if trainer.task.draws_images:
            samples = self.sample()
            sheet = grid(beside_mask(samples) if has_mask(self.model_config) else samples)
            self.run.save_grid(sheet, images)
            if self.logs:
                self.logs.image("samples", np.asarray(sheet), images)
        self._save_model(self.run.model)
        counters = {"retries": self.divergences, "seconds": self.seconds, "heals": self.heals}
        parts = {name: part.state_dict() if part else None for name, part in self._parts.items()}
        self.run.save_state({**parts, **counters}, images)

    @property
    def _parts(self) -> dict[str, Any]:
        """Everything with state that a resumed run continues from, by its name in the state file."""
        return {"trainer": self.trainer, "signals": self.signals, "watch": self.evaluation}

    def _save_model(self, folder: Path) -> None:
        """Write the averaged generator as a model folder."""
        images = self.trainer.images
        config = {**self.model_config, "images": images}
        self.run.save_model(self.trainer.average, config, self.card.replace("{images:,}", f"{images:,}"), folder)

    def sample(self) -> Tensor:
        """Images of the averaged generator, from the same latents (or the same images) at every snapshot."""
        count = self.trainer.task.grid_images
        size, device = min(count, self.trainer.recipe.batch), self.trainer.policy.device
        with self.trainer.use_average() as task, torch.no_grad(), self.trainer.policy.autocast():
            inputs = task.inputs(range(count))
            sheets = []
            for k in range(0, count, size):  # no more at once than a step takes
                part = {name: to_device(v[k : k + size], device) for name, v in inputs.items()}
                sheets.append(task.panel(part).float().cpu())
            return torch.cat(sheets)

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state of the run; raises `UserError` if it is of another recipe."""
        try:
            for name, part in self._parts.items():
                if part and state.get(name):  # old versions saved fewer
                    part.load_state_dict(state[name])
        except (KeyError, ValueError, RuntimeError, TypeError) as problem:
            reason = str(problem).splitlines()[0]
            raise UserError(f"The state in {self.run.path} does not fit this recipe: {reason}.") from None
        self.divergences, self.heals, self.seconds = state["retries"], state.get("heals", 0), state["seconds"]
        self.restart_clock()
        self.saved_at = self.trainer.images

    def return_from_divergence(self) -> str:
        """Return to the last good state with other random numbers; returns a notice.

        Raises `UserError` with advice after three times.
        """
        trainer, run, count = self.trainer, self.run, self.divergences + 1
        problem = f"A loss or gradient was not finite at {trainer.images:,} images; the step was not taken."
        if count > MAX_DIVERGENCES:
            raise UserError(f"{problem} It happened {count} times, so training ends here. {ADVICE}")
        self.restore(run.load_state(check=check_state))
        if self.request.heal:
            self._lower_rates(dict.fromkeys(trainer.players, 0.5 ** (count - self.divergences)))
        self.divergences = count
        seed_generators(
            (self.request.seed or 0) + 1_000_003 * count, trainer.policy.device
        )  # the same numbers would end the same way
        if self.writes:
            run.rewind_log(trainer.images)
        self.reread_log()
        rates = " and learning rates halved" if self.request.heal else ""
        back = f"Back to the state at {trainer.images:,} images, with other noise{rates}"
        return f"{problem} {back} (try {count} of {MAX_DIVERGENCES})."

    def heal(self, trouble: Finding) -> str:
        """Return to the older of the states and apply the mildest cure from there; returns a notice, also in the log.

        Evidence takes time to gather: the newest state is likely to have the trouble in it.
        """
        trainer, run = self.trainer, self.run
        cure, heals = self.doctor.cure(trouble), self.heals + 1
        if heals > MAX_HEALS:
            return f"{trouble.trouble.capitalize()} again after {MAX_HEALS} cures; training goes on as it is."
        self.restore(run.load_state(oldest=True, check=check_state))
        self.heals, images = heals, trainer.images
        self._lower_rates(cure)
        trainer.group.wait()  # every process has read before the first one writes
        rates = " and ".join(
            f"{name}_optimizer.lr x {p.lr_factor:g}" for name, p in trainer.players.items() if name in cure
        )
        action = f"back to the state at {images:,} images, with {rates}"
        if self.writes:
            run.rewind_log(images)
            run.rewind_states(images)
            cured = {**asdict(trouble), "action": action}
            run.append_log({"images": images, "seconds": self.seconds, "heal": cured})
        self.reread_log()
        trainer.group.first(self.save)
        return f"Healing {trouble.trouble}: {action} (cure {heals} of {MAX_HEALS})."

    def _lower_rates(self, factors: Mapping[str, float]) -> None:
        for name in factors.keys() & self.trainer.players.keys():
            self.trainer.players[name].lr_factor *= factors[name]


def to_device(value: Any, device: torch.device) -> Any:
    """Move a tensor to the device; anything else stays as it is."""
    return value.to(device) if isinstance(value, Tensor) else value
