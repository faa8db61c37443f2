"""Image files as a generator draws them: of its size and channels."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import UsageError, printable
from ..imaging.decode import SUFFIXES as IMAGE_SUFFIXES
from ..imaging.decode import read_image, scale_and_crop, to_8bit, to_channels, to_float
from .codes import SUFFIXES, Codes

if TYPE_CHECKING:
    from ..models.model import Model

LONGEST = 20.0  # longer side as a multiple of the shorter one from which cropping leaves nothing of an image


def read_photos(model: "Model", files: Sequence[Path]) -> tuple[Tensor, list[str]]:
    """Images (N, C, H, W) in [-1, 1] of files, and a sentence for each that was cropped, scaled or recoloured.

    Raises `BadImage` for a file that is no image, `UsageError` for one too narrow to be cropped.
    """
    channels, (height, width) = int(model.config["data"]["channels"]), model.config["data"]["resolution"]
    if channels not in (1, 3, 4) or (height, width) == (1, 1):
        raise UsageError("This model draws points, not images, so that no image can be projected.")
    images, notes = [], []
    for file in files:
        array = to_8bit(read_image(file).array)
        (h, w), present = array.shape[:2], array.shape[2]
        if max(h * width, w * height) > LONGEST * min(h * width, w * height):
            reason = f"too narrow to be cropped to {width}x{height}; crop it first"
            raise UsageError(f"{printable(file)} is {w}x{h}: {reason}.")
        changes = []
        if (h, w) != (height, width):
            crop = "cropped to the centre and " if h * width != w * height else ""
            changes.append(f"{crop}scaled from {w}x{h} to {width}x{height}")
        if present != channels:
            kinds = {1: "grey", 3: "RGB", 4: "RGBA"}
            changes.append(f"converted from {kinds[present]} to {kinds[channels]}")
        notes += [f"{printable(file)}: {', '.join(changes)}."] if changes else []
        images.append(to_float(scale_and_crop(to_channels(array, channels), (height, width))))
    return torch.stack([image.contiguous() for image in images]), notes


def image_files(places: Sequence[Path]) -> list[Path]:
    """The image files among paths and directly inside folders, in order; raises `UsageError` where there is none."""
    files: list[Path] = []
    for place in places:
        if place.is_dir():
            inside = sorted(f for f in place.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file())
            if not inside:
                raise UsageError(f"{printable(place)} holds no images.")
            files += inside
        elif place.exists():
            files.append(place)
        else:
            raise UsageError(f"{printable(place)} does not exist; give an image or a folder of images.")
    return files


def codes_of(model: "Model", place: Path, space: str | None = None) -> tuple[Codes, list[str]]:
    """The codes in a file, or those of the images at a path, projected; and sentences about changed images."""
    if place.suffix.lower() in SUFFIXES:
        return Codes.read(place), []
    from .project import ProjectOptions, project

    files = image_files([place])
    images, notes = read_photos(model, files)
    return project(model, images, ProjectOptions(space=space), names=[f.name for f in files]).codes, notes
