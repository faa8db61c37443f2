"""Metrics of restored images against their originals, file by file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..features.extractor import rgb
from ..metrics import lpips as published
from ..metrics import psnr as pixels
from ..metrics import ssim as structure
from ..metrics.psnr import Channel
from ..paths import user_path
from .comparison import FilePairs, ImagePairs, Natural, Numbers, Positive, metric
from .matching import Pair, levels, pairs

PairMetric = Callable[[Tensor, Tensor], Tensor]  # images (1, C, H, W) in [0, 255] to one number


@metric(more=("psnr",), tables=("per_image",))
def psnr(
    c: FilePairs,
    *,
    channel: Channel = "rgb",  # rgb, or y: the luma of BT.601
    border: Natural = 0,  # pixels cropped from every side
) -> Numbers:
    """Peak signal-to-noise ratio in dB, the mean over images."""
    values = per_image(c, lambda a, b: pixels.psnr(a, b, channel=channel, border=border))
    return {"psnr": mean(values), "channel": channel, "border": border, **protocol(c, values)}


@metric(more=("ssim",), tables=("per_image",))
def ssim(
    c: FilePairs,
    *,
    channel: Channel = "rgb",  # rgb, or y: the luma of BT.601
    border: Natural = 0,  # pixels cropped from every side
) -> Numbers:
    """Structural similarity, Gaussian window 11x11 (Wang et al. 2004), the mean over images."""
    values = per_image(c, lambda a, b: structure.ssim(a, b, channel=channel, border=border))
    return {"ssim": mean(values), "channel": channel, "border": border, **protocol(c, values)}


@metric(more=("ms_ssim",), tables=("per_image",))
def ms_ssim(
    c: FilePairs,
    *,
    channel: Channel = "rgb",  # rgb, or y: the luma of BT.601
    border: Natural = 0,  # pixels cropped from every side
    scales: Positive = 5,  # 1 to 5; five need 176 pixels a side
) -> Numbers:
    """Structural similarity over five scales (Wang et al. 2003), the mean over images."""
    values = per_image(c, lambda a, b: structure.ms_ssim(a, b, channel=channel, border=border, scales=scales))
    return {
        "ms_ssim": mean(values),
        "channel": channel,
        "border": border,
        **protocol(c, values),
        "scales": scales,
        "odd_sides": structure.ODD_SIDES,
    }


@metric(less=("lpips",), tables=("per_image",))
def lpips(
    c: FilePairs,
    *,
    border: Natural = 0,  # pixels cropped from every side
) -> Numbers:
    """Perceptual distance in the maps of VGG-16 (Zhang et al. 2018), the mean over images."""
    network, inside = published.lpips(), slice(border, -border or None)

    def distance(a: Tensor, b: Tensor) -> Tensor:
        x, y = (rgb(images[..., inside, inside].float() / 127.5 - 1) for images in (a, b))
        return network(x, y)

    values = per_image(c, distance)
    return {"lpips": mean(values), "network": "vgg16", "version": "0.1", "border": border, **protocol(c, values)}


def protocol(c: FilePairs, values: dict[str, float]) -> Numbers:
    """The protocol of a metric over pairs: the number of images, both sides, and the value of each image."""
    return {"images": len(values), "real": str(c.a), "fake": str(c.b), "per_image": values}


def mean(values: dict[str, float]) -> float:
    """The mean over images; infinite if the images of a pair are equal."""
    return sum(values.values()) / len(values)


def per_image(c: FilePairs, measure: PairMetric) -> dict[str, float]:
    """The metric of every pair by name; raises `UsageError` for images that differ in size or channels."""
    if isinstance(c, ImagePairs):
        return {name: float(measure(a, b)) for name, a, b in c.images}
    if c.b is None or not all(isinstance(side, str | Path) for side in (c.a, c.b)):
        raise UsageError("This measure compares two folders of images (or two images): give A and B.")
    a, b = (user_path(str(side)) for side in (c.a, c.b))
    return {pair[0]: float(measure(*tensors(pair))) for pair in pairs(a, b)}


def tensors(pair: Pair) -> tuple[Tensor, Tensor]:
    """A pair as (1, C, H, W) float64 in [0, 255]; a grey image beside a colour image gets three equal channels."""
    name, a, b = pair
    x, y = levels(a), levels(b)
    if {x.shape[2], y.shape[2]} == {1, 3}:
        x, y = (np.repeat(v, 3, 2) if v.shape[2] == 1 else v for v in (x, y))
    if x.shape != y.shape:
        shapes = [f"{v.shape[1]}x{v.shape[0]} with {v.shape[2]} channel(s)" for v in (x, y)]
        raise UsageError(
            f"{name} is {shapes[0]} in A and {shapes[1]} in B; only equal shapes can be compared: resize one."
        )
    first, second = (torch.from_numpy(v).permute(2, 0, 1)[None] for v in (x, y))
    return first, second
