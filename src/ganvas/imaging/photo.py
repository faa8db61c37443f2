"""The one path of a person's image: from its file to what networks take, back, and into a file that keeps the rest.

`open_photo` gives a `Photo`; `planes` and `pixels` convert any part of one, pixel by pixel, so a large image never
need be converted whole; `save` in `formats` writes it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from ..errors import BadImage
from . import bit_depth as depth
from .channels import luma, unmultiplied
from .decode import MAX_PIXELS, Opened, decode, greyish, naming, orientation, upright, using
from .metadata import ORIENTATION, Metadata, by_tags, gathered

Places = slice | np.ndarray


@dataclass(frozen=True)
class Photo:
    """An image with everything that its file told."""

    array: np.ndarray  # (H, W, C), C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; uint8, uint16 or float32
    levels: tuple[float, float] = (0.0, 255.0)  # what is black and what is white; alpha reaches from 0 to the full
    neutral: bool = True  # no pixel has colour, whether or not there are channels for it
    metadata: Metadata = field(default_factory=Metadata)
    notes: list[str] = field(default_factory=list)  # what had to be changed to get here
    kind: str = ""  # the file's format, as Pillow calls it

    @property
    def alpha(self) -> bool:
        """Whether there is a channel of transparency."""
        return self.array.shape[2] in (2, 4)

    @property
    def top(self) -> float:
        """Full alpha."""
        return 1.0 if self.array.dtype == np.float32 else float(np.iinfo(self.array.dtype).max)

    def planes(self, rows: Places = slice(None), columns: Places = slice(None), channels: int | None = None) -> Planes:
        """A part of the image as networks take it: float32, with `channels` (1 or 3; None: as many as there are).

        Rows and columns are slices or indices, which may repeat.  Colour is multiplied by its alpha, so that what is
        hidden does not bleed into what is seen.  A colourless image becomes grey or three alike; of a colourful one,
        grey is the luma of BT.601.
        """
        array = self.array[rows][:, columns]
        values = torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1)[None]
        present = array.shape[2] - self.alpha
        low, high = self.levels
        colour = values[:, :present].sub(low).mul(1 / (high - low))
        cover = values[:, present:].mul(1 / self.top).clamp_(0, 1) if self.alpha else None
        if channels == 1 and present == 3:
            colour = colour[:, :1] if self.neutral else luma(colour)
        elif channels == 3 and present == 1:
            colour = colour.expand(-1, 3, -1, -1)
        if cover is not None:
            colour = colour * cover
        return Planes(colour * 2 - 1, None if cover is None else cover * 2 - 1)

    def pixels(self, planes: Planes) -> np.ndarray:
        """What a network made, (1, C, h, w) in [-1, 1], as (h, w, C) of this image's kind: rounded and clamped.

        Colour is divided by its alpha again.  A colourless image stays so, whatever the network made of it; grey
        for an image of colours becomes three alike.
        """
        colour = planes.colour.detach().float().cpu()[0]
        if colour.shape[0] == 3 and self.neutral:
            colour = colour.mean(0, keepdim=True)
        wanted = self.array.shape[2] - self.alpha
        colour = colour if colour.shape[0] == wanted else colour[:1].expand(wanted, -1, -1)
        low, high = self.levels
        if not self.alpha:
            return self._whole(colour.mul((high - low) / 2).add_((high + low) / 2).clamp_(low, high))
        if planes.alpha is None:
            raise ValueError("an image with transparency comes back without it")
        cover = planes.alpha.detach().float().cpu()[0].add(1).mul_(0.5).clamp_(0, 1)
        cover = self._stored(cover)
        colour = unmultiplied(colour.add(1).mul_(0.5), cover, hidden=0.0)
        return self._whole(torch.cat([colour.mul_(high - low).add_(low), cover.mul(self.top)]))

    def _stored(self, cover: Tensor) -> Tensor:
        """Alpha as it will be stored, by which colour has to be divided."""
        return cover if self.array.dtype == np.float32 else cover.mul(self.top).round_().div_(self.top)

    def _whole(self, values: Tensor) -> np.ndarray:
        """(C, h, w) in the image's own levels as (h, w, C) of its kind."""
        if self.array.dtype == np.uint8:  # by torch, in all its threads
            return values.round_().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        array = values.permute(1, 2, 0).numpy()
        if self.array.dtype == np.float32:
            return np.ascontiguousarray(array, np.float32)
        return np.ascontiguousarray(array.round().clip(0, self.top).astype(self.array.dtype))

    def in_colour(self) -> Photo:
        """The same image with three channels of colour, and its transparency, that may come to differ."""
        grey = self.array.shape[2] < 3
        array = np.concatenate([self.array[..., :1]] * 3 + [self.array[..., 1:]], 2) if grey else self.array
        return replace(self, array=array, neutral=False)

    def with_array(self, array: np.ndarray) -> Photo:
        """Other pixels (H, W, C) of the same kind, with all that this image's file told."""
        return replace(self, array=array)


@dataclass(frozen=True)
class Planes:
    """A part of an image as networks take it."""

    colour: Tensor  # (1, C, h, w) float32 in [-1, 1], times alpha: where nothing shows it is -1
    alpha: Tensor | None = None  # (1, 1, h, w) in [-1, 1]; None: opaque


def open_photo(file: Path | str | BinaryIO | bytes, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode an image completely, in its own depth, upright, with its metadata.

    Floating point within [0, 1] is taken as it is, any other by its least and largest value, which a note tells.
    Raises `BadImage` for anything that is not wholly readable or declares more than `max_pixels`.
    """
    with naming(file):
        if isinstance(file, (Path, str)):
            with open(file, "rb") as stream:
                special = _special(stream, max_pixels)
        else:
            special = _special(io.BytesIO(file) if isinstance(file, bytes) else file, max_pixels)
    return special if special is not None else using(file, max_pixels, _photo)


def _special(stream: BinaryIO, max_pixels: int) -> Photo | None:
    """A TIFF that Pillow cannot read; None for any other file."""
    found = depth.special_tiff(stream, max_pixels)
    if found is None:
        return None
    array, tags = found
    metadata, notes = by_tags(tags, stream, array.shape[2])
    turn = tags.get(ORIENTATION, 1)
    return _made(upright(array, int(turn) if isinstance(turn, int) else 1), metadata, notes, "TIFF")


def _photo(opened: Opened) -> Photo:
    image, grey = opened.image, greyish(opened.image)
    if image.mode == "P":
        palette = np.array(image.getpalette() or [0, 0, 1], np.uint8)
        grey = bool((np.ptp(palette[: len(palette) // 3 * 3].reshape(-1, 3), 1) == 0).all())
    if image.mode == "F":
        image.load()
        array, notes = upright(np.asarray(image)[..., None], orientation(image)), []
    else:
        decoded = decode(opened)
        array, notes = decoded.array, decoded.notes
    array = array[..., ::3] if grey and array.shape[2] == 4 else array
    metadata, lost = gathered(image, array.shape[2])
    return _made(array, metadata, notes + lost, image.format or "")


def _made(array: np.ndarray, metadata: Metadata, notes: list[str], kind: str) -> Photo:
    array = np.ascontiguousarray(array)
    levels = (0.0, float(np.iinfo(array.dtype).max)) if array.dtype.kind == "u" else (0.0, 1.0)
    colours = array[..., : array.shape[2] - 1 + array.shape[2] % 2]
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise BadImage("holds values that are not numbers or not finite")
        low, high = float(colours.min()), float(colours.max())
        if low < 0 or high > 1:
            levels = (low, high if high > low else low + 1)
            notes = [*notes, f"its values reach from {low:g} to {high:g}, which are taken for black and white"]
    neutral = colours.shape[2] == 1 or _alike(colours)
    return Photo(array, levels, neutral, metadata, notes, kind)


def _alike(colours: np.ndarray) -> bool:
    """Whether red, green and blue are the same everywhere; a colourful image is told from its first rows."""
    bands = (colours[r : r + 256] for r in range(0, len(colours), 256))
    return all((b[..., 0] == b[..., 1]).all() and (b[..., 0] == b[..., 2]).all() for b in bands)
