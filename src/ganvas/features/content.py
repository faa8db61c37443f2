"""Content of an image: a map of a frozen classifier, which CartoonGAN and others compare."""

from typing import Literal

from torch import Tensor, nn

from ..imaging.channels import on_white
from .extractor import load_network


class Content(nn.Module):
    """Images (N, 1, 3 or 4, H, W) in [-1, 1] to a map (N, C, h, w); transparent ones are laid on white.

    `vgg19` needs its file (`ganvas weights`) and raises `UsageError` if it is missing; `pocket` is built in.  The
    network is no part of the state: it never changes, and would be saved with every snapshot.
    """

    def __init__(
        self,
        *,
        network: Literal["pocket", "vgg19"] = "pocket",  # the frozen classifier
        layer: str = "",  # name of the map; empty: relu3 of pocket, conv4_4 of vgg19
    ):
        super().__init__()
        self.layer = layer or {"pocket": "relu3", "vgg19": "conv4_4"}[network]
        classifier = load_network(network)
        self.hidden = [classifier.requires_grad_(False)]  # in a list, so that it is no submodule

    def forward(self, x: Tensor) -> Tensor:
        network = self.hidden[0].to(x.device)
        return network.maps(on_white(x), [self.layer])[self.layer]  # type: ignore[operator]
