"""The two players as the trainer sees them: weights, an optimiser, and statistics; and the group of processes."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..config import Recipe, Spec
from ..errors import UsageError
from ..game import BaseDiscriminator, Objective, Progress, WidthAware
from ..legacy import current_log_line
from ..policy import fastest_options, without_dynamo


class Group:
    """Processes that train together; here a single one."""

    rank, world = 0, 1

    def average(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""

    def agree(self, flag: bool) -> bool:
        """True if any process raised the flag."""
        return flag

    def wait(self) -> None:
        """Continue when every process has arrived."""

    def first(self, work: Callable[[], None]) -> None:
        """Call `work` in the first process while the others wait; its `UserError` ends them all."""
        work()

    def close(self) -> None:
        """Leave the group."""


class Diverged(ArithmeticError):
    """A loss or a gradient is not finite; no weight was changed by it."""


MEMORIES = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "square_avg", "grad_avg", "momentum_buffer")


class Player:
    """One side of the game: its weights and their optimiser.

    Weights that are frozen before training (a pretrained feature network, freeze-D) stay frozen.
    """

    def __init__(self, module: nn.Module, optimizer: Spec, device: torch.device, clip_norm: float | None = None):
        self.weights = [p for p in module.parameters() if p.requires_grad]
        plain = Spec(without_dynamo(optimizer.target), **optimizer.kwargs)
        self.optimizer = plain.build(params=self.weights, **fastest_options(optimizer.target, device))
        if not isinstance(self.optimizer, torch.optim.Optimizer):
            raise UsageError(f"{optimizer.target.__name__} is no optimiser; take adam, adamw, rmsprop or sgd.")
        factor = next((part.rate for part in module.modules() if isinstance(part, WidthAware)), 1.0)
        self.rates = [group["lr"] * factor for group in self.optimizer.param_groups]
        self.clip_norm = clip_norm
        self.lr_factor = 1.0  # on the learning rate, set by --heal
        self.bad = torch.zeros((), device=device)  # set on a GPU by a step that was skipped
        self.skips_by_itself = device.type == "cuda" and all(g.get("fused") for g in self.optimizer.param_groups)

    def freeze(self, frozen: bool = True) -> None:
        for p in self.weights:
            p.requires_grad_(not frozen)

    def clear(self) -> None:
        """Forget the gradients; `Optimizer.zero_grad` does that and much more, at every step."""
        for p in self.weights:
            p.grad = None

    def check_memory(self, saved: dict[str, Any]) -> None:
        """Raise `ValueError` unless an optimiser's saved state is one of these weights.

        PyTorch checks the number of weights alone, and its fused optimisers write beyond a tensor that is too small.
        """
        own = self.optimizer.state_dict()["param_groups"]
        if [group["params"] for group in saved["param_groups"]] != [group["params"] for group in own]:
            raise ValueError("the optimiser's state is of other weights")
        for k, memory in saved["state"].items():
            for name, value in memory.items():
                sized = name in MEMORIES or (isinstance(value, Tensor) and value.ndim)
                shape = tuple(value.shape) if isinstance(value, Tensor) else value
                if sized and value is not None and shape != (expected := tuple(self.weights[k].shape)):
                    raise ValueError(f"the optimiser's {name} of weight {k} is {shape}, not {expected}")

    def load_optimizer(self, saved: dict[str, Any]) -> None:
        """Continue with an optimiser's saved memory, by the options of this one, which the recipe decides."""
        own = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": saved["state"], "param_groups": own})

    def set_rate(self, factor: float, beta2: float | None = None) -> None:
        for group, rate in zip(self.optimizer.param_groups, self.rates):
            group["lr"] = rate * factor * self.lr_factor
            if beta2 is not None and "betas" in group:
                group["betas"] = (group["betas"][0], beta2)

    def step(self, total: Tensor) -> Tensor:
        """Update the weights unless the objective or a gradient is not finite; returns the gradient norm.

        Raises `Diverged`: at once where looking costs nothing, on a GPU when `check` is next called (the fused
        optimiser skips the step on the device, so that no step waits for it).
        """
        gradients = [p.grad for p in self.weights if p.grad is not None] or [torch.zeros_like(total)]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))  # of one device and type
        finite = norm + total.detach()
        if self.skips_by_itself:
            bad = (~torch.isfinite(finite)).float()
            self.optimizer.found_inf, self.bad = bad, torch.maximum(self.bad, bad)
        elif not math.isfinite(finite.item()):
            raise Diverged
        if self.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.weights, self.clip_norm, norm)
        self.optimizer.step()
        return norm

    def evaluation_points(self, weights: list[Tensor]) -> list[Tensor]:
        """The weights of the player to evaluate: those themselves, or an average that its optimiser keeps."""
        at = getattr(self.optimizer, "evaluation_point", None)
        return weights if at is None else [at(p) for p in weights]

    def check(self) -> None:
        if self.bad.item():
            raise Diverged


class Tally:
    """Running means of the players' statistics, on the device until they are read."""

    def __init__(self, state: dict[str, Any] | None = None, device: torch.device | None = None) -> None:
        saved = state or {"sums": {}, "counts": {}}
        self.sums: dict[str, Tensor] = {k: v.to(device) for k, v in current_log_line(saved["sums"]).items()}
        self.counts: dict[str, int] = current_log_line(saved["counts"])

    def state_dict(self) -> dict[str, Any]:
        """Sums and counts since the last reading."""
        return {"sums": dict(self.sums), "counts": dict(self.counts)}

    def add(self, name: str, value: Tensor) -> None:
        value = value.detach().float()
        self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.counts[name] = self.counts.get(name, 0) + 1

    def read(self, group: Group) -> dict[str, float]:
        """The means since the last reading, over all processes: one transfer from the device."""
        if not self.sums:
            return {}
        names, counts = list(self.sums), list(self.counts.values())
        sums = torch.stack(list(self.sums.values()))
        group.average([sums])
        self.sums, self.counts = {}, {}
        return {name: value / count for name, value, count in zip(names, sums.tolist(), counts)}


def freeze_stages(discriminator: nn.Module | None, count: int) -> None:
    """Freeze the first `count` stages, from the image on, of every discriminator inside (freeze-D).

    Mo, Cho and Shin 2020.  Raises `UsageError` if there are not that many.
    """
    if not count:
        return
    if count < 0:
        raise UsageError(f"freeze_d is a number of stages, at least 0, got {count}.")
    networks = [m for m in discriminator.modules() if isinstance(m, BaseDiscriminator)] if discriminator else []
    stages = [network.stages() for network in networks]
    most = min(map(len, stages), default=0)
    if count > most:
        raise UsageError(f"freeze_d is {count}, but this discriminator has {most} stages that can be frozen.")
    for network_stages in stages:
        for stage in network_stages[:count]:
            stage.requires_grad_(False)


@contextmanager
def without_gradient(player: Player | None) -> Iterator[None]:
    """Compute no gradient for the weights of a player."""
    if player is None:
        yield
        return
    player.freeze()
    try:
        yield
    finally:
        player.freeze(False)


def progress_at(recipe: Recipe, images: int, step: int, d_steps: int, group: Group) -> Progress:
    """The state of a run before a step with so many discriminator updates."""
    once = (recipe.accumulate, d_steps, recipe.g_steps) == (1, 1, 1)
    share_fakes = once and images >= recipe.d_warmup_images
    return Progress(images, recipe.images, step, share_fakes, group.rank, group.world)


def adversarial_loss(objective: Objective, group: Group) -> float:
    """The generator's adversarial loss, the mean over processes, read from the device."""
    terms = [term.detach() for name, term in objective.terms.items() if name.startswith("adversarial")]
    value = torch.stack(terms).sum() if terms else objective.total.detach()
    group.average([value])
    return float(value)
