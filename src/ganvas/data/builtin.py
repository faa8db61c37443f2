"""Embedded data: real images in the packages of scikit-learn and scikit-image; nothing is downloaded."""

from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..imaging.decode import BadImage, read_image, scale_and_crop, to_channels
from .dataset import Dataset

PHOTOGRAPHS = {  # the colour photographs, by package and file
    ("sklearn", "datasets/images"): ("china.jpg", "flower.jpg"),
    ("skimage", "data"): (
        *("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "ihc.png"),
        *("motorcycle_left.png", "retina.jpg", "rocket.jpg"),
    ),
}
LARGEST = 512  # pixels: shorter side of a photograph before it is cut, so that no huge one dominates
FLAT = 2.0  # standard deviation of levels (0 to 255) below which a tile is left out


def open_digits(resolution: tuple[int, int] | None = None) -> Dataset:
    """Open scikit-learn's 1,797 handwritten digits as (N, H, W, 1) uint8, ten classes; 32x32, scaled from 8x8."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = np.floor(bunch.images * (255 / 16) + 0.5).astype(np.uint8)[..., None]  # levels 0 to 16
    size = resolution or (32, 32)
    images = np.stack([scale_and_crop(image, size) for image in small])
    return Dataset(images, bunch.target.astype(np.int64), tuple("0123456789"), name="digits")


def _photograph_files() -> Iterator[Path]:
    for (package, folder), files in PHOTOGRAPHS.items():
        spec = find_spec(package)  # finds the files without importing the package
        if spec and spec.submodule_search_locations:
            yield from (Path(spec.submodule_search_locations[0]) / folder / file for file in files)


def read_photograph(name: str) -> np.ndarray | None:
    """Read an embedded photograph, (H, W, 3) uint8, by its file's name without suffix; None if there is none."""
    file = next((file for file in _photograph_files() if file.stem == name), None)
    return None if file is None else to_channels(read_image(file).array, 3)


def read_photographs() -> list[tuple[str, np.ndarray]]:
    """Read the embedded colour photographs as (name, (H, W, 3) uint8); missing ones are left out."""
    images = []
    for file in _photograph_files():
        with suppress(BadImage):
            images.append((file.stem, to_channels(read_image(file).array, 3)))
    return images


def open_photos(resolution: tuple[int, int] | None = None) -> Dataset:
    """Open tiles (N, H, W, 3) uint8 of the embedded photographs at full and half scale, by default 64x64.

    Neighbouring tiles overlap by half; almost uniform tiles are left out.
    """
    size, tiles, flat = resolution or (64, 64), [], 0
    images = read_photographs()
    for _, image in images:
        for shorter in (LARGEST, LARGEST / 2):
            for tile in _cut_tiles(_shrink(image, shorter), size):
                if tile.std() < FLAT:
                    flat += 1
                else:
                    tiles.append(tile)
    if not tiles:
        raise UserError(
            f"photos: none of the {len(images)} embedded photographs is as large as {size[1]}x{size[0]};"
            " give a smaller --resolution."
        )
    notes = [f"tiles of {len(images)} photographs ({', '.join(name for name, _ in images)})"]
    if flat:
        notes.append(f"{flat:,} tiles that show nothing (sky, black) are left out")
    return Dataset(np.stack(tiles), name="photos", notes=notes)


def _shrink(image: np.ndarray, shorter: float) -> np.ndarray:
    height, width = image.shape[:2]
    scale = min(1.0, shorter / min(height, width))
    return scale_and_crop(image, (round(height * scale), round(width * scale)))


def _cut_tiles(image: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    (height, width), (h, w) = image.shape[:2], size
    tops, lefts = range(0, height - h + 1, h // 2), range(0, width - w + 1, w // 2)
    return [image[top : top + h, left : left + w] for top in tops for left in lefts]
