"""The peak signal-to-noise ratio; channel and border, as every metric over pixels takes them."""

from typing import Literal

import torch
from torch import Tensor

from ..errors import UsageError
from ..imaging.channels import on_white

Channel = Literal["rgb", "y"]
LUMA = (65.481, 128.553, 24.966)  # BT.601 for R, G, B in [0, 1], from 16 to 235


def luma(images: Tensor) -> Tensor:
    """Y of BT.601 as published super-resolution measures it: (N, 3, H, W) in [0, 255] to (N, 1, H, W), 16 to 235."""
    weights = torch.tensor(LUMA, dtype=images.dtype, device=images.device)
    return (images * weights[:, None, None]).sum(1, keepdim=True) / 255 + 16


def crop_channel(a: Tensor, b: Tensor, channel: Channel, border: int) -> tuple[Tensor, Tensor]:
    """Both images (N, C, H, W) in [0, 255] as float64, in the channel to measure and without their borders.

    The Y of grey images is that of the same in colour, so that how a file keeps its grey changes no number;
    transparent images are composited on white.  Raises `UsageError` for different shapes, or a border that leaves
    nothing.
    """
    if a.shape != b.shape:
        raise UsageError(f"Only images of one shape can be compared, got {tuple(a.shape)} and {tuple(b.shape)}.")
    if border < 0 or min(a.shape[2:]) <= 2 * border:
        raise UsageError(
            f"A border of {border} pixels leaves nothing of {a.shape[3]}x{a.shape[2]}; give a smaller --border."
        )
    images = [on_white(x.double(), 0.0, 255.0) for x in (a, b)]
    if channel == "y":
        images = [luma(x.expand(-1, 3, -1, -1)) for x in images]
    inside = slice(border, -border or None)
    return images[0][:, :, inside, inside], images[1][:, :, inside, inside]


def psnr(a: Tensor, b: Tensor, *, channel: Channel = "rgb", border: int = 0) -> Tensor:
    """10 log10(255^2 / mean squared error) in dB of each two images (N, C, H, W) in [0, 255]: (N,); inf if equal."""
    a, b = crop_channel(a, b, channel, border)
    return 10 * torch.log10(255.0**2 / (a - b).square().flatten(1).mean(1))
