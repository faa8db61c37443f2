"""Fill holes in an image with a network: scratches, stains, unwanted objects."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError, UserError
from ..imaging.guide import blank_guide
from ..imaging.photo import Photo, Planes
from ..models.resolve import ImageModel
from ..policy import Policy, is_out_of_memory
from .batch import Share
from .region import Part, Region, split_region

Guide = Callable[[slice, slice, int], Tensor]  # of rows, columns and channels: a guide (1, channels + 2, h, w)

UNCHANGED = "its mask marks nothing, so it stays as it is"


class Inpainter:
    """A network that fills holes; pixels outside them stay as they are, bit for bit.

    `region` says where the holes are.  Raises `UsageError` for a network that takes no mask.
    """

    scale = 1  # side of the result as a multiple of the image's

    def __init__(self, model: ImageModel, policy: Policy, region: Region):
        if not model.network.masked:
            raise UsageError(f"{model.name} takes no --mask; it changes the whole image.")
        region.check()
        self.model, self.policy, self.region = model, policy, region
        self.network = policy.place(model.network)

    def change(self, photo: Photo, output: Path, progress: Share) -> Photo:
        """Fill the holes of an image that will be written to `output`: `inference.batch.Change`."""
        return self.photo(photo, self.region.read(output.stem, photo.array.shape[:2]), progress)

    def photo(self, photo: Photo, hole: np.ndarray, progress: Share | None = None, guide: Guide | None = None) -> Photo:
        """Fill the holes (H, W) bool of an image, one part after the other; an image without holes gets a note.

        `guide` is what a guided network follows.  Raises `UserError` for colours and a grey model, too little memory,
        or an image that is all hole.
        """
        if self.model.channels == 1 and not photo.neutral:
            raise UserError(f"{self.model.name} is for grey images, and this one has colours; take another model.")
        if hole.all():
            raise UserError("The region is the whole image: nothing is left to continue into it.")
        parts = list(split_region(hole))
        if not parts:
            return replace(photo, notes=[*photo.notes, UNCHANGED])
        left, result = hole.copy(), photo.with_array(photo.array.copy())
        for k, part in enumerate(parts):
            pixels, at = self._fill(result, part, left[part.rows, part.columns], guide), part.inside
            result.array[part.rows, part.columns][at] = pixels[at]
            left[part.rows, part.columns][at] = False  # the next parts continue from this one
            if progress:
                progress((k + 1) / len(parts))
        return result

    def _fill(self, photo: Photo, part: Part, hole: np.ndarray, guide: Guide | None) -> np.ndarray:
        """Fill the holes around a part: (h, w, C) in the image's levels."""
        mask = torch.from_numpy(hole.astype(np.float32))[None, None]
        planes = photo.planes(part.rows, part.columns, self.model.channels)
        inputs = [planes.colour * (1 - mask), mask * 2 - 1]
        if self.model.network.guide:
            blank = blank_guide(self.model.channels, hole.shape)
            given = guide(part.rows, part.columns, self.model.channels) if guide else blank
            inputs.insert(1, torch.where(mask > 0, given, blank))
        x = torch.cat(inputs, 1).to(self.policy.device)
        try:
            with torch.inference_mode(), self.policy.autocast():
                y = self.network(x).float().cpu()
        except RuntimeError as problem:
            if is_out_of_memory(problem):
                raise UserError("There is too little memory for this model, also for a part of the image.") from None
            raise
        return photo.pixels(Planes(y, planes.alpha))
