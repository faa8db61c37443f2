"""Style images of the `paint_*` models, drawn from seeded random numbers: ink, mosaic, oil, pointillism.

    python benchmarks/pack_styles.py FOLDER     512x512 PNGs, equal on every machine with the same NumPy and Pillow

They are the project's own, so the models carry no other licence.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 512
BOLD = 2  # drawn that many times larger, so that edges are soft


def smooth(random: np.random.Generator, cells: int, side: int = SIDE) -> np.ndarray:
    """A smooth random field (side, side) in [0, 1] with about `cells` hills a side."""
    coarse = Image.fromarray(random.random((cells, cells), np.float32))
    field = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
    return (field - field.min()) / (field.max() - field.min())


def flow(random: np.random.Generator, cells: int = 5) -> np.ndarray:
    """Directions (side, side) in radians that turn slowly."""
    return 2 * math.pi * smooth(random, cells)


def stroke(at: tuple[float, float], angles: np.ndarray, steps: int, reach: float) -> list[tuple[float, float]]:
    """The points of a line that follows a field of directions, in pixels of a canvas `BOLD` times as large."""
    points, (x, y) = [at], at
    for _ in range(steps):
        angle = angles[int(y) % SIDE, int(x) % SIDE]
        x, y = x + reach * math.cos(angle), y + reach * math.sin(angle)
        points.append((x, y))
    return [(BOLD * x, BOLD * y) for x, y in points]


def draw_ink(random: np.random.Generator) -> Image.Image:
    """Black hatching on white paper, in up to four directions where it is dark."""
    canvas = Image.new("RGB", (BOLD * SIDE, BOLD * SIDE), (250, 248, 242))
    pen, tone = ImageDraw.Draw(canvas), 0.65 * smooth(random, 5) + 0.35 * smooth(random, 12)
    for level, turn in enumerate((0.25, 1.75, 1.0, 2.5)):
        angles = np.full((SIDE, SIDE), turn) + 0.35 * (smooth(random, 4) - 0.5)
        for _ in range(6000):
            x, y = random.random(2) * SIDE
            if tone[int(y), int(x)] < 0.62 - 0.17 * level:
                pen.line(stroke((x, y), angles, 5, 4.5), fill=(18, 18, 26), width=int(random.integers(2, 4)))
    edges = np.abs(tone - 0.5) < 0.004  # contours
    for y, x in np.argwhere(edges)[::2]:
        pen.ellipse((BOLD * x - 2, BOLD * y - 2, BOLD * x + 2, BOLD * y + 2), fill=(10, 10, 16))
    return canvas


TILES = ((24, 70, 120), (40, 130, 150), (230, 200, 140), (200, 90, 50), (120, 40, 40), (240, 235, 220), (70, 110, 60))


def draw_mosaic(random: np.random.Generator) -> Image.Image:
    """Small stones of one colour each, in rows along a field, with dark joints."""
    cells = 44
    grid = (np.stack(np.meshgrid(np.arange(cells), np.arange(cells)), 2).reshape(-1, 2) + 0.5) * SIDE / cells
    seeds = grid + random.uniform(-2.6, 2.6, grid.shape)
    y, x = np.mgrid[:SIDE, :SIDE]
    nearest, second = np.full((2, SIDE, SIDE), np.inf)
    owner = np.zeros((SIDE, SIDE), int)
    for k, (sx, sy) in enumerate(seeds):
        d = np.maximum(np.abs(x - sx), np.abs(y - sy)) + 0.25 * np.hypot(x - sx, y - sy)
        closer = d < nearest
        second = np.where(closer, nearest, np.minimum(second, d))
        owner, nearest = np.where(closer, k, owner), np.where(closer, d, nearest)
    tone = smooth(random, 5) * 0.75 + smooth(random, 9) * 0.25
    place = seeds.astype(int).clip(0, SIDE - 1)
    ranks = np.argsort(np.argsort(tone[place[:, 1], place[:, 0]])) * len(TILES) // len(seeds)
    colours = np.array(TILES)[ranks] * random.uniform(0.8, 1.15, (len(seeds), 1))
    image = colours[owner] * (1 - 0.012 * nearest[..., None])
    image[second - nearest < 1.6] = (52, 48, 44)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


OIL = ((20, 40, 110), (40, 90, 170), (90, 150, 200), (240, 200, 60), (250, 230, 150), (200, 110, 40), (30, 70, 60))


def draw_oil(random: np.random.Generator) -> Image.Image:
    """Thick strokes of bristles that follow a whirling field."""
    canvas = Image.new("RGB", (BOLD * SIDE, BOLD * SIDE), (40, 60, 100))
    pen, angles, tone = ImageDraw.Draw(canvas), 2 * flow(random, 6), smooth(random, 6)
    for width, count in ((16, 1400), (10, 3000), (6, 4500)):
        for _ in range(count):
            x, y = random.random(2) * SIDE
            value = float(np.clip(tone[int(y), int(x)] + random.normal(0, 0.09), 0, 0.999))
            colour = np.array(OIL[int(value * len(OIL))])
            for bristle in range(-width // 2, width // 2, 2):
                shade = colour * random.uniform(0.8, 1.2)
                side = angles[int(y), int(x)] + math.pi / 2
                start = (x + bristle * math.cos(side) / 1.5, y + bristle * math.sin(side) / 1.5)
                pen.line(stroke(start, angles, 5, width / 1.4), fill=tuple(shade.clip(0, 255).astype(int)), width=3)
    return canvas.filter(ImageFilter.UnsharpMask(2, 80))


DOTS = ((30, 50, 130), (50, 120, 190), (60, 140, 80), (150, 180, 70), (240, 205, 90), (230, 130, 60), (190, 60, 70))


def draw_pointillism(random: np.random.Generator) -> Image.Image:
    """Dots of unmixed colours on a pale canvas, closer and larger where it is dark, with a tenth of other colours."""
    canvas = Image.new("RGB", (BOLD * SIDE, BOLD * SIDE), (244, 238, 222))
    pen, tone, hue = ImageDraw.Draw(canvas), smooth(random, 6), smooth(random, 5)
    for _ in range(7_500):
        x, y = random.random(2) * SIDE
        dark = 1 - tone[int(y), int(x)]
        if random.random() < 0.25 + 0.75 * dark:
            near = hue[int(y), int(x)] + random.normal(0, 0.08) + (0.5 if random.random() < 0.1 else 0)
            colour = np.array(DOTS[int(near * len(DOTS)) % len(DOTS)]) * (1.25 - 0.5 * dark) * random.uniform(0.9, 1.1)
            radius = BOLD * random.uniform(3.2, 4.8 + 2.4 * dark)
            box = [BOLD * x - radius, BOLD * y - radius, BOLD * x + radius, BOLD * y + radius]
            pen.ellipse(box, fill=tuple(colour.clip(0, 255).astype(int)))
    return canvas


DRAWINGS: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "ink": draw_ink,
    "mosaic": draw_mosaic,
    "oil": draw_oil,
    "pointillism": draw_pointillism,
}
STYLES: dict[str, dict[str, Any]] = {  # changes of the training of each
    "ink": {"style_weight": 300.0},
    "mosaic": {"style_weight": 300.0},
    "oil": {"style_weight": 300.0},
    "pointillism": {"style_weight": 300.0},
}


def draw(name: str) -> np.ndarray:
    """A style image, (512, 512, 3) uint8."""
    image = DRAWINGS[name](np.random.default_rng(sum(map(ord, name))))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).convert("RGB"))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in STYLES:
        Image.fromarray(draw(name)).save(folder / f"{name}.png")
