"""Network interpolation: weights between two models of one network."""

from dataclasses import replace

from torch import Tensor

from ..checkpoints.files import Checkpoint
from ..errors import UsageError


def interpolate(a: Checkpoint, b: Checkpoint, alpha: float) -> Checkpoint:
    """(1 - alpha) a + alpha b, tensor by tensor (Wang et al. 2018, section 3.4, equation 6).

    Raises `UsageError` if these are not two of one network.
    """
    if not 0 <= alpha <= 1:
        raise UsageError(f"--alpha must be from 0 (the first model) to 1 (the second), got {alpha}.")
    if (a.network, a.options) != (b.network, b.options):
        both = " and ".join(f"{c.network} ({', '.join(f'{k} {v}' for k, v in c.options.items())})" for c in (a, b))
        raise UsageError(f"Only weights of the same network can be interpolated, and these are {both}.")
    return replace(a, state={k: _interpolate(v, b.state[k], alpha) for k, v in a.state.items()})


def _interpolate(a: Tensor, b: Tensor, alpha: float) -> Tensor:
    """Between two tensors, in float64; whole numbers, such as batch norm's counters, are those of the first."""
    return ((1 - alpha) * a.double() + alpha * b.double()).to(a.dtype) if a.is_floating_point() else a
