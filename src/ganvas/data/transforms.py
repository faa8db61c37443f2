"""Random transforms of real images, drawn for each image every time, to augment small data sets.

Augmentations of everything the discriminator sees, real and generated, are in `ganvas.augment`.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..catalog import MIXTURES, TRANSFORMS, Shelf
from ..config import options
from ..errors import UsageError, did_you_mean
from .dataset import Facts


class Transform:
    """Base class of random transforms of images (N, C, H, W) in [-1, 1], C = 1, 3 or 4; shape and range are kept."""

    def __call__(self, images: Tensor) -> Tensor:
        """Transform images (N, C, H, W) in [-1, 1], clamping the result."""
        return self.change(images).clamp(-1, 1)

    def change(self, images: Tensor) -> Tensor:
        """Transform images; the result may leave [-1, 1]."""
        raise NotImplementedError

    hides_colours = False  # of RGBA images, where they become transparent

    def check(self, facts: Facts, mask: bool = False) -> None:
        """Raise `UsageError` for data that cannot be transformed; `mask`: the last channel is no transparency."""
        if facts.kind != "images":
            raise UsageError(
                f"The transform {type(self).__name__.lower()} is for images, and the data are points; leave it out."
            )
        if mask and facts.channels == 4 and self.hides_colours:
            raise UsageError(
                f"The transform {type(self).__name__.lower()} takes a fourth channel for transparency, and here it is"
                " a mask; flip, turn and crop keep both."
            )


class Flip(Transform):
    """Horizontal flip."""

    def __init__(self, *, p: float = 0.5):  # probability of a flip
        self.p = _check_range("flip", "p", p, 0, 1)

    def change(self, images: Tensor) -> Tensor:
        return torch.where(_draw_mask(images, self.p), images.flip(3), images)


class Turn(Transform):
    """Rotation by multiples of 90 degrees, or of 180 degrees for images that are not square."""

    def __init__(self, *, p: float = 1.0):  # share of images rotated by a random multiple, 0 included
        self.p = _check_range("turn", "p", p, 0, 1)

    def change(self, images: Tensor) -> Tensor:
        step = 1 if images.shape[2] == images.shape[3] else 2
        ways = torch.randint(4 // step, (len(images),)) * step * (torch.rand(len(images)) < self.p)
        return torch.stack([image.rot90(int(k), (1, 2)) for image, k in zip(images, ways)])


class Rotate(Transform):
    """Rotation about the centre by a random angle, with reflected corners."""

    hides_colours = True

    def __init__(self, *, degrees: float = 10.0):  # largest angle in either direction, in degrees
        self.degrees = _check_range("rotate", "degrees", degrees, 0, 180)

    def change(self, images: Tensor) -> Tensor:
        from kornia.geometry.transform import rotate

        angle = _draw_uniform(images, -self.degrees, self.degrees).flatten()
        return _map_premultiplied(images, lambda x: rotate(x, angle, padding_mode="reflection"))


class Scale(Transform):
    """Scaling about the centre by a random factor, with reflected edges."""

    hides_colours = True

    def __init__(
        self,
        *,
        low: float = 0.9,  # smallest factor
        high: float = 1.1,  # largest factor
    ):
        self.low, self.high = _check_range("scale", "low", low, 0.1, 10), _check_range("scale", "high", high, low, 10)

    def change(self, images: Tensor) -> Tensor:
        from kornia.geometry.transform import scale

        factor = _draw_uniform(images, self.low, self.high).view(-1, 1).expand(-1, 2)
        return _map_premultiplied(images, lambda x: scale(x, factor, padding_mode="reflection"))


class Crop(Transform):
    """Shift by random whole pixels, with reflected edges: a random crop of the padded image."""

    def __init__(self, *, padding: float = 0.125):  # largest shift, as a share of the side
        self.padding = _check_range("crop", "padding", padding, 0, 0.5)

    def change(self, images: Tensor) -> Tensor:
        count, _, height, width = images.shape
        tall, wide = round(self.padding * height), round(self.padding * width)
        padded = F.pad(images, (wide, wide, tall, tall), mode="reflect").permute(0, 2, 3, 1)
        device = images.device
        top = torch.randint(2 * tall + 1, (count, 1, 1), device=device) + torch.arange(height, device=device)[:, None]
        left = torch.randint(2 * wide + 1, (count, 1, 1), device=device) + torch.arange(width, device=device)
        return padded[torch.arange(count, device=device)[:, None, None], top, left].permute(0, 3, 1, 2)


class Brightness(Transform):
    """Random change of brightness; transparency is kept."""

    def __init__(
        self,
        *,
        amount: float = 0.2,  # largest change in either direction, as a share of the range from black to white
    ):
        self.amount = _check_range("brightness", "amount", amount, 0, 1)

    def change(self, images: Tensor) -> Tensor:
        by = _draw_uniform(images, -2 * self.amount, 2 * self.amount)
        return _map_colours(images, lambda colours: colours + by)


class Noise(Transform):
    """Gaussian noise on the colours; transparency is kept."""

    def __init__(self, *, std: float = 0.05):  # standard deviation, where black is -1 and white 1
        self.std = _check_range("noise", "std", std, 0, 2)

    def change(self, images: Tensor) -> Tensor:
        return _map_colours(images, lambda colours: colours + self.std * torch.randn_like(colours))


class Blur(Transform):
    """Gaussian blur of random width."""

    def __init__(
        self,
        *,
        sigma: float = 1.0,  # largest standard deviation, in pixels
        p: float = 0.5,  # probability of blur
    ):
        self.sigma, self.p = _check_range("blur", "sigma", sigma, 0.1, 100), _check_range("blur", "p", p, 0, 1)

    def change(self, images: Tensor) -> Tensor:
        from kornia.filters import gaussian_blur2d

        reach = min(math.ceil(3 * self.sigma), min(images.shape[2:]) - 1)
        sigma = _draw_uniform(images, 0.1, self.sigma).view(-1, 1).expand(-1, 2)
        soft = _map_premultiplied(images, lambda x: gaussian_blur2d(x, (2 * reach + 1, 2 * reach + 1), sigma))
        return torch.where(_draw_mask(images, self.p), soft, images)


def parse_transforms(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Parse names and options of `"flip,rotate=15,scale=0.8:1.2"`; values are in the order of the signature.

    Raises `UsageError` for an unknown name, or a value that is not a number or out of range.
    """
    chosen, changes = [], Shelf(TRANSFORMS, MIXTURES)
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, given, values = item.partition("=")
        if name not in changes:
            raise UsageError(
                f"There is no transform {name!r}.{did_you_mean(name, changes)} There are: {', '.join(changes)}."
            )
        target: type = changes[name]
        known = list(options(target))
        try:
            numbers = [float(v) for v in values.split(":")] if given else []
        except ValueError:
            raise UsageError(f"{item}: {name} takes numbers, as {name}={':'.join(known)}.") from None
        if len(numbers) > len(known):
            raise UsageError(f"{item}: {name} takes {len(known)} at most, as {name}={':'.join(known)}.")
        kwargs = dict(zip(known, numbers))
        target(**kwargs)  # raises for values out of range
        chosen.append((name, kwargs))
    return chosen


def _check_range(name: str, option: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise UsageError(f"The transform {name} takes {option} from {low:g} to {high:g}, not {value:g}.")
    return value


def _draw_uniform(images: Tensor, low: float, high: float) -> Tensor:
    """Draw a number for each image: (N, 1, 1, 1)."""
    return torch.empty(len(images), 1, 1, 1, device=images.device, dtype=images.dtype).uniform_(low, high)


def _draw_mask(images: Tensor, p: float) -> Tensor:
    """Draw True with probability p for each image: (N, 1, 1, 1) bool."""
    return torch.rand(len(images), 1, 1, 1, device=images.device) < p


def _map_colours(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `change` to all channels but transparency."""
    if images.shape[1] != 4:
        return change(images)
    return torch.cat([change(images[:, :3]), images[:, 3:]], 1)


def _map_premultiplied(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `change` to colours times alpha, so that hidden colours do not bleed; invisible pixels become white."""
    if images.shape[1] != 4:
        return change(images)
    alpha = (images[:, 3:] + 1) / 2
    changed = change(torch.cat([(images[:, :3] + 1) / 2 * alpha, alpha], 1))
    colours, alpha = changed[:, :3], changed[:, 3:]
    visible = alpha > 1e-3
    return torch.cat([torch.where(visible, colours / alpha.clamp_min(1e-3), 1.0), alpha], 1) * 2 - 1
