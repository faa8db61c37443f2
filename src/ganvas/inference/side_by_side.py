"""Several models on one image: their results beside each other, each below its name."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import UsageError
from ..imaging.photo import Photo
from ..models.resolve import ImageModel
from ..policy import Policy
from .batch import Share
from .enhance import EnhanceOptions, Enhancer, Target

MOST = 12  # models on one sheet
GAP = 8  # pixels between results
FONT = 14  # pixels, in the strip above results of 512 pixels; larger above larger ones


class SideBySide:
    """Enhancers whose results of one image are one sheet: all of one size, from left to right."""

    def __init__(self, models: Sequence[ImageModel], policy: Policy, options: EnhanceOptions):
        if not 2 <= len(models) <= MOST:
            raise UsageError(f"A sheet compares 2 to {MOST} models, got {len(models)}.")
        self.names = [Path(model.name).stem or model.name for model in models]
        self.enhancers = [Enhancer(model, policy, options) for model in models]
        self.target, self.scale = options.target, max(enhancer.scale for enhancer in self.enhancers)

    def panel_size(self, photo: Photo) -> tuple[int, int]:
        """(height, width) of each result: as the options say, else that of the largest scale."""
        height, width = photo.array.shape[:2]
        return self.target.of(height, width, self.scale)

    def size(self, photo: Photo) -> tuple[int, int]:
        """(height, width) of the sheet of an image."""
        height, width = self.panel_size(photo)
        return height + self._strip(height), len(self.enhancers) * (width + GAP) - GAP

    def change(self, photo: Photo, output: Path, progress: Share) -> Photo:
        """The sheet of an image: `inference.batch.Change`."""
        if any(enhancer.model.network.colours for enhancer in self.enhancers):
            photo = photo.in_colour()
        height, width = self.panel_size(photo)
        target, parts, notes = Target(width=width, height=height), list[np.ndarray](), list[str]()
        for k, (name, enhancer) in enumerate(zip(self.names, self.enhancers)):
            result = enhancer.photo(photo, target, scratch=output.parent)
            parts.append(np.concatenate([self._title(name, width, height, photo), result.array]))
            parts.append(np.full((len(parts[-1]), GAP, photo.array.shape[2]), photo.levels[1], photo.array.dtype))
            notes += [f"{name}: {note}" for note in result.notes]
            progress((k + 1) / len(self.enhancers))
        sheet = photo.with_array(np.concatenate(parts[:-1], axis=1))
        sheet.notes.extend(notes)
        return sheet

    def _strip(self, height: int) -> int:
        """Height of the strip with the names."""
        return 2 * max(FONT, FONT * height // 512)

    def _title(self, name: str, width: int, height: int, photo: Photo) -> np.ndarray:
        """A white strip (h, width, C) with a name in black, opaque, in the type of the image."""
        rows = self._strip(height)
        strip = Image.new("L", (width, rows), 255)
        ImageDraw.Draw(strip).text((GAP, rows // 4), name, fill=0, font=ImageFont.load_default(size=rows // 2))
        low, high = photo.levels
        grey = np.asarray(strip, np.float32)[..., None] / 255 * (high - low) + low
        title = np.repeat(grey, photo.array.shape[2], 2)
        if photo.alpha:
            title[..., -1] = photo.top
        return title.astype(photo.array.dtype)
