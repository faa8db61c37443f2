"""What optics, sensors and files do to an image: smaller, softer, noisier, compressed."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...errors import UsageError
from ...imaging.channels import luma
from ...imaging.resize import Edges, resize
from .base import Chance, Degradation, Range, share, within
from .kernels import filtered, gaussian, generalised, path, plateau, sinc

KINDS = ("gaussian", "gaussian_turned", "generalised", "generalised_turned", "plateau", "plateau_turned")
SHARES = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)  # of these kinds, as Real-ESRGAN's options have them
SMALLEST, LARGEST = 7, 21  # taps a side, always odd


class Bicubic(Degradation):
    """Smaller by MATLAB's antialiased bicubic, the pairs of published super-resolution (Keys 1981)."""

    def __init__(
        self,
        *,
        scale: int = 4,  # how many times smaller
        edges: Edges = "mirror",  # as MATLAB does now; repeat: as it did when the usual test sets were made
    ):
        if scale < 1:
            raise UsageError(f"Bicubic makes images a whole number of times smaller, not {scale}.")
        self.scale, self.edges = scale, edges

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """(1, C, H, W) to (1, C, H / scale, W / scale); whole levels after each axis, as MATLAB has them."""
        return resize(image * top, scale=1 / self.scale, edges=self.edges, top=top) / top


class LensBlur(Degradation):
    """Softened by a kernel of the Gaussian, generalised Gaussian or plateau family, or ringing (Wang et al. 2021)."""

    def __init__(
        self,
        *,
        sigma: Range = (0.2, 3.0),  # widths along both axes, in pixels
        shares: tuple[float, ...] = SHARES,  # round and turned Gaussian, generalised, plateau
        sinc: float = 0.1,  # share of kernels that are an ideal low-pass filter instead, which rings
        beta_generalised: Range = (0.5, 4.0),  # exponent; below 1 and above 1 equally often
        beta_plateau: Range = (1.0, 2.0),  # exponent
    ):
        if len(shares) != len(KINDS) or min(shares) < 0 or sum(shares) <= 0:
            raise UsageError(f"LensBlur takes {len(KINDS)} shares, for {', '.join(KINDS)}, not {shares!r}.")
        self.sigma = within(self, "sigma", sigma, 0.05, 100)
        self.shares, self.sinc = shares, share(self, "sinc", sinc)
        self.beta_generalised = within(self, "beta_generalised", beta_generalised, 0.05, 20)
        self.beta_plateau = within(self, "beta_plateau", beta_plateau, 0.05, 20)

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """(1, C, H, W), filtered."""
        return filtered(image, self.kernel(chance))

    def kernel(self, chance: Chance) -> Tensor:
        """A kernel (K, K), K odd from 7 to 21."""
        size = 2 * chance.integer(SMALLEST // 2, LARGEST // 2) + 1
        if chance.happens(self.sinc):
            return sinc(size, chance.uniform(math.pi / (3 if size < 13 else 5), math.pi))
        kind = chance.pick(KINDS, self.shares)
        along = across = chance.uniform(*self.sigma)
        angle = 0.0
        if kind.endswith("_turned"):
            across, angle = chance.uniform(*self.sigma), chance.uniform(-math.pi, math.pi)
        if kind.startswith("generalised"):
            return generalised(size, along, across, angle, either_side(chance, self.beta_generalised))
        if kind.startswith("plateau"):
            return plateau(size, along, across, angle, either_side(chance, self.beta_plateau))
        return gaussian(size, along, across, angle)


def either_side(chance: Chance, beta: Range) -> float:
    """A number of the range, up to 1 and from 1 equally often where it holds 1; of 1..2 every other one is 1."""
    low, high = beta
    if not low <= 1 <= high:
        return chance.uniform(low, high)
    return chance.uniform(low, 1) if chance.happens(0.5) else chance.uniform(1, high)


class MotionBlur(Degradation):
    """Smeared along the bent path of a moving camera."""

    def __init__(
        self,
        *,
        length: Range = (5.0, 25.0),  # of the path, in pixels
        bend: float = 0.5,  # largest turn between two of its eight pieces, in radians; 0: straight
    ):
        self.length, self.bend = within(self, "length", length, 0.1, 200), bend

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """(1, C, H, W), filtered."""
        length, angle = chance.uniform(*self.length), chance.uniform(-math.pi, math.pi)
        points = [(0.0, 0.0)]
        for _ in range(8):
            x, y = points[-1]
            points.append((x + length / 8 * math.cos(angle), y + length / 8 * math.sin(angle)))
            angle += chance.uniform(-self.bend, self.bend)
        middle = np.mean(points, axis=0)  # on average nothing moves: the pair stays aligned
        points = [(x - middle[0], y - middle[1]) for x, y in points]
        reach = math.ceil(max(max(abs(x), abs(y)) for x, y in points)) + 1
        return filtered(image, path(2 * reach + 1, points))


class Noisy(Degradation):
    """Gaussian noise, or Poisson noise that grows with the light; in each colour its own, or grey."""

    def __init__(
        self,
        *,
        sigma: Range = (0.0, 50.0),  # of the Gaussian, in levels of 255
        poisson: float = 0.0,  # share of images with Poisson noise instead
        poisson_scale: Range = (0.05, 3.0),  # how many times the noise of an image that counts its own light
        grey: float = 0.0,  # share of images whose noise is the same in all colours
    ):
        self.sigma = within(self, "sigma", sigma, 0)
        self.poisson_scale = within(self, "poisson_scale", poisson_scale, 0)
        self.poisson, self.grey = share(self, "poisson", poisson), share(self, "grey", grey)

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """(1, C, H, W) and noise."""
        counted, grey = chance.happens(self.poisson), chance.happens(self.grey)
        if counted:
            return image + chance.uniform(*self.poisson_scale) * poisson_noise(image, grey, chance)
        shape = (1, 1 if grey else image.shape[1], *image.shape[2:])
        return image + chance.uniform(*self.sigma) / 255 * chance.normal(*shape)


def poisson_noise(image: Tensor, grey: bool, chance: Chance) -> Tensor:
    """What counting light adds to (1, C, H, W) in [0, 1], as in Real-ESRGAN's code.

    Full light counts as many particles as the image has 8-bit levels, rounded up to a power of two.
    """
    light = luma(image) if grey else image
    light = light.clamp(0, 1).mul(255).round().div(255)
    full = 2.0 ** math.ceil(math.log2(len(torch.unique(light))))
    return chance.counts(light * full) / full - light


class Jpeg(Degradation):
    """Compressed and decompressed by the real codec, colour at half resolution."""

    def __init__(
        self,
        *,
        quality: Range = (10.0, 95.0),  # from 1 to 100
    ):
        self.quality = within(self, "quality", quality, 1, 100)

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """(1, C, H, W), by way of 8 bits and the CPU."""
        return recoded(image, round(chance.uniform(*self.quality)))


def recoded(image: Tensor, quality: int) -> Tensor:
    """(1, C, H, W) in [0, 1] after a JPEG of that quality; what is outside is clamped first."""
    levels = image[0].clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels).save(file, "JPEG", quality=quality)
    decoded = np.array(Image.open(file)).reshape(levels.shape)
    return torch.from_numpy(decoded).to(image.device).permute(2, 0, 1)[None].to(image.dtype) / 255
