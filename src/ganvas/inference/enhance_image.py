"""One image through an upscaling or a restoration model in one call: `ganvas.enhance`."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from ..config import plain
from ..data.memory import MOST_CHANNELS
from ..errors import UsageError
from ..imaging.photo import Photo, open_photo
from ..imaging.values import check_range, range_text
from ..models.cards import PLAIN, embedded_card, no_model, pick_embedded
from ..models.library import Library
from ..models.model import Model
from ..models.resolve import ImageModel, as_image_model, resolve
from ..paths import user_path
from ..policy import Policy, PrecisionName
from .enhance import EnhanceOptions, Enhancer, Target

KINDS = "a file, a PIL image, (H, W), (H, W, C) or (N, H, W, C) uint8 or uint16, or a tensor (N, C, H, W) in [-1, 1]"


def enhance(
    image: Any,
    *,
    model: str | os.PathLike[str] | Model | None = None,
    models: str | os.PathLike[str] | None = None,
    outscale: float | None = None,
    strength: float = 1.0,
    tile: int | None = None,
    device: str = "auto",
    precision: PrecisionName = "auto",
) -> Any:
    """Upscale or restore an image of any size; the result has the type of the input, a file's is a PIL image.

    Images are files, PIL images, (H, W), (H, W, C) or (N, H, W, C) uint8 or uint16, or tensors (N, C, H, W) in
    [-1, 1]; for a model of other channels than 1 and 3, arrays and tensors of these, up to 64.  `model` is a run, a
    model folder, a weight file, an embedded model or a loaded `Model`; None: the embedded x4, or x2 for an `outscale`
    up to 2.  With `models`, a folder of models, it is a name in that folder (`ganvas list models --models DIR`).
    `strength` is the share of the model, from 0 to 1; `tile` the side
    of a tile in pixels, 0: the whole image, None: what fits into memory.  A PIL image has 8 bits (grey: 8 or 16);
    `ganvas.api.apply` reads and writes files in their depth with their metadata.  Raises `UsageError` for other
    images and models, `BadImage` for a damaged file.
    """
    outscale, strength, tile, device = plain(outscale), plain(strength), plain(tile), plain(device)
    options = EnhanceOptions(Target(outscale), strength, tile=tile)
    prepared = prepare(image, MOST_CHANNELS)
    if models is not None:
        model = _locate(models, model)
    enhancer = Enhancer(_find(model, outscale), Policy.choose(device, precision, "off"), options)
    if isinstance(prepared, Photo):
        return as_pil(enhancer.photo(prepared))
    if isinstance(prepared, np.ndarray) and prepared.ndim == 4:
        return np.stack([enhancer(one, outscale=outscale) for one in prepared])
    return enhancer(prepared, outscale=outscale)


def _locate(folder: str | os.PathLike[str], name: Any) -> str:
    """The path of a model by its name in a folder, verified by its entry; an embedded model's name stays."""
    if not isinstance(name, str):
        raise UsageError(f"With models=, model is the name of a model in that folder, got {name!r}.")
    chosen = Library(os.fspath(folder)).locate(name)
    if chosen is None:
        return name
    chosen.verify()
    return str(chosen.path)


def _find(model: str | os.PathLike[str] | Model | None, outscale: float | None) -> ImageModel:
    """The network of a model; the embedded model for the scale where none is given."""
    if isinstance(model, Model):
        return as_image_model(model, "The model", "restore")
    name = pick_embedded(outscale) if model is None else model
    card = embedded_card(name)
    if card is None and str(name) != PLAIN and not user_path(name, "The model").exists():
        raise no_model(name)
    enlarges = card is not None and "upscale" in card.commands
    return resolve(name if isinstance(name, str) else Path(name), verb="upscale" if enlarges else "restore")


def prepare(image: Any, most: int = 4) -> "Photo | Image.Image | np.ndarray | Tensor":
    """An image of up to `most` channels as `Enhancer` takes it; raises `UsageError` for any other."""
    if isinstance(image, (str, os.PathLike)):
        return open_photo(user_path(image, "The image"))
    if isinstance(image, Image.Image):
        return _upright(image)
    if isinstance(image, Tensor):
        if image.ndim != 4 or (image.shape[1] > most if most > 4 else image.shape[1] not in (1, 3, 4)):
            counts = f"C from 1 to {most}" if most > 4 else "C 1, 3 or 4"
            raise UsageError(f"An image in a tensor is (N, C, H, W), {counts}, got {tuple(image.shape)}.")
        return check_range(image).float().cpu()
    array = np.asarray(image)
    channels = array.shape[-1] if array.ndim > 2 else 1
    if channels > most and array.ndim < 5:
        raise UsageError(f"An image has 1 to {most} channels, the last axis, got {array.shape}.")
    if array.ndim not in (2, 3, 4) or not array.size or array.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"An image is {KINDS}, got {array.dtype} {array.shape}{range_text(array)}.")
    return array


def _upright(image: Image.Image) -> Image.Image:
    """A PIL image turned as its EXIF says; raises `UsageError` for a mode without a white level."""
    if image.mode in ("I", "F"):
        reach = range_text(np.asarray(image))
        raise UsageError(f"An image has 8 or 16 bits; this one is of mode {image.mode}{reach}.")
    return ImageOps.exif_transpose(image)


def as_pil(photo: Photo) -> Image.Image:
    """A photo as a PIL image: 8 bits, or 16 of a grey image without alpha."""
    array, (low, high) = photo.array, photo.levels
    if array.dtype == np.uint16 and array.shape[2] == 1:
        return Image.fromarray(array[..., 0])
    if array.dtype != np.uint8:
        bounds = [(low, high)] * (array.shape[2] - photo.alpha) + [(0.0, photo.top)] * photo.alpha
        black, white = np.array(bounds, np.float64).T
        array = ((array - black) * (255 / (white - black))).round().clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array))
