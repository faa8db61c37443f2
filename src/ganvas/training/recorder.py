"""Log, evaluations, snapshots and states of a run: written between the steps of its game, and read back."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..doctor import Doctor
from ..errors import UserError
from ..imaging.grid import grid
from ..models.model import Model
from ..run import Run
from .events import Evaluated, Logged, Snapshot
from .trainer import Trainer


class Evaluation(Protocol):
    """Measurements during training (`evaluation.during_training.Watch`)."""

    every: int  # images
    metric: str
    reason: str  # why to stop, once there is a reason

    def look(self, model: Model) -> tuple[dict[str, Any], bool]:
        """Measure a model: the numbers, and True if it is the best so far."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Board(Protocol):
    """TensorBoard's writer."""

    def add_scalar(self, tag: str, value: float, step: int) -> None: ...

    def add_image(self, tag: str, image: np.ndarray, step: int, *, dataformats: str) -> None: ...

    def close(self) -> None: ...


@dataclass
class Plan:
    """Intervals of a run, and what its files say about it."""

    log_images: int
    snapshot_images: int
    minutes: float | None = None
    tensorboard: bool = False
    model_config: dict[str, Any] = field(default_factory=dict)
    card: str = ""  # the model's README, with a place for {images}
    seed: int = 0
    config: dict[str, Any] = field(default_factory=dict)  # of the run, for the doctor
    heal: bool = False


class Recorder:
    """A trainer and the folder of its run."""

    def __init__(self, run: Run, trainer: Trainer, plan: Plan, evaluation: Evaluation | None = None):
        self.run, self.trainer, self.plan, self.evaluation = run, trainer, plan, evaluation
        self.doctor = Doctor(plan.config)
        self.writes = trainer.group.rank == 0
        self.divergences = self.heals = 0
        self.saved_at = -1  # images at the last snapshot, on every process alike
        self.seconds = 0.0  # of training, over all sessions of the run
        self.board = _board(run.path) if plan.tensorboard and self.writes else None
        self.restart_clock()

    def restart_clock(self) -> None:
        """Measure the speed from here on."""
        self.since, self.since_images = time.perf_counter(), self.trainer.images

    def resume(self) -> list[str]:
        """Restore the newest undamaged state; returns notices about it.

        A run that was killed before its first snapshot starts from the beginning.
        """
        notices: list[str] = []
        if self.run.states():
            self.restore(self.run.load_state(notices.append))
        else:
            notices.append("There is no snapshot yet, so the run starts from the beginning.")
        self.trainer.group.wait()  # every process has read before the first one writes
        if self.writes:
            self.run.tidy()
            self.run.rewind_log(self.trainer.images)
        self.reread_log()
        return notices

    def reread_log(self) -> None:
        """Have the doctor forget lines that the log no longer has."""
        self.trainer.group.wait()  # the first process has written
        self.doctor = Doctor(self.plan.config, self.run.log())

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
        if self.board:
            for name in line.keys() - {"images"}:
                self.board.add_scalar(name, line[name], self.trainer.images)
        findings = self.doctor.add(line)
        if findings:
            line["findings"] = [asdict(finding) for finding in findings]
        if self.writes:
            self.run.append_log(line)
        return Logged(line, tuple(findings))

    def evaluate(self, evaluation: Evaluation) -> Evaluated:
        """Measure the averaged generator, append the numbers to the run, and save the best one as RUN/best."""
        start, trainer, event = time.perf_counter(), self.trainer, Evaluated({}, False)
        trainer.check()

        def measure() -> None:
            nonlocal event
            with trainer.use_average() as task:
                numbers, best = evaluation.look(Model(task, trainer.policy, self.plan.model_config))
            event = Evaluated({"metric": evaluation.metric, "trained_images": trainer.images, **numbers}, best)
            self.run.append_evaluation(event.numbers)
            if best:
                self._save_model(self.run.best)

        trainer.group.first(measure)
        self.since += time.perf_counter() - start  # the speed in the log is that of training
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
            sheet = grid(self.sample())
            self.run.save_grid(sheet, images)
            if self.board:
                self.board.add_image("samples", np.asarray(sheet), images, dataformats="HWC")
        self._save_model(self.run.model)
        counters = {"retries": self.divergences, "seconds": self.seconds, "heals": self.heals}
        state = {"trainer": trainer.state_dict(), **counters}
        self.run.save_state({**state, "watch": self.evaluation.state_dict() if self.evaluation else None}, images)

    def _save_model(self, folder: Path) -> None:
        """Write the averaged generator as a model folder."""
        images = self.trainer.images
        config = {**self.plan.model_config, "images": images}
        self.run.save_model(self.trainer.average, config, self.plan.card.format(images=images), folder)

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
            self.trainer.load_state_dict(state["trainer"])
        except (KeyError, ValueError, RuntimeError, TypeError) as problem:
            reason = str(problem).splitlines()[0]
            raise UserError(f"The state in {self.run.path} does not fit this recipe: {reason}.") from None
        self.divergences, self.heals, self.seconds = state["retries"], state.get("heals", 0), state["seconds"]
        if self.evaluation and state.get("watch"):
            self.evaluation.load_state_dict(state["watch"])
        self.restart_clock()
        self.saved_at = self.trainer.images


def to_device(value: Any, device: torch.device) -> Any:
    """Move a tensor to the device; anything else stays as it is."""
    return value.to(device) if isinstance(value, Tensor) else value


def _board(path: Path) -> Board:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except Exception:
        raise UserError("--tensorboard needs the package tensorboard: pip install 'ganvas[tensorboard]'.") from None
    return SummaryWriter(str(path / "tensorboard"))
