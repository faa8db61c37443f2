"""How far an image is from the one it should be: the terms that restoration is paid for.

Each is a function of images (N, C, H, W) in [-1, 1]: what was made, what it should be, and, for those with `steady`,
what the averaged generator makes.  They measure in [0, 1], as the published weights of their sums expect, and give
float32 scalars.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..policy import wide


class Fidelity(nn.Module):
    """A weighted distance between images."""

    steady = False  # whether it looks at the averaged generator's image, too

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
        """The distance of images in [0, 1]."""
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


class Colour(Fidelity):
    """How far colours are from those they should be: luma by absolute, chroma by Huber's difference, in [0, 1].

    The colour reconstruction loss of AnimeGAN (Chen, Liu and Chen 2020), whose weight is 10, in YUV of BT.601.  An
    alpha does not count, and of grey images there is only the luma.
    """

    def distance(self, made: Tensor, wanted: Tensor) -> Tensor:
        if made.shape[1] < 3:
            return F.l1_loss(made[:, :1], wanted[:, :1])
        from kornia.color import rgb_to_yuv

        ours, theirs = rgb_to_yuv(made[:, :3]), rgb_to_yuv(wanted[:, :3])
        chroma = sum(F.huber_loss(ours[:, k], theirs[:, k]) for k in (1, 2))
        return F.l1_loss(ours[:, 0], theirs[:, 0]) + chroma


class LDL(Fidelity):
    """The difference where it looks like an artefact: locally discriminative learning (Liang et al. 2022, eq. 4-8).

    Differences are weighted by their variance in squares of `side` pixels, and by the fifth root of that in the whole
    image; where the averaged generator is farther off than the present one, which then is no artefact, they are left
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
        """Weights (N, 1, H, W) of images in [0, 1]."""
        error = (wanted - made).abs().sum(1, keepdim=True)
        padded = F.pad(error, (self.side // 2,) * 4, mode="reflect")
        mean, square = (F.avg_pool2d(x, self.side, 1) for x in (padded, padded.square()))
        count = self.side**2
        local = (square - mean.square()).clamp_min(0) * (count / (count - 1))
        whole = error.var(dim=(1, 2, 3), keepdim=True) ** 0.2
        return whole * local * (error >= (wanted - steady).abs().sum(1, keepdim=True))
