"""What can be told of a player from its weights and gradients around one step, without waiting for the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

ROUNDS = 8  # of the power iteration


def update_ratio(before: Sequence[Tensor], after: Sequence[Tensor]) -> Tensor:
    """How far one step moved the weights, in parts of their own length: about 0.001 in a game that goes well."""
    moved = torch.stack(torch._foreach_norm(torch._foreach_sub(list(after), list(before))))
    return moved.norm() / torch.stack(torch._foreach_norm(list(before))).norm().clamp_min(1e-12)


def dead_share(weights: Sequence[Tensor]) -> Tensor | None:
    """The share of units no gradient reached in the last step: rows of weight matrices whose gradient is all zero."""
    rows = [p.grad.flatten(1).abs().amax(1) == 0 for p in weights if p.grad is not None and p.dim() > 1]
    return torch.cat(rows).float().mean() if rows else None


def largest_spectral_norm(module: nn.Module) -> Tensor | None:
    """The largest singular value of any weight matrix (outputs, everything else), by power iteration from below.

    Weights that are normalised are passed over: theirs is 1 whatever is stored.
    """
    found = []
    for name, weight in module.named_parameters():
        if weight.dim() < 2 or "parametrizations" in name:
            continue
        matrix = weight.detach().flatten(1).float()
        v = torch.linspace(1, 2, matrix.shape[1], device=matrix.device).sin()  # not orthogonal to anything likely
        for _ in range(ROUNDS):
            v = normalize(matrix.t() @ (matrix @ v), dim=0)
        found.append((matrix @ v).norm())
    return torch.stack(found).max() if found else None
