"""Holes in a person's image filled by a network: scratches, stains, or something that is not wanted in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..errors import UsageError, UserError
from ..imaging.photo import Photo, Planes, open_photo
from ..models.resolve import ImageModel
from ..policy import Policy, is_out_of_memory

AROUND = 128  # pixels about the holes that a network sees, at least


class Filler:
    """A network that fills holes; what is outside them stays as it is, bit for bit.

    `masks` is an image, bright where the holes are, or a folder of them called like the results.  Raises `UsageError`
    for a network that takes no mask.
    """

    def __init__(self, found: ImageModel, policy: Policy, masks: Path):
        if not found.masked:
            raise UsageError(f"{found.name} takes no --mask; it changes the whole image.")
        self.found, self.policy, self.masks = found, policy, masks
        self.network = policy.place(found.network)
        if not masks.exists():
            raise UsageError(f"There is no mask {masks}.")

    def hole(self, name: str, size: tuple[int, int]) -> np.ndarray:
        """Where that image has holes, (H, W) bool; raises `UserError` if there is no fitting mask for it."""
        file = self.masks
        if file.is_dir():
            file = next((f for f in sorted(self.masks.iterdir()) if f.stem == name), self.masks / f"{name}.png")
        if not file.is_file():
            raise UserError(f"There is no mask {file.name} in {file.parent}.")
        colour = open_photo(file).planes(channels=1).colour[0, 0].numpy()
        if colour.shape != size:
            found = "{1}x{0}".format(*colour.shape)
            raise UserError(f"The mask {file} is {found} and the image {size[1]}x{size[0]}; they must be alike.")
        where: np.ndarray = colour > 0
        return where

    def photo(self, photo: Photo, hole: np.ndarray) -> Photo:
        """The image with its holes (H, W) filled; raises `UserError` where too little memory is left."""
        if not hole.any():
            return photo
        rows, columns = (_box(np.flatnonzero(hole.any(axis))) for axis in (1, 0))
        here = torch.from_numpy(hole[rows, columns].astype(np.float32))[None, None]
        planes = photo.planes(rows, columns, self.found.channels)
        given = torch.cat([planes.colour * (1 - here), here * 2 - 1], 1).to(self.policy.device)
        try:
            with torch.inference_mode(), self.policy.autocast():
                made = self.network(given).float().cpu()
        except RuntimeError as problem:
            if is_out_of_memory(problem):
                raise UserError("There is too little memory for holes so far apart; fill them one by one.") from None
            raise
        array = photo.array.copy()
        filled = photo.pixels(Planes(made, planes.alpha))
        array[rows, columns] = np.where(hole[rows, columns][..., None], filled, array[rows, columns])
        return photo.with_array(array)


def _box(at: np.ndarray) -> slice:
    """From the first to the last place, and as much again on both sides."""
    margin = max(int(at[-1] - at[0]) + 1, AROUND)
    return slice(max(int(at[0]) - margin, 0), int(at[-1]) + 1 + margin)
