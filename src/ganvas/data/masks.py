"""Images with masks, which are generated together: the mask is a last channel of the image."""

from dataclasses import replace

import numpy as np

from ..errors import UserError
from ..imaging.channels import levels_on_white, levels_to_luma
from .cache import SourceOptions
from .dataset import Dataset
from .files import Tree
from .pairs import combine_fingerprints, open_sides, select_pairs


def open_with_masks(image: Tree, mask: Tree, options: SourceOptions) -> Dataset:
    """Open images and the masks of the same names as images with a last channel, white in the mask and else black.

    Classes are those of the images.  Raises `UserError` for a file without a partner, masks of another shape,
    transparent images, and masks that mark nothing.
    """
    masks, images, notes, skipped = open_sides(*select_pairs(mask, image, options.name), options)
    if images.facts.channels == 4:
        raise UserError(f"{options.name}: images with masks are opaque, and these are transparent; remove the alpha.")
    inside = _inside(masks.images)
    if not inside.any():
        raise UserError(
            f"{options.name}: no mask marks anything: all are darker than mid-grey; if 1 is white,"
            f" mask=levels:0:1:{mask.name} scales them."
        )
    top = np.iinfo(images.images.dtype).max
    joined = np.concatenate([images.images, inside.astype(images.images.dtype) * top], 3)
    notes = [note.replace("sources: ", "masks: ", 1) for note in notes]
    return replace(
        images,
        images=joined,
        mask=True,
        name=options.name,
        notes=[*notes, f"masks: {inside.mean():.1%} of the pixels are inside"],
        skipped=skipped,
        fingerprint=combine_fingerprints("masks", masks, images),
    )


def _inside(masks: np.ndarray) -> np.ndarray:
    """Places (N, H, W, 1) bool of masks (N, H, W, C) that are brighter than mid-grey."""
    grey = [levels_on_white(one) if one.shape[2] == 4 else one for one in masks]
    levels = np.stack([levels_to_luma(one) if one.shape[2] == 3 else one for one in grey])
    inside: np.ndarray = levels > np.iinfo(masks.dtype).max // 2
    return inside
