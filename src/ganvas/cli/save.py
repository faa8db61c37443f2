"""Files of samples and interpolations, and a preview in the terminal."""

import itertools
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError, UserError
from ..files import atomic_write
from ..imaging.decode import to_uint8
from ..imaging.grid import beside_mask, grid, is_points, save_walk, split_mask, to_pil_images
from ..imaging.provenance import GENERATED, png_mark
from ..models.model import load

PREVIEW = 8  # images in the terminal


def save_samples(
    batches: Iterator[Tensor],
    seeds: Sequence[int],
    output: Path,
    columns: int | None = None,
    source_type: str | None = GENERATED,
    mask: bool = False,
) -> list[str]:
    """Write a grid (.png), an archive (.npz) or, without a suffix, a folder of PNGs; returns the files.

    Only a grid needs all images at once.  `source_type` is what PNGs say of themselves: `imaging.provenance`.  With
    `mask` the last channel is a mask: beside the image in a grid; in a folder both are below `images` and `masks`.
    """
    if columns is not None and columns < 1:
        raise UsageError(f"--grid must be at least 1 column, got {columns}.")
    if output.suffix.lower() not in ("", ".png", ".npz"):
        raise UsageError(f"Samples are written as .png (a grid), .npz or a folder, not {output.suffix}.")
    try:
        if not output.suffix:
            return (_save_pairs if mask else _save_folder)(batches, seeds, output, source_type)
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(output) as temporary, temporary.open("wb") as file:
            if output.suffix.lower() == ".png":
                images = torch.cat([*batches])
                grid(beside_mask(images) if mask else images, columns).save(file, "PNG", **png_mark(source_type))
            else:
                _save_archive(batches, seeds, file)
    except OSError as problem:
        raise UserError(f"{output} could not be written: {problem.strerror or problem}.") from None
    return [str(output)]


def _save_folder(batches: Iterator[Tensor], seeds: Sequence[int], output: Path, source_type: str | None) -> list[str]:
    left = iter(files := [output / f"seed{seed:06d}.png" for seed in seeds])
    for images in batches:
        if is_points(images):
            raise UsageError("Points are not images: write them as .npz, or as a scatter plot (.png).")
        if images.shape[1] not in (1, 3, 4):
            raise UsageError(f"A PNG has no {images.shape[1]} channels: write the samples as .npz.")
        output.mkdir(parents=True, exist_ok=True)
        for image in to_pil_images(images):
            with atomic_write(next(left)) as temporary:
                image.save(temporary, "PNG", **png_mark(source_type))
    return [str(f) for f in files]


def _save_pairs(batches: Iterator[Tensor], seeds: Sequence[int], output: Path, source_type: str | None) -> list[str]:
    """Write images and their masks; returns the files of the images, then those of the masks."""
    images, masks, done = list[str](), list[str](), 0
    for batch in batches:
        part = seeds[done : done + len(batch)]
        for kind, files, some in zip(("images", "masks"), (images, masks), split_mask(batch)):
            files += _save_folder(iter([some]), part, output / kind, source_type)
        done += len(batch)
    return [*images, *masks]


def _save_archive(batches: Iterator[Tensor], seeds: Sequence[int], file: BinaryIO) -> None:
    """Write `images` and `seeds` as `numpy.savez_compressed` does, the images a batch at a time."""
    arrays = (images.flatten(1).numpy() if is_points(images) else to_uint8(images) for images in batches)
    first = next(arrays)
    header = {"descr": first.dtype.str, "fortran_order": False, "shape": (len(seeds), *first.shape[1:])}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            for part in itertools.chain([first], arrays):
                member.write(np.ascontiguousarray(part).data)
        with archive.open("seeds.npy", "w") as member:
            np.save(member, np.array(seeds))


def save_interpolation(
    frames: Tensor, output: Path, *, fps: int, columns: int, source_type: str | None = GENERATED
) -> None:
    """Write an interpolation: rows of images (.png), an animation (.gif) or a video (.mp4)."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.suffix.lower() == ".png":
            with atomic_write(output) as temporary:
                grid(frames, columns).save(temporary, "PNG", **png_mark(source_type))
        else:
            save_walk([grid(frame[None]) for frame in frames], output, fps, source_type)
    except OSError as problem:
        raise UserError(f"{output} could not be written: {problem.strerror or problem}.") from None


def terminal_preview(run: str) -> Any:
    """Row of samples as half blocks of text, two pixels per character."""
    from rich.text import Text

    images = to_uint8(load(run, device="cpu", precision="fp32").sample(PREVIEW))
    row = np.concatenate(list(images[:, ::2, ::2]), axis=1)
    row = np.repeat(row[..., :1], 3, axis=2) if row.shape[2] < 3 else row[..., :3]
    text = Text()
    for upper, lower in zip(row[::2].tolist(), row[1::2].tolist()):
        for (r, g, b), (x, y, z) in zip(upper, lower):
            text.append("▀", style=f"rgb({r},{g},{b}) on rgb({x},{y},{z})")
        text.append("\n")
    return text
