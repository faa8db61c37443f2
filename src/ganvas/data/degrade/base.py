"""What every degradation is, and the random numbers it draws from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ...config import Spec
from ...errors import UsageError
from ...imaging.resize import resize
from ..dataset import Facts

Range = tuple[float, float]
T = TypeVar("T")

MASK = (1 << 64) - 1
STREAM = 0xD6E8FEB86659FD93  # keeps these numbers apart from those of the data's order, which has the same seed


class Chance:
    """The random numbers of one image, which follow from the seed and the image's place in the endless order.

    Numbers come from Philox's raw bits, the same in every version of NumPy; fields from PyTorch, seeded by these.
    """

    def __init__(self, seed: int, place: int, device: torch.device | str = "cpu"):
        self.bits = np.random.Philox(key=np.array([(seed ^ STREAM) & MASK, place & MASK], np.uint64))
        self.device = torch.device(device)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number from low to high."""
        return low + (high - low) * (int(self.bits.random_raw()) >> 11) * 2.0**-53

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.uniform(0, high - low + 1))

    def happens(self, p: float) -> bool:
        """Whether something of that probability happens."""
        return self.uniform() < p

    def pick(self, things: Sequence[T], shares: Sequence[float] | None = None) -> T:
        """One of several, equally likely or by their shares."""
        edges = np.cumsum(shares if shares is not None else np.ones(len(things)))
        place = int(np.searchsorted(edges, self.uniform() * edges[-1], side="right"))
        return things[min(place, len(things) - 1)]

    def field(self) -> torch.Generator:
        """A generator on the device for one field of numbers."""
        return torch.Generator(self.device).manual_seed(int(self.bits.random_raw()) >> 1)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32."""
        return torch.randn(*shape, generator=self.field(), device=self.device)

    def flat(self, *shape: int) -> Tensor:
        """Numbers from 0 to 1, float32."""
        return torch.rand(*shape, generator=self.field(), device=self.device)

    def counts(self, rates: Tensor) -> Tensor:
        """A Poisson number for each rate."""
        return torch.poisson(rates, generator=self.field())

    def smooth(self, height: int, width: int, cells: int) -> Tensor:
        """A slowly changing field in [0, 1]: (1, 1, H, W), with about `cells` hills a side."""
        coarse = self.flat(1, 1, cells, cells)
        return resize(coarse, (height, width)).clamp(0, 1)


class Degradation:
    """Nothing at all, and what every way of spoiling an image can do.

    Each image is spoiled alone, by numbers of its own, so no two of a batch need be alike.
    """

    scale = 1  # how many times smaller the result is
    yields_image = True  # the result is an image, and not more than one

    def __call__(self, images: Tensor, places: Sequence[int], *, seed: int, top: int = 255) -> Tensor:
        """Good images (N, C, H, W) in [-1, 1], C = 1, 3 or 4, to bad ones (N, C', H / scale, W / scale) in [-1, 1].

        `places` are the images' positions in the endless order of the data; the result has whole levels, `top` of
        them (255 or 65535), as stored images have.  Transparency is only scaled.
        """
        return self.pair(images, places, seed=seed, top=top)["source"]

    def pair(self, images: Tensor, places: Sequence[int], *, seed: int, top: int = 255) -> dict[str, Tensor]:
        """What a network is given, `source`, and what it is to make of it, `target`; channels last in memory."""
        height, width = images.shape[2:]
        if height % self.scale or width % self.scale:
            raise UsageError(f"Images of {width}x{height} cannot be made {self.scale} times smaller exactly.")
        if len(places) != len(images):
            raise ValueError(f"{len(images)} images have {len(places)} places")
        wanted = self.wanted(images)
        chances = [Chance(seed, place, images.device) for place in places]
        spoiled = torch.cat([self._one(one[None], chance, top) for one, chance in zip(wanted, chances)])
        made = {"source": spoiled, "target": wanted}
        return {name: value.contiguous(memory_format=torch.channels_last) for name, value in made.items()}

    def wanted(self, images: Tensor) -> Tensor:
        """What is spoiled, and what a network is to make of it again: (N, C, H, W) in [-1, 1], by default as it was."""
        return images

    def _one(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        unit = image.add(1).div(2)
        spoiled = self.degrade(unit[:, :3], chance, top)
        if image.shape[1] == 4:
            alpha = unit[:, 3:] if self.scale == 1 else resize(unit[:, 3:], scale=1 / self.scale)
            spoiled = torch.cat([spoiled, alpha], 1)
        return whole(spoiled, top).mul_(2).sub_(1)

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """One image (1, C, H, W) in [0, 1], C = 1 or 3, spoiled; the result may leave [0, 1]."""
        return image

    def channels(self, channels: int) -> int:
        """How many channels the result has; raises `UsageError` where there can be none."""
        return channels

    def check(self, facts: Facts) -> None:
        """Raise `UsageError` for data that cannot be spoiled so."""
        if facts.kind != "images":
            raise UsageError(f"{type(self).__name__} spoils images, and the data are points.")
        self.channels(facts.channels)
        height, width = facts.resolution
        if height % self.scale or width % self.scale:
            raise UsageError(
                f"Images of {width}x{height} cannot be made {self.scale} times smaller exactly;"
                f" give a --resolution that {self.scale} divides."
            )


class InTurn(Degradation):
    """Several degradations, one after the other."""

    def __init__(
        self,
        *,
        parts: list[Spec],  # such as [lens_blur,noisy,jpeg]
    ):
        for part in parts:
            if not (isinstance(part, Spec) and issubclass(part.target, Degradation)):
                raise UsageError(f"{part!r} is no degradation.")
        self.parts: list[Degradation] = [part.build() for part in parts]
        self.scale = math.prod(part.scale for part in self.parts)
        self.yields_image = all(part.yields_image for part in self.parts)

    def wanted(self, images: Tensor) -> Tensor:
        """As the first part wants them, which is the one that sees the good image."""
        return self.parts[0].wanted(images) if self.parts else images

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """Each does its part; what one leaves outside [0, 1] the next one does not see."""
        for k, part in enumerate(self.parts):
            image = part.degrade(image.clamp(0, 1) if k else image, chance, top)
        return image

    def channels(self, channels: int) -> int:
        """Those that the last one makes; raises `UsageError` where one makes what the next cannot take."""
        for k, part in enumerate(self.parts):
            if k and not self.parts[k - 1].yields_image:
                raise UsageError(f"{type(self.parts[k - 1]).__name__} makes more than an image and must come last.")
            channels = part.channels(channels)
        return channels


def whole(images: Tensor, top: int) -> Tensor:
    """In [0, 1], in steps of 1 / top."""
    return images.clamp(0, 1).mul_(top).round_().div_(top)


def within(who: object, option: str, value: Range, low: float, high: float = math.inf) -> Range:
    """A range of strengths as it is; raises `UsageError` if it is upside down or leaves what is possible."""
    if not low <= value[0] <= value[1] <= high:
        limits = f"from {low:g}" + (f" to {high:g}" if high < math.inf else " up")
        found = f"({value[0]:g}, {value[1]:g})"
        raise UsageError(f"{type(who).__name__} takes {option} as a range (low, high) {limits}, not {found}.")
    return (float(value[0]), float(value[1]))


def share(who: object, option: str, value: float) -> float:
    """A probability as it is; raises `UsageError` if it is none."""
    if not 0 <= value <= 1:
        raise UsageError(f"{type(who).__name__} takes {option} as a share from 0 to 1, not {value:g}.")
    return value
