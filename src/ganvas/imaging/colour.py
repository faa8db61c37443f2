"""Lab as networks take it (CIE 1976, white point D65), and colours or luma matched to another image's."""

from __future__ import annotations

import torch
from torch import Tensor

from ..policy import wide
from .channels import luma

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


def with_luma(images: Tensor, wanted: Tensor) -> Tensor:
    """(N, 3, H, W) with another luma (N, 1, H, W) and its own chroma: the same is added to red, green and blue."""
    return images + (wanted - luma(images))


def luma_matched(style: Tensor, content: Tensor) -> Tensor:
    """The luma of a style (1, C, h, w), with the mean and the deviation of a content's (Gatys et al. 2016, eq. 10).

    "Preserving color in neural artistic style transfer", section 5.
    """
    y, target = luma(style), luma(content)
    return (y - y.mean()) * (target.std() / y.std().clamp_min(1e-6)) + target.mean()


def colour_matched(style: Tensor, content: Tensor) -> Tensor:
    """A style (1, 3, h, w) with the mean and covariance of the colours of a content (1, 3, H, W).

    Roots of the covariances, symmetric as in image analogies (Gatys et al. 2016, "Preserving color", eq. 5 to 7): of
    all linear changes that reach them, it moves colours least.  Not clamped.
    """
    (mean, root), (wanted, target) = (_spread(x) for x in (style, content))
    change = target @ torch.linalg.inv(root)
    rows = change @ (style[0].flatten(1).double() - mean) + wanted
    return rows.view_as(style[0])[None].to(style)


def _spread(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (3, 1) of the colours and the symmetric root (3, 3) of their covariance, which is kept from being flat."""
    rows = x[0].flatten(1).double()
    mean = rows.mean(1, keepdim=True)
    covariance = (rows - mean) @ (rows - mean).t() / rows.shape[1]
    values, vectors = torch.linalg.eigh(covariance + 1e-6 * torch.eye(3, dtype=torch.float64))
    return mean, vectors @ values.clamp_min(1e-12).sqrt().diag() @ vectors.t()
