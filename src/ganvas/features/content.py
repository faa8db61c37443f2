"""What two images must share to show the same thing: a map of a network that learnt to name things."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from . import extractor as features


class Content(nn.Module):
    """Images (N, 1, 3 or 4, H, W) in [-1, 1] to a map (N, C, h, w); transparent ones are laid on white.

    `vgg19` asks for its file (`ganvas weights`) and raises `UsageError` if it is not here; `pocket` comes along.  The
    network is no part of the state: it never changes, and would be saved with every snapshot.
    """

    def __init__(
        self,
        *,
        network: Literal["pocket", "vgg19"] = "pocket",  # what looks at the images
        layer: str = "",  # the map's name; nothing: relu3 of pocket, conv4_4 of vgg19
    ):
        super().__init__()
        self.layer = layer or {"pocket": "relu3", "vgg19": "conv4_4"}[network]
        made = features.pocket() if network == "pocket" else features.vgg(network)
        self.hidden = [made.requires_grad_(False)]  # in a list, so that it is no submodule

    def forward(self, x: Tensor) -> Tensor:
        network = self.hidden[0].to(x.device)
        if x.shape[1] == 4:
            alpha = (x[:, 3:] + 1) / 2
            x = x[:, :3] * alpha + 1 - alpha
        return network.maps(x, [self.layer])[self.layer]
