"""The degradations of Real-ESRGAN (Wang et al. 2021): blur, resize, noise and JPEG, twice over.

Orders, probabilities and strengths are those of the authors' options and code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ...config import Spec
from ...errors import UsageError
from .base import Chance, Degradation, Range, share, within
from .camera import SHARES, LensBlur, Noisy, recoded
from .kernels import filtered, sharpened, sinc

MODES = ("area", "bilinear", "bicubic")


class Stage(Degradation):
    """One of the two rounds: blur, a random size, noise (Wang et al. 2021)."""

    def __init__(
        self,
        *,
        blur: float = 1.0,  # share of images that are blurred
        sigma: Range = (0.2, 3.0),  # widths of the kernel, in pixels
        shares: tuple[float, ...] = SHARES,  # round and turned Gaussian, generalised, plateau
        sinc: float = 0.1,  # share of kernels that ring
        resize: tuple[float, float, float] = (0.2, 0.7, 0.1),  # shares that grow, shrink, stay
        factor: Range = (0.15, 1.5),  # smallest and largest factor of the size, to either side of 1
        gaussian: float = 0.5,  # share of images with Gaussian noise; the others have Poisson noise
        noise: Range = (1.0, 30.0),  # of Gaussian noise, in levels of 255
        poisson_scale: Range = (0.05, 3.0),  # of Poisson noise
        grey: float = 0.4,  # share of images whose noise is the same in all colours
        quality: Range = (30.0, 95.0),  # of the JPEG
    ):
        self.blurred, self.resize = share(self, "blur", blur), resize
        self.lens = LensBlur(sigma=sigma, shares=shares, sinc=sinc)
        self.factor = within(self, "factor", factor, 0.01, 8)
        counted = 1 - share(self, "gaussian", gaussian)
        self.noise = Noisy(sigma=noise, poisson=counted, poisson_scale=poisson_scale, grey=grey)
        self.quality = within(self, "quality", quality, 1, 100)
        if not factor[0] <= 1 <= factor[1] or min(resize) < 0 or sum(resize) <= 0:
            raise UsageError(f"Stage resizes to either side of 1 by three shares, not {factor!r} by {resize!r}.")

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """All of it, back at the size of before."""
        height, width = image.shape[2:]
        return resized(
            self.compressed(self.before_jpeg(image, (height, width), chance), chance), (height, width), chance
        )

    def before_jpeg(self, image: Tensor, size: tuple[float, float], chance: Chance) -> Tensor:
        """Blurred, at a random size around `size` (height, width), and noisy; in [0, 1]."""
        if chance.happens(self.blurred):
            image = filtered(image, self.lens.kernel(chance))
        low, high = chance.pick([(1.0, self.factor[1]), (self.factor[0], 1.0), (1.0, 1.0)], self.resize)
        factor = chance.uniform(low, high)
        image = resized(image, (int(size[0] * factor), int(size[1] * factor)), chance)
        return self.noise.degrade(image, chance, 255).clamp(0, 1)

    def compressed(self, image: Tensor, chance: Chance) -> Tensor:
        """As a JPEG."""
        return recoded(image, round(chance.uniform(*self.quality)))


def resized(image: Tensor, size: tuple[int, int], chance: Chance) -> Tensor:
    """At another size, at least one pixel, by area, bilinear or bicubic; the latter two as PyTorch has them."""
    size = (max(size[0], 1), max(size[1], 1))
    mode = chance.pick(MODES)
    return F.interpolate(image, size=size, mode=mode) if tuple(image.shape[2:]) != size else image


class SecondOrder(Degradation):
    """Real-ESRGAN's: blur, resize, noise and JPEG twice over, and ringing (Wang et al. 2021).

    The last JPEG comes before or after the last scaling and ringing, equally often.
    """

    def __init__(
        self,
        *,
        scale: int = 4,  # how many times smaller
        first: Spec = Spec(Stage),  # the first round
        second: Spec = Spec(  # the second round
            Stage,
            blur=0.8,
            sigma=(0.2, 1.5),
            resize=(0.3, 0.4, 0.3),
            factor=(0.3, 1.2),
            noise=(1.0, 25.0),
            poisson_scale=(0.05, 2.5),
        ),
        ringing: float = 0.8,  # share of images with the last sinc filter
        sharpen: bool = True,  # start from the sharpened image, which also is what the network is to give
    ):
        for stage in (first, second):
            if stage.target is not Stage:
                raise UsageError(f"Each round is a stage(...), not {stage!r}.")
        self.scale, self.sharpen = scale, sharpen
        self.first: Stage = first.build()
        self.second: Stage = second.build()
        self.ringing = share(self, "ringing", ringing)

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """(1, C, H, W) to (1, C, H / scale, W / scale)."""
        height, width = image.shape[2:]
        image = self.first.before_jpeg(image, (height, width), chance)
        image = self.first.compressed(image, chance)
        image = self.second.before_jpeg(image, (height / self.scale, width / self.scale), chance)
        size = (height // self.scale, width // self.scale)
        if chance.happens(0.5):
            return self.second.compressed(self._last(image, size, chance), chance)
        return self._last(self.second.compressed(image, chance), size, chance)

    def wanted(self, images: Tensor) -> Tensor:
        """Sharpened, from which the spoiled ones then begin; transparency is not."""
        if not self.sharpen:
            return images
        made = torch.cat([sharpened((image[None, :3] + 1) / 2) for image in images]) * 2 - 1
        return torch.cat([made, images[:, 3:]], 1)

    def _last(self, image: Tensor, size: tuple[int, int], chance: Chance) -> Tensor:
        """At its final size, and perhaps ringing."""
        image = resized(image, size, chance)
        if not chance.happens(self.ringing):
            return image
        taps = 2 * chance.integer(3, 10) + 1
        return filtered(image, sinc(taps, chance.uniform(math.pi / 3, math.pi)))
