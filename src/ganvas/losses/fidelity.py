"""How far a picture is from the one it should be: the terms that restoration is paid for.

Each is a function of pictures (N, C, H, W) in [-1, 1]: what was made, what it should be, and, for those with `steady`,
what the averaged generator makes.  They measure in [0, 1], as the published weights of their sums expect, and give
float32 scalars.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import UsageError
from ..metrics import features
from ..policy import wide

LAYERS = {  # what is compared unless told otherwise
    "pocket": ["relu1", "relu2", "relu3", "relu4"],
    "vgg16": ["conv5_3"],
    "vgg19": ["conv5_4"],  # before the rectifier (Wang et al. 2018, section 3.3)
}


class Fidelity(nn.Module):
    """A weighted distance between pictures."""

    steady = False  # whether it looks at the averaged generator's picture, too

    def __init__(
        self,
        *,
        weight: float = 1.0,  # of this term in the sum
    ):
        super().__init__()
        self.weight = weight

    def forward(self, made: Tensor, wanted: Tensor, steady: Tensor | None = None) -> Tensor:
        """The weighted distance, a scalar."""
        return self.weight * self.distance(unit(made), unit(wanted))

    def distance(self, made: Tensor, wanted: Tensor) -> Tensor:
        """The distance of pictures in [0, 1]."""
        raise NotImplementedError


def unit(x: Tensor) -> Tensor:
    """[-1, 1] as [0, 1], in float32 at least."""
    return wide(x) * 0.5 + 0.5


class L1(Fidelity):
    """Mean absolute difference, in [0, 1]."""

    def distance(self, made: Tensor, wanted: Tensor) -> Tensor:
        return F.l1_loss(made, wanted)


class MSE(Fidelity):
    """Mean squared difference, in [0, 1]."""

    def distance(self, made: Tensor, wanted: Tensor) -> Tensor:
        return F.mse_loss(made, wanted)


class Charbonnier(Fidelity):
    """A mean absolute difference that is smooth at zero: sqrt(d^2 + eps^2) (Lai et al. 2017, eq. 2)."""

    def __init__(
        self,
        *,
        weight: float = 1.0,  # of this term in the sum
        eps: float = 1e-3,  # difference, in [0, 1], below which it is round
    ):
        super().__init__(weight=weight)
        if not eps > 0:
            raise UsageError(f"Charbonnier's eps must be more than 0, got {eps:g}.")
        self.eps = eps

    def distance(self, made: Tensor, wanted: Tensor) -> Tensor:
        return torch.sqrt((made - wanted).square() + self.eps**2).mean()


class TotalVariation(Fidelity):
    """Mean absolute difference of neighbours in what was made, down and across (Rudin et al. 1992, anisotropic).

    What it should be does not matter.
    """

    def distance(self, made: Tensor, wanted: Tensor) -> Tensor:
        return made.diff(dim=2).abs().mean() + made.diff(dim=3).abs().mean()


class Perceptual(Fidelity):
    """Distance in the maps of a network that learnt to name things (Johnson et al. 2016, eq. 2), summed over layers.

    `vgg19` and `vgg16` take `conv5_4` for a map before its rectifier and `relu5_4` for after; they ask for their file
    (`ganvas weights`) and raise `UsageError` without it.  `pocket` comes along.  In Python `network` may be any module
    with `maps(pictures in [-1, 1], names)`.  The network is no part of the state: it never changes.
    """

    def __init__(
        self,
        *,
        weight: float = 1.0,  # of this term in the sum
        network: Literal["pocket", "vgg16", "vgg19"] = "pocket",  # what looks at the pictures
        layers: list[str] = [],  # noqa: B006  maps by name; none: those usual for the network
        shares: list[float] = [],  # noqa: B006  weights of the layers; none: 1 each
        norm: Literal["l1", "l2"] = "l1",  # mean absolute or mean squared difference of maps
    ):
        super().__init__(weight=weight)
        made = self._network(network)
        self.layers = layers or LAYERS.get(str(network), [])
        self.shares = shares or [1.0] * len(self.layers)
        if not self.layers or len(self.shares) != len(self.layers):
            raise UsageError(f"Perceptual has {len(self.layers)} layers and {len(self.shares)} shares of them.")
        self.compare = F.l1_loss if norm == "l1" else F.mse_loss
        self.hidden = [made.requires_grad_(False).eval()]  # in a list, so that it is no submodule
        with torch.no_grad():
            self._maps(torch.zeros(1, 3, 64, 64))  # refuses names that the network does not have

    @staticmethod
    def _network(network: str | nn.Module) -> nn.Module:
        if isinstance(network, nn.Module):
            return network
        return features.pocket() if network == "pocket" else features.vgg(network)

    def forward(self, made: Tensor, wanted: Tensor, steady: Tensor | None = None) -> Tensor:
        ours = self._maps(made)
        with torch.no_grad():
            theirs = self._maps(wanted)
        terms = [s * self.compare(wide(ours[k]), wide(theirs[k])) for k, s in zip(self.layers, self.shares)]
        return self.weight * torch.stack(terms).sum()

    def _maps(self, images: Tensor) -> dict[str, Tensor]:
        network = self.hidden[0].to(images.device)
        return network.maps(on_white(images), self.layers)  # type: ignore[operator]


class LDL(Fidelity):
    """The difference where it looks like an artefact: locally discriminative learning (Liang et al. 2022, eq. 4-8).

    Differences are weighted by their variance in squares of `side` pixels, and by the fifth root of that in the whole
    picture; where the averaged generator is farther off than the present one, which then is no artefact, they are left
    out.  Weights are constants to the gradient.
    """

    steady = True

    def __init__(
        self,
        *,
        weight: float = 1.0,  # of this term in the sum
        side: int = 7,  # pixels, odd
    ):
        super().__init__(weight=weight)
        if side < 3 or side % 2 == 0:
            raise UsageError(f"LDL looks at squares of 3, 5, 7, ... pixels, not {side}.")
        self.side = side

    def forward(self, made: Tensor, wanted: Tensor, steady: Tensor | None = None) -> Tensor:
        made, wanted = unit(made), unit(wanted)
        with torch.no_grad():
            where = self.artefacts(made, wanted, made if steady is None else unit(steady))
        return self.weight * F.l1_loss(where * made, where * wanted)

    def artefacts(self, made: Tensor, wanted: Tensor, steady: Tensor) -> Tensor:
        """Weights (N, 1, H, W) of pictures in [0, 1]."""
        error = (wanted - made).abs().sum(1, keepdim=True)
        padded = F.pad(error, (self.side // 2,) * 4, mode="reflect")
        mean, square = (F.avg_pool2d(x, self.side, 1) for x in (padded, padded.square()))
        count = self.side**2
        local = (square - mean.square()).clamp_min(0) * (count / (count - 1))
        whole = error.var(dim=(1, 2, 3), keepdim=True) ** 0.2
        return whole * local * (error >= (wanted - steady).abs().sum(1, keepdim=True))


def on_white(images: Tensor) -> Tensor:
    """Opaque pictures as they are, transparent ones laid on white."""
    if images.shape[1] != 4:
        return images
    alpha = (images[:, 3:] + 1) / 2
    return images[:, :3] * alpha + 1 - alpha
