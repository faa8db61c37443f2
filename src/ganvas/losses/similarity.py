"""Image terms of similarity: MS-SSIM, DISTS, and agreement at a smaller size."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints.files import read_tensors
from ..errors import UsageError, UserError
from ..features import extractor as features
from ..features.vgg import VGG
from ..imaging.channels import on_white
from ..paths import user_path
from ..policy import wide
from .pixel import ImageTerm

SIZE, SIGMA = 11, 1.5  # of the Gaussian window (Wang et al. 2004)
C1, C2 = 0.01**2, 0.03**2  # for images in [0, 1]
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales (Wang et al. 2003)
STAGES = {  # maps of each network beside the image itself
    "vgg16": ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"),
    "pocket": ("relu1", "relu2", "relu3", "relu4"),
}
STABLE = 1e-6  # the constants of DISTS


class MSSSIM(ImageTerm):
    """MS-SSIM: one minus the structural similarity over several scales (Wang et al. 2003, eq. 7), of images in [0, 1].

    A scale needs 11 pixels a side after its halvings: five need 176.  With fewer, exponents are scaled to the same sum.
    """

    def __init__(
        self,
        *,
        weight: float = 1.0,  # of this term in the sum
        scales: int = 0,  # 1 to 5; 0: as many as the images allow
    ):
        super().__init__(weight=weight)
        if not 0 <= scales <= len(EXPONENTS):
            raise UsageError(f"scales of MS-SSIM are 1 to {len(EXPONENTS)}, or 0 for as many as fit, got {scales}.")
        self.scales = scales

    def distance(self, image: Tensor, target: Tensor) -> Tensor:
        side = min(image.shape[2:])
        fit = sum(side >= SIZE * 2**k for k in range(len(EXPONENTS)))
        scales = self.scales or fit
        if scales > fit or not fit:
            least = SIZE * 2 ** (max(scales, 1) - 1)
            raise UsageError(f"MS-SSIM over {max(scales, 1)} scales needs {least} pixels a side, got {side}.")
        value = torch.ones(len(image), dtype=image.dtype, device=image.device)
        for k in range(scales):
            whole, structure = (x.flatten(1).mean(1) for x in _similarity(image, target))
            part = whole if k == scales - 1 else structure
            value = value * part.clamp_min(STABLE) ** (EXPONENTS[k] * sum(EXPONENTS) / sum(EXPONENTS[:scales]))
            image, target = (F.avg_pool2d(x, 2, ceil_mode=True) for x in (image, target))
        return 1 - value.mean()


def _similarity(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Structural similarity, and its contrast-structure part, by position (Wang et al. 2004, eq. 13)."""
    offsets = torch.arange(SIZE, dtype=a.dtype, device=a.device) - SIZE // 2
    row = torch.exp(-offsets.square() / (2 * SIGMA**2))
    row = (row / row.sum()).expand(a.shape[1], 1, 1, -1)

    def mean(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, row, groups=len(row)), row.mT, groups=len(row))

    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) - mean_a.square() + mean(b * b) - mean_b.square()
    structure = (2 * (mean(a * b) - mean_a * mean_b) + C2) / (variances + C2)
    return (2 * mean_a * mean_b + C1) / (mean_a.square() + mean_b.square() + C1) * structure, structure


class DownscaleConsistency(ImageTerm):
    """Consistency at a smaller size: L1 of both images averaged over squares of `factor` pixels.

    With the scale of the data as factor, the result agrees with the image it was made from: what the low-resolution
    image shows is not repainted (as the consistency of Lugmayr et al. 2021, section 4).
    """

    def __init__(
        self,
        *,
        weight: float = 1.0,  # of this term in the sum
        factor: int = 4,  # side of the squares in pixels
    ):
        super().__init__(weight=weight)
        if factor < 1:
            raise UsageError(f"factor is a number of pixels, at least 1, got {factor}.")
        self.factor = factor

    def distance(self, image: Tensor, target: Tensor) -> Tensor:
        ours, theirs = (F.avg_pool2d(x, self.factor, ceil_mode=True, count_include_pad=False) for x in (image, target))
        return F.l1_loss(ours, theirs)


class DISTS(nn.Module):
    """DISTS: one minus the similarity of texture and structure of maps (Ding et al. 2020, eq. 4-6).

    Texture is the mean of a map, structure the covariance of two.  Maps are the image in [0, 1] and those of the five
    stages of VGG-16, whose pools take the root of the squares under a Hann window, or of the embedded `pocket` as it
    is.  Channels count alike, or by the authors' weights file (alpha and beta), which belongs to VGG-16.
    """

    uses_average = False  # of the generator

    def __init__(
        self,
        *,
        weight: float = 1.0,  # of this term in the sum
        network: Literal["pocket", "vgg16"] = "pocket",  # the network whose maps are compared
        weights: str = "",  # the authors' weights.pt; none: channels count alike
    ):
        super().__init__()
        if network not in STAGES:
            raise UsageError(f"DISTS looks through {' or '.join(STAGES)}, not {network!r}.")
        self.weight, self.stages = weight, STAGES[network]
        self.hidden = [features.load_network(network).requires_grad_(False).eval()]  # in a list: no submodule
        self.shares = _read_shares(weights) if weights else None

    def forward(self, image: Tensor, target: Tensor, averaged: Tensor | None = None) -> Tensor:
        ours = self._maps(image)
        with torch.no_grad():
            theirs = self._maps(target)
        counts = [x.shape[1] for x in ours]
        shares = torch.ones(2, sum(counts), dtype=torch.float64) if self.shares is None else self.shares
        if shares.shape[1] != sum(counts):
            raise UserError(
                f"The weights of DISTS are for {shares.shape[1]} channels, and these maps have {sum(counts)}."
            )
        alphas, betas = (part.split(counts) for part in (shares / shares.sum()).to(ours[0]))
        same = sum(
            (alpha * texture + beta * structure).sum(1)
            for alpha, beta, (texture, structure) in zip(alphas, betas, map(_texture_and_structure, ours, theirs))
        )
        return self.weight * (1 - torch.as_tensor(same)).mean()

    def _maps(self, images: Tensor) -> list[Tensor]:
        network, images = self.hidden[0].to(images), on_white(images)
        images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        if isinstance(network, VGG):
            maps = _pooled_maps(network, images, self.stages)
        else:
            maps = network.maps(images, self.stages)  # type: ignore[operator]
        return [wide(images) * 0.5 + 0.5, *map(wide, maps.values())]


def _texture_and_structure(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Similarity of means and of covariances of maps (N, C, H, W), each (N, C)."""
    (x, mean_x), (y, mean_y) = ((m.flatten(2), m.flatten(2).mean(2)) for m in (x, y))
    variances = x.var(2, correction=0) + y.var(2, correction=0)
    covariance = (x * y).mean(2) - mean_x * mean_y
    texture = (2 * mean_x * mean_y + STABLE) / (mean_x.square() + mean_y.square() + STABLE)
    return texture, (2 * covariance + STABLE) / (variances + STABLE)


def _pooled_maps(network: VGG, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Maps of a VGG whose pools are the root of squares under a Hann window of 3x3 (Ding et al. 2020, eq. 2)."""
    row = torch.hann_window(5, periodic=False, dtype=images.dtype, device=images.device)[1:-1]
    window = torch.outer(row, row)
    window = window / window.sum()
    places = {network.places[name]: name for name in names}
    h, maps = network.normalize(images), dict[str, Tensor]()
    for place, layer in enumerate(list(network.features)[: max(places) + 1]):
        if isinstance(layer, nn.MaxPool2d):
            kernel = window.expand(h.shape[1], 1, -1, -1)
            h = (F.conv2d(h.square(), kernel, stride=2, padding=1, groups=len(kernel)) + 1e-12).sqrt()
        else:
            h = F.relu(h) if isinstance(layer, nn.ReLU) else layer(h)
        if place in places:
            maps[places[place]] = h
    return maps


def _read_shares(file: str) -> Tensor:
    """alpha and beta of the authors' file: (2, channels); raises `UserError` for another file."""
    state, _ = read_tensors(user_path(file, "weights"))
    if not {"alpha", "beta"} <= state.keys():
        raise UserError(f"{file} is not the weights of DISTS: it has no alpha and beta.")
    return torch.stack([state[name].float().flatten() for name in ("alpha", "beta")])
