"""LPIPS: the distance of two images in the maps of a VGG, weighted by channel."""

import torch
from torch import Tensor, nn

from ..checkpoints import download as weights
from ..errors import UsageError, UserError
from ..features.extractor import vgg

TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # for images in [-1, 1]
EPS = 1e-10
LEAST = 16  # pixels a side: the last map is a sixteenth


class LPIPS(nn.Module):
    """LPIPS 0.1 over VGG-16 (Zhang et al. 2018, eq. 1): images (N, 3, H, W) in [-1, 1], 16 pixels a side at least.

    Maps are normalised over channels, their squared differences weighted by the published layers and averaged over
    places, and the five taps are added up: (N,), 0 for equal images.  `linear` are the five weights (C,).
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, linear: list[Tensor]):
        super().__init__()
        self.network = network
        for k, weight in enumerate(linear):
            self.register_buffer(f"linear{k}", weight.reshape(1, -1, 1, 1).float())
        self.register_buffer("shift", torch.tensor(SHIFT).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(3, 1, 1))

    @torch.inference_mode()
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        if a.shape != b.shape or min(a.shape[2:]) < LEAST:
            sizes = " and ".join(f"{x.shape[3]}x{x.shape[2]}" for x in (a, b))
            raise UsageError(f"LPIPS compares images of one size, of {LEAST} pixels a side at least, got {sizes}.")
        total = torch.zeros(len(a), device=a.device)
        for k, (x, y) in enumerate(zip(self._maps(a), self._maps(b))):
            difference = (normalize(x) - normalize(y)).square() * self.get_buffer(f"linear{k}")
            total = total + difference.sum(1).mean((1, 2))
        return total

    def _maps(self, x: Tensor) -> list[Tensor]:
        """The five maps; the published constants differ slightly from torchvision's, which the network applies."""
        mean, std = self.network.get_buffer("mean"), self.network.get_buffer("std")
        scaled = (x - self.shift) / self.scale
        return list(self.network.maps((scaled * std + mean) * 2 - 1, TAPS).values())  # type: ignore[operator]


def normalize(x: Tensor) -> Tensor:
    """Maps (N, C, H, W) scaled to length one over the channels."""
    return x / (x.square().sum(1, keepdim=True).sqrt() + EPS)


def lpips() -> LPIPS:
    """LPIPS with the public weights; raises `UsageError` with the way to get them if they are missing."""
    state = weights.read("lpips")
    names = [f"lin{k}.model.1.weight" for k in range(len(TAPS))]
    if missing := [name for name in names if name not in state]:
        raise UserError(f"{weights.path('lpips')} lacks {missing[0]}; it is not LPIPS 0.1 over VGG-16.")
    return LPIPS(vgg("vgg16"), [state[name] for name in names]).eval()
