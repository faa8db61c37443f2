"""Lab as networks take it (CIE 1976, white point D65), and colours or luma matched to another image's."""

import torch
from torch import Tensor

from ..policy import wide
from .channels import luma

CHROMA = 110.0  # a and b of sRGB lie in -86.2..98.2 and -107.9..94.5


def to_lab(images: Tensor) -> Tensor:
    """Convert sRGB (N, 3, H, W) in [-1, 1] to Lab (N, 3, H, W): L / 50 - 1, a / 110, b / 110."""
    from kornia.color import rgb_to_lab

    lab = rgb_to_lab(wide(images).add(1).div(2))
    return torch.cat([lab[:, :1] / 50 - 1, lab[:, 1:] / CHROMA], 1)


def merge_lab(lightness: Tensor, chroma: Tensor) -> Tensor:
    """Combine lightness (N, 1, H, W) and chroma (N, 2, H, W) of `to_lab` to sRGB (N, 3, H, W) in [-1, 1]."""
    return from_lab(torch.cat([wide(lightness), wide(chroma)], 1))


def from_lab(lab: Tensor) -> Tensor:
    """Convert Lab of `to_lab` to sRGB (N, 3, H, W); colours outside sRGB are clamped to [-1, 1]."""
    from kornia.color import lab_to_rgb

    lab = wide(lab)
    return lab_to_rgb(torch.cat([(lab[:, :1] + 1) * 50, lab[:, 1:] * CHROMA], 1)).mul(2).sub(1)


def with_luma(images: Tensor, target: Tensor) -> Tensor:
    """Replace the luma of images (N, 3, H, W) by `target` (N, 1, H, W), adding the same to red, green and blue."""
    return images + (target - luma(images))


def match_luma(style: Tensor, content: Tensor) -> Tensor:
    """Luma of a style (1, C, h, w) with the mean and the deviation of a content's luma.

    Gatys et al. 2016, "Preserving color in neural artistic style transfer", section 5, equation 10.
    """
    y, target = luma(style), luma(content)
    return (y - y.mean()) * (target.std() / y.std().clamp_min(1e-6)) + target.mean()


def match_colours(style: Tensor, content: Tensor) -> Tensor:
    """Style (1, 3, h, w) with the mean and covariance of the colours of a content (1, 3, H, W); not clamped.

    The roots of the covariances are symmetric, as in image analogies (Gatys et al. 2016, "Preserving color", equations
    5 to 7): of all linear changes with this result it moves colours least.
    """
    (style_mean, style_root), (content_mean, content_root) = (_colour_moments(x) for x in (style, content))
    change = content_root @ torch.linalg.inv(style_root)
    rows = change @ (style[0].flatten(1).double() - style_mean) + content_mean
    return rows.view_as(style[0])[None].to(style)


def _colour_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (3, 1) of the colours and the symmetric root (3, 3) of their covariance, regularized by 1e-6."""
    rows = x[0].flatten(1).double()
    mean = rows.mean(1, keepdim=True)
    covariance = (rows - mean) @ (rows - mean).t() / rows.shape[1]
    values, vectors = torch.linalg.eigh(covariance + 1e-6 * torch.eye(3, dtype=torch.float64))
    return mean, vectors @ values.clamp_min(1e-12).sqrt().diag() @ vectors.t()
