"""Image terms: distances between a generated image and its target.

Each is a function of images (N, C, H, W) in [-1, 1]: the generated one, its target and, for terms with `uses_average`,
the averaged generator's.  Values are for images in [0, 1], as published weights expect: float32 scalars.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..policy import wide


class ImageTerm(nn.Module):
    """Base of image terms: a weighted distance between images."""

    uses_average = False  # it also needs the averaged generator's image

    def __init__(
        self,
        *,
        weight: float = 1.0,  # of this term in the sum
    ):
        super().__init__()
        self.weight = weight

    def forward(self, image: Tensor, target: Tensor, averaged: Tensor | None = None) -> Tensor:
        """The weighted distance, a scalar."""
        return self.weight * self.distance(unit(image), unit(target))

    def distance(self, image: Tensor, target: Tensor) -> Tensor:
        """The distance of images in [0, 1]."""
        raise NotImplementedError


def unit(x: Tensor) -> Tensor:
    """[-1, 1] as [0, 1], in float32 at least."""
    return wide(x) * 0.5 + 0.5


class L1(ImageTerm):
    """L1: mean absolute difference of images in [0, 1]."""

    def distance(self, image: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(image, target)


class MSE(ImageTerm):
    """Mean squared error of images in [0, 1]."""

    def distance(self, image: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(image, target)


class Charbonnier(ImageTerm):
    """Charbonnier loss: mean sqrt(d^2 + eps^2) of the difference d of images in [0, 1] (Lai et al. 2017, eq. 2)."""

    def __init__(
        self,
        *,
        weight: float = 1.0,  # of this term in the sum
        eps: float = 1e-3,  # difference, on [0, 1], below which the loss is nearly quadratic
    ):
        super().__init__(weight=weight)
        if not eps > 0:
            raise UsageError(f"Charbonnier's eps must be more than 0, got {eps:g}.")
        self.eps = eps

    def distance(self, image: Tensor, target: Tensor) -> Tensor:
        return torch.sqrt((image - target).square() + self.eps**2).mean()


class TotalVariation(ImageTerm):
    """Total variation: mean absolute difference of vertical and horizontal neighbours (Rudin et al. 1992, anisotropic).

    Of the generated image alone; the target is not used.
    """

    def distance(self, image: Tensor, target: Tensor) -> Tensor:
        return image.diff(dim=2).abs().mean() + image.diff(dim=3).abs().mean()


class Colour(ImageTerm):
    """AnimeGAN's colour loss: L1 of the luma plus Huber loss of the chroma (Chen, Liu and Chen 2020).

    In YUV of BT.601, of images in [0, 1]; its published weight is 10.  Alpha is ignored; grey images have luma alone.
    """

    def distance(self, image: Tensor, target: Tensor) -> Tensor:
        if image.shape[1] < 3:
            return F.l1_loss(image[:, :1], target[:, :1])
        from kornia.color import rgb_to_yuv

        ours, theirs = rgb_to_yuv(image[:, :3]), rgb_to_yuv(target[:, :3])
        chroma = sum(F.huber_loss(ours[:, k], theirs[:, k]) for k in (1, 2))
        return F.l1_loss(ours[:, 0], theirs[:, 0]) + chroma


class LDL(ImageTerm):
    """LDL: L1 weighted by the local variance of the difference, high at artefacts (Liang et al. 2022, eq. 4-8).

    The variance is over squares of `side` pixels and is multiplied by the fifth root of that over the whole image;
    where the averaged generator's difference is larger than the generator's, the weight is 0.  Weights have no
    gradient.
    """

    uses_average = True

    def __init__(
        self,
        *,
        weight: float = 1.0,  # of this term in the sum
        side: int = 7,  # side of the squares in pixels, odd
    ):
        super().__init__(weight=weight)
        if side < 3 or side % 2 == 0:
            raise UsageError(f"side is an odd number of pixels, at least 3, got {side}.")
        self.side = side

    def forward(self, image: Tensor, target: Tensor, averaged: Tensor | None = None) -> Tensor:
        image, target = unit(image), unit(target)
        with torch.no_grad():
            where = self.artefacts(image, target, image if averaged is None else unit(averaged))
        return self.weight * F.l1_loss(where * image, where * target)

    def artefacts(self, image: Tensor, target: Tensor, averaged: Tensor) -> Tensor:
        """Weights (N, 1, H, W) of images in [0, 1]."""
        error = (target - image).abs().sum(1, keepdim=True)
        padded = F.pad(error, (self.side // 2,) * 4, mode="reflect")
        mean, square = (F.avg_pool2d(x, self.side, 1) for x in (padded, padded.square()))
        count = self.side**2
        local = (square - mean.square()).clamp_min(0) * (count / (count - 1))
        whole = error.var(dim=(1, 2, 3), keepdim=True) ** 0.2
        return whole * local * (error >= (target - averaged).abs().sum(1, keepdim=True))
