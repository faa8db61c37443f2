"""Degradations by weather and light: haze, rain, underexposure."""

import math

import torch
from torch import Tensor

from .base import Degradation, RandomStream, Range, check_range, check_share
from .kernels import filter_image, motion_path


class Haze(Degradation):
    """Haze over a synthetic depth d: J t + A (1 - t) with t = exp(-density d) (Narasimhan and Nayar 2002).

    Depth grows from bottom to top along a tilted plane with hills; ranges are those of RESIDE (Li et al. 2019).
    """

    def __init__(
        self,
        *,
        density: Range = (0.6, 1.8),  # optical depth between the nearest and the farthest point
        airlight: Range = (0.7, 1.0),  # brightness A of the haze, from 0 to 1
        tint: float = 0.03,  # largest deviation of its colours from grey
        hills: float = 0.4,  # share of hills in the depth, from 0 to 1; the rest is a plane
    ):
        self.density = check_range(self, "density", density, 0)
        self.airlight = check_range(self, "airlight", airlight, 0, 1)
        self.tint, self.hills = check_share(self, "tint", tint), check_share(self, "hills", hills)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        _, channels, height, width = image.shape
        transmission = torch.exp(-random.uniform(*self.density) * self.depth(height, width, random))
        light = random.uniform(*self.airlight)
        tints = [random.uniform(-self.tint, self.tint) if channels == 3 else 0.0 for _ in range(channels)]
        air = torch.tensor([min(light + t, 1.0) for t in tints], dtype=image.dtype, device=image.device)
        return image * transmission + air.view(-1, 1, 1) * (1 - transmission)

    def depth(self, height: int, width: int, random: RandomStream) -> Tensor:
        """Draw a depth (1, 1, H, W) from 0, nearest, to 1, farthest."""
        tilt = random.uniform(-0.5, 0.5)
        down = torch.linspace(1, 0, height, device=random.device)[:, None]
        plane = down + tilt * torch.linspace(-0.5, 0.5, width, device=random.device)
        depth = (1 - self.hills) * plane + self.hills * random.smooth_field(height, width, 4)
        nearest, farthest = depth.amin(), depth.amax()
        return (depth - nearest) / (farthest - nearest).clamp_min(1e-6)


class Rain(Degradation):
    """Rain: streaks at three distances, screened over the image, and a grey veil of distant drops."""

    def __init__(
        self,
        *,
        drops: Range = (0.0005, 0.004),  # streaks per pixel
        length: Range = (8.0, 30.0),  # length of the nearest streaks, in pixels
        slant: float = 25.0,  # largest angle to the vertical, in degrees
        brightness: Range = (0.4, 0.9),  # brightness of the nearest streaks, from 0 to 1
        veil: Range = (0.0, 0.2),  # share of grey mixed into the image
    ):
        self.drops, self.length = check_range(self, "drops", drops, 0, 1), check_range(self, "length", length, 2, 200)
        self.brightness = check_range(self, "brightness", brightness, 0, 1)
        self.veil, self.slant = check_range(self, "veil", veil, 0, 1), slant

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        height, width = image.shape[2:]
        angle = math.radians(random.uniform(-self.slant, self.slant))
        length, drops = random.uniform(*self.length), random.uniform(*self.drops)
        brightness, veil = random.uniform(*self.brightness), random.uniform(*self.veil)
        dry = torch.ones(1, 1, height, width, device=image.device)  # share of the image's light that passes
        for nearness in (1.0, 0.6, 0.35):
            streaks = self._streaks((height, width), drops / nearness, length * nearness, angle, random)
            dry = dry * (1 - streaks * brightness * nearness**0.5)
        image = image * (1 - veil) + 0.75 * veil
        return 1 - (1 - image) * dry

    @staticmethod
    def _streaks(size: tuple[int, int], drops: float, length: float, angle: float, random: RandomStream) -> Tensor:
        """Draw streaks (1, 1, H, W) in [0, 1]: drops of many sizes, each blurred along its fall."""
        fallen = random.uniform_field(1, 1, *size)
        seeds = (fallen < drops).float() * (0.4 + 0.6 * fallen / max(drops, 1e-9))
        x, y = length / 2 * math.sin(angle), length / 2 * math.cos(angle)
        kernel = motion_path(2 * math.ceil(length / 2 + 1) + 1, [(-x, -y), (x, y)])
        return filter_image(seeds, kernel / kernel.max()).clamp(0, 1)


class LowLight(Degradation):
    """Underexposure: less linear light, with photon noise and sensor noise, in sRGB."""

    def __init__(
        self,
        *,
        stops: Range = (1.0, 4.0),  # reduction of light, in stops (halvings)
        photons: Range = (500.0, 5000.0),  # photons per pixel at white before the reduction; fewer give more noise
        floor: Range = (0.0005, 0.003),  # standard deviation of sensor noise, as a share of white
    ):
        self.stops, self.photons = check_range(self, "stops", stops, 0, 16), check_range(self, "photons", photons, 1)
        self.floor = check_range(self, "floor", floor, 0, 1)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        full = random.uniform(*self.photons)
        light = srgb_to_linear(image.clamp(0, 1)) * 2 ** -random.uniform(*self.stops)
        seen = random.poisson(light * full) / full + random.uniform(*self.floor) * random.normal(*image.shape)
        return linear_to_srgb(seen.clamp(0, 1))


def srgb_to_linear(image: Tensor) -> Tensor:
    """Convert sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055).clamp_min(0) ** 2.4)


def linear_to_srgb(light: Tensor) -> Tensor:
    """Convert linear light in [0, 1] to sRGB (IEC 61966-2-1)."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)
