"""Degradations by few tones: dithering, halftone, screentone, banding."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...errors import UsageError
from ...imaging.channels import luma
from .base import Degradation, RandomStream, Range, check_range, check_share
from .codecs import check_names

FINE = 4  # samples along a pixel of a screen, whose dots have soft edges
PRINT_ANGLES = (15.0, 75.0, 0.0, 45.0)  # degrees of the screens of cyan, magenta, yellow and black
AHEAD = ((0, 1), (0, 2))  # rows down and columns right of the neighbours that take an error
BELOW = ((1, -2), (1, -1), (1, 0), (1, 1), (1, 2))
LOWER = ((2, -2), (2, -1), (2, 0), (2, 1), (2, 2))
PLACES = (*AHEAD, *BELOW, *LOWER)
DIFFUSION: dict[str, tuple[int, tuple[int, ...]]] = {  # divisor, and the weights of these places
    "floyd_steinberg": (16, (7, 0, 0, 3, 5, 1, 0, 0, 0, 0, 0, 0)),
    "jarvis": (48, (7, 5, 3, 5, 7, 5, 3, 1, 3, 5, 3, 1)),
    "stucki": (42, (8, 4, 2, 4, 8, 4, 2, 1, 2, 4, 2, 1)),
    "burkes": (32, (8, 4, 2, 4, 8, 4, 2, 0, 0, 0, 0, 0)),
    "sierra": (32, (5, 3, 2, 4, 5, 4, 2, 0, 2, 3, 2, 0)),
    "sierra_lite": (4, (2, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0)),
    "atkinson": (8, (1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 0)),  # an eighth of the error is dropped twice
}


def check_levels(who: object, levels: tuple[int, int]) -> tuple[int, int]:
    """Return a range of numbers of levels, from 2 to 256; raises `UsageError` for others."""
    low, high = check_range(who, "levels", (float(levels[0]), float(levels[1])), 2, 256)
    return round(low), round(high)


def quantise(image: Tensor, levels: int) -> Tensor:
    """Round an image in [0, 1] to so many equal steps."""
    return image.clamp(0, 1).mul(levels - 1).round().div(levels - 1)


class Banding(Degradation):
    """Few levels without dithering, which turn slopes into bands."""

    def __init__(
        self,
        *,
        levels: tuple[int, int] = (6, 40),  # smallest and largest number of levels
        luma: float = 0.5,  # share of images of which only the luma is rounded
    ):
        self.levels, self.luma_share = check_levels(self, levels), check_share(self, "luma", luma)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Round (1, C, H, W) to levels whose places are drawn: a step lies anywhere between two of them."""
        levels, shift = random.integer(*self.levels), random.uniform(-0.5, 0.5)
        if random.happens(self.luma_share):
            light = luma(image)
            return image + (band(light, levels, shift) - light)
        return band(image, levels, shift)


def band(image: Tensor, levels: int, shift: float) -> Tensor:
    """Round to the levels (k + shift) / (levels - 1), k whole, in [0, 1]."""
    return image.clamp(0, 1).mul(levels - 1).sub(shift).round().add(shift).div(levels - 1).clamp(0, 1)


@lru_cache(8)
def bayer(size: int) -> np.ndarray:
    """Bayer's threshold matrix (Bayer 1973) of side 2, 4, 8 or 16: each number from 0 to size**2 - 1 once."""
    if size == 1:
        return np.zeros((1, 1))
    inner = bayer(size // 2)
    return np.block([[4 * inner, 4 * inner + 2], [4 * inner + 3, 4 * inner + 1]])


class OrderedDither(Degradation):
    """Few levels with thresholds of Bayer's matrix (Bayer 1973), as in old games and GIFs."""

    def __init__(
        self,
        *,
        levels: tuple[int, int] = (2, 12),  # smallest and largest number of levels of a colour
        sizes: tuple[int, ...] = (2, 4, 8),  # sides of the matrix, of which one is drawn
    ):
        self.levels, self.sizes = check_levels(self, levels), tuple(sizes)
        if not self.sizes or any(size not in (2, 4, 8, 16) for size in self.sizes):
            raise UsageError(f"OrderedDither takes sizes of 2, 4, 8 and 16, not {sizes!r}.")

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        levels, size = random.integer(*self.levels), random.choice(self.sizes)
        return dither_ordered(image, levels, size, (random.integer(0, size - 1), random.integer(0, size - 1)))


def dither_ordered(image: Tensor, levels: int, size: int, first: tuple[int, int]) -> Tensor:
    """Round (1, C, H, W) in [0, 1] up where its fraction of a level exceeds (B + 1/2) / size**2, else down."""
    threshold = torch.from_numpy((np.roll(bayer(size), first, (0, 1)) + 0.5) / size**2).to(image)
    height, width = image.shape[2:]
    threshold = threshold.repeat(-(-height // size), -(-width // size))[:height, :width]
    return (image.clamp(0, 1) * (levels - 1) + 1 - threshold).floor().div(levels - 1).clamp(0, 1)


class ErrorDiffusion(Degradation):
    """Few levels, with the error of each pixel passed on to its neighbours (Floyd and Steinberg 1976, and others)."""

    def __init__(
        self,
        *,
        levels: tuple[int, int] = (2, 8),  # smallest and largest number of levels of a colour
        kernels: tuple[str, ...] = tuple(DIFFUSION),  # weights, of which one set is drawn
    ):
        self.levels = check_levels(self, levels)
        self.kernels = check_names(self, "kernels", kernels, tuple(DIFFUSION))

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Dither (1, C, H, W) row by row from the left, or from the right, on the CPU."""
        levels, kernel, turned = random.integer(*self.levels), random.choice(self.kernels), random.happens(0.5)
        pixels = image[0].clamp(0, 1).double().permute(1, 2, 0).cpu().numpy()
        result = diffuse_error(pixels[:, ::-1] if turned else pixels, levels, kernel)
        result = result[:, ::-1].copy() if turned else result
        return torch.from_numpy(result).permute(2, 0, 1)[None].to(image)


def diffuse_error(pixels: np.ndarray, levels: int, kernel: str) -> np.ndarray:
    """Dither (H, W, C) float64 in [0, 1] from left to right, from top to bottom.

    A pixel takes errors from rows above up to one or two columns to its right: with each row moved by one column more
    than that, all pixels of a column are independent and are rounded at once.
    """
    divisor, shares = DIFFUSION[kernel]
    weights = [(*place, weight) for place, weight in zip(PLACES, shares) if weight]
    step, down = 1 + max(-dx for dy, dx, _ in weights if dy), 2
    height, width, channels = pixels.shape
    length = width + step * (height - 1)
    room = np.zeros((length + step * down + 3, height + down, channels))
    rows = np.arange(height)
    places = rows[:, None] * step + np.arange(width)
    room[places, rows[:, None]] = pixels * (levels - 1)
    for t in range(length):
        low, high = max(-(-(t - width + 1) // step), 0), min(t // step, height - 1) + 1  # rows of this column
        value = room[t, low:high]
        rounded = np.clip(np.floor(value + 0.5), 0, levels - 1)
        error = (value - rounded) / divisor
        room[t, low:high] = rounded
        for dy, dx, weight in weights:
            room[t + dx + step * dy, low + dy : high + dy] += weight * error
    return room[places, rows[:, None]] / (levels - 1)


def print_screen(
    ink: np.ndarray, pitch: float, angle: float, phase: tuple[float, float], shape: str = "dots"
) -> np.ndarray:
    """Ink (H, W) in [0, 1] through a screen of dots or lines: the share of each pixel that is printed, (H, W).

    `pitch` is the distance of dots or lines in pixels, `angle` in degrees, `phase` in pitches.  Of an even tone, its
    share of the area is printed.
    """
    height, width = ink.shape
    y, x = ((np.arange(FINE * side) + 0.5) * (2 * np.pi / FINE / pitch) for side in (height, width))
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    v = np.add.outer((y * cos + 2 * np.pi * phase[1]).astype(np.float32), (-x * sin).astype(np.float32))
    if shape == "lines":
        spot, limit = np.cos(v), np.cos(np.pi * ink)  # acos(limit) / pi of the area lies above a limit
        limit = np.where(ink > 0, np.where(ink < 1, limit, -2), 2)
    else:
        u = np.add.outer((y * sin + 2 * np.pi * phase[0]).astype(np.float32), (x * cos).astype(np.float32))
        spot, limit = np.cos(u) + np.cos(v), np.interp(1 - ink, *_spot_shares())
    fine = spot.reshape(height, FINE, width, FINE) > limit.astype(np.float32)[:, None, :, None]
    return fine.mean((1, 3))


@lru_cache(1)
def _spot_shares() -> tuple[np.ndarray, np.ndarray]:
    """Shares of a cell in which the spot function cos(u) + cos(v) is smaller, and the values of it that belong to them.

    No ink is printed at 0, and all at 1.
    """
    grid = np.cos(2 * np.pi * (np.arange(512) + 0.5) / 512)
    values = np.sort((grid[:, None] + grid).ravel())
    places = np.linspace(0, len(values) - 1, 1025).round().astype(int)
    spots = values[places]
    spots[0], spots[-1] = -3.0, 3.0
    return np.linspace(0, 1, 1025), spots


class Halftone(Degradation):
    """Print of dots in cyan, magenta, yellow and black, each at its angle; grey images in black alone."""

    def __init__(
        self,
        *,
        pitch: Range = (3.0, 8.0),  # distance of dots, in pixels
        turn: Range = (-10.0, 10.0),  # of all screens, in degrees
        black: float = 0.5,  # share of the common part of the three colours that black replaces
    ):
        self.pitch, self.turn = check_range(self, "pitch", pitch, 1.5, 100), check_range(self, "turn", turn, -90, 90)
        self.black = check_share(self, "black", black)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Print (1, C, H, W) on the CPU: light is the product of what each ink lets through."""
        pitch, turn = random.uniform(*self.pitch), random.uniform(*self.turn)
        inks = separate(image[0].clamp(0, 1).double().cpu().numpy(), self.black)
        angles = PRINT_ANGLES if len(inks) == 4 else PRINT_ANGLES[3:]
        printed = []
        for ink, angle in zip(inks, angles):
            phase = random.uniform(), random.uniform()
            printed.append(print_screen(ink, pitch, angle + turn, phase))
        light = np.stack([(1 - ink) * (1 - printed[-1]) for ink in printed[:-1]] or [1 - printed[0]])
        return torch.from_numpy(light)[None].to(image)


def separate(colours: np.ndarray, black: float) -> list[np.ndarray]:
    """Inks (H, W) of an image (C, H, W) in [0, 1]: cyan, magenta, yellow, black, or black alone for grey.

    The product of what they let through is the image again.
    """
    if len(colours) == 1:
        return [1 - colours[0]]
    key = black * (1 - colours.max(0))
    rest = np.maximum(1 - key, 1e-9)
    return [*(1 - colours / rest), key]


class Screentone(Degradation):
    """Grey tones by black dots or lines on white, as in manga; what is nearly black or white stays solid."""

    def __init__(
        self,
        *,
        pitch: Range = (3.0, 9.0),  # distance of dots or lines, in pixels
        shapes: tuple[str, ...] = ("dots", "lines"),  # of which one is drawn
        solid: Range = (0.12, 0.88),  # luma below which all is black, and above which all is white
    ):
        self.pitch, self.solid = check_range(self, "pitch", pitch, 1.5, 100), check_range(self, "solid", solid, 0, 1)
        self.shapes = check_names(self, "shapes", shapes, ("dots", "lines"))

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Print the luma of (1, C, H, W) on the CPU; all channels become equal."""
        pitch, angle = random.uniform(*self.pitch), random.uniform(0, 90)
        phase, shape = (random.uniform(), random.uniform()), random.choice(self.shapes)
        ink = 1 - luma(image)[0, 0].clamp(0, 1).double().cpu().numpy()
        dots = print_screen(ink, pitch, angle, phase, shape)
        dots = np.where(ink > 1 - self.solid[0], 1.0, np.where(ink < 1 - self.solid[1], 0.0, dots))
        return torch.from_numpy(1 - dots)[None, None].to(image).expand_as(image).clone()
