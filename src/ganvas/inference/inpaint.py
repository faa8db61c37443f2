"""Fill holes in an image with a network: scratches, stains, unwanted objects."""

from pathlib import Path

import numpy as np
import torch

from ..errors import UsageError, UserError
from ..imaging.decode import SUFFIXES
from ..imaging.photo import Photo, Planes, open_photo
from ..models.resolve import ImageModel
from ..paths import is_left_behind
from ..policy import Policy, is_out_of_memory
from .batch import Share

AROUND = 128  # pixels around the holes that a network sees, at least


class Inpainter:
    """A network that fills holes; pixels outside them stay as they are, bit for bit.

    `masks` is an image, bright in the holes, or a folder of them named like the images.  Raises `UsageError` for a
    network that takes no mask.
    """

    scale = 1  # side of the result as a multiple of the image's

    def __init__(self, model: ImageModel, policy: Policy, masks: Path):
        if not model.network.masked:
            raise UsageError(f"{model.name} takes no --mask; it changes the whole image.")
        self.model, self.policy, self.masks = model, policy, masks
        self.network = policy.place(model.network)
        if not masks.exists():
            raise UsageError(f"There is no mask {masks}.")

    def change(self, photo: Photo, output: Path, progress: Share) -> Photo:
        """Fill the holes of an image that will be written to `output`: `inference.batch.Change`."""
        return self.photo(photo, self.read_mask(output.stem, photo.array.shape[:2]))

    def read_mask(self, name: str, size: tuple[int, int]) -> np.ndarray:
        """Read the mask of an output, (H, W) bool, true in holes; raises `UserError` if none fits."""
        file = self.masks
        if file.is_dir():
            names = (name, Path(name).stem) if Path(name).suffix.lower() in SUFFIXES else (name,)  # a.jpg and a
            masks = [f for f in sorted(self.masks.iterdir()) if not is_left_behind(f.name)]
            files = (f for n in names for f in masks if f.stem == n)
            file = next(files, self.masks / f"{names[-1]}.png")
        if not file.is_file():
            raise UserError(f"There is no mask {file.name} in {file.parent}.")
        grey = open_photo(file).planes(channels=1).colour[0, 0].numpy()
        if grey.shape != size:
            mask_size, image_size = (f"{width}x{height}" for height, width in (grey.shape, size))
            raise UserError(f"The mask {file} is {mask_size} and the image {image_size}; give one as large.")
        hole: np.ndarray = grey > 0
        return hole

    def photo(self, photo: Photo, hole: np.ndarray) -> Photo:
        """Fill the holes (H, W) of an image; raises `UserError` for colours and a grey model, or too little memory."""
        if self.model.channels == 1 and not photo.neutral:
            raise UserError(f"{self.model.name} is for grey images, and this one has colours; take another model.")
        if not hole.any():
            return photo
        rows, columns = (_surroundings(np.flatnonzero(hole.any(axis))) for axis in (1, 0))
        mask = torch.from_numpy(hole[rows, columns].astype(np.float32))[None, None]
        planes = photo.planes(rows, columns, self.model.channels)
        x = torch.cat([planes.colour * (1 - mask), mask * 2 - 1], 1).to(self.policy.device)
        try:
            with torch.inference_mode(), self.policy.autocast():
                y = self.network(x).float().cpu()
        except RuntimeError as problem:
            if is_out_of_memory(problem):
                raise UserError("There is too little memory for holes so far apart; fill them one by one.") from None
            raise
        array, pixels = photo.array.copy(), photo.pixels(Planes(y, planes.alpha))
        array[rows, columns] = np.where(hole[rows, columns][..., None], pixels, array[rows, columns])
        return photo.with_array(array)


def _surroundings(at: np.ndarray) -> slice:
    """From the first to the last place, and as much again on both sides."""
    margin = max(int(at[-1] - at[0]) + 1, AROUND)
    return slice(max(int(at[0]) - margin, 0), int(at[-1]) + 1 + margin)
