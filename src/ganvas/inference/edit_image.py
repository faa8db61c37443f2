"""A region of an image changed in one call: `ganvas.remove`."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..config import plain
from ..errors import UsageError
from ..imaging.photo import Photo, open_photo
from ..models.cards import pick_restorer
from ..models.model import Model
from ..models.resolve import ImageModel, as_image_model, resolve
from ..paths import user_path
from ..policy import Policy, PrecisionName
from .enhance import as_photo
from .enhance_image import as_pil, prepare
from .inpaint import Inpainter
from .region import Box, Region, bright_places

Size = tuple[int, int]  # height, width


def remove(
    image: Any,
    *,
    mask: Any = None,
    box: Sequence[int] | None = None,
    model: str | os.PathLike[str] | Model | None = None,
    device: str = "auto",
    precision: PrecisionName = "auto",
) -> Any:
    """Fill a region of an image of any size from what is around it; the result has the type of the input.

    Images are those of `ganvas.enhance`.  The region is a `mask` as large as the image (a file, a PIL image, (H, W)
    bool, or an image array), bright in the region, or a `box` (x, y, width, height) in pixels; pixels outside stay bit
    for bit.  `model` is a run or a model folder of recipe `inpaint`, or a loaded `Model`; None: the embedded one.
    Raises `UsageError` for other images and models, `UserError` for a region that marks nothing or everything.
    """
    region = as_region(mask, box)
    inpainter = Inpainter(find_inpainter(model), Policy.choose(plain(device), precision, "off"), region)
    return change_region(image, region, inpainter.photo)


def find_inpainter(model: str | os.PathLike[str] | Model | None, verb: str = "remove") -> ImageModel:
    """The network of a model that fills holes; the embedded one for None."""
    if isinstance(model, Model):
        return as_image_model(model, "The model", verb)
    return resolve(pick_restorer(masked=True).name if model is None else model, verb=verb)


def as_region(mask: Any, box: Sequence[int] | None) -> Region:
    """The region of a mask, or a box, as Python holds them; raises `UsageError` for other types."""
    if box is not None:
        numbers = plain(box)
        if not isinstance(numbers, (list, tuple)) or not all(isinstance(n, int) for n in numbers):
            raise UsageError(f"A box is (x, y, width, height) in pixels, got {box!r}.")
        region = Region(None if mask is None else Path(), Box.parse(",".join(map(str, numbers))))
    elif mask is None or isinstance(mask, (str, os.PathLike)):
        region = Region(None if mask is None else user_path(mask, "The mask"))
    else:
        array = np.asarray(plain_mask(mask))
        region = Region(array if array.dtype == bool else bright_places(as_photo(np.atleast_3d(array))))
    region.check()
    return region


def plain_mask(mask: Any) -> np.ndarray:
    """A mask as (H, W) bool, or as levels (H, W) or (H, W, C); raises `UsageError` for other shapes and types."""
    if isinstance(mask, Image.Image):
        mask = mask.convert("L")
    array = mask.cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    flat = array.reshape(array.shape[-2:]) if array.dtype == bool and array.size == np.prod(array.shape[-2:]) else array
    if flat.ndim not in (2, 3) or flat.dtype not in (bool, np.uint8, np.uint16):
        raise UsageError(f"A mask is a file, a PIL image, (H, W) bool or levels (H, W), got {flat.dtype} {flat.shape}.")
    return flat


def change_region(image: Any, region: Region, change: Callable[[Photo, np.ndarray], Photo]) -> Any:
    """Change the region of an image, or of each image of a stack; the result has the type of the input."""
    given = open_photo(user_path(image, "The image")) if isinstance(image, (str, os.PathLike)) else prepare(image)

    def changed(array: np.ndarray) -> np.ndarray:
        photo = as_photo(np.atleast_3d(array))
        return change(photo, region.read("", photo.array.shape[:2])).array.reshape(array.shape)

    if isinstance(given, Photo):
        return as_pil(change(given, region.read("", given.array.shape[:2])))
    if isinstance(given, Tensor):
        return torch.stack([_change_tensor(one, changed, region) for one in given])
    if isinstance(given, Image.Image):
        if given.mode not in ("L", "LA", "RGB", "RGBA", "I;16"):
            given = given.convert("RGBA" if given.has_transparency_data else "RGB")
        return Image.fromarray(changed(np.asarray(given)))
    return np.stack([changed(one) for one in given]) if given.ndim == 4 else changed(given)


def _change_tensor(image: Tensor, changed: Callable[[np.ndarray], np.ndarray], region: Region) -> Tensor:
    """Change the region of a tensor (C, H, W) in [-1, 1]; values outside stay."""
    result = torch.from_numpy(changed(((image + 1) / 2).permute(1, 2, 0).numpy())).permute(2, 0, 1) * 2 - 1
    places = torch.from_numpy(region.read("", (image.shape[1], image.shape[2])))
    return torch.where(places, result, image)
