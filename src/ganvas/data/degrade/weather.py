"""Haze, rain and darkness."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import Chance, Degradation, Range, share, within
from .kernels import filtered, path


class Haze(Degradation):
    """Atmospheric scattering before a synthetic depth: J t + A (1 - t), t = exp(-density depth) (Narasimhan 2002).

    Depth grows from the bottom to the top along a tilted plane with hills; ranges are those of RESIDE (Li et al. 2019).
    """

    def __init__(
        self,
        *,
        density: Range = (0.6, 1.8),  # scattering between the nearest and the farthest point
        airlight: Range = (0.7, 1.0),  # brightness of the haze itself
        tint: float = 0.03,  # largest departure of its colours from grey
        hills: float = 0.4,  # how much of the depth is hills rather than a plane, from 0 to 1
    ):
        self.density, self.airlight = within(self, "density", density, 0), within(self, "airlight", airlight, 0, 1)
        self.tint, self.hills = share(self, "tint", tint), share(self, "hills", hills)

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """(1, C, H, W), veiled."""
        _, channels, height, width = image.shape
        transmission = torch.exp(-chance.uniform(*self.density) * self.depth(height, width, chance))
        light = chance.uniform(*self.airlight)
        tints = [chance.uniform(-self.tint, self.tint) if channels == 3 else 0.0 for _ in range(channels)]
        air = torch.tensor([min(light + t, 1.0) for t in tints], dtype=image.dtype, device=image.device)
        return image * transmission + air.view(-1, 1, 1) * (1 - transmission)

    def depth(self, height: int, width: int, chance: Chance) -> Tensor:
        """(1, 1, H, W) from 0, the nearest point, to 1, the farthest."""
        tilt = chance.uniform(-0.5, 0.5)
        down = torch.linspace(1, 0, height, device=chance.device)[:, None]
        plane = down + tilt * torch.linspace(-0.5, 0.5, width, device=chance.device)
        depth = (1 - self.hills) * plane + self.hills * chance.smooth(height, width, 4)
        nearest, farthest = depth.amin(), depth.amax()
        return (depth - nearest) / (farthest - nearest).clamp_min(1e-6)


class Rain(Degradation):
    """Streaks of rain, near and far, screened over the image, and the veil of those too far to be seen."""

    def __init__(
        self,
        *,
        drops: Range = (0.0005, 0.004),  # streaks a pixel
        length: Range = (8.0, 30.0),  # of the nearest, in pixels
        slant: float = 25.0,  # largest angle from the vertical, in degrees
        brightness: Range = (0.4, 0.9),  # of the nearest
        veil: Range = (0.0, 0.2),  # share of grey over everything
    ):
        self.drops, self.length = within(self, "drops", drops, 0, 1), within(self, "length", length, 2, 200)
        self.brightness = within(self, "brightness", brightness, 0, 1)
        self.veil, self.slant = within(self, "veil", veil, 0, 1), slant

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """(1, C, H, W), rained on."""
        height, width = image.shape[2:]
        angle = math.radians(chance.uniform(-self.slant, self.slant))
        length, drops = chance.uniform(*self.length), chance.uniform(*self.drops)
        brightness, veil = chance.uniform(*self.brightness), chance.uniform(*self.veil)
        dry = torch.ones(1, 1, height, width, device=image.device)  # what light of the image comes through
        for nearness in (1.0, 0.6, 0.35):
            dry = dry * (
                1
                - self._streaks((height, width), drops / nearness, length * nearness, angle, chance)
                * brightness
                * nearness**0.5
            )
        image = image * (1 - veil) + 0.75 * veil
        return 1 - (1 - image) * dry

    @staticmethod
    def _streaks(size: tuple[int, int], drops: float, length: float, angle: float, chance: Chance) -> Tensor:
        """(1, 1, H, W) in [0, 1]: drops of many sizes, each smeared along its fall."""
        fallen = chance.flat(1, 1, *size)
        seeds = (fallen < drops).float() * (0.4 + 0.6 * fallen / max(drops, 1e-9))
        x, y = length / 2 * math.sin(angle), length / 2 * math.cos(angle)
        kernel = path(2 * math.ceil(length / 2 + 1) + 1, [(-x, -y), (x, y)])
        return filtered(seeds, kernel / kernel.max()).clamp(0, 1)


class LowLight(Degradation):
    """Underexposed: fewer photons in linear light, their noise, the sensor's own, and the usual curve of sRGB."""

    def __init__(
        self,
        *,
        stops: Range = (1.0, 4.0),  # halvings of the light
        photons: Range = (500.0, 5000.0),  # what a pixel holds at full light; fewer are noisier
        floor: Range = (0.0005, 0.003),  # the sensor's own noise, as a share of full light
    ):
        self.stops, self.photons = within(self, "stops", stops, 0, 16), within(self, "photons", photons, 1)
        self.floor = within(self, "floor", floor, 0, 1)

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """(1, C, H, W), dark."""
        full = chance.uniform(*self.photons)
        light = linear(image.clamp(0, 1)) * 2 ** -chance.uniform(*self.stops)
        seen = chance.counts(light * full) / full + chance.uniform(*self.floor) * chance.normal(*image.shape)
        return curved(seen.clamp(0, 1))


def linear(image: Tensor) -> Tensor:
    """sRGB in [0, 1] as light (IEC 61966-2-1)."""
    return torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055).clamp_min(0) ** 2.4)


def curved(light: Tensor) -> Tensor:
    """The inverse of `linear`."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)
