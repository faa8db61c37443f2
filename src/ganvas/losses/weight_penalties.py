"""Penalties and constraints on the weights of either player."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..config import Spec
from ..errors import UsageError
from ..game import Match, Progress
from ..schedule import as_schedule
from .gradient_penalties import Penalty

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def trainable_weights(net: nn.Module | None) -> Iterator[nn.Parameter]:
    """The weights that the player trains, without frozen ones."""
    assert net is not None, "a penalty on weights needs match.net"
    return (p for p in net.parameters() if p.requires_grad)


class WeightClipping(Penalty):
    """Weight clipping: every weight clamped to [-bound, bound] before each update (Arjovsky et al. 2017, algorithm 1).

    All of them, as in the authors' code: biases and the scales of norms too.
    """

    def __init__(
        self,
        *,
        bound: float = 0.01,  # largest absolute value of a weight
    ):
        super().__init__()
        if bound <= 0:
            raise UsageError(f"Weights are clipped to a positive bound, not {bound:g}.")
        self.bound = bound

    @torch.no_grad()
    def constrain(self, net: nn.Module) -> None:
        for weight in trainable_weights(net):
            weight.clamp_(-self.bound, self.bound)

    def forward(self, match: Match, progress: Progress) -> None:
        return None


class OrthogonalRegularisation(Penalty):
    """Orthogonal regularisation: beta |W W^T o (1 - I)|^2 of every weight matrix W (Brock et al. 2019, eq. 3).

    Summed over all weights of two dimensions and more, whose rows (filters, one per output) become orthogonal.  The
    value is the paper's; the gradient in the authors' code is half of its derivative.
    """

    def __init__(
        self,
        *,
        weight: float | Spec = 1e-4,  # the paper's beta, or a schedule of it
    ):
        super().__init__()
        self.weight = as_schedule(weight)

    def forward(self, match: Match, progress: Progress) -> Tensor:
        assert match.net is not None
        transposed = {p for m in match.net.modules() if isinstance(m, TRANSPOSED) for p in m.parameters()}
        weights = [p for p in trainable_weights(match.net) if p.ndim >= 2]
        matrices = [(p.transpose(0, 1) if p in transposed else p).flatten(1) for p in weights]
        return self.weight(progress.fraction) * torch.stack([overlap(w) for w in matrices]).sum()


def overlap(w: Tensor) -> Tensor:
    """Sum of the squared inner products of different rows of (O, I)."""
    if len(w) <= w.shape[1]:
        products = w @ w.t()
        return (products - products.diagonal().diag()).square().sum()
    # more rows than columns: W^T W has the same norm as W W^T and is smaller
    return (w.t() @ w).square().sum() - w.square().sum(1).square().sum()


class HistoricalAveraging(Penalty):
    """Historical averaging: |theta - mean of theta so far|^2 of the weights (Salimans et al. 2016, section 3.3).

    The mean is over the weights before each of the player's updates, the present ones included.  The paper gives no
    weight; the default is our own.
    """

    mean: Tensor
    count: Tensor

    def __init__(
        self,
        *,
        weight: float | Spec = 1e-3,  # or a schedule of it
    ):
        super().__init__()
        self.weight = as_schedule(weight)
        self.register_buffer("mean", torch.zeros(0))  # of all weights in a row, once they are known
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def constrain(self, net: nn.Module) -> None:
        present = flatten_weights(net)
        if not self.mean.numel():
            self.mean = torch.zeros_like(present)
        self.count += 1
        self.mean += (present - self.mean) / self.count

    def forward(self, match: Match, progress: Progress) -> Tensor:
        return self.weight(progress.fraction) * (flatten_weights(match.net) - self.mean).square().sum()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Give the buffer the size of the saved mean."""
        if f"{prefix}mean" in state_dict:
            self.mean = self.mean.new_zeros(state_dict[f"{prefix}mean"].shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def flatten_weights(net: nn.Module | None) -> Tensor:
    """All trained weights as one vector."""
    return torch.cat([p.reshape(-1) for p in trainable_weights(net)])
