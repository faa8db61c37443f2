"""One step on a copy of the players, so that parts that do not fit end in a sentence before anything is written."""

import copy

import torch
from torch import Tensor, nn

from ..config import Recipe
from ..data.batches import Batches
from ..errors import UsageError, UserError
from ..game import Progress
from ..policy import Policy, is_out_of_memory
from ..schedule import per_step
from ..tasks.base import Task
from .players import Group, progress_at
from .recorder import to_device
from .trainer import Batch

OUT_OF_MEMORY = (
    "The device ran out of memory at a batch of {}. Try a smaller --batch, or the same in parts: --set accumulate=2."
)
DISTURBANCE = 0.1  # standard deviation of what is added to weights to tell a zero by chance from one by construction


def rehearse(task: Task, recipe: Recipe, batches: Batches, policy: Policy, group: Group) -> None:
    """Compute both losses and their gradients on a few images, and sample two; nothing of it is kept.

    Raises `UsageError` where parts do not work together or a loss cannot train its player.
    """
    few = min(4, recipe.batch // (recipe.accumulate * group.world))
    try:
        players: Task = policy.place(copy.deepcopy(task)).train()  # type: ignore[assignment]
        with torch.random.fork_rng(), policy.autocast():
            _check_gradients(players, recipe, batches.at(0, few), group)
            if players.draws_images:
                players.eval()
                with torch.no_grad():
                    players.sample({k: to_device(v, policy.device) for k, v in players.inputs([0, 1]).items()})
    except UserError:
        raise
    except Exception as problem:
        if is_out_of_memory(problem):
            raise UserError(OUT_OF_MEMORY.format(few)) from None
        reason = str(problem).strip().partition("\n")[0] or type(problem).__name__
        raise UsageError(f"These options do not work together: {reason}") from problem


def _check_gradients(players: Task, recipe: Recipe, batch: Batch, group: Group) -> None:
    """Raise `UsageError` if a player would never learn: no gradient of its loss ever reaches a weight of it.

    Zero in the first step alone proves nothing: a discriminator whose last layer begins as zeros passes nothing on to
    the generator, all sides of a hinge may be flat on four images, and a term may be switched on only later in a run.
    So a player is refused if its gradients are missing or zero now, and also at the end of the run with other weights.
    """
    d_steps = per_step(recipe.d_steps).steps(0)
    untrained = _untrained(players, batch, progress_at(recipe, 0, 0, d_steps, group))
    if untrained:
        with torch.no_grad():
            for weight in players.parameters():
                weight.add_(torch.randn_like(weight), alpha=DISTURBANCE)
        untrained &= _untrained(players, batch, progress_at(recipe, recipe.images, 0, d_steps, group))
    for name in sorted(untrained):
        raise UsageError(
            f"The loss of the {name} has no gradient for any weight of the {name}, which would never learn;"
            " take another loss or head (--set loss=..., --set discriminator.head=...)."
        )


def _untrained(players: Task, batch: Batch, progress: Progress) -> set[str]:
    """The players with weights to train of which none gets a gradient other than zero."""
    untrained = set()
    if players.discriminator is not None and not _trains(players.d_loss(batch, progress).total, players.discriminator):
        untrained.add("discriminator")
    if not _trains(players.g_loss(batch, progress).total, players.generator):
        untrained.add("generator")
    return untrained


def _trains(total: Tensor, player: nn.Module) -> bool:
    """Differentiate a loss; False if the player has weights to train and all of their gradients are zero."""
    weights = [p for p in player.parameters() if p.requires_grad]
    if not weights:
        return True  # frozen on purpose
    if not total.requires_grad:
        return False
    gradients = torch.autograd.grad(total, weights, allow_unused=True)
    return any(g is not None and bool(g.count_nonzero()) for g in gradients)
