"""A person's image through a model that translates: its depth, orientation, transparency and metadata are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError, UserError
from ..imaging.channels import unmultiplied
from ..imaging.photo import Photo, Planes
from ..models.model import Model
from ..policy import is_out_of_memory
from ..tasks.base import Label

GAMUT = {1: "grey", 3: "colours", 4: "colours and transparency"}


def translated(
    model: Model, photo: Photo, *, label: Label = None, back: bool = False, noise: int | None = None
) -> Photo:
    """What a model makes of an image of any size, as an image of the same depth and with the same metadata.

    It has the colours that the model makes, whatever the image had.  Raises `UserError` if that needs more memory
    than there is.
    """
    return changed(photo, model.takes(back), lambda x: model.translate(x, label=label, back=back, noise=noise))


def changed(photo: Photo, channels: int, change: Callable[[Tensor], Tensor]) -> Photo:
    """An image with what `change` makes of its colours, (1, channels, H, W) in [-1, 1] to (1, C, H, W).

    Transparency is what is made, if any is (C = 4); else the image's own, whose hidden parts are shown white.  The
    whole image goes through at once, because such networks look at all of it.
    """
    planes = photo.planes(channels=1 if channels == 1 else 3)
    colour, alpha = straight(planes)
    if channels == 4:
        colour = torch.cat([colour, torch.ones_like(colour[:, :1]) if alpha is None else alpha], 1)
    try:
        made = change(colour)
    except RuntimeError as problem:
        if not is_out_of_memory(problem):
            raise
        size = "x".join(map(str, photo.array.shape[1::-1]))
        raise UserError(f"{size} pixels need more memory than there is; make the image smaller.") from None
    colour, alpha = (made[:, :3], made[:, 3:]) if made.shape[1] == 4 else (made, alpha)
    if alpha is not None and alpha.shape[2:] != colour.shape[2:]:
        alpha = torch.nn.functional.interpolate(alpha, size=colour.shape[2:], mode="bilinear")
    return as_photo(photo, colour, alpha)


def ready(model: Model, *, label: Label = None, back: bool = False, noise: int | None = None) -> None:
    """Raise `UsageError` unless the model translates, that way, to what it is asked for."""
    if model.task.restores:
        raise UsageError("This model makes the same image better; ganvas upscale, or restore, is for it.")
    model(torch.zeros(1, model.takes(back), 16, 16), label=label, back=back, noise=noise)


def straight(planes: Planes) -> tuple[Tensor, Tensor | None]:
    """Colour that is not multiplied by its alpha, white where nothing shows, and the alpha; in [-1, 1]."""
    if planes.alpha is None:
        return planes.colour, None
    plain = unmultiplied((planes.colour + 1) / 2, (planes.alpha + 1) / 2, hidden=1.0)
    return plain * 2 - 1, planes.alpha


def as_photo(photo: Photo, colour: Tensor, alpha: Tensor | None) -> Photo:
    """(1, 1 or 3, H, W) in [-1, 1] and perhaps an alpha as an image of the same depth as another one."""
    channels = colour.shape[1] + (alpha is not None)
    blank = np.empty((*colour.shape[2:], channels), photo.array.dtype)
    frame = replace(photo, array=blank, neutral=colour.shape[1] == 1)
    if alpha is not None:
        colour = ((colour + 1) / 2) * ((alpha + 1) / 2) * 2 - 1
    made = frame.with_array(frame.pixels(Planes(colour, alpha)))
    coloured = photo.array.shape[2] > 2
    if photo.metadata.icc and coloured != (colour.shape[1] == 3):  # a profile is of grey or of colours
        note = f"its colour profile is left behind, because the model makes {GAMUT[colour.shape[1]]}"
        made = replace(made, metadata=replace(photo.metadata, icc=None), notes=[*photo.notes, note])
    return made
