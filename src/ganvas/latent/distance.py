"""Distances between images one by one: pixels, and the maps of a frozen network, both with gradients."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checkpoints import download as weights
from ..features.extractor import load_network, rgb
from ..metrics.lpips import lpips, normalize

PerceptualNetwork = Literal["pocket", "vgg16", "vgg19"]
VGG_TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
TAPS = {"pocket": ("relu1", "relu2", "relu3", "relu4"), "vgg16": VGG_TAPS, "vgg19": VGG_TAPS}
LEAST = 32  # pixels: smaller images are enlarged to this shorter side


class PerceptualDistance:
    """Perceptual distances of images (N, C, H, W) in [-1, 1], pair by pair: (N,), 0 for equal images.

    Equation 1 of Zhang et al. 2018 (LPIPS) with unit weights in place of those fitted to human answers: maps are
    normalised over channels, squared differences averaged over places, summed over channels and layers.  Images with
    a shorter side under 32 pixels are enlarged to it.
    """

    def __init__(self, network: PerceptualNetwork = "pocket"):
        self.name, self.taps = network, TAPS[network]
        self.network = load_network(network).requires_grad_(False).eval()

    def maps(self, images: Tensor) -> list[Tensor]:
        """The normalised maps of images."""
        images = enlarge(rgb(images))
        maps = self.network.to(images.device).maps(images, self.taps)  # type: ignore[operator]
        return [normalize(maps[name]) for name in self.taps]

    def between(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
        """The distances of images whose maps these are: (N,)."""
        return torch.stack([(x - y).square().sum(1).mean((1, 2)) for x, y in zip(a, b)]).sum(0)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return self.between(self.maps(a), self.maps(b))


def enlarge(images: Tensor) -> Tensor:
    """Images (N, C, H, W) with a shorter side of at least 32 pixels, smaller ones resized to it, antialiased."""
    height, width = images.shape[2:]
    if (least := min(height, width)) >= LEAST:
        return images
    size = (round(height * LEAST / least), round(width * LEAST / least))
    return interpolate(images, size, mode="bicubic", align_corners=False, antialias=True)


def report_distance(a: Tensor, b: Tensor) -> tuple[Tensor, str]:
    """LPIPS of images pair by pair, (N,), where its weights are here; else over the embedded network; and its name."""
    if all((weights.folder() / weights.FILES[name].file).is_file() for name in ("lpips", "vgg16")):
        return lpips()(enlarge(rgb(a)), enlarge(rgb(b))).cpu(), "LPIPS 0.1 over vgg16"
    with torch.no_grad():
        return PerceptualDistance("pocket")(a, b).cpu(), "LPIPS with unit weights over pocket"
