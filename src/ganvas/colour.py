"""Lab as networks take it: lightness and chroma of a picture, each in about [-1, 1] (CIE 1976, white point D65)."""

from __future__ import annotations

import torch
from torch import Tensor

from .policy import wide

CHROMA = 110.0  # a and b of sRGB lie in -86.2..98.2 and -107.9..94.5


def to_lab(images: Tensor) -> Tensor:
    """(N, 3, H, W) sRGB in [-1, 1] to (N, 3, H, W): L / 50 - 1, a / 110, b / 110."""
    from kornia.color import rgb_to_lab

    lab = rgb_to_lab(wide(images).add(1).div(2))
    return torch.cat([lab[:, :1] / 50 - 1, lab[:, 1:] / CHROMA], 1)


def coloured(lightness: Tensor, chroma: Tensor) -> Tensor:
    """Lightness (N, 1, H, W) and chroma (N, 2, H, W), as `to_lab` gives them, to sRGB (N, 3, H, W) in [-1, 1]."""
    return from_lab(torch.cat([wide(lightness), wide(chroma)], 1))


def from_lab(lab: Tensor) -> Tensor:
    """The inverse of `to_lab`; colours that sRGB has not are clamped to [-1, 1]."""
    from kornia.color import lab_to_rgb

    lab = wide(lab)
    return lab_to_rgb(torch.cat([(lab[:, :1] + 1) * 50, lab[:, 1:] * CHROMA], 1)).mul(2).sub(1)
