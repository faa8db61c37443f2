"""A region of an image changed in one call: `ganvas.remove`, `ganvas.edit_region`."""

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
from .edit_region import EditOptions, RegionEditor
from .enhance import as_photo
from .enhance_image import as_pil, prepare
from .inpaint import Inpainter
from .region import Box, Region, bright_places


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


def edit_region(
    image: Any,
    *,
    reference: Any = None,
    paint: Any = None,
    sketch: Any = None,
    mask: Any = None,
    box: Sequence[int] | None = None,
    fit: str = "cover",
    blend: bool | None = None,
    mixed: bool = False,
    model: str | os.PathLike[str] | Model | None = None,
    device: str = "auto",
    precision: PrecisionName = "auto",
) -> Any:
    """Put a reference or painted colours into a region of an image; the result has the type of the input.

    Images, masks and boxes are those of `ganvas.remove`.  A model trained on `guided_holes` draws the region after the
    `reference`, the opaque pixels of `paint` and the dark lines of `sketch`.  Without one the reference is laid over
    the region, scaled by `fit` (cover or contain) or pixel on pixel if it is as large as the image, and blended along
    its gradients (Perez et al. 2003): `blend` None blends opaque references, `mixed` keeps the larger gradients of
    both images.  `model` fills what nothing covers.  Raises `UsageError` for options that do not go together.
    """
    region = as_region(mask, box)
    given = {"reference": reference, "paint": paint, "sketch": sketch}
    images: dict[str, Any] = {name: None if one is None else as_one_photo(one) for name, one in given.items()}
    options = EditOptions(**images, fit=fit, blend=blend, mixed=mixed)
    network, policy = find_inpainter(model), Policy.choose(plain(device), precision, "off")
    editor = RegionEditor(region, options, Inpainter(network, policy, region))
    return change_region(image, region, editor.photo)


def as_one_photo(image: Any) -> Photo:
    """One image as a photo: a file, a PIL image, an array (H, W) or (H, W, C), or a tensor (1, C, H, W)."""
    if isinstance(image, (str, os.PathLike)):
        return open_photo(user_path(image, "The image"))
    given = prepare(image)
    if isinstance(given, Tensor):
        array = ((given + 1) / 2)[0].permute(1, 2, 0).numpy()
    else:
        array = np.asarray(as_plain_mode(given) if isinstance(given, Image.Image) else given)
    return as_photo(np.atleast_3d(array[0] if array.ndim == 4 else array))


def as_plain_mode(image: Image.Image) -> Image.Image:
    """A PIL image of grey or RGB, with or without alpha."""
    if image.mode in ("L", "LA", "RGB", "RGBA", "I;16"):
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def find_inpainter(model: str | os.PathLike[str] | Model | None) -> ImageModel:
    """The network of a model that fills holes; the embedded one for None."""
    if isinstance(model, Model):
        return as_image_model(model, "The model", "restore")
    name = pick_restorer(masked=True).name if model is None else model
    return resolve(name if isinstance(name, str) else Path(name), verb="restore")


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
        return Image.fromarray(changed(np.asarray(as_plain_mode(given))))
    return np.stack([changed(one) for one in given]) if given.ndim == 4 else changed(given)


def _change_tensor(image: Tensor, changed: Callable[[np.ndarray], np.ndarray], region: Region) -> Tensor:
    """Change the region of a tensor (C, H, W) in [-1, 1]; values outside stay."""
    result = torch.from_numpy(changed(((image + 1) / 2).permute(1, 2, 0).numpy())).permute(2, 0, 1) * 2 - 1
    places = torch.from_numpy(region.read("", (image.shape[1], image.shape[2])))
    return torch.where(places, result, image)
