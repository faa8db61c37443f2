"""Degradations of Real-ESRGAN (Wang et al. 2021): blur, resize, noise and JPEG, applied twice.

Orders, probabilities and strengths are those of the authors' options and code.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ...config import Spec
from ...errors import UsageError
from .base import Degradation, RandomStream, Range, check_range, check_share
from .camera import SHARES, LensBlur, SensorNoise, compress_jpeg
from .kernels import filter_image, sharpen, sinc

MODES = ("area", "bilinear", "bicubic")


class Stage(Degradation):
    """One round of `second_order`: blur, random resize, noise and JPEG (Wang et al. 2021)."""

    def __init__(
        self,
        *,
        blur: float = 1.0,  # share of images that are blurred
        sigma: Range = (0.2, 3.0),  # standard deviations of the kernel, in pixels
        shares: tuple[float, ...] = SHARES,  # of kernels, as of `lens_blur`
        sinc: float = 0.1,  # share of sinc kernels, which ring
        resize: tuple[float, float, float] = (0.2, 0.7, 0.1),  # shares of images enlarged, reduced, unchanged
        factor: Range = (0.15, 1.5),  # smallest and largest factor of the size, around 1
        gaussian: float = 0.5,  # share of images with Gaussian noise; others have Poisson noise
        noise: Range = (1.0, 30.0),  # standard deviation of Gaussian noise, in levels of 255
        poisson_scale: Range = (0.05, 3.0),  # factor of Poisson noise
        grey: float = 0.4,  # share of images with equal noise in all colours
        quality: Range = (30.0, 95.0),  # of the JPEG, from 1 to 100
    ):
        self.blur_share, self.resize = check_share(self, "blur", blur), resize
        self.lens = LensBlur(sigma=sigma, shares=shares, sinc=sinc)
        self.factor = check_range(self, "factor", factor, 0.01, 8)
        poisson = 1 - check_share(self, "gaussian", gaussian)
        self.noise = SensorNoise(sigma=noise, poisson=poisson, poisson_scale=poisson_scale, grey=grey)
        self.quality = check_range(self, "quality", quality, 1, 100)
        if not factor[0] <= 1 <= factor[1] or min(resize) < 0 or sum(resize) <= 0:
            raise UsageError(f"Stage resizes by factors around 1 and three shares, not {factor!r} by {resize!r}.")

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Apply the round and scale back to the original size."""
        height, width = image.shape[2:]
        image = self.compress(self.before_jpeg(image, (height, width), random), random)
        return resize_random(image, (height, width), random)

    def before_jpeg(self, image: Tensor, size: tuple[float, float], random: RandomStream) -> Tensor:
        """Blur, resize randomly around `size` (height, width) and add noise; result in [0, 1]."""
        if random.happens(self.blur_share):
            image = filter_image(image, self.lens.kernel(random))
        low, high = random.choice([(1.0, self.factor[1]), (self.factor[0], 1.0), (1.0, 1.0)], self.resize)
        factor = random.uniform(low, high)
        image = resize_random(image, (int(size[0] * factor), int(size[1] * factor)), random)
        return self.noise.degrade(image, random, 255).clamp(0, 1)

    def compress(self, image: Tensor, random: RandomStream) -> Tensor:
        """Compress as JPEG of random quality."""
        return compress_jpeg(image, round(random.uniform(*self.quality)))


def resize_random(image: Tensor, size: tuple[int, int], random: RandomStream) -> Tensor:
    """Resize to `size`, at least one pixel, by PyTorch's area, bilinear or bicubic interpolation, drawn at random."""
    size = (max(size[0], 1), max(size[1], 1))
    mode = random.choice(MODES)
    return F.interpolate(image, size=size, mode=mode) if tuple(image.shape[2:]) != size else image


class SecondOrder(Degradation):
    """Real-ESRGAN's degradation: blur, resize, noise and JPEG, twice, and a sinc filter (Wang et al. 2021).

    The last JPEG comes before or after the last scaling and sinc filter, equally often.
    """

    def __init__(
        self,
        *,
        scale: int = 4,  # factor of downscaling
        first: Spec = Spec(Stage),  # first round
        second: Spec = Spec(  # second round
            Stage,
            blur=0.8,
            sigma=(0.2, 1.5),
            resize=(0.3, 0.4, 0.3),
            factor=(0.3, 1.2),
            noise=(1.0, 25.0),
            poisson_scale=(0.05, 2.5),
        ),
        ringing: float = 0.8,  # share of images with the last sinc filter
        sharpen: bool = True,  # sharpen the images first; the network restores the sharpened ones
    ):
        for stage in (first, second):
            if stage.target is not Stage:
                raise UsageError(f"Each round is a stage(...), not {stage!r}.")
        self.scale, self.sharpen = scale, sharpen
        self.first: Stage = first.build()
        self.second: Stage = second.build()
        self.ringing = check_share(self, "ringing", ringing)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        height, width = image.shape[2:]
        image = self.first.before_jpeg(image, (height, width), random)
        image = self.first.compress(image, random)
        image = self.second.before_jpeg(image, (height / self.scale, width / self.scale), random)
        size = (height // self.scale, width // self.scale)
        if random.happens(0.5):
            return self.second.compress(self._last(image, size, random), random)
        return self._last(self.second.compress(image, random), size, random)

    def targets(self, images: Tensor) -> Tensor:
        """Sharpened images, which are then degraded; transparency is unchanged."""
        if not self.sharpen:
            return images
        colours = torch.cat([sharpen((image[None, :3] + 1) / 2) for image in images]) * 2 - 1
        return torch.cat([colours, images[:, 3:]], 1)

    def _last(self, image: Tensor, size: tuple[int, int], random: RandomStream) -> Tensor:
        """Scale to the final size and apply the last sinc filter to its share of images."""
        image = resize_random(image, size, random)
        if not random.happens(self.ringing):
            return image
        taps = 2 * random.integer(3, 10) + 1
        return filter_image(image, sinc(taps, random.uniform(math.pi / 3, math.pi)))
