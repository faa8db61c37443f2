"""Degradations by loss: colour, regions, and the surface of an old print or film."""

import math

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ...errors import UsageError
from ...imaging.colour import to_lab
from .base import Degradation, RandomStream, Range, check_range, check_share

TRIES = 200  # largest number of shapes drawn to reach the share of a mask


class Grey(Degradation):
    """Loss of colour: the lightness of Lab, from which a network predicts colour (Zhang et al. 2016)."""

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Convert (1, 3, H, W) to lightness (1, 1, H, W), L / 100."""
        return (to_lab(image * 2 - 1)[:, :1] + 1) / 2

    def channels(self, channels: int) -> int:
        """1; raises `UsageError` for images without colour, or with transparency."""
        if channels != 3:
            raise UsageError(
                f"Colour is learned from opaque colour images, and these have {channels} channels; give RGB images."
            )
        return 1


class Holes(Degradation):
    """Regions set to mid-grey, for inpainting; a last channel is 1 in the hole, else -1 (Yu et al. 2019, supplement).

    Holes are boxes or free-form: broad strokes with many turns.
    """

    yields_image = False

    def __init__(
        self,
        *,
        covered: Range = (0.05, 0.4),  # approximate share of the image that is masked
        boxes: float = 0.3,  # share of images with boxes instead of strokes
    ):
        self.covered, self.boxes = check_range(self, "covered", covered, 0, 0.95), check_share(self, "boxes", boxes)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Mask an image: (1, C, H, W) to (1, C + 1, H, W)."""
        hole = self.mask(image.shape[2], image.shape[3], random).to(image)
        return torch.cat([image * (1 - hole) + 0.5 * hole, hole], 1)

    def channels(self, channels: int) -> int:
        """C + 1; raises `UsageError` for transparent images."""
        if channels == 4:
            raise UsageError(
                "Holes are cut into opaque images, and these are transparent; save them without transparency."
            )
        return channels + 1

    def mask(self, height: int, width: int, random: RandomStream) -> Tensor:
        """Draw a mask (1, 1, H, W) float32, 1 in the hole; at least one pixel stays."""
        canvas = Image.new("L", (width, height))
        pen, area = ImageDraw.Draw(canvas), random.uniform(*self.covered) * height * width
        draw, done = _box if random.happens(self.boxes) else _stroke, 0
        for _ in range(TRIES):
            if done >= area:
                break
            draw(pen, width, height, random)
            done = int(np.asarray(canvas).sum(dtype=np.int64)) // 255
        mask = np.asarray(canvas) > 0
        if mask.all():
            mask = mask & (np.arange(mask.size).reshape(mask.shape) != random.integer(0, mask.size - 1))
        return torch.from_numpy(mask.astype(np.float32))[None, None]


def _box(pen: ImageDraw.ImageDraw, width: int, height: int, random: RandomStream) -> None:
    w, h = (max(1, round(side * random.uniform(0.1, 0.5))) for side in (width, height))
    left, above = random.integer(0, width - w), random.integer(0, height - h)
    pen.rectangle((left, above, left + w - 1, above + h - 1), fill=255)


def _stroke(pen: ImageDraw.ImageDraw, width: int, height: int, random: RandomStream) -> None:
    side = (width * height) ** 0.5
    brush = max(1, round(side * random.uniform(12 / 256, 40 / 256)))  # the paper's 12 to 40 pixels of 256
    x, y = random.uniform(0, width), random.uniform(0, height)
    mean = 2 * math.pi / 5 + random.uniform(-1, 1) * 2 * math.pi / 15
    points = [(x, y)]
    for k in range(random.integer(2, 8)):
        angle = (math.pi if k % 2 else 0) + mean * random.uniform(0.5, 1.5)
        reach = side * random.uniform(0.05, 0.25)
        x = min(max(x + reach * math.cos(angle), 0), width)
        y = min(max(y + reach * math.sin(angle), 0), height)
        points.append((x, y))
    pen.line(points, fill=255, width=brush)
    for x, y in points:
        pen.ellipse((x - brush / 2, y - brush / 2, x + brush / 2, y + brush / 2), fill=255)


class Scratches(Degradation):
    """Defects of an old print or film: light and dark scratches, mostly upright, and specks of dust."""

    def __init__(
        self,
        *,
        scratches: Range = (2.0, 12.0),  # scratches per image
        dust: Range = (0.0, 40.0),  # specks per image
        width: Range = (0.5, 2.5),  # width of a scratch, in pixels
        strength: Range = (0.4, 1.0),  # opacity, from 0 to 1
    ):
        self.scratches, self.dust = check_range(self, "scratches", scratches, 0), check_range(self, "dust", dust, 0)
        self.width = check_range(self, "width", width, 0.25, 50)
        self.strength = check_range(self, "strength", strength, 0, 1)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        height, width = image.shape[2:]
        light, dark = (Image.new("L", (2 * width, 2 * height)) for _ in range(2))  # halved later, so edges are soft
        pens = [ImageDraw.Draw(light), ImageDraw.Draw(dark)]
        for _ in range(round(random.uniform(*self.scratches))):
            self._scratch(random.choice(pens, (0.7, 0.3)), 2 * width, 2 * height, random)
        for _ in range(round(random.uniform(*self.dust))):
            x, y, r = random.uniform(0, 2 * width), random.uniform(0, 2 * height), random.uniform(0.5, 4)
            shape = (x - r, y - r, x + r * random.uniform(0.6, 1.6), y + r * random.uniform(0.6, 1.6))
            random.choice(pens).ellipse(shape, fill=round(255 * random.uniform(*self.strength)))
        for canvas, paint in ((light, random.uniform(0.85, 1)), (dark, random.uniform(0, 0.15))):
            soft = np.asarray(canvas.resize((width, height), Image.Resampling.BOX))
            cover = torch.from_numpy(soft.astype(np.float32) / 255).to(image)
            image = image * (1 - cover) + paint * cover
        return image

    def _scratch(self, pen: ImageDraw.ImageDraw, width: int, height: int, random: RandomStream) -> None:
        """Draw one wavering scratch, upright except one in five."""
        x, y = random.uniform(0, width), random.uniform(-0.2, 0.8) * height
        angle = random.uniform(0, math.pi) if random.happens(0.2) else math.pi / 2 + random.uniform(-0.1, 0.1)
        step, points = random.uniform(0.02, 0.1) * height, [(x, y)]
        for _ in range(random.integer(3, 12)):
            angle += random.uniform(-0.06, 0.06)
            x, y = x + step * math.cos(angle), y + step * math.sin(angle)
            points.append((x, y))
        thick = max(1, round(2 * random.uniform(*self.width)))
        pen.line(points, fill=round(255 * random.uniform(*self.strength)), width=thick, joint="curve")
