"""The photograph of the demo: one that ships with scikit-image, degraded, and restored by an embedded model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..data.builtin import read_photograph
from ..data.degrade.camera import SensorNoise
from ..files import atomic_write
from ..models.cards import pick_restorer
from .apply import ApplyOptions, apply

NAME, LICENSE = "chelsea", "CC0, Stéfan van der Walt, from scikit-image"  # no embedded model was trained on it
SIGMA, QUALITY = 20.0, 40  # of the noise, in levels of 255, and of the JPEG file


@dataclass(frozen=True)
class Example:
    """Files of a degraded photograph, of its restoration, and of both side by side."""

    before: Path  # JPEG
    after: Path  # PNG
    both: Path  # PNG
    model: str


def restore_example(folder: Path) -> Example | None:
    """Write the degraded photograph and its restoration into a folder; None if scikit-image lacks the photograph."""
    array = read_photograph(NAME)
    if array is None:
        return None
    image = torch.from_numpy(array.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    noisy = SensorNoise(sigma=(SIGMA, SIGMA))(image, [0], seed=0)[0].permute(1, 2, 0)
    before, after, both = (folder / name for name in ("photo.jpg", "photo_restored.png", "photo.png"))
    example = Example(before, after, both, pick_restorer().name)
    levels = ((noisy + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).contiguous().numpy()
    with atomic_write(example.before) as temporary:
        Image.fromarray(levels).save(temporary, "JPEG", quality=QUALITY)
    apply("restore", example.before, example.after, ApplyOptions(model=example.model))
    _save_pair(example)
    return example


def _save_pair(example: Example) -> None:
    """Write both images side by side."""
    with Image.open(example.before) as before, Image.open(example.after) as after:
        both = np.concatenate([np.asarray(x.convert("RGB")) for x in (before, after)], 1)
    with atomic_write(example.both) as temporary:
        Image.fromarray(both).save(temporary, "PNG")
