"""What the networks that enlarge images share: their scales, their ranges, sizes that do not divide.

Every image inside is in [-1, 1].  The published weights of most of these networks expect [0, 1], and convolutions pad
with zeros, so a network converts at its own two doors and its weights stay those of the files that people have.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from .layers import widened

SCALES = (1, 2, 3, 4, 8)


def doublings(scale: int) -> list[int]:
    """The steps in which an image is enlarged: 2 as often as needed, or 3 once; raises `UsageError` for others."""
    if scale not in SCALES:
        raise UsageError(f"Images are enlarged {', '.join(map(str, SCALES[:-1]))} or 8 times, not {scale}.")
    return [3] if scale == 3 else [2] * int(math.log2(scale))


def unit(x: Tensor) -> Tensor:
    """[-1, 1] as [0, 1]."""
    return widened(x) * 0.5 + 0.5


def signed(x: Tensor) -> Tensor:
    """[0, 1] as [-1, 1], in float32 at least: a bf16 image would have 8 bits less one."""
    return widened(x) * 2 - 1


def padded(x: Tensor, multiple: int) -> Tensor:
    """(N, C, H, W) with rows below and columns at the right, mirrored, until both sides divide by `multiple`.

    Where there is too little to mirror, the last row or column is repeated.
    """
    below, right = (-side % multiple for side in x.shape[2:])
    if not below and not right:
        return x
    mirrored = below < x.shape[2] and right < x.shape[3]
    return F.pad(x, (0, right, 0, below), mode="reflect" if mirrored else "replicate")


def scaled_kaiming(*layers: nn.Conv2d, scale: float = 0.1) -> None:
    """Kaiming's normal weights for rectifiers times `scale`, no bias: residues begin small (Wang et al. 2018, 3.1)."""
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight)
        layer.weight.data *= scale
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
