"""Measures of restored images against their originals, file by file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..features.extractor import rgb
from ..metrics.lpips import lpips as published_lpips
from ..metrics.psnr import psnr as psnr_of
from ..metrics.ssim import ms_ssim as ms_ssim_of
from ..metrics.ssim import ssim as ssim_of
from .comparison import Numbers, Question
from .matching import Pair, levels, pairs

Measure = Callable[[Tensor, Tensor], float]


def psnr(ask: Question) -> Numbers:
    """Peak signal-to-noise ratio in dB, the mean over images."""
    o = ask.options
    return in_pixels("psnr", ask, lambda a, b: psnr_of(a, b, channel=o.channel, border=o.border).item())


def ssim(ask: Question) -> Numbers:
    """Structural similarity, Gaussian window 11x11 (Wang et al. 2004), the mean over images."""
    o = ask.options
    return in_pixels("ssim", ask, lambda a, b: ssim_of(a, b, channel=o.channel, border=o.border).item())


def ms_ssim(ask: Question) -> Numbers:
    """Structural similarity over five scales (Wang et al. 2003), the mean over images."""
    o = ask.options

    def measure(a: Tensor, b: Tensor) -> float:
        return ms_ssim_of(a, b, channel=o.channel, border=o.border, scales=o.scales).item()

    return {**in_pixels("ms_ssim", ask, measure), "scales": o.scales}


def lpips(ask: Question) -> Numbers:
    """Perceptual distance in the maps of VGG-16 (Zhang et al. 2018), the mean over images."""
    network, border = published_lpips(), ask.options.border

    def measure(a: Tensor, b: Tensor) -> float:
        inside = slice(border, -border or None)
        a, b = (rgb(x[..., inside, inside].float() / 127.5 - 1) for x in (a, b))
        return float(network(a, b))

    found = each(ask, measure)
    return {"lpips": mean(found), "network": "vgg16", "version": "0.1", "border": border, **counted(ask, found)}


def in_pixels(name: str, ask: Question, measure: Measure) -> Numbers:
    """A measure over every pair, with its channel and border."""
    found = each(ask, measure)
    said = {"channel": ask.options.channel, "border": ask.options.border}
    return {name: mean(found), **said, **counted(ask, found)}


def counted(ask: Question, found: dict[str, float]) -> dict[str, Any]:
    """What every pairwise number says: how many images, which sides, and each image's own value."""
    return {"images": len(found), "real": str(ask.a), "fake": str(ask.b), "each": found}


def mean(found: dict[str, float]) -> float:
    """The mean over images; infinite where a pair is equal."""
    return sum(found.values()) / len(found)


def each(ask: Question, measure: Measure) -> dict[str, float]:
    """The measure of every pair by name; raises `UsageError` for images that differ in size or channels."""
    if ask.b is None or not all(isinstance(side, str | Path) for side in (ask.a, ask.b)):
        raise UsageError("This measure compares two folders of images (or two images): give A and B.")
    a, b = (Path(str(side)).expanduser() for side in (ask.a, ask.b))
    return {pair[0]: measure(*both(pair)) for pair in pairs(a, b)}


def both(pair: Pair) -> tuple[Tensor, Tensor]:
    """A pair as (1, C, H, W) float64 in [0, 255]; grey beside colour is grey three times."""
    name, a, b = pair
    x, y = levels(a), levels(b)
    if {x.shape[2], y.shape[2]} == {1, 3}:
        x, y = (np.repeat(v, 3, 2) if v.shape[2] == 1 else v for v in (x, y))
    if x.shape != y.shape:
        shapes = [f"{v.shape[1]}x{v.shape[0]} with {v.shape[2]} channel(s)" for v in (x, y)]
        raise UsageError(f"{name} is {shapes[0]} in A and {shapes[1]} in B; only equal shapes can be compared.")
    return tuple(torch.from_numpy(v).permute(2, 0, 1)[None] for v in (x, y))  # type: ignore[return-value]
