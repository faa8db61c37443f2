"""Base class of degradations, their random numbers, and several in a row."""

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
STREAM = 0xD6E8FEB86659FD93  # separates these numbers from those of the data's order, which has the same seed


class RandomStream:
    """Random numbers of one image, determined by the seed and the image's position in the endless order.

    Scalars come from Philox's raw bits, equal in every version of NumPy; fields from PyTorch, seeded by these.
    """

    def __init__(self, seed: int, position: int, device: torch.device | str = "cpu"):
        self.bits = np.random.Philox(key=np.array([(seed ^ STREAM) & MASK, position & MASK], np.uint64))
        self.device = torch.device(device)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Draw a number from low to high."""
        return low + (high - low) * (int(self.bits.random_raw()) >> 11) * 2.0**-53

    def integer(self, low: int, high: int) -> int:
        """Draw an integer from low to high, both included."""
        return low + int(self.uniform(0, high - low + 1))

    def happens(self, p: float) -> bool:
        """Draw True with probability p."""
        return self.uniform() < p

    def choice(self, things: Sequence[T], shares: Sequence[float] | None = None) -> T:
        """Draw one of several things, uniformly or by their shares."""
        edges = np.cumsum(shares if shares is not None else np.ones(len(things)))
        place = int(np.searchsorted(edges, self.uniform() * edges[-1], side="right"))
        return things[min(place, len(things) - 1)]

    def generator(self) -> torch.Generator:
        """Create a PyTorch generator on the device for one field of numbers."""
        return torch.Generator(self.device).manual_seed(int(self.bits.random_raw()) >> 1)

    def normal(self, *shape: int) -> Tensor:
        """Draw a field of standard normal numbers, float32."""
        return torch.randn(*shape, generator=self.generator(), device=self.device)

    def uniform_field(self, *shape: int) -> Tensor:
        """Draw a field of numbers from 0 to 1, float32."""
        return torch.rand(*shape, generator=self.generator(), device=self.device)

    def poisson(self, rates: Tensor) -> Tensor:
        """Draw a Poisson number for each rate."""
        return torch.poisson(rates, generator=self.generator())

    def smooth_field(self, height: int, width: int, cells: int) -> Tensor:
        """Draw a smooth field (1, 1, H, W) in [0, 1] with about `cells` hills a side."""
        coarse = self.uniform_field(1, 1, cells, cells)
        return resize(coarse, (height, width)).clamp(0, 1)


class Degradation:
    """Base class of degradations; by itself it changes nothing.

    Each image is degraded separately with random numbers of its own.
    """

    scale = 1  # factor by which the result is smaller
    any_channels = False  # it also takes other images than grey, RGB and RGBA
    yields_image = True  # the result has the channels of an image and no mask

    def __call__(self, images: Tensor, positions: Sequence[int], *, seed: int, top: int = 255) -> Tensor:
        """Degrade images (N, C, H, W) in [-1, 1], to (N, C', H / scale, W / scale) in [-1, 1].

        `positions` are those of the images in the endless order of the data.  The result has whole levels up to `top`,
        255 or 65535, as stored images have.  Transparency is only scaled.
        """
        return self.source_and_target(images, positions, seed=seed, top=top)["source"]

    def source_and_target(
        self, images: Tensor, positions: Sequence[int], *, seed: int, top: int = 255
    ) -> dict[str, Tensor]:
        """Make `source`, the degraded network input, and `target`, the expected output; channels last in memory."""
        height, width = images.shape[2:]
        if height % self.scale or width % self.scale:
            raise UsageError(f"Images of {width}x{height} cannot be made {self.scale} times smaller exactly.")
        if len(positions) != len(images):
            raise ValueError(f"{len(images)} images have {len(positions)} positions")
        targets = self.targets(images)
        streams = [RandomStream(seed, position, images.device) for position in positions]
        sources = torch.cat([self._degrade_one(one[None], random, top) for one, random in zip(targets, streams)])
        pair = {"source": sources, "target": targets}
        return {name: value.contiguous(memory_format=torch.channels_last) for name, value in pair.items()}

    def targets(self, images: Tensor) -> Tensor:
        """Images to degrade, which the network should restore: (N, C, H, W) in [-1, 1]; by default unchanged."""
        return images

    def _degrade_one(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        unit = image.add(1).div(2)
        degraded = self.degrade(unit[:, :3] if image.shape[1] == 4 else unit, random, top)
        if image.shape[1] == 4:
            alpha = unit[:, 3:] if self.scale == 1 else resize(unit[:, 3:], scale=1 / self.scale)
            degraded = torch.cat([degraded, alpha], 1)
        return round_to_levels(degraded, top).mul_(2).sub_(1)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Degrade one image (1, C, H, W) in [0, 1], C = 1 or 3; the result may leave [0, 1]."""
        return image

    def channels(self, channels: int) -> int:
        """Number of channels of the result; raises `UsageError` for images that cannot be degraded."""
        return channels

    def check(self, facts: Facts) -> None:
        """Raise `UsageError` for data that cannot be degraded."""
        if facts.kind != "images":
            raise UsageError(
                f"{type(self).__name__} degrades images, and the data are points; give a folder or photos."
            )
        if facts.channels not in (1, 3, 4) and not self.any_channels:
            raise UsageError(
                f"{type(self).__name__} degrades grey, RGB and RGBA images, and these have {facts.channels} channels;"
                " blur, noise and bicubic take any number."
            )
        self.channels(facts.channels)
        height, width = facts.resolution
        if height % self.scale or width % self.scale:
            raise UsageError(
                f"Images of {width}x{height} cannot be made {self.scale} times smaller exactly;"
                f" give a --resolution that {self.scale} divides."
            )


class Chain(Degradation):
    """Several degradations, applied in order."""

    def __init__(self, *, parts: list[Spec]):  # degradations, such as [lens_blur,sensor_noise,jpeg]
        for part in parts:
            if not (isinstance(part, Spec) and issubclass(part.target, Degradation)):
                raise UsageError(f"{part!r} is no degradation; ganvas list degradations has them.")
        self.parts: list[Degradation] = [part.build() for part in parts]
        self.scale = math.prod(part.scale for part in self.parts)
        self.yields_image = all(part.yields_image for part in self.parts)
        self.any_channels = all(part.any_channels for part in self.parts)

    def targets(self, images: Tensor) -> Tensor:
        """Targets of the first part, which sees the good image."""
        return self.parts[0].targets(images) if self.parts else images

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Apply all parts, clamping to [0, 1] in between."""
        for k, part in enumerate(self.parts):
            image = part.degrade(image.clamp(0, 1) if k else image, random, top)
        return image

    def channels(self, channels: int) -> int:
        """Channels of the last part's result; raises `UsageError` if a part cannot take those of the one before."""
        for k, part in enumerate(self.parts):
            if k and not self.parts[k - 1].yields_image:
                raise UsageError(f"{type(self.parts[k - 1]).__name__} adds a mask to the image and must come last.")
            channels = part.channels(channels)
        return channels


class Sometimes(Degradation):
    """A degradation that is applied to a share of the images; the others stay as they are."""

    def __init__(
        self,
        *,
        part: Spec,  # a degradation that keeps the size and the channels, such as jpeg
        share: float = 0.5,  # share of images that are degraded
    ):
        if not (isinstance(part, Spec) and issubclass(part.target, Degradation)):
            raise UsageError(f"{part!r} is no degradation; ganvas list degradations has them.")
        self.part, self.share = part.build(), check_share(self, "share", share)
        self.any_channels = self.part.any_channels
        if self.part.scale != 1 or not self.part.yields_image or self.part.channels(3) != 3:
            raise UsageError(f"{type(self.part).__name__} changes the size or the channels, so all images need it.")

    def targets(self, images: Tensor) -> Tensor:
        """Targets of the part."""
        return self.part.targets(images)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Apply the part, or return the image."""
        return self.part.degrade(image, random, top) if random.happens(self.share) else image


def round_to_levels(images: Tensor, top: int) -> Tensor:
    """Round images to steps of 1 / top in [0, 1]."""
    return images.clamp(0, 1).mul_(top).round_().div_(top)


def check_range(who: object, option: str, value: Range, low: float, high: float = math.inf) -> Range:
    """Return a range (low, high) as floats; raises `UsageError` if it is reversed or exceeds its limits."""
    if not low <= value[0] <= value[1] <= high:
        limits = f"from {low:g}" + (f" to {high:g}" if high < math.inf else " up")
        given = f"({value[0]:g}, {value[1]:g})"
        raise UsageError(f"{type(who).__name__} takes {option} as a range (low, high) {limits}, not {given}.")
    return (float(value[0]), float(value[1]))


def check_share(who: object, option: str, value: float) -> float:
    """Return a share; raises `UsageError` outside 0 to 1."""
    if not 0 <= value <= 1:
        raise UsageError(f"{type(who).__name__} takes {option} as a share from 0 to 1, not {value:g}.")
    return value
