"""Random changes to the real images, drawn anew for every one: more data out of little.

What the discriminator sees of real and generated images alike is changed in `ganvas.augment` instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..catalog import TRANSFORMS
from ..config import options
from ..errors import UsageError, did_you_mean
from .dataset import Facts


class Transform:
    """A random change of images (N, C, H, W) in [-1, 1], C = 1, 3 or 4, into images of the same shape and range."""

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to the same."""
        return self.change(images).clamp(-1, 1)

    def change(self, images: Tensor) -> Tensor:
        """The change itself, which may leave [-1, 1]."""
        raise NotImplementedError

    def check(self, facts: Facts) -> None:
        """Raise `UsageError` for data that this cannot be done to."""
        if facts.kind != "images":
            raise UsageError(f"The transform {type(self).__name__.lower()} is for images, and the data are points.")


class Flip(Transform):
    """Mirror left and right."""

    def __init__(
        self,
        *,
        p: float = 0.5,  # probability
    ):
        self.p = _within("flip", "p", p, 0, 1)

    def change(self, images: Tensor) -> Tensor:
        """Some images mirrored."""
        return torch.where(_chance(images, self.p), images.flip(3), images)


class Turn(Transform):
    """Turn by quarters: four ways for squares, two for other shapes."""

    def __init__(
        self,
        *,
        p: float = 1.0,  # share of images that are held any way, upright among them
    ):
        self.p = _within("turn", "p", p, 0, 1)

    def change(self, images: Tensor) -> Tensor:
        """Every image turned its own way."""
        step = 1 if images.shape[2] == images.shape[3] else 2
        ways = torch.randint(4 // step, (len(images),)) * step * (torch.rand(len(images)) < self.p)
        return torch.stack([image.rot90(int(k), (1, 2)) for image, k in zip(images, ways)])


class Rotate(Transform):
    """Turn about the centre; what comes in at the corners is reflected."""

    def __init__(
        self,
        *,
        degrees: float = 10.0,  # largest angle to either side, in degrees
    ):
        self.degrees = _within("rotate", "degrees", degrees, 0, 180)

    def change(self, images: Tensor) -> Tensor:
        """Every image turned by its own angle."""
        from kornia.geometry.transform import rotate

        angle = _uniform(images, -self.degrees, self.degrees).flatten()
        return _premultiplied(images, lambda x: rotate(x, angle, padding_mode="reflection"))


class Scale(Transform):
    """Zoom about the centre; what comes in at the edges is reflected."""

    def __init__(
        self,
        *,
        low: float = 0.9,  # smallest factor
        high: float = 1.1,  # largest factor
    ):
        self.low, self.high = _within("scale", "low", low, 0.1, 10), _within("scale", "high", high, low, 10)

    def change(self, images: Tensor) -> Tensor:
        """Every image zoomed by its own factor."""
        from kornia.geometry.transform import scale

        factor = _uniform(images, self.low, self.high).view(-1, 1).expand(-1, 2)
        return _premultiplied(images, lambda x: scale(x, factor, padding_mode="reflection"))


class Crop(Transform):
    """Shift by whole pixels; what comes in at the edges is reflected."""

    def __init__(
        self,
        *,
        padding: float = 0.125,  # largest shift, as a share of the side
    ):
        self.padding = _within("crop", "padding", padding, 0, 0.5)

    def change(self, images: Tensor) -> Tensor:
        """Every image shifted by its own distance."""
        count, _, height, width = images.shape
        tall, wide = round(self.padding * height), round(self.padding * width)
        padded = F.pad(images, (wide, wide, tall, tall), mode="reflect").permute(0, 2, 3, 1)
        device = images.device
        top = torch.randint(2 * tall + 1, (count, 1, 1), device=device) + torch.arange(height, device=device)[:, None]
        left = torch.randint(2 * wide + 1, (count, 1, 1), device=device) + torch.arange(width, device=device)
        return padded[torch.arange(count, device=device)[:, None, None], top, left].permute(0, 3, 1, 2)


class Brightness(Transform):
    """Lighten or darken the colours; transparency stays."""

    def __init__(
        self,
        *,
        amount: float = 0.2,  # largest change to either side, as a share of the way from black to white
    ):
        self.amount = _within("brightness", "amount", amount, 0, 1)

    def change(self, images: Tensor) -> Tensor:
        """Every image lightened by its own amount."""
        by = _uniform(images, -2 * self.amount, 2 * self.amount)
        return _colours(images, lambda colours: colours + by)


class Noise(Transform):
    """Add Gaussian noise to the colours; transparency stays."""

    def __init__(
        self,
        *,
        std: float = 0.05,  # standard deviation in the units of [-1, 1], in which black and white are 2 apart
    ):
        self.std = _within("noise", "std", std, 0, 2)

    def change(self, images: Tensor) -> Tensor:
        """Noise of its own on every image."""
        return _colours(images, lambda colours: colours + self.std * torch.randn_like(colours))


class Blur(Transform):
    """Soften with a Gaussian."""

    def __init__(
        self,
        *,
        sigma: float = 1.0,  # largest standard deviation, in pixels
        p: float = 0.5,  # probability
    ):
        self.sigma, self.p = _within("blur", "sigma", sigma, 0.1, 100), _within("blur", "p", p, 0, 1)

    def change(self, images: Tensor) -> Tensor:
        """Some images softened, each by its own width."""
        from kornia.filters import gaussian_blur2d

        reach = min(math.ceil(3 * self.sigma), min(images.shape[2:]) - 1)
        sigma = _uniform(images, 0.1, self.sigma).view(-1, 1).expand(-1, 2)
        soft = _premultiplied(images, lambda x: gaussian_blur2d(x, (2 * reach + 1, 2 * reach + 1), sigma))
        return torch.where(_chance(images, self.p), soft, images)


def parse_transforms(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Names and options from `"flip,rotate=15,scale=0.8:1.2"`; values are given in the order of the signature.

    Raises `UsageError` for an unknown name, or a value that is no number or out of range.
    """
    chosen = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, given, values = item.partition("=")
        if name not in TRANSFORMS:
            raise UsageError(
                f"There is no transform {name!r}.{did_you_mean(name, TRANSFORMS)} There are: {', '.join(TRANSFORMS)}."
            )
        target: type = TRANSFORMS[name]
        known = list(options(target))
        try:
            numbers = [float(v) for v in values.split(":")] if given else []
        except ValueError:
            raise UsageError(f"{item}: {name} takes numbers, as {name}={':'.join(known)}.") from None
        if len(numbers) > len(known):
            raise UsageError(f"{item}: {name} takes {len(known)} at most, as {name}={':'.join(known)}.")
        kwargs = dict(zip(known, numbers))
        target(**kwargs)  # refuses what is out of range while the words are still at hand
        chosen.append((name, kwargs))
    return chosen


def _within(name: str, option: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise UsageError(f"The transform {name} takes {option} from {low:g} to {high:g}, not {value:g}.")
    return value


def _uniform(images: Tensor, low: float, high: float) -> Tensor:
    """(N, 1, 1, 1)."""
    return torch.empty(len(images), 1, 1, 1, device=images.device, dtype=images.dtype).uniform_(low, high)


def _chance(images: Tensor, p: float) -> Tensor:
    """(N, 1, 1, 1) bool."""
    return torch.rand(len(images), 1, 1, 1, device=images.device) < p


def _colours(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change all channels but transparency."""
    if images.shape[1] != 4:
        return change(images)
    return torch.cat([change(images[:, :3]), images[:, 3:]], 1)


def _premultiplied(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change an image so that pixels which do not show do not bleed into those that do; hidden ones become white."""
    if images.shape[1] != 4:
        return change(images)
    alpha = (images[:, 3:] + 1) / 2
    changed = change(torch.cat([(images[:, :3] + 1) / 2 * alpha, alpha], 1))
    colours, alpha = changed[:, :3], changed[:, 3:]
    shown = alpha > 1e-3
    return torch.cat([torch.where(shown, colours / alpha.clamp_min(1e-3), 1.0), alpha], 1) * 2 - 1
