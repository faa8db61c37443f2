"""Image-to-image translation of photos: bit depth, orientation, transparency and metadata are kept."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..imaging.channels import keep_extremes, unmultiply
from ..imaging.photo import Photo, Planes
from ..models.model import Model
from ..policy import is_out_of_memory
from ..tasks.base import Label
from .batch import Share

NEAR = 0.06  # 8 levels of 255: a network that makes transparency means opaque, or clear, by so much less
GAMUT = {1: "grey", 3: "colours", 4: "colours and transparency"}


@dataclass(frozen=True)
class Translator:
    """A model that translates images of any size; depth and metadata are kept, colours are the model's."""

    model: Model
    label: Label = None  # the target domain or attributes
    back: bool = False  # the inverse direction of a model that has both
    noise: int | None = None  # seed with which dropout stays on

    def check(self, stack: bool = False) -> None:
        """Raise `UsageError` unless the model translates in that direction to that label.

        A `stack` may have any channels.
        """
        if not stack:
            self.model.check_channels()
        self._translate(torch.zeros(1, self.model.input_channels(self.back), 16, 16))

    def change(self, photo: Photo, output: Path | None = None, progress: Share | None = None) -> Photo:
        """Translate an image: `inference.batch.Change`.  Raises `UserError` if that needs too much memory."""
        return transform_photo(photo, self.model.input_channels(self.back), self._translate)

    def _translate(self, images: Tensor) -> Tensor:
        return self.model.apply(images, label=self.label, back=self.back, noise=self.noise)


def transform_photo(photo: Photo, channels: int, change: Callable[[Tensor], Tensor]) -> Photo:
    """Apply `change` to the colours of a photo, (1, channels, H, W) in [-1, 1] to (1, C, H, W).

    Transparency is the result's (C = 4) or else the photo's own, whose hidden pixels are white for `change`.  The
    whole image is passed at once, because the receptive field of such networks is all of it.
    """
    if photo.bands and photo.array.shape[2] != channels:
        raise UserError(f"The model takes {channels} channels, and this image has {photo.array.shape[2]}.")
    planes = photo.planes(channels=1 if channels == 1 else 3)
    colour, alpha = straight_planes(planes)
    if channels == 4 and not photo.bands:
        colour = torch.cat([colour, torch.ones_like(colour[:, :1]) if alpha is None else alpha], 1)
    try:
        result = change(colour)
    except RuntimeError as problem:
        if not is_out_of_memory(problem):
            raise
        size = "x".join(map(str, photo.array.shape[1::-1]))
        raise UserError(f"{size} pixels need more memory than there is; make the image smaller.") from None
    if photo.bands:
        colour = result
    elif result.shape[1] == 4:
        source = torch.ones_like(colour[:, :1]) if alpha is None else alpha
        colour, alpha = result[:, :3], keep_extremes(result[:, 3:], match_size(source, result), NEAR)
    else:
        colour, alpha = result, None if alpha is None else match_size(alpha, result)
    return to_photo(photo, colour, alpha)


def match_size(alpha: Tensor, result: Tensor) -> Tensor:
    """Alpha with the size of a result."""
    size = result.shape[2:]
    return alpha if alpha.shape[2:] == size else torch.nn.functional.interpolate(alpha, size=size, mode="bilinear")


def straight_planes(planes: Planes) -> tuple[Tensor, Tensor | None]:
    """Straight colour, white where the alpha is 0, and the alpha; in [-1, 1]."""
    if planes.alpha is None or planes.plane:
        return planes.colour, planes.alpha
    plain = unmultiply((planes.colour + 1) / 2, (planes.alpha + 1) / 2, hidden=1.0)
    return plain * 2 - 1, planes.alpha


def to_photo(photo: Photo, colour: Tensor, alpha: Tensor | None) -> Photo:
    """Convert (1, 1 or 3, H, W) in [-1, 1], with or without alpha, to a photo with `photo`'s depth and metadata."""
    channels = colour.shape[1] + (alpha is not None)
    blank = np.empty((*colour.shape[2:], channels), photo.array.dtype)
    frame = replace(photo, array=blank, neutral=colour.shape[1] == 1, bands=photo.bands or channels > 4)
    if alpha is not None and not photo.plane:
        colour = ((colour + 1) / 2) * ((alpha + 1) / 2) * 2 - 1
    result = frame.with_array(frame.pixels(Planes(colour, alpha)))
    coloured = photo.array.shape[2] > 2
    if (
        photo.metadata.icc and not photo.bands and coloured != (colour.shape[1] == 3)
    ):  # a profile is of grey or of colours
        note = f"its colour profile is left behind, because the model makes {GAMUT[colour.shape[1]]}"
        result = replace(result, metadata=replace(photo.metadata, icc=None), notes=[*photo.notes, note])
    return result
