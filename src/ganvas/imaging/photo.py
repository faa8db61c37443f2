"""A user's image: decoded in its own depth with its metadata, and converted to network input and back.

`open_photo` returns a `Photo`; `planes` and `pixels` convert any part of one, so that a large image is never converted
as a whole; `save` in `encode` writes it.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import torch
from torch import Tensor

from ..errors import BadImage
from . import bit_depth
from .channels import ROUNDING, luma, unmultiply
from .decode import (
    MAX_PIXELS,
    OpenedImage,
    apply_orientation,
    decode,
    decode_with,
    exif_orientation,
    has_grey_palette,
    is_grey,
)
from .metadata import Metadata, metadata_from_tags, read_metadata

Indices = slice | np.ndarray
ALL = slice(None)
ALL_CLEAR = "no pixel shows (alpha is 0), so alpha is treated as a plane of data and the colours are kept"
HIDDEN = "colours under alpha 0 are not kept; --alpha plane keeps them"


@dataclass(frozen=True)
class Planes:
    """A part of an image as network input."""

    colour: Tensor  # (1, C, h, w) float32 in [-1, 1], times alpha: -1 where alpha is 0
    alpha: Tensor | None = None  # (1, 1, h, w) in [-1, 1]; None: opaque
    plane: bool = False  # alpha is a plane of data, by which the colour is not multiplied


@dataclass(frozen=True)
class Photo:
    """An image with the metadata of its file."""

    array: np.ndarray  # (H, W, C), C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; uint8, uint16 or float32
    levels: tuple[float, float] = (0.0, 255.0)  # of black and white; alpha reaches from 0 to `top`
    neutral: bool = True  # no pixel has colour, even if there are three channels
    metadata: Metadata = field(default_factory=Metadata)
    notes: list[str] = field(default_factory=list)  # conversions that the file needed, one sentence each
    kind: str = ""  # Pillow's name of the file's format
    plane: bool = False  # alpha is a plane of data: colours are neither multiplied nor divided by it
    bands: bool = False  # 1 to 64 channels of any meaning, none of them transparency

    @property
    def alpha(self) -> bool:
        """True if the last channel is transparency."""
        return not self.bands and self.array.shape[2] in (2, 4)

    @property
    def top(self) -> float:
        """Alpha of an opaque pixel."""
        return 1.0 if self.array.dtype == np.float32 else float(np.iinfo(self.array.dtype).max)

    def planes(self, rows: Indices = ALL, columns: Indices = ALL, channels: int | None = None) -> Planes:
        """Convert a part of the image to float32 planes with `channels` colours: 1, 3, or None for its own number.

        Rows and columns are slices or indices, which may repeat.  Colour is multiplied by its alpha, so that hidden
        colours do not bleed into visible ones.  Grey becomes three equal channels, colour becomes the luma of BT.601.
        """
        array = self.array[rows][:, columns]
        wide = np.float64 if array.dtype == np.float32 else np.float32  # differences of float32 can exceed it
        values = torch.from_numpy(array.astype(wide)).permute(2, 0, 1)[None]
        present = array.shape[2] - self.alpha
        low, high = self.levels
        colour = values[:, :present].sub(low).mul(1 / (high - low)).float()
        cover = values[:, present:].mul(1 / self.top).clamp_(0, 1).float() if self.alpha else None
        if self.bands:
            return Planes(colour * 2 - 1)
        if channels == 1 and present == 3:
            colour = colour[:, :1] if self.neutral else luma(colour)
        elif channels == 3 and present == 1:
            colour = colour.expand(-1, 3, -1, -1)
        if cover is None:
            return Planes(colour * 2 - 1)
        colour = colour if self.plane else colour * cover
        return Planes(colour * 2 - 1, cover * 2 - 1, self.plane)

    def pixels(self, planes: Planes) -> np.ndarray:
        """Convert a network's output (1, C, h, w) in [-1, 1] to (h, w, C) of this image's dtype, rounded and clamped.

        Colour is divided by its alpha.  A colourless image stays colourless; grey output for a colour image becomes
        three equal channels.
        """
        wide = torch.float64 if self.array.dtype == np.float32 else torch.float32
        colour = planes.colour.detach().to(wide).cpu()[0]
        if colour.shape[0] == 3 and self.neutral and not self.bands:
            colour = colour.mean(0, keepdim=True)
        count = self.array.shape[2] - self.alpha
        colour = colour if colour.shape[0] == count else colour[:1].expand(count, -1, -1)
        low, high = self.levels
        if not self.alpha:
            return self._to_levels(colour.mul((high - low) / 2).add_((high + low) / 2).clamp_(low, high))
        if planes.alpha is None:
            raise ValueError("an image with transparency needs planes with alpha")
        cover = planes.alpha.detach().to(wide).cpu()[0].add(1).mul_(0.5).clamp_(0, 1)
        if self.array.dtype == np.float32:
            cover = torch.where((cover - 0.5).abs() > 0.5 - ROUNDING, cover.round(), cover)
        else:  # rounded as it will be stored: colour is divided by the stored value
            cover = cover.mul(self.top).round_().div_(self.top)
        colour = colour.add(1).mul_(0.5).clamp_(0, 1)
        colour = colour if self.plane else unmultiply(colour, cover, hidden=0.0)
        return self._to_levels(torch.cat([colour.mul_(high - low).add_(low), cover.mul(self.top)]))

    def _to_levels(self, values: Tensor) -> np.ndarray:
        """Convert (C, h, w) in the image's own levels to (h, w, C) of its dtype."""
        if self.array.dtype == np.uint8:  # torch uses all its threads
            return values.round_().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        array = values.permute(1, 2, 0).numpy()
        if self.array.dtype == np.float32:
            return np.ascontiguousarray(array, np.float32)
        return np.ascontiguousarray(array.round().clip(0, self.top).astype(self.array.dtype))

    def in_colour(self) -> Self:
        """Copy of the image with three colour channels, which may differ from now on, and its transparency."""
        grey = self.array.shape[2] < 3
        array = np.concatenate([self.array[..., :1]] * 3 + [self.array[..., 1:]], 2) if grey else self.array
        return replace(self, array=array, neutral=False)

    def with_array(self, array: np.ndarray) -> Self:
        """Copy with other pixels (H, W, C) of the same dtype, and the metadata of this image."""
        return replace(self, array=array)


def open_photo(file: Path | str | BinaryIO | bytes, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode an image in its own depth, upright, with its metadata.

    Floating-point levels within [0, 1] are kept; others are scaled by their smallest and largest value, with a note.
    Where alpha is 0 everywhere, it is a plane of data, also with a note.
    Raises `BadImage` for a file that is not completely readable or declares more than `max_pixels`.
    """
    return decode_with(file, max_pixels, _read_photo)


def _read_photo(opened: OpenedImage) -> Photo:
    image = opened.image
    if isinstance(image, bit_depth.TiffPage):
        array = apply_orientation(image.read(), image.orientation)
        metadata, losses = metadata_from_tags(image.tags, image.stream, array.shape[2], image.page.offset)
        return _build_photo(array, metadata, image.notes + losses, image.format)
    grey = has_grey_palette(image) if image.mode == "P" else is_grey(image)
    if image.mode == "F":
        image.load()
        array, notes = apply_orientation(np.asarray(image)[..., None], exif_orientation(image)), []
    else:
        decoded = decode(opened)
        array, notes = decoded.array, decoded.notes
    array = array[..., ::3] if grey and array.shape[2] == 4 else array
    metadata, losses = read_metadata(image, array.shape[2], exif_orientation(image), opened.rewind)
    return _build_photo(array, metadata, notes + losses, image.format or "")


def _build_photo(array: np.ndarray, metadata: Metadata, notes: list[str], kind: str) -> Photo:
    array = np.ascontiguousarray(array)
    levels = (0.0, float(np.iinfo(array.dtype).max)) if array.dtype.kind == "u" else (0.0, 1.0)
    colours = array[..., : array.shape[2] - 1 + array.shape[2] % 2]
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise BadImage("holds values that are not numbers or not finite")
        low, high = float(colours.min()), float(colours.max())
        if low < 0 or high > 1:
            levels = (low, high if high > low else low + max(1.0, abs(low)))
            notes = [*notes, f"its values reach from {low:g} to {high:g}, which are read as black and white"]
    neutral = colours.shape[2] == 1 or is_neutral(colours)
    size = array.shape[1], array.shape[0]
    plane = is_all_clear(array)
    notes = [*notes, ALL_CLEAR] if plane else notes
    return Photo(array, levels, neutral, replace(metadata, size=size), notes, kind, plane)


def as_photo(array: np.ndarray) -> Photo:
    """Make an image of (H, W, C) uint8, uint16, or float32 in [0, 1]."""
    colours = array[..., :3] if array.shape[2] > 2 else array[..., :1]
    neutral = bool((colours == colours[..., :1]).all())
    return Photo(array, (0.0, Photo(array).top), neutral, plane=is_all_clear(array))


def is_all_clear(array: np.ndarray) -> bool:
    """True if no pixel of (H, W, C) shows, so that its alpha cannot be meant as transparency."""
    return array.shape[2] in (2, 4) and not array[..., -1].any()


def treat_alpha(photo: Photo, alpha: str) -> Photo:
    """Treat alpha as `transparency` or as a `plane` of data, with a note if the colours under alpha 0 are lost."""
    if not photo.alpha or photo.plane:
        return photo
    if alpha == "plane":
        return replace(photo, plane=True)
    for first in range(0, len(photo.array), 256):
        rows = photo.array[first : first + 256]
        hidden = rows[rows[..., -1] == 0]
        if len(hidden) and np.ptp(hidden[:, :-1], 0).any():
            return replace(photo, notes=[*photo.notes, HIDDEN])
    return photo


def is_neutral(colours: np.ndarray) -> bool:
    """True if red, green and blue are equal everywhere; a colour image differs in its first rows already."""
    bands = (colours[r : r + 256] for r in range(0, len(colours), 256))
    return all((b[..., 0] == b[..., 1]).all() and (b[..., 0] == b[..., 2]).all() for b in bands)
