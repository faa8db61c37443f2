"""Virtual batch norm (Salimans et al. 2016): every example is normalised with a fixed reference batch."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import UsageError
from .layers import to_float32


class ReferenceBatch(nn.Module):
    """The reference batch of virtual batch norm: the first batch in training, saved with the weights.

    It is prepended to every batch, so that it passes through the same layers; the first `size` rows of an output belong
    to it.  Several processes take the first rows of their batches together.
    """

    input: Tensor  # (size, ...)
    label: Tensor | None  # (size,) int64, or (size, D) float32
    chosen: Tensor  # bool: set with the first batch; until then the reference is noise

    def __init__(self, size: int, shape: tuple[int, ...], *, classes: int = 0, attributes: int = 0):
        super().__init__()
        if size < 1:
            raise UsageError(f"The reference batch of virtual batch norm has at least 1 image, got {size}.")
        self.size, self.ready = size, False  # ready: known to be chosen, without asking the device
        label = torch.zeros(size, dtype=torch.int64) if classes else torch.zeros(size, attributes)
        self.register_buffer("input", torch.randn(size, *shape))
        self.register_buffer("label", label if classes or attributes else None)
        self.register_buffer("chosen", torch.tensor(False))

    def forward(self, x: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The reference and the batch, concatenated."""
        if self.training and not self.ready:
            # in a compiled run only: `torch.compiler.disable` imports torch._dynamo, which takes seconds
            choose = torch.compiler.disable(self._choose) if torch.compiler.is_compiling() else self._choose
            choose(x, label)
        joined = torch.cat([self.input.to(x.dtype), x])
        return joined, label if self.label is None or label is None else torch.cat([self.label, label])

    @torch.no_grad()
    def _choose(self, x: Tensor, label: Tensor | None) -> None:
        if not self.chosen.item():
            for buffer, rows in ((self.input, x), (self.label, label)):
                if buffer is not None and rows is not None:
                    whole = _gather(rows.detach().to(buffer.dtype))
                    buffer.copy_(whole[torch.arange(self.size, device=whole.device) % len(whole)])
            self.chosen.fill_(True)
        self.ready = True

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.ready = False  # the state may be from before the first step


def _gather(rows: Tensor) -> Tensor:
    """The rows of all processes, by rank."""
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


class VirtualBatchNorm2d(nn.Module):
    """Batch norm by a fixed reference batch and the example itself, never its neighbours (Salimans et al. 2016).

    The first `reference` rows of (reference + N, C, H, W) are the `ReferenceBatch`; they are normalised
    by their own statistics, every other row by those of the reference batch plus that row (section 3.4), per
    channel over rows, height and width, in float32.
    """

    def __init__(self, channels: int, reference: int):
        super().__init__()
        self.reference, self.eps = reference, 1e-5
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        size, wide = self.reference, to_float32(x)
        own_variance, own_mean = torch.var_mean(wide, (2, 3), correction=0)  # (reference + N, C)
        mean = own_mean[:size].mean(0)
        variance = (own_variance[:size] + (own_mean[:size] - mean).square()).mean(0)
        # the union's variance is the mean of the parts' variances and of their squared distances from its mean
        share = 1 / (size + 1)
        distance = own_mean[size:] - mean
        union_mean = mean + share * distance
        union_variance = torch.lerp(variance, own_variance[size:], share) + share * (1 - share) * distance.square()
        mean = torch.cat([mean.expand(size, -1), union_mean])
        scale = self.weight * (torch.cat([variance.expand(size, -1), union_variance]) + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return torch.addcmul(shift[:, :, None, None], wide, scale[:, :, None, None]).to(x.dtype)
