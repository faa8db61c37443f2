"""Statistics of a player's weights and gradients around one step, without waiting for the device."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

ROUNDS = 8  # of the power iteration


def update_ratio(before: Sequence[Tensor], after: Sequence[Tensor]) -> Tensor:
    """The norm of the change that one step made, over the norm of the weights: about 0.001 in a healthy run."""
    change = torch.stack(torch._foreach_norm(torch._foreach_sub(list(after), list(before))))
    return change.norm() / torch.stack(torch._foreach_norm(list(before))).norm().clamp_min(1e-12)


def dead_unit_share(network: nn.Module) -> Tensor | None:
    """The share of units that no gradient reached in the last step: rows of weight matrices whose gradient is zero.

    Tables of embeddings have no units: a batch needs few of their rows.  None where there was no gradient at all, not
    even of a bias: the player's objective was constant, as in a warm-up.
    """
    tables = {id(part.weight) for part in network.modules() if isinstance(part, (nn.Embedding, nn.EmbeddingBag))}
    gradients = [p.grad for p in network.parameters() if p.grad is not None and id(p) not in tables]
    if not any(gradient.any() for gradient in gradients):
        return None
    rows = [gradient.flatten(1).abs().amax(1) == 0 for gradient in gradients if gradient.dim() > 1]
    return torch.cat(rows).float().mean() if rows else None


def largest_spectral_norm(module: nn.Module) -> Tensor | None:
    """The largest singular value of any weight matrix (outputs, everything else), by power iteration from below.

    Normalised weights are left out: their value is 1 whatever is stored.
    """
    norms = []
    for name, weight in module.named_parameters():
        if weight.dim() < 2 or "parametrizations" in name:
            continue
        matrix = weight.detach().flatten(1).float()
        v = torch.linspace(1, 2, matrix.shape[1], device=matrix.device).sin()  # not orthogonal to anything likely
        for _ in range(ROUNDS):
            v = normalize(matrix.t() @ (matrix @ v), dim=0)
        norms.append((matrix @ v).norm())
    return torch.stack(norms).max() if norms else None
