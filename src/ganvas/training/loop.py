"""One training run from the first image to the last: what happens around the steps of the game.

A `Training` is an iterator of events.  The command line draws a progress bar from them, Python just drains them;
sampling, logging, saving and coming back from a divergence happen here, between the steps.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..doctor import Doctor, Finding
from ..doctor.signals import Signals
from ..errors import UserError
from ..evaluation.during_training import Watch
from ..game import Progress
from ..imaging.grid import grid
from ..models.model import Model
from ..policy import is_out_of_memory
from ..run import Run
from .trainer import Diverged, Trainer

RETRIES = 3
HEALS = 3  # times that a run is taken back and eased, at most

ADVICE = (
    "In a new run, try a lower learning rate (--set g_optimizer.lr=1e-4 --set d_optimizer.lr=1e-4), --precision fp32,"
    " or gradient clipping (--set clip_norm=1.0)."
)

OUT_OF_MEMORY = (
    "The device ran out of memory at a batch of {}. Try a smaller --batch, or the same in parts: --set accumulate=2."
)


@dataclass(frozen=True)
class Stepped:
    """The game moved on by one step."""

    progress: Progress


@dataclass(frozen=True)
class Logged:
    """A line was written to the log."""

    line: dict[str, Any]
    findings: tuple[Finding, ...] = ()  # what the doctor reads in it for the first time


@dataclass(frozen=True)
class Evaluated:
    """The averaged generator was measured."""

    numbers: dict[str, Any]
    best: bool


@dataclass(frozen=True)
class Snapshot:
    """Samples, model and state were saved."""

    images: int
    grid: Path | None  # of a model that makes images


@dataclass(frozen=True)
class Told:
    """Something a person should know."""

    sentence: str


@dataclass(frozen=True)
class Finished:
    """The run is over for now: `done`, `minutes`, or the name of a signal."""

    reason: str


Event = Stepped | Logged | Evaluated | Snapshot | Told | Finished


@dataclass
class Plan:
    """What to do between the steps."""

    log_images: int
    snapshot_images: int
    minutes: float | None = None
    tensorboard: bool = False
    model_config: dict[str, Any] = field(default_factory=dict)
    card: str = ""
    seed: int = 0
    config: dict[str, Any] = field(default_factory=dict)  # of the run, for the doctor
    heal: bool = False  # do what the doctor advises


class Training:
    """A trainer at work in a run folder: `for event in training:`."""

    def __init__(
        self, run: Run, trainer: Trainer, plan: Plan, watch: Watch | None = None, signals: Signals | None = None
    ):
        self.run, self.trainer, self.plan, self.watch = run, trainer, plan, watch
        self.signals, self.doctor = signals, Doctor(plan.config)
        self.writes = trainer.group.rank == 0
        self.retries = self.heals = 0
        self.saved_at = -1  # images at the last snapshot, on every process alike
        self.seconds = 0.0  # of training, over all sessions of the run
        self.started = self.since = time.perf_counter()
        self.since_images = 0
        self.board = _board(run.path) if plan.tensorboard and self.writes else None

    def resume(self) -> list[str]:
        """Take up the newest whole state; returns what a person should know about it.

        A run that was killed before its first snapshot begins anew.
        """
        told: list[str] = []
        if self.run.states():
            self._restore(self.run.load_state(told.append))
        else:
            told.append("No snapshot had been taken yet, so the run begins anew.")
        self.trainer.group.wait()  # everybody has looked before anybody writes
        if self.writes:
            self.run.tidy()
            self.run.rewind_log(self.trainer.images)
        self._read_again()
        return told

    def _read_again(self) -> None:
        """Have the doctor forget what the log no longer says."""
        self.trainer.group.wait()  # the first process has written
        self.doctor = Doctor(self.plan.config, self.run.log())

    def __iter__(self) -> Iterator[Event]:
        trainer = self.trainer
        self.started = self.since = time.perf_counter()
        self.since_images = trainer.images
        with _signals() as caught:
            try:
                yield from self._play(caught)
            except RuntimeError as problem:
                if is_out_of_memory(problem):
                    raise UserError(OUT_OF_MEMORY.format(trainer.recipe.batch)) from None
                raise
        if self.board:
            self.board.close()

    def _play(self, caught: list[str]) -> Iterator[Event]:
        trainer = self.trainer
        if trainer.images != self.saved_at:
            yield self.snapshot()
        reason = ""
        while trainer.images < trainer.recipe.images and not reason:
            try:
                before = trainer.images
                with self.signals.around_step(trainer) if self.signals else nullcontext():
                    progress = trainer.advance()
                yield Stepped(progress)
                yield from self._between(before)
                reason = self._why_stop(caught)
                if (reason or trainer.images >= trainer.recipe.images) and trainer.images != self.saved_at:
                    yield self.snapshot()
            except Diverged:
                yield Told(self._back())
        yield Finished(reason or "done")

    def _between(self, before: int) -> Iterator[Event]:
        """Log and snapshot when their number of images has been crossed by this step."""
        now = self.trainer.images
        if crossed(before, now, self.plan.log_images):
            logged = self.log()
            yield logged
            if self.plan.heal and (trouble := self.doctor.first_curable(logged.findings)):
                yield Told(self._heal(trouble))
                return
        if self.watch and crossed(before, now, self.watch.every):
            yield self.evaluate(self.watch)
        if crossed(before, now, self.plan.snapshot_images) and now < self.trainer.recipe.images:
            yield self.snapshot()

    def _why_stop(self, caught: list[str]) -> str:
        """`minutes`, the name of a signal, or nothing; every process comes to the same answer."""
        late = self.plan.minutes is not None and time.perf_counter() - self.started >= 60 * self.plan.minutes
        seen = self.watch.reason if self.watch else ""
        if not self.trainer.group.agree(bool(caught or seen) or late):
            return ""
        return caught[0] if caught else seen or "minutes"

    def log(self) -> Logged:
        """Write one line: images, seconds, speed and the mean of every term and statistic since the last."""
        now = time.perf_counter()
        took, images = now - self.since, self.trainer.images - self.since_images
        terms, waited = self.trainer.read(), self.trainer.waited
        self.trainer.waited = 0.0
        self.seconds, self.since, self.since_images = self.seconds + took, now, self.trainer.images
        counters = {"images": self.trainer.images, "seconds": round(self.seconds, 3)}
        line: dict[str, Any] = {**counters, "images_per_second": round(images / took, 2), **terms}
        line |= {"diagnostics/data_wait_share": round(waited / took, 4)} | (
            {"rollbacks": self.retries} if self.retries else {}
        )
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

    def evaluate(self, watch: Watch) -> Evaluated:
        """Measure the averaged generator, write the numbers down, and keep the best one as RUN/best."""
        began, trainer, found = time.perf_counter(), self.trainer, Evaluated({}, False)
        trainer.check()

        def look() -> None:
            nonlocal found
            with trainer.averaged() as task:
                numbers, best = watch.look(Model(task, trainer.policy, self.plan.model_config))
            found = Evaluated({"metric": watch.metric, "trained_images": trainer.images, **numbers}, best)
            self.run.append_evaluation(found.numbers)
            if best:
                self._save_model(self.run.best)

        trainer.group.first(look)
        self.since += time.perf_counter() - began  # the speed in the log is that of training
        return found

    def snapshot(self) -> Snapshot:
        """Save samples (if there are any), model and state; a step that a device skipped is found out first."""
        trainer, images = self.trainer, self.trainer.images
        trainer.check()
        file = self.run.samples / f"{images:012d}.png" if trainer.task.draws_images else None
        trainer.group.first(self._save)
        self.saved_at = images
        self.since = time.perf_counter() if self.since_images == images else self.since
        return Snapshot(images, file)

    def _save(self) -> None:
        """Write the grid (where there are images), the model and the state."""
        trainer, images = self.trainer, self.trainer.images
        if trainer.task.draws_images:
            sheet = grid(self.sample())
            self.run.save_grid(sheet, images)
            if self.board:
                self.board.add_image("samples", np.asarray(sheet), images, dataformats="HWC")
        self._save_model(self.run.model)
        state = {"trainer": trainer.state_dict(), "retries": self.retries, "seconds": self.seconds, "heals": self.heals}
        self.run.save_state({**state, "watch": self.watch.state_dict() if self.watch else None}, images)

    def _save_model(self, folder: Path) -> None:
        """The averaged generator as a model folder."""
        images = self.trainer.images
        config = {**self.plan.model_config, "images": images}
        self.run.save_model(self.trainer.average, config, self.plan.card.format(images=images), folder)

    def sample(self) -> Tensor:
        """The averaged generator's images of the same latents (or of the same images) at every snapshot."""
        count = self.trainer.task.grid_images
        size, device = min(count, self.trainer.recipe.batch), self.trainer.policy.device
        with self.trainer.averaged() as task, torch.no_grad(), self.trainer.policy.autocast():
            whole = task.inputs(range(count))
            sheets = []
            for k in range(0, count, size):  # no more at once than a step takes
                part = {name: to_device(v[k : k + size], device) for name, v in whole.items()}
                sheets.append(task.panel(part).float().cpu())
            return torch.cat(sheets)

    def _back(self) -> str:
        """Return to the last good state with other random numbers; says so, or gives up after three times."""
        at, retries = self.trainer.images, self.retries + 1
        what = f"A loss or gradient was not finite at {at:,} images; the step was not taken."
        if retries > RETRIES:
            raise UserError(f"{what} It happened {retries} times, so training ends here. {ADVICE}")
        self._restore(self.run.load_state())
        if self.plan.heal:
            self._ease(dict.fromkeys(self.trainer.players, 0.5 ** (retries - self.retries)))
        self.retries = retries
        torch.manual_seed(self.plan.seed + 1_000_003 * retries)  # the same numbers would end the same way
        if self.writes:
            self.run.rewind_log(self.trainer.images)
        self._read_again()
        gently = " and learning rates halved" if self.plan.heal else ""
        back = f"Back to the state at {self.trainer.images:,} images, with other noise{gently}"
        return f"{what} {back} (try {retries} of {RETRIES})."

    def _heal(self, trouble: Finding) -> str:
        """Go back to the older of the states and apply the mildest cure from there; says so, also in the log.

        Evidence takes time to gather: the newest state is likely to have the trouble in it.
        """
        cure, heals = self.doctor.cure(trouble), self.heals + 1
        if heals > HEALS:
            return f"{trouble.trouble.capitalize()} again after {HEALS} cures; training goes on as it is."
        self._restore(self.run.load_state(oldest=True))
        self.heals, images = heals, self.trainer.images
        self._ease(cure)
        self.trainer.group.wait()  # everybody has read before anybody writes
        slower = " and ".join(
            f"{name}_optimizer.lr x {p.ease:g}" for name, p in self.trainer.players.items() if name in cure
        )
        done = f"back to the state at {images:,} images, with {slower}"
        if self.writes:
            self.run.rewind_log(images)
            self.run.rewind_states(images)
            self.run.append_log(
                {"images": images, "seconds": self.seconds, "heal": {**asdict(trouble), "action": done}}
            )
        self._read_again()
        self.trainer.group.first(self._save)
        return f"Healing {trouble.trouble}: {done} (cure {heals} of {HEALS})."

    def _ease(self, cure: Mapping[str, float]) -> None:
        for name in cure.keys() & self.trainer.players.keys():
            self.trainer.players[name].ease *= cure[name]

    def _restore(self, state: dict[str, Any]) -> None:
        try:
            self.trainer.load_state_dict(state["trainer"])
        except (KeyError, ValueError, RuntimeError, TypeError) as problem:
            reason = str(problem).splitlines()[0]
            raise UserError(f"The state in {self.run.path} does not fit this recipe: {reason}.") from None
        self.retries, self.heals, self.seconds = state["retries"], state.get("heals", 0), state["seconds"]
        if self.watch and state.get("watch"):
            self.watch.load_state_dict(state["watch"])
        self.since, self.since_images = time.perf_counter(), self.trainer.images
        self.saved_at = self.trainer.images


def to_device(value: Any, device: torch.device) -> Any:
    """Move a tensor to the device; anything else stays as it is."""
    return value.to(device) if isinstance(value, Tensor) else value


def crossed(before: int, now: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, now]."""
    return before // every != now // every


def _board(path: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except Exception:
        raise UserError("--tensorboard needs its package: pip install 'ganvas[tensorboard]'.") from None
    return SummaryWriter(str(path / "tensorboard"))


@contextmanager
def _signals() -> Iterator[list[str]]:
    """Collect SIGINT and SIGTERM instead of dying of them; a second one ends the process at once."""
    caught: list[str] = []

    def note(number: int, frame: FrameType | None) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
