"""Normalisations beyond batch norm: of weights (spectral), by label (conditional), by image."""

from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import instance_norm, normalize
from torch.nn.utils import parametrize

from ..policy import full_precision
from .label_inputs import JoinImage, JoinNoise, embedding
from .layers import Init, initialise, raw_weight, to_float32

M = TypeVar("M", bound=nn.Module)
ImageNorm = Literal["batch", "batch_running", "instance", "none"]

WARM_UP = 100  # power iterations before the first step; then one a step


class SpectralNorm(nn.Module):
    """A weight divided by its largest singular value, as a matrix (outputs, everything else) (Miyato et al. 2018).

    Algorithm 1: one power iteration at each forward in training, none otherwise; its vectors are buffers.  In float32
    even under autocast, since the value scales the whole layer.  The columns are in the order in which a
    channels-last weight lies in memory, so that nothing is copied; singular values do not depend on it.
    """

    u: Tensor  # (outputs,): estimate of the left singular vector
    v: Tensor  # (everything else,): of the right one

    def __init__(self, weight: Tensor, outputs: int = 0):
        super().__init__()
        self.outputs, self.eps = outputs, 1e-12  # which dimension counts the outputs; smallest divisor
        self.begin(weight.detach())

    def begin(self, weight: Tensor) -> None:
        """Estimate the singular vectors of a weight, from random ones on."""
        matrix = self.matrix(weight)
        self.register_buffer("u", normalize(torch.randn_like(matrix[:, 0]), dim=0))
        self.register_buffer("v", normalize(torch.randn_like(matrix[0]), dim=0))
        for _ in range(WARM_UP):
            self.iterate(matrix)

    def matrix(self, weight: Tensor) -> Tensor:
        """(outputs, everything else), as float32 or wider."""
        weight = to_float32(weight).movedim(self.outputs, 0)
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
            # copies: the next forward changes the buffers while this one still awaits its backward
            sigma = torch.dot(self.u.clone(), matrix @ self.v.clone())
            return weight / sigma.clamp_min(self.eps)


def spectral(module: M) -> M:
    """Apply spectral norm to every convolution, linear map and embedding inside, once initialised; returns the module.

    Label embeddings at the input and in conditional batch norms are exempt: they are no maps of the signal, and at norm
    one a label would hardly count.
    """
    inputs = [m for m in module.modules() if isinstance(m, (JoinImage, JoinNoise))]
    tables = [table for m in module.modules() if isinstance(m, ConditionalBatchNorm2d) for table in m.tables]
    exempt = {layer for part in inputs + tables for layer in part.modules()}
    for layer in [m for m in module.modules() if m not in exempt]:
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)):
            outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
            parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight, outputs))
    return module


def initialise_normalised(module: M, init: Init | None) -> M:
    """Initialise a network whose layers have their spectral norm; returns the module, for None as it is.

    The estimates of the singular vectors begin anew.
    """
    if init is None:
        return module
    initialise(module, init)
    layer: Any
    for layer in module.modules():
        if parametrize.is_parametrized(layer, "weight"):
            for norm in layer.parametrizations.weight:
                norm.begin(raw_weight(layer).detach())
    return module


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm whose scale 1 + gain and shift follow a condition (Dumoulin et al. 2017; de Vries et al. 2017).

    The condition of (N, C, H, W) is a label, (N,) int64 through tables of zeros at first or (N, attributes) float32
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
        """The maps from labels, if the condition is a label."""
        return [self.gain, self.shift] if self.by_label else []

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.norm(x)
        if not self.conditional:
            return x
        scale, shift = (1 + self.gain(condition)).to(x.dtype), self.shift(condition).to(x.dtype)
        return torch.addcmul(shift[:, :, None, None], x, scale[:, :, None, None])


class ImageBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that in evaluation uses each image's own statistics (Isola et al. 2017, section 3).

    With the published batch of one, evaluation so equals training; after larger batches it does not (`batch_running` of
    `image_norm`).  The running statistics are kept, because published files hold them, but unused.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        return instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


def image_norm(channels: int, norm: ImageNorm) -> nn.Module:
    """The norm layer of an image-to-image network, by name.

    `batch`: evaluated by each image's own statistics, for training with batches of one; `batch_running`: by the running
    statistics, for larger batches; `instance`: without weights; or none.
    """
    if norm == "none":
        return nn.Identity()
    kinds = {"batch": ImageBatchNorm2d, "batch_running": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}
    return kinds[norm](channels)


def has_shift(norm: ImageNorm) -> bool:
    """True if a norm has a learned shift, so that the layer before it needs no bias."""
    return norm in ("batch", "batch_running")
