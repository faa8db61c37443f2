"""Shared parts of super-resolution networks: scales, value ranges, padding.

Every image inside is in [-1, 1].  The published weights of most of these networks expect [0, 1], and convolutions pad
with zeros, so a network converts its input and output, and its weights stay those of published files.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from .layers import to_float32

SCALES = (1, 2, 3, 4, 8)


def upsampling_steps(scale: int) -> list[int]:
    """The factors of the upsampling steps: 2 as often as needed, or 3 once; raises `UsageError` for other scales."""
    if scale not in SCALES:
        raise UsageError(f"Images are enlarged {', '.join(map(str, SCALES[:-1]))} or 8 times, not {scale}.")
    return [3] if scale == 3 else [2] * int(math.log2(scale))


def to_unit(x: Tensor) -> Tensor:
    """Map [-1, 1] to [0, 1]."""
    return to_float32(x) * 0.5 + 0.5


def from_unit(x: Tensor) -> Tensor:
    """Map [0, 1] to [-1, 1], in float32 at least: a bf16 image would have 8 bits less one."""
    return to_float32(x) * 2 - 1


def reflect_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad (N, C, H, W) by reflection, below and at the right, to sides that `multiple` divides.

    An image too small for reflection is padded by repeating the last row or column.
    """
    below, right = (-side % multiple for side in x.shape[2:])
    exported = torch.compiler.is_exporting()  # its graph holds for every size that reflection allows
    if not exported and not below and not right:
        return x
    mirrored = exported or (below < x.shape[2] and right < x.shape[3])
    return F.pad(x, (0, right, 0, below), mode="reflect" if mirrored else "replicate")


def init_kaiming(*layers: nn.Conv2d, scale: float = 0.1) -> None:
    """Initialise with Kaiming's weights times `scale` and zero bias: residuals begin small (Wang et al. 2018, 3.1)."""
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight)
        layer.weight.data *= scale
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
