"""What the models of the pack are compared with: nothing here was trained by the project."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Way = Callable[[Tensor], Tensor]  # (1, C, H, W) in [-1, 1] to (1, 3, H, W)


def tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None].contiguous()


def array_of(x: Tensor) -> np.ndarray:
    """(H, W, C) float64 in [0, 1]."""
    return ((x[0].double() + 1) / 2).clamp(0, 1).permute(1, 2, 0).numpy()


def from_unit(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).float().permute(2, 0, 1)[None] * 2 - 1


def nl_means(sigma: float) -> Way:
    """Non-local means of scikit-image that is told the noise, with its documentation's settings."""
    from skimage.restoration import denoise_nl_means

    options = {"patch_size": 5, "patch_distance": 6, "channel_axis": -1, "fast_mode": True}
    return lambda x: from_unit(denoise_nl_means(array_of(x), h=0.8 * sigma, sigma=sigma, **options))


def variation(sigma: float) -> Way:
    from skimage.restoration import denoise_tv_chambolle

    return lambda x: from_unit(denoise_tv_chambolle(array_of(x), weight=sigma, channel_axis=-1))


def biharmonic(x: Tensor) -> Tensor:
    from skimage.restoration import inpaint_biharmonic

    return from_unit(inpaint_biharmonic(array_of(x[:, :3]), x[0, 3].numpy() > 0, channel_axis=-1))


def dark_channel(x: Tensor) -> Tensor:
    """Dark channel prior (He, Sun and Tang 2009) with 15x15 patches, omega 0.95, t0 0.1 and a guided filter."""
    image, pool = (x + 1) / 2, torch.nn.functional.max_pool2d
    box = torch.nn.functional.avg_pool2d

    def darkest(y: Tensor) -> Tensor:
        return -pool(-y.amin(1, keepdim=True), 15, 1, 7)

    def mean(y: Tensor) -> Tensor:
        return box(y, 41, 1, 20, count_include_pad=False)

    dark = darkest(image)
    brightest = dark.flatten().topk(max(dark.numel() // 1000, 1)).indices
    air = image.flatten(2)[0, :, brightest].mean(1).view(1, 3, 1, 1)
    rough, guide = 1 - 0.95 * darkest(image / air), image.mean(1, keepdim=True)
    slope = (mean(guide * rough) - mean(guide) * mean(rough)) / (mean(guide**2) - mean(guide) ** 2 + 1e-3)
    offset = mean(rough) - slope * mean(guide)
    light = (mean(slope) * guide + mean(offset)).clamp(0.1, 1)
    return ((image - air) / light + air).clamp(0, 1) * 2 - 1


def gamma(x: Tensor) -> Tensor:
    """The power of the levels that brings their mean to 0.45."""
    unit = ((x + 1) / 2).clamp(1e-4, 1)
    powers = torch.linspace(0.15, 1.5, 50)
    means = torch.stack([(unit**p).mean() for p in powers])
    return unit ** powers[(means - 0.45).abs().argmin()] * 2 - 1
