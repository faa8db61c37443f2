"""Degradations by optics, sensors and files: downscaling, blur, noise, JPEG."""

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...errors import UsageError
from ...imaging.channels import luma
from ...imaging.resize import Edges, resize
from .base import Degradation, RandomStream, Range, check_range, check_share
from .kernels import filter_image, gaussian, generalised, motion_path, plateau, sinc

KERNEL_KINDS = ("gaussian", "gaussian_turned", "generalised", "generalised_turned", "plateau", "plateau_turned")
SHARES = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)  # of these kinds, from Real-ESRGAN's options
SMALLEST, LARGEST = 7, 21  # taps a side of a kernel, odd


class Bicubic(Degradation):
    """Downscaling by MATLAB's antialiased bicubic, as in published super-resolution (Keys 1981)."""

    any_channels = True

    def __init__(
        self,
        *,
        scale: int = 4,  # factor of downscaling, a whole number
        edges: Edges = "mirror",  # mirror: as MATLAB does now; repeat: as it did when the usual test sets were made
    ):
        if scale < 1:
            raise UsageError(f"Bicubic makes images a whole number of times smaller, not {scale}.")
        self.scale, self.edges = scale, edges

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Scale (1, C, H, W) to (1, C, H / scale, W / scale), rounded to whole levels after each axis as in MATLAB."""
        return resize(image * top, scale=1 / self.scale, edges=self.edges, top=top) / top


class LensBlur(Degradation):
    """Blur by a Gaussian, generalised Gaussian, plateau or sinc kernel, drawn for each image (Wang et al. 2021)."""

    any_channels = True

    def __init__(
        self,
        *,
        sigma: Range = (0.2, 3.0),  # standard deviations along both axes, in pixels
        shares: tuple[float, ...] = SHARES,  # of Gaussian, generalised, plateau: isotropic, turned
        sinc: float = 0.1,  # share of kernels that are an ideal low-pass filter, which rings
        beta_generalised: Range = (0.5, 4.0),  # exponent; below 1 and above 1 equally often
        beta_plateau: Range = (1.0, 2.0),  # exponent
    ):
        if len(shares) != len(KERNEL_KINDS) or min(shares) < 0 or sum(shares) <= 0:
            raise UsageError(
                f"LensBlur takes {len(KERNEL_KINDS)} shares, for {', '.join(KERNEL_KINDS)}, not {shares!r}."
            )
        self.sigma = check_range(self, "sigma", sigma, 0.05, 100)
        self.shares, self.sinc = shares, check_share(self, "sinc", sinc)
        self.beta_generalised = check_range(self, "beta_generalised", beta_generalised, 0.05, 20)
        self.beta_plateau = check_range(self, "beta_plateau", beta_plateau, 0.05, 20)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        return filter_image(image, self.kernel(random))

    def kernel(self, random: RandomStream) -> Tensor:
        """Draw a kernel (K, K), K odd from 7 to 21."""
        size = 2 * random.integer(SMALLEST // 2, LARGEST // 2) + 1
        if random.happens(self.sinc):
            return sinc(size, random.uniform(math.pi / (3 if size < 13 else 5), math.pi))
        kind = random.choice(KERNEL_KINDS, self.shares)
        along = across = random.uniform(*self.sigma)
        angle = 0.0
        if kind.endswith("_turned"):
            across, angle = random.uniform(*self.sigma), random.uniform(-math.pi, math.pi)
        if kind.startswith("generalised"):
            return generalised(size, along, across, angle, draw_exponent(random, self.beta_generalised))
        if kind.startswith("plateau"):
            return plateau(size, along, across, angle, draw_exponent(random, self.beta_plateau))
        return gaussian(size, along, across, angle)


def draw_exponent(random: RandomStream, beta: Range) -> float:
    """Draw from a range, below and above 1 equally often if it holds 1; half of the draws from 1..2 are 1."""
    low, high = beta
    if not low <= 1 <= high:
        return random.uniform(low, high)
    return random.uniform(low, 1) if random.happens(0.5) else random.uniform(1, high)


class MotionBlur(Degradation):
    """Blur along the bent path of a moving camera."""

    any_channels = True

    def __init__(
        self,
        *,
        length: Range = (5.0, 25.0),  # length of the path, in pixels
        bend: float = 0.5,  # largest angle between two of its eight pieces, in radians; 0: straight
    ):
        self.length, self.bend = check_range(self, "length", length, 0.1, 200), bend

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        length, angle = random.uniform(*self.length), random.uniform(-math.pi, math.pi)
        points = [(0.0, 0.0)]
        for _ in range(8):
            x, y = points[-1]
            points.append((x + length / 8 * math.cos(angle), y + length / 8 * math.sin(angle)))
            angle += random.uniform(-self.bend, self.bend)
        middle = np.mean(points, axis=0)  # the mean shift is zero, so source and target stay aligned
        points = [(x - middle[0], y - middle[1]) for x, y in points]
        reach = math.ceil(max(max(abs(x), abs(y)) for x, y in points)) + 1
        return filter_image(image, motion_path(2 * reach + 1, points))


class SensorNoise(Degradation):
    """Gaussian noise, or Poisson noise that grows with brightness; independent in each colour, or grey."""

    any_channels = True

    def __init__(
        self,
        *,
        sigma: Range = (0.0, 50.0),  # standard deviation of Gaussian noise, in levels of 255
        poisson: float = 0.0,  # share of images with Poisson instead of Gaussian noise
        poisson_scale: Range = (0.05, 3.0),  # factor of Poisson noise; 1: photon counts equal to the levels
        grey: float = 0.0,  # share of images with equal noise in all colours
    ):
        self.sigma = check_range(self, "sigma", sigma, 0)
        self.poisson_scale = check_range(self, "poisson_scale", poisson_scale, 0)
        self.poisson, self.grey = check_share(self, "poisson", poisson), check_share(self, "grey", grey)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        poisson, grey = random.happens(self.poisson), random.happens(self.grey)
        if poisson:
            return image + random.uniform(*self.poisson_scale) * poisson_noise(image, grey, random)
        shape = (1, 1 if grey else image.shape[1], *image.shape[2:])
        return image + random.uniform(*self.sigma) / 255 * random.normal(*shape)


def poisson_noise(image: Tensor, grey: bool, random: RandomStream) -> Tensor:
    """Draw the Poisson noise of an image (1, C, H, W) in [0, 1], as in Real-ESRGAN's code.

    White counts as many photons as the image has distinct 8-bit levels, rounded up to a power of two.
    """
    light = (luma(image) if image.shape[1] in (1, 3) else image.mean(1, keepdim=True)) if grey else image
    light = light.clamp(0, 1).mul(255).round().div(255)
    full = 2.0 ** math.ceil(math.log2(len(torch.unique(light))))
    return random.poisson(light * full) / full - light


class Jpeg(Degradation):
    """JPEG compression by the real codec, with colour at half resolution."""

    def __init__(self, *, quality: Range = (10.0, 95.0)):  # quality, from 1 to 100
        self.quality = check_range(self, "quality", quality, 1, 100)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Compress and decompress an image (1, C, H, W) as 8-bit JPEG on the CPU."""
        return compress_jpeg(image, round(random.uniform(*self.quality)))


def compress_jpeg(image: Tensor, quality: int) -> Tensor:
    """Compress (1, C, H, W) in [0, 1], clamped, as JPEG of that quality and decompress it."""
    levels = image[0].clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels).save(file, "JPEG", quality=quality)
    decoded = np.array(Image.open(file)).reshape(levels.shape)
    return torch.from_numpy(decoded).to(image.device).permute(2, 0, 1)[None].to(image.dtype) / 255
