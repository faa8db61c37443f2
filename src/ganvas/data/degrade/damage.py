"""What is lost: colour, regions, and the surface of an old print or film."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ...errors import UsageError
from ...imaging.colour import to_lab
from .base import Chance, Degradation, Range, share, within

TRIES = 200  # shapes that a mask may take to reach its share


class Grey(Degradation):
    """The lightness of Lab alone, from which colour is to be found again (Zhang et al. 2016)."""

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """(1, 3, H, W) to (1, 1, H, W), L / 100."""
        return (to_lab(image * 2 - 1)[:, :1] + 1) / 2

    def channels(self, channels: int) -> int:
        """One; raises `UsageError` for images without colour, or with transparency."""
        if channels != 3:
            raise UsageError(f"Colour is learned from opaque colour images, and these have {channels} channels.")
        return 1


class Holes(Degradation):
    """Regions blanked to mid-grey, free-form or boxes; a last channel says where: 1 in the hole, else -1.

    Free-form holes are broad strokes with many turns (Yu et al. 2019, supplement).
    """

    yields_image = False

    def __init__(
        self,
        *,
        covered: Range = (0.05, 0.4),  # about what share of the image is lost
        boxes: float = 0.3,  # share of images with boxes instead of strokes
    ):
        self.covered, self.boxes = within(self, "covered", covered, 0, 0.95), share(self, "boxes", boxes)

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """(1, C, H, W) to (1, C + 1, H, W)."""
        hole = self.mask(image.shape[2], image.shape[3], chance).to(image)
        return torch.cat([image * (1 - hole) + 0.5 * hole, hole], 1)

    def channels(self, channels: int) -> int:
        """One more; raises `UsageError` for transparent images."""
        if channels == 4:
            raise UsageError("Holes are cut into opaque images, and these are transparent.")
        return channels + 1

    def mask(self, height: int, width: int, chance: Chance) -> Tensor:
        """(1, 1, H, W) float32, 1 in the hole; at least one pixel stays."""
        canvas = Image.new("L", (width, height))
        pen, wanted = ImageDraw.Draw(canvas), chance.uniform(*self.covered) * height * width
        draw, done = _box if chance.happens(self.boxes) else _stroke, 0
        for _ in range(TRIES):
            if done >= wanted:
                break
            draw(pen, width, height, chance)
            done = int(np.asarray(canvas).sum(dtype=np.int64)) // 255
        mask = np.asarray(canvas) > 0
        if mask.all():
            mask = mask & (np.arange(mask.size).reshape(mask.shape) != chance.integer(0, mask.size - 1))
        return torch.from_numpy(mask.astype(np.float32))[None, None]


def _box(pen: ImageDraw.ImageDraw, width: int, height: int, chance: Chance) -> None:
    w, h = (max(1, round(side * chance.uniform(0.1, 0.5))) for side in (width, height))
    left, above = chance.integer(0, width - w), chance.integer(0, height - h)
    pen.rectangle((left, above, left + w - 1, above + h - 1), fill=255)


def _stroke(pen: ImageDraw.ImageDraw, width: int, height: int, chance: Chance) -> None:
    side = (width * height) ** 0.5
    brush = max(1, round(side * chance.uniform(12 / 256, 40 / 256)))  # the paper's 12 to 40 pixels of 256
    x, y = chance.uniform(0, width), chance.uniform(0, height)
    mean = 2 * math.pi / 5 + chance.uniform(-1, 1) * 2 * math.pi / 15
    points = [(x, y)]
    for k in range(chance.integer(2, 8)):
        angle = (math.pi if k % 2 else 0) + mean * chance.uniform(0.5, 1.5)
        reach = side * chance.uniform(0.05, 0.25)
        x = min(max(x + reach * math.cos(angle), 0), width)
        y = min(max(y + reach * math.sin(angle), 0), height)
        points.append((x, y))
    pen.line(points, fill=255, width=brush)
    for x, y in points:
        pen.ellipse((x - brush / 2, y - brush / 2, x + brush / 2, y + brush / 2), fill=255)


class Scratches(Degradation):
    """An old print or film: light and dark scratches, mostly upright, specks of dust, and creases."""

    def __init__(
        self,
        *,
        scratches: Range = (2.0, 12.0),  # lines an image
        dust: Range = (0.0, 40.0),  # specks an image
        width: Range = (0.5, 2.5),  # of a line, in pixels
        strength: Range = (0.4, 1.0),  # how opaque they are
    ):
        self.scratches, self.dust = within(self, "scratches", scratches, 0), within(self, "dust", dust, 0)
        self.width, self.strength = within(self, "width", width, 0.25, 50), within(self, "strength", strength, 0, 1)

    def degrade(self, image: Tensor, chance: Chance, top: int) -> Tensor:
        """(1, C, H, W), scratched."""
        height, width = image.shape[2:]
        light, dark = (Image.new("L", (2 * width, 2 * height)) for _ in range(2))  # halved later, so edges are soft
        pens = [ImageDraw.Draw(light), ImageDraw.Draw(dark)]
        for _ in range(round(chance.uniform(*self.scratches))):
            self._scratch(chance.pick(pens, (0.7, 0.3)), 2 * width, 2 * height, chance)
        for _ in range(round(chance.uniform(*self.dust))):
            x, y, r = chance.uniform(0, 2 * width), chance.uniform(0, 2 * height), chance.uniform(0.5, 4)
            shape = (x - r, y - r, x + r * chance.uniform(0.6, 1.6), y + r * chance.uniform(0.6, 1.6))
            chance.pick(pens).ellipse(shape, fill=round(255 * chance.uniform(*self.strength)))
        for canvas, paint in ((light, chance.uniform(0.85, 1)), (dark, chance.uniform(0, 0.15))):
            soft = np.asarray(canvas.resize((width, height), Image.Resampling.BOX))
            cover = torch.from_numpy(soft.astype(np.float32) / 255).to(image)
            image = image * (1 - cover) + paint * cover
        return image

    def _scratch(self, pen: ImageDraw.ImageDraw, width: int, height: int, chance: Chance) -> None:
        """One line from somewhere to somewhere, upright but for one in five, that wavers."""
        x, y = chance.uniform(0, width), chance.uniform(-0.2, 0.8) * height
        angle = chance.uniform(0, math.pi) if chance.happens(0.2) else math.pi / 2 + chance.uniform(-0.1, 0.1)
        step, points = chance.uniform(0.02, 0.1) * height, [(x, y)]
        for _ in range(chance.integer(3, 12)):
            angle += chance.uniform(-0.06, 0.06)
            x, y = x + step * math.cos(angle), y + step * math.sin(angle)
            points.append((x, y))
        thick = max(1, round(2 * chance.uniform(*self.width)))
        pen.line(points, fill=round(255 * chance.uniform(*self.strength)), width=thick, joint="curve")
