"""Perceptual loss: distance between images in the maps of a pretrained network."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..features import extractor as features
from ..imaging.channels import on_white
from ..policy import wide

LAYERS = {  # the default layers of each network
    "pocket": ["relu1", "relu2", "relu3", "relu4"],
    "vgg16": ["conv5_3"],
    "vgg19": ["conv5_4"],  # before the rectifier (Wang et al. 2018, section 3.3)
}


class Perceptual(nn.Module):
    """Perceptual loss: distance in maps of a pretrained classifier, summed over layers (Johnson et al. 2016, eq. 2).

    `vgg19` and `vgg16` take `conv5_4` for a map before its rectifier and `relu5_4` for after; they ask for their file
    (`ganvas weights`) and raise `UsageError` without it.  `pocket` is part of ganvas.  In Python `network` may be any
    module with `maps(images in [-1, 1], names)`.  The network is no part of the state: it never changes.
    """

    uses_average = False  # of the generator

    def __init__(
        self,
        *,
        weight: float = 1.0,  # of this term in the sum
        network: Literal["pocket", "vgg16", "vgg19"] = "pocket",  # the network whose maps are compared
        layers: list[str] = [],  # maps by name; none: those usual for the network
        shares: list[float] = [],  # weights of the layers; none: 1 each
        norm: Literal["l1", "l2"] = "l1",  # mean absolute or mean squared difference of maps
    ):
        super().__init__()
        self.weight = weight
        net = network if isinstance(network, nn.Module) else features.load_network(network)
        self.layers = layers or LAYERS.get(str(network), [])
        self.shares = shares or [1.0] * len(self.layers)
        if not self.layers or len(self.shares) != len(self.layers):
            raise UsageError(f"Perceptual has {len(self.layers)} layers and {len(self.shares)} shares of them.")
        self.compare = F.l1_loss if norm == "l1" else F.mse_loss
        self.hidden = [net.requires_grad_(False).eval()]  # in a list, so that it is no submodule
        with torch.no_grad():
            self._maps(torch.zeros(1, 3, 64, 64))  # refuses names that the network does not have

    def forward(self, image: Tensor, target: Tensor, averaged: Tensor | None = None) -> Tensor:
        ours = self._maps(image)
        with torch.no_grad():
            theirs = self._maps(target)
        terms = [s * self.compare(wide(ours[k]), wide(theirs[k])) for k, s in zip(self.layers, self.shares)]
        return self.weight * torch.stack(terms).sum()

    def _maps(self, images: Tensor) -> dict[str, Tensor]:
        network = self.hidden[0].to(images.device)
        return network.maps(on_white(images), self.layers)  # type: ignore[operator]
