"""A GAN on points that trains while one watches: a `Trainer` stepped from outside, its past, and its settings."""

import contextlib
import copy
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..api import Trainer, UserError, build_trainer
from .play_figures import Figures
from .play_frame import Frame, scene
from .play_settings import MOST_CHANGES, REBUILD, Change, Player, Settings

TORCH = threading.Lock()  # torch's random state is one for the whole process, so playgrounds take turns
POINTS = 450  # fakes and reals in the frame
HEAT = 30  # cells a side of the discriminator's map
GRID = 20  # cells a side of the generator's grid
RECORDED = 240  # most moments of a film's past
ALONE = 2  # films that may have so many; more films share theirs, since a moment is 0.1 MB
LEAST = 20  # moments of a film's past beside many others
FIRST_DISTANCE = 20  # steps from one recorded moment to the next; doubled whenever they are too many


@dataclass(frozen=True)
class Moment:
    """A recorded moment: the frame and everything that training goes on from."""

    step: int
    frame: bytes
    state: dict[str, Any]


class Playground:
    """One film: settings, a trainer, and the recorded moments one can return to."""

    films: ClassVar["weakref.WeakSet[Playground]"] = weakref.WeakSet()  # that exist now

    def __init__(self, settings: Settings):
        self.films.add(self)
        self.restart(settings)

    def restart(self, settings: Settings) -> None:
        """Begin a new film; raises `UserError` for settings that do not work, and keeps the old film then."""
        with TORCH:
            dataset, start = settings.dataset(), settings.after([])
            trainer = build_trainer(start.recipe(), dataset, seed=settings.seed)
            self.random = torch.get_rng_state()
        self.start = self.settings = start
        self.history: list[Change] = []
        self.pending = list(settings.changes)
        self.only: Player = ""
        self.dataset, self.trainer, self.steered = dataset, trainer, False
        self.figures = Figures(dataset, settings.data, POINTS)
        self.latents: Tensor = trainer.task.inputs(range(POINTS))["z"]
        self.moments: list[Moment] = []
        self.distance, self.diverged, self.losses = FIRST_DISTANCE, False, (float("nan"), float("nan"))
        self.record()

    @property
    def script(self) -> Settings:
        """The settings that this film began with and its changes: another film of them is the same film."""
        return self.start.model_copy(update={"changes": [*self.history, *self.pending]})

    def describe(self) -> dict[str, Any]:
        """Facts of a film for its page: steps of the recorded moments, live settings of the beginning, and changes."""
        changes = [change.model_dump() for change in self.script.changes]
        return {"steps": [moment.step for moment in self.moments], "start": self.start.live, "changes": changes}

    def change(self, settings: Settings) -> None:
        """Go on with other settings where the networks allow it, else begin anew.

        A film that diverged goes on from its last recorded moment.
        """
        if self.step == 0 or any(getattr(settings, name) != getattr(self.settings, name) for name in REBUILD):
            return self.restart(settings.after([]))
        if self.diverged:
            self.branch(len(self.moments) - 1)
        values = {name: value for name, value in settings.live.items() if value != getattr(self.settings, name)}
        if values:
            self.note(Change(step=self.step, only=self.only, values=values))

    def note(self, change: Change) -> None:
        """Make a change now, and note it in the history; what would have changed later is forgotten."""
        history = list(self.history)
        if history and history[-1].step == change.step and not (history[-1].values or change.values):
            history.pop()
        if len(history) >= MOST_CHANGES:
            raise UserError(f"A film has at most {MOST_CHANGES:,} changes; begin a new one.")
        self.switch(self.start.after([*history, change]))
        before = history[-1].only if history else ""
        if change.values or change.only != before:
            history.append(change)
        self.history, self.pending, self.only = history, [], change.only

    def switch(self, settings: Settings) -> None:
        """Let another trainer, of the settings, go on with the networks as they are."""
        if settings == self.settings:
            return
        state, recipe = self.state(), settings.recipe()
        with TORCH:
            trainer = build_trainer(recipe, self.dataset, seed=settings.seed)
            trainer.load_state_dict(adapted(state["trainer"], trainer, self.optimizers_stay(settings)))
        self.settings, self.trainer, self.diverged = settings, trainer, False

    def follow(self) -> None:
        """Make the changes of the script that are due at this step; `steered` then, the page hears of the settings."""
        while self.pending and self.pending[0].step <= self.step:
            change = self.pending.pop(0)
            self.switch(self.start.after([*self.history, change]))
            self.history, self.only, self.steered = [*self.history, change], change.only, True

    def optimizers_stay(self, settings: Settings) -> dict[str, bool]:
        """True for each player whose optimiser keeps its memory under other settings."""
        now, then = self.settings, settings
        return {"g": now.g_optimizer == then.g_optimizer, "d": now.d_optimizer == then.d_optimizer}

    def advance(self, steps: int, only: Player = "") -> None:
        """Train some steps, and record the moments that are due; a film that diverged stays where it is.

        `only` one player, "d" or "g", moves in these steps.
        """
        if only:
            self.note(Change(step=self.step, only=only))
        for _ in range(steps):
            self.follow()
            with TORCH:
                torch.set_rng_state(self.random)
                try:
                    if not self.diverged:
                        self.trainer.advance(self.only or self.settings.only)
                except ArithmeticError:
                    self.diverged = True
                self.random = torch.get_rng_state()
            if self.trainer.step % self.distance == 0 and not self.diverged:
                self.record()
        if only:
            self.note(Change(step=self.step))

    def advance_in_halves(self) -> bytes:
        """Train one step, as `advance` does; returns the frame between the two players' updates."""
        self.follow()
        before = self.state()
        with TORCH:
            torch.set_rng_state(self.random)
            with contextlib.suppress(ArithmeticError):
                self.trainer.advance(self.only or self.settings.only or "d")
        middle = self.frame()
        self.restore(before)
        self.advance(1)
        return middle

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state of this film under the same settings."""
        with TORCH:
            self.trainer.load_state_dict(state["trainer"])
        self.random = state["random"].clone()

    def scene(self) -> bytes:
        """The real points and the latents, which stay the same, in the bytes of `play_frame.scene`."""
        return scene(self.figures.real[:POINTS], self.latents.numpy())

    def train(self, seconds: float, steps: int = 0, enough: Callable[[], bool] = lambda: True) -> None:
        """Train so many steps, or, if none are given, so many seconds, and as many again until it is `enough`."""
        start = time.perf_counter()
        self.advance(steps or 1)
        while not steps and not self.diverged:
            share = (time.perf_counter() - start) / seconds
            if share >= 2 or (share >= 1 and enough()):
                break
            self.advance(1)

    def recorded_frame(self, place: int) -> bytes:
        """The frame of a recorded moment; raises `UserError` for a moment that is not recorded."""
        if not 0 <= place < len(self.moments):
            raise UserError(f"There is no recorded moment {place}; there are {len(self.moments)}.")
        return self.moments[place].frame

    @property
    def step(self) -> int:
        """Steps trained so far."""
        return self.trainer.step

    def frame(self, *, arrows: bool = True, heat: bool = True, grid: bool = True) -> bytes:
        """The frame now, in the bytes of `play_frame`; parts that are not shown cost nothing."""
        return self.compute_frame(arrows=arrows, heat=heat, grid=grid).encode()

    def record(self) -> None:
        """Remember this moment; every second one is forgotten when they are too many."""
        self.moments.append(Moment(self.step, self.frame(), self.state()))
        most = max(RECORDED * ALONE // max(len(self.films), ALONE), min(LEAST, RECORDED))
        while len(self.moments) > most:
            self.moments, self.distance = self.moments[::2], 2 * self.distance

    def state(self) -> dict[str, Any]:
        """A copy of everything that training goes on from."""
        return {"trainer": copied(self.trainer.state_dict()), "random": self.random.clone()}

    def adopt(self, moments: Sequence[Moment]) -> None:
        """Take the recorded moments of another film of the same settings and go on from the last."""
        changes, self.moments = self.script.changes, list(moments)
        self.return_to(moments[-1], changes)
        self.pending = changes[len(self.history) :]

    def branch(self, place: int) -> None:
        """Go back to a recorded moment and forget what came after it; training of both players goes on from there.

        The settings are those of that moment.
        """
        self.recorded_frame(place)
        self.return_to(self.moments[place], self.history)
        self.moments = self.moments[: place + 1]
        if self.only:
            self.note(Change(step=self.step))

    def return_to(self, moment: Moment, changes: list[Change]) -> None:
        """Go on from a moment of a film with these changes."""
        history = [change for change in changes if change.step < moment.step]  # a moment comes before a change at it
        settings = self.start.after(history)
        with TORCH:
            trainer = build_trainer(settings.recipe(), self.dataset, seed=settings.seed)
            trainer.load_state_dict(copied(moment.state["trainer"]))
        self.settings, self.history, self.pending = settings, history, []
        self.only, self.steered = history[-1].only if history else "", True
        self.trainer, self.random, self.diverged = trainer, moment.state["random"].clone(), False

    def compute_frame(self, *, arrows: bool = True, heat: bool = True, grid: bool = True) -> Frame:
        """The frame now, as arrays."""
        task = self.trainer.task
        with TORCH, torch.random.fork_rng(), torch.no_grad():
            fakes = task.generator(self.latents)
            points = fakes.flatten(1)
            return Frame(
                step=self.step,
                figures=self.figures.measure(points.numpy(), self.read_losses()),
                fakes=points.numpy(),
                arrows=self._arrows(fakes).numpy() if arrows else None,
                heat=self._heat().numpy() if heat else None,
                grid=self._grid().numpy() if grid else None,
            )

    def read_losses(self) -> tuple[float, float]:
        """Mean losses of both players since they were last read."""
        means = self.trainer.tally.read(self.trainer.group)
        d, g = means.get("d/adversarial"), means.get("g/adversarial")
        self.losses = (self.losses[0] if d is None else d, self.losses[1] if g is None else g)
        return self.losses

    def _arrows(self, fakes: Tensor) -> Tensor:
        """Minus the gradient of the generator's loss at each fake: the direction that improves it, (N, 2)."""
        parts, arrows = self._parts(len(fakes)), torch.zeros(len(fakes), 2)
        for k in range(parts):
            arrows[k::parts] = self._arrows_of(fakes[k::parts], self.figures.real_images[: len(fakes)][k::parts])
        return arrows

    def _arrows_of(self, fakes: Tensor, real: Tensor) -> Tensor:
        """The arrows of one batch of fakes; some losses compare them with reals."""
        adversary: Any = self.trainer.task.discriminator
        with torch.enable_grad():
            points = fakes.detach().requires_grad_()
            scores = adversary.discriminate(points)
            reference = adversary.discriminate(real).logits if adversary.loss.relative else None
            loss = adversary.loss.g(scores.logits, reference)
            (gradient,) = torch.autograd.grad(loss, points)
        return -len(points) * gradient.flatten(1)

    def _heat(self) -> Tensor:
        """The discriminator's score at the centre of each cell, first row at the top: (HEAT, HEAT).

        A discriminator that compares the points of a batch sees them in batches that are spread over the plane.
        """
        centres = (torch.arange(HEAT) + 0.5) / HEAT * 2 - 1
        y, x = torch.meshgrid(-centres, centres, indexing="ij")
        places = torch.stack([x, y], -1).view(-1, 2, 1, 1)
        adversary: Any = self.trainer.task.discriminator
        parts, scores = self._parts(len(places)), torch.zeros(len(places))
        for k in range(parts):
            scores[k::parts] = adversary.score(places[k::parts])
        return scores.view(HEAT, HEAT)

    def _parts(self, count: int) -> int:
        """Parts of so many points that the discriminator sees at once: about its batch if it compares them."""
        compares = self.settings.discriminator.head != "plain"
        return max(1, round(count / self.settings.batch)) if compares else 1

    def _grid(self) -> Tensor:
        """The generator's points of a regular grid of latents, or of a line of them: (n, 2)."""
        shares = (torch.arange(GRID + 1) + 0.5) / (GRID + 1)
        values = latent_quantiles(self.settings.prior, shares)
        if self.settings.latent == 1:
            fine = latent_quantiles(self.settings.prior, (torch.arange(200) + 0.5) / 200)
            return self.trainer.task.generator(fine[:, None]).flatten(1)
        y, x = torch.meshgrid(values, values, indexing="ij")
        return self.trainer.task.generator(torch.stack([x, y], -1).view(-1, 2)).flatten(1)


def latent_quantiles(prior: str, shares: Tensor) -> Tensor:
    """Latents below which these shares of all latents lie, so that every cell of the grid is as likely."""
    if prior == "uniform":
        return (2 * shares - 1) * 3**0.5
    return torch.special.ndtri(shares)


def adapted(old: dict[str, Any], trainer: Trainer, keep: dict[str, bool]) -> dict[str, Any]:
    """A trainer's state for another trainer, whose own it is where the two differ.

    `keep` says for each player whether its optimiser keeps its memory.
    """
    new = trainer.state_dict()
    state = {**new, **{k: old[k] for k in ("images", "step", "rng", "average")}}
    state["task"] = {k: old["task"][k] if fits(old["task"].get(k), v) else v for k, v in new["task"].items()}
    for name, player in trainer.players.items():
        memory = old[name]["state"] if keep[name] else {}
        memory = {k: v for k, v in memory.items() if all(fits(t, player.weights[k]) for t in v.values() if np.ndim(t))}
        state[name] = {"state": memory, "param_groups": new[name]["param_groups"]}
    return state


def copied(state: Any) -> Any:
    """A copy of a state: of its dictionaries, lists and tensors, several times as fast as `copy.deepcopy`."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        result = copy.copy(state)  # with the versions that PyTorch hangs on a state
        result.update({name: copied(value) for name, value in state.items()})
        return result
    return [copied(value) for value in state] if isinstance(state, list) else state


def fits(old: Any, new: Any) -> bool:
    """True for tensors of one shape."""
    return isinstance(old, Tensor) and np.shape(old) == np.shape(new)
