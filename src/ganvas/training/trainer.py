"""The one training loop, with the only `backward`; it knows no recipe and no architecture."""

import copy
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..config import Recipe
from ..data.batches import Batches
from ..game import Objective, Progress, SharedBuffers
from ..policy import Policy
from ..schedule import as_schedule, per_step
from ..tasks.base import Task
from .players import Diverged as Diverged
from .players import Group, Player, Tally, adversarial_loss, freeze_stages, progress_at, without_gradient

Batch = dict[str, Any]


class Trainer:
    """Training loop: `for progress in trainer:` takes one step of the game at a time until `recipe.images` are seen."""

    def __init__(self, task: Task, recipe: Recipe, data: Batches, policy: Policy, *, group: Group | None = None):
        self.recipe, self.data, self.policy, self.group = recipe, data, policy, group or Group()
        self.task: Task = policy.place(task).train()  # type: ignore[assignment]
        self.average = copy.deepcopy(task.generator).eval().requires_grad_(False)
        self.averaged: list[list[Tensor]] = [list(net.parameters()) for net in (self.average, task.generator)]
        self.has_buffers = any(True for _ in self.average.buffers())
        self.task.average = lambda: self.average
        clip, device = recipe.clip_norm, policy.device
        freeze_stages(task.discriminator, recipe.freeze_d)
        self.g = Player(task.generator, recipe.g_optimizer, device, clip)
        self.d = None
        if task.discriminator is not None and recipe.d_optimizer is not None:
            self.d = Player(task.discriminator, recipe.d_optimizer, device, clip)
        self.schedule: Callable[[float], float] = recipe.lr_schedule.build() if recipe.lr_schedule else lambda _: 1.0
        self.half_life = as_schedule(recipe.ema_images)
        self.beta2 = recipe.beta2.build() if recipe.beta2 else None
        self.d_rule = per_step(recipe.d_steps)
        shared = [m for m in task.modules() if isinstance(m, SharedBuffers)]
        self.shared_buffers = [b for m in shared for b in m.buffers(recurse=False)]
        self.images = self.step = 0
        self.tally, self.data_seconds = Tally(), 0.0  # waiting for data
        self.stream: Iterator[Batch] | None = None
        if policy.compiled:
            for network in task.adversarial():
                network.compile()

    @property
    def progress(self) -> Progress:
        return progress_at(self.recipe, self.images, self.step, self.d_steps, self.group)

    @property
    def players(self) -> dict[str, Player]:
        """Players by the prefix of their statistics in the log."""
        return {"g": self.g, "d": self.d} if self.d else {"g": self.g}

    @property
    def draws(self) -> int:
        """Number of batches of one step of the game."""
        return max(self.d_steps if self.d else 1, self.recipe.g_steps)

    @property
    def d_steps(self) -> int:
        """Number of discriminator updates in the current step of the game."""
        return self.d_rule.steps(self.step)

    def __iter__(self) -> Iterator[Progress]:
        while self.images < self.recipe.images:
            yield self.advance()

    def advance(self, only: str = "") -> Progress:
        """One step of the game: the discriminator `d_steps` times, then the generator `g_steps` times.

        The generator's updates reuse the last of the batches that the discriminator saw.  `only` one player, "d" or
        "g", moves where one wants to see what it alone does.  Raises `Diverged`.
        """
        batches, now = self._draw_batches(), self.progress
        now = replace(now, share_fakes=now.share_fakes and not only)
        for player in self.players.values():
            player.set_rate(self.schedule(now.fraction), self.beta2(now.fraction) if self.beta2 else None)
        if self.d and only != "g":
            with without_gradient(None if now.share_fakes else self.g):
                for parts in batches[: self.d_steps]:
                    self._update("d", self.d, self.task.d_loss, parts, now)
        if self.images >= self.recipe.d_warmup_images and only != "d":
            with without_gradient(self.d):
                for parts in batches[-self.recipe.g_steps :]:
                    self._update("g", self.g, self.task.g_loss, parts, now)
        images = self.recipe.batch * len(batches)
        self.images, self.step = self.images + images, self.step + 1
        self._average(images)
        if self.shared_buffers:
            self.group.average(self.shared_buffers)
        return self.progress

    def _draw_batches(self) -> list[list[Batch]]:
        """The batches of one step of the game, each in its parts."""
        start = time.perf_counter()
        batches = [[next(self.batches) for _ in range(self.recipe.accumulate)] for _ in range(self.draws)]
        self.data_seconds += time.perf_counter() - start
        return batches

    def _update(
        self,
        name: str,
        player: Player,
        loss: Callable[[Batch, Progress], Objective],
        parts: list[Batch],
        progress: Progress,
    ) -> None:
        """One optimiser step over the parts of a batch."""
        player.clear()
        total = torch.zeros((), device=self.policy.device)
        for part in parts:
            with self.policy.autocast():
                objective = loss(part, progress)
            whole = objective.total
            (whole / len(parts) if len(parts) > 1 else whole).backward()
            total += whole.detach()
            for key, value in {**objective.terms, **objective.stats}.items():
                self.tally.add(f"{name}/{key}", value)
        self.group.average([p.grad for p in player.weights if p.grad is not None] + [total])
        self.tally.add(f"{name}/gradient_norm", player.step(total))
        if name == "g" and self.d and self.d_rule.observes:
            self.d_rule.observe(adversarial_loss(objective, self.group))

    @torch.no_grad()
    def _average(self, images: int) -> None:
        """Move the averaged generator towards the trained one; buffers (batch statistics) are copied."""
        half_life = min(self.half_life(self.progress.fraction), self.recipe.ema_ramp * self.images)
        keep = 0.5 ** (images / half_life) if half_life > 0 else 0.0
        ours, theirs = self.averaged
        torch._foreach_lerp_(ours, self.g.evaluation_points(theirs), 1 - keep)
        if self.has_buffers:
            for a, b in zip(self.average.buffers(), self.task.generator.buffers()):
                a.copy_(b)

    @property
    def batches(self) -> Iterator[Batch]:
        """This process's share of the data from where the run stands, in parts of `batch / accumulate / world`."""
        if self.stream is None:
            self.stream = self.data.stream(self._starts(self.images), self.part)
        return self.stream

    @property
    def part(self) -> int:
        return self.recipe.batch // (self.recipe.accumulate * self.group.world)

    def _starts(self, start: int) -> Iterator[int]:
        """Positions of this process's parts: the data order follows from the image counter alone."""
        rank, world, part = self.group.rank, self.group.world, self.part
        while True:
            yield start + rank * part
            start += world * part

    @contextmanager
    def use_average(self) -> Iterator[Task]:
        """Yield the task with the averaged generator and in evaluation mode, for sampling; restored afterwards."""
        generator, mode = self.task.generator, self.task.training
        try:
            self.task.generator = self.average
            yield self.task.eval()
        finally:
            self.task.generator = generator
            self.task.train(mode)

    def check(self) -> None:
        """Raise `Diverged` if a step was skipped on the device since the last state."""
        for player in self.players.values():
            player.check()

    def read(self) -> dict[str, float]:
        """Every term and statistic since the last reading; raises `Diverged` as `check` does."""
        self.check()
        return self.tally.read(self.group)

    @property
    def _parts(self) -> dict[str, Any]:
        parts = {"task": self.task, "average": self.average, "g": self.g.optimizer}
        return {**parts, "d": self.d.optimizer} if self.d else parts

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes during training."""
        rng = {"cpu": torch.get_rng_state()}
        if self.policy.device.type == "cuda":
            rng["cuda"] = torch.cuda.get_rng_state(self.policy.device)
        counters = {"images": self.images, "step": self.step, "rng": rng, "tally": self.tally.state_dict()}
        counters["rule"] = self.d_rule.state_dict()
        counters["ease"] = {name: player.lr_factor for name, player in self.players.items()}
        return {**counters, **{name: part.state_dict() for name, part in self._parts.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state_dict` was taken; the data stream is reopened at the counter."""
        for name, player in self.players.items():
            player.check_memory(state[name])
        self.task.load_state_dict(state["task"])
        self.average.load_state_dict(state["average"])
        self.images, self.step = state["images"], state["step"]
        for name, player in self.players.items():
            player.load_optimizer(state[name])
            player.lr_factor = state.get("ease", {}).get(name, 1.0)
        self.d_rule.load_state_dict(state.get("rule", {}))
        torch.set_rng_state(state["rng"]["cpu"].cpu())
        if "cuda" in state["rng"] and self.policy.device.type == "cuda":
            torch.cuda.set_rng_state(state["rng"]["cuda"].cpu(), self.policy.device)
        if isinstance(self.stream, Generator):
            self.stream.close()  # its worker processes read ahead of the old place
        self.stream, self.tally = None, Tally(state.get("tally"), self.policy.device)
        for player in self.players.values():
            player.bad.zero_()
