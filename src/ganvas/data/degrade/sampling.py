"""Degradations by sampling and sharpening: scaling by several filters, aliasing, interlacing, halos."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import UsageError
from ...imaging.resize import resize
from .base import Degradation, RandomStream, Range, check_range, check_share
from .codecs import check_names
from .kernels import blur_gaussian, filter_image, sinc

FILTERS = ("nearest", "area", "bilinear", "bicubic", "lanczos")


class Resample(Degradation):
    """Downscaling by a filter that is drawn for each image; `nearest` begins at a pixel that is drawn, too."""

    def __init__(
        self,
        *,
        scale: int = 4,  # factor of downscaling, a whole number
        filters: tuple[str, ...] = FILTERS,  # of which one is drawn
    ):
        if scale < 1:
            raise UsageError(f"Resample makes images a whole number of times smaller, not {scale}.")
        self.scale, self.filters = scale, check_names(self, "filters", filters, FILTERS)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Scale (1, C, H, W) to (1, C, H / scale, W / scale)."""
        name = random.choice(self.filters)
        if name == "nearest":
            y, x = (random.integer(0, self.scale - 1) for _ in range(2))
            return image[..., y :: self.scale, x :: self.scale]
        if name == "area":
            return F.avg_pool2d(image, self.scale)
        return resize(image, scale=1 / self.scale, kernel=name)  # type: ignore[arg-type]


class Aliasing(Degradation):
    """Stairs at edges: sampled at fewer points without a filter, and enlarged again to the same size."""

    def __init__(
        self,
        *,
        factor: Range = (1.2, 3.0),  # distance of the points, in pixels
        smooth: float = 0.5,  # share of images that are enlarged by bilinear interpolation; others by nearest points
    ):
        self.factor, self.smooth = check_range(self, "factor", factor, 1, 16), check_share(self, "smooth", smooth)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        factor, smooth = random.uniform(*self.factor), random.happens(self.smooth)
        shift = random.uniform(-0.5, 0.5), random.uniform(-0.5, 0.5)
        return sample_points(image, factor, smooth, shift)


def sample_points(image: Tensor, factor: float, smooth: bool, shift: tuple[float, float]) -> Tensor:
    """Sample (1, C, H, W) at every `factor`-th point, moved by `shift` of a step, and enlarge it again."""
    sides = image.shape[2:]
    small = [max(round(side / factor), 1) for side in sides]
    steps = [side / count for side, count in zip(sides, small)]
    for dim, (side, count, step, move) in enumerate(zip(sides, small, steps, shift), 2):
        points = ((torch.arange(count, dtype=torch.float64) + 0.5 + move) * step).floor().long().clamp(0, side - 1)
        image = image.index_select(dim, points.to(image.device))
    if smooth:
        return resize(image, (sides[0], sides[1]), kernel="bilinear")
    for dim, (side, count, step) in enumerate(zip(sides, small, steps), 2):
        places = ((torch.arange(side, dtype=torch.float64) + 0.5) / step).floor().long().clamp(0, count - 1)
        image = image.index_select(dim, places.to(image.device))
    return image


class Interlacing(Degradation):
    """Two fields of a moving image in one: its even and its odd rows are of different moments."""

    def __init__(
        self,
        *,
        motion: Range = (1.0, 8.0),  # shift between the fields along a row, in pixels
        kinds: tuple[str, ...] = ("weave", "blend", "bob"),  # weave: comb; blend: both at once; bob: one field, doubled
    ):
        self.motion = check_range(self, "motion", motion, 0, 200)
        self.kinds = check_names(self, "kinds", kinds, ("weave", "blend", "bob"))

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        kind, shift = random.choice(self.kinds), random.uniform(*self.motion) * (1 - 2 * random.integer(0, 1))
        return interlace(image, kind, shift, random.integer(0, 1))


def interlace(image: Tensor, kind: str, shift: float, parity: int) -> Tensor:
    """Interlace (1, C, H, W): rows of that parity move by shift / 2 pixels to the right, the others to the left."""
    height = image.shape[2]
    row = torch.arange(height, device=image.device)
    ahead, behind = (move_columns(image, move) for move in (shift / 2, -shift / 2))
    woven = torch.where((row % 2 == parity).view(-1, 1), ahead, behind)
    if kind == "weave":
        return woven
    if kind == "bob":
        first = (row - (row + parity) % 2).clamp(0, height - 1)
        return ahead[:, :, first]
    following = woven[:, :, (row + 1).clamp(max=height - 1)]
    return (woven + following) / 2


def move_columns(image: Tensor, shift: float) -> Tensor:
    """Move (1, C, H, W) to the right by a number of pixels, linearly interpolated; edges are repeated."""
    width = image.shape[3]
    place = (torch.arange(width, dtype=torch.float64) - shift).clamp(0, width - 1)
    left = place.floor().long().clamp(max=max(width - 2, 0))
    part = (place - left).to(image)
    return torch.lerp(image[..., left], image[..., (left + 1).clamp(max=width - 1)], part)


class Ringing(Degradation):
    """Halos along edges: by sharpening too much, or echoes by an ideal low-pass filter."""

    def __init__(
        self,
        *,
        amount: Range = (0.5, 3.0),  # weight of the detail that sharpening adds
        radius: Range = (0.6, 3.0),  # standard deviation of its blur, in pixels
        sinc: float = 0.3,  # share of images with echoes instead
        cutoff: Range = (math.pi / 4, math.pi / 1.5),  # of the low-pass filter, in radians a pixel
    ):
        self.amount, self.radius = check_range(self, "amount", amount, 0), check_range(self, "radius", radius, 0.1, 50)
        self.sinc = check_share(self, "sinc", sinc)
        self.cutoff = check_range(self, "cutoff", cutoff, 0.1, math.pi)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        if random.happens(self.sinc):
            return filter_image(image, sinc(21, random.uniform(*self.cutoff)))
        return add_halo(image, random.uniform(*self.amount), random.uniform(*self.radius))


def add_halo(image: Tensor, amount: float, radius: float) -> Tensor:
    """Unsharp masking of (1, C, H, W): x + amount * (x - G(x)), G a Gaussian of standard deviation `radius`."""
    size = 2 * math.ceil(3 * radius) + 1
    return image + amount * (image - blur_gaussian(image, size, radius))
