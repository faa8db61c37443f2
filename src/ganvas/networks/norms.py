"""Normalisations beyond batch norm: of weights (spectral), by label (conditional), by a fixed batch (virtual)."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import instance_norm, normalize
from torch.nn.utils import parametrize

from ..errors import UsageError
from ..policy import full_precision
from .label_inputs import JoinImage, JoinNoise, embedding
from .layers import widened

M = TypeVar("M", bound=nn.Module)
ImageNorm = Literal["batch", "instance", "none"]

WARM_UP = 100  # power iterations before the first step; afterwards one a step follows the weights


class SpectralNorm(nn.Module):
    """A weight divided by its largest singular value, as a matrix (outputs, everything else) (Miyato et al. 2018).

    Algorithm 1: one power iteration at each look in training, none otherwise; its vectors are buffers.  In float32
    whatever surrounds it, since the value scales the whole layer.  The columns are in the order in which a
    channels-last weight lies in memory, so that nothing is copied; singular values do not depend on it.
    """

    u: Tensor  # (outputs,): the left singular vector, as far as it is known
    v: Tensor  # (everything else,): the right one

    def __init__(self, weight: Tensor, outputs: int = 0):
        super().__init__()
        self.outputs, self.eps = outputs, 1e-12  # which dimension counts the outputs; smallest divisor
        matrix = self.matrix(weight.detach())
        self.register_buffer("u", normalize(torch.randn_like(matrix[:, 0]), dim=0))
        self.register_buffer("v", normalize(torch.randn_like(matrix[0]), dim=0))
        for _ in range(WARM_UP):
            self.iterate(matrix)

    def matrix(self, weight: Tensor) -> Tensor:
        """(outputs, everything else), as float32 or wider."""
        weight = widened(weight).movedim(self.outputs, 0)
        return weight.movedim(1, -1).reshape(len(weight), -1)

    @torch.no_grad()
    def iterate(self, matrix: Tensor) -> None:
        """One power iteration (eq. in Algorithm 1: v from u, then u from v)."""
        self.v.copy_(normalize(matrix.t() @ self.u, dim=0, eps=self.eps))
        self.u.copy_(normalize(matrix @ self.v, dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        with full_precision(weight.device):
            matrix = self.matrix(weight)
            if self.training:
                self.iterate(matrix)
            # copies, because the next look changes the buffers while this one still awaits its backward
            sigma = torch.dot(self.u.clone(), matrix @ self.v.clone())
            return weight / sigma.clamp_min(self.eps)


def spectral(module: M) -> M:
    """Every convolution, linear map and embedding inside with spectral norm; returns the module.

    Call it when the weights have been initialised.  What a label is turned into at the door, or in a conditional batch
    norm, stays as it is: those are no maps of the signal, and at norm one a label would hardly be seen.
    """
    doors = [m for m in module.modules() if isinstance(m, (JoinImage, JoinNoise))]
    tables = [table for m in module.modules() if isinstance(m, ConditionalBatchNorm2d) for table in m.tables]
    exempt = {layer for part in doors + tables for layer in part.modules()}
    for layer in [m for m in module.modules() if m not in exempt]:
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)):
            outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
            parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight, outputs))
    return module


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm whose scale 1 + gain and shift follow a condition (Dumoulin et al. 2017; de Vries et al. 2017).

    The condition of (N, C, H, W) is a label, (N,) int64 through tables that begin at zero or (N, attributes) float32
    through a linear map; or a vector (N, D) through bias-free linear maps (Brock et al. 2019, appendix B).  With none
    of them it is batch norm.
    """

    gain: nn.Module
    shift: nn.Module

    def __init__(self, channels: int, *, classes: int = 0, attributes: int = 0, vector: int = 0):
        super().__init__()
        self.by_label = bool(classes or attributes)
        self.conditional = self.by_label or vector > 0
        self.norm = nn.BatchNorm2d(channels, affine=not self.conditional)
        for name in ("gain", "shift") if self.conditional else ():
            by_label = embedding(classes, attributes, channels) if self.by_label else None
            self.add_module(name, by_label or nn.Linear(vector, channels, bias=False))
        for table in self.tables:
            nn.init.zeros_(table.weight)  # type: ignore[arg-type]

    @property
    def tables(self) -> list[nn.Module]:
        """The maps from labels, if it is labels that it is conditioned on."""
        return [self.gain, self.shift] if self.by_label else []

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.norm(x)
        if not self.conditional:
            return x
        scale, shift = (1 + self.gain(condition)).to(x.dtype), self.shift(condition).to(x.dtype)
        return torch.addcmul(shift[:, :, None, None], x, scale[:, :, None, None])


class ImageBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that, when it no longer trains, goes by each image's own statistics (Isola et al. 2017, section 3).

    So with the published batch of one it does in use what it did in training; the running statistics are kept, because
    the files of others hold them, but not looked at.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        return instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


def by_image(channels: int, norm: ImageNorm) -> nn.Module:
    """The normalisation of a network from images to images: `batch`, `instance` (without weights) or none."""
    if norm == "none":
        return nn.Identity()
    return ImageBatchNorm2d(channels) if norm == "batch" else nn.InstanceNorm2d(channels)


class Reference(nn.Module):
    """The batch that virtual batch norm refers to: the first one seen in training, kept among the weights.

    In front of every batch it is handed on, so that it passes through the same layers; `size` rows come back out first
    and are no result.  Several processes take the first rows of what they have together.
    """

    input: Tensor  # (size, ...)
    label: Tensor | None  # (size,) int64, or (size, D) float32
    chosen: Tensor  # bool: has the batch been seen?  Until then it is noise

    def __init__(self, size: int, shape: tuple[int, ...], *, classes: int = 0, attributes: int = 0):
        super().__init__()
        if size < 1:
            raise UsageError(f"The reference batch of virtual batch norm has at least 1 image, got {size}.")
        self.size, self.settled = size, False  # settled: known to be chosen, without asking the device
        label = torch.zeros(size, dtype=torch.int64) if classes else torch.zeros(size, attributes)
        self.register_buffer("input", torch.randn(size, *shape))
        self.register_buffer("label", label if classes or attributes else None)
        self.register_buffer("chosen", torch.tensor(False))

    def forward(self, x: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """A batch with the reference in front of it."""
        if self.training and not self.settled:
            # in a compiled run only: `torch.compiler.disable` imports torch._dynamo, which takes seconds
            choose = torch.compiler.disable(self._choose) if torch.compiler.is_compiling() else self._choose
            choose(x, label)
        joined = torch.cat([self.input.to(x.dtype), x])
        return joined, label if self.label is None or label is None else torch.cat([self.label, label])

    @torch.no_grad()
    def _choose(self, x: Tensor, label: Tensor | None) -> None:
        if not self.chosen.item():
            for mine, seen in ((self.input, x), (self.label, label)):
                if mine is not None and seen is not None:
                    whole = _of_all_processes(seen.detach().to(mine.dtype))
                    mine.copy_(whole[torch.arange(self.size, device=whole.device) % len(whole)])
            self.chosen.fill_(True)
        self.settled = True

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.settled = False  # what was loaded may be from before the first step


def _of_all_processes(rows: Tensor) -> Tensor:
    """The rows of every process that trains along, in their order."""
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


class VirtualBatchNorm2d(nn.Module):
    """Batch norm by a fixed reference batch and the example itself, never its neighbours (Salimans et al. 2016).

    The first `reference` rows of (reference + N, C, H, W) are the reference batch, see `Reference`; they are normalised
    by their own statistics, every other row by those of the reference batch plus that row (section 3.4), per
    channel over rows, height and width, in float32.
    """

    def __init__(self, channels: int, reference: int):
        super().__init__()
        self.reference, self.eps = reference, 1e-5
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        size, wide = self.reference, widened(x)
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
