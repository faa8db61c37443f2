"""Stacks of images in one file, through a network: arrays (.npy, .npz) and TIFFs of several pages or bands.

The result is a file of that kind, with the same type of numbers and the same order of axes.
"""

import contextlib
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..archives import explain_damage, open_npz
from ..data.arrays import IMAGE_KEYS, PURPOSE
from ..data.memory import MOST_CHANNELS, channel_axis
from ..errors import BadImage, UsageError, UserError, printable
from ..files import atomic_write
from ..imaging.encode import save_pages
from ..imaging.levels import Levels, usual_range
from ..imaging.photo import Photo, as_photo, open_photo
from ..imaging.tiff_pages import BandPage, PageView, count_bands, page_offsets, read_bands

ARRAYS, TIFF = (".npy", ".npz"), (".tif", ".tiff")
USUAL = (1, 3)  # channels of the networks that images, grey or RGB with or without alpha, are given to
NATIVE = ("uint8", "uint16", "float32")  # numbers that a `Photo` holds
PAGES = ("images", "channels")  # the pages of a TIFF, or the first axis of an array
CHUNK = 64  # images whose range is measured at a time

ChangePhoto = Callable[[Photo], Photo]


def is_stack(source: Path, output: Path) -> bool:
    """True for an array, and for a TIFF of several pages or more than 4 bands that becomes a TIFF."""
    if source.suffix.lower() in ARRAYS:
        return True
    if source.suffix.lower() not in TIFF or output.suffix.lower() not in TIFF:
        return False
    with contextlib.suppress(BadImage, OSError):
        offsets = page_offsets(source)
        return len(offsets) > 1 or (len(offsets) == 1 and count_bands(source, offsets[0]) > 4)
    return False


def check_output(source: Path, output: Path) -> None:
    """Raise `UsageError` unless an array's result is a file of its kind."""
    suffix = source.suffix.lower()
    if suffix in ARRAYS and output.suffix.lower() != suffix:
        raise UsageError(f"{printable(source)} is an array, and so is its result: give -o NAME{suffix}.")


@dataclass(frozen=True)
class StackOptions:
    """The channels of a network's input, and what pages, or the first axis of an array, are: images or channels."""

    channels: int
    pages: str | None = None  # one of `PAGES`; None: by the channels


def change_stack(
    source: Path, output: Path, change: ChangePhoto, options: StackOptions, progress: Callable[[float], None]
) -> list[str]:
    """Change every image of a stack and write the result; returns notes.

    Raises `UserError` for a stack of other channels than the network's, or numbers that are not finite.
    """
    opener = ArrayStack if source.suffix.lower() in ARRAYS else TiffStack
    stack, notes = opener(source, options), list[str]()

    def results() -> Iterator[Photo]:
        for k in range(stack.count):
            result = change(stack.read(k))
            notes.extend(result.notes)
            progress((k + 1) / stack.count)
            yield result

    output.parent.mkdir(parents=True, exist_ok=True)
    notes += stack.write(results(), output)
    return list(dict.fromkeys([*stack.notes, *notes]))


# --- arrays ------------------------------------------------------------------------------------------------


class ArrayStack:
    """The images of an .npy, or of the images in an .npz, which may have other arrays beside them."""

    def __init__(self, file: Path, options: StackOptions):
        self.file, self.others, self.key, self.notes = file, dict[str, np.ndarray](), "", list[str]()
        self.bands = options.channels not in USUAL
        with explain_damage(file, PURPOSE):
            self.array = self._load()
        if self.array.dtype.kind not in "iufb":
            raise UserError(f"{file} holds {self.array.dtype}, which are no levels of images.")
        self.axis, self.single = _axes(self.array.shape, options, file)
        self.count = 1 if self.single else len(self.array)
        self.levels, note = _levels(self.array)
        self.notes += note

    def _load(self) -> np.ndarray:
        if self.file.suffix.lower() == ".npy":
            return np.load(self.file, mmap_mode="r", allow_pickle=False)
        with open_npz(self.file, PURPOSE) as archive:
            self.key = next((key for key in IMAGE_KEYS if key in archive.names), "")
            if not self.key:
                has = ", ".join(archive.names) or "nothing"
                raise UserError(f"{self.file} holds {has}; the images should be called 'images'.")
            self.others = {name: archive.read(name) for name in archive.names if name != self.key}
            return archive.read(self.key)

    def read(self, index: int) -> Photo:
        """One image, its channels last; those of other numbers than images have are bands."""
        image = np.asarray(self.array if self.single else self.array[index])
        image = image[..., None] if self.axis is None else np.moveaxis(image, self.axis, -1)
        return numbers_as_photo(np.ascontiguousarray(image), self.levels, self.bands)

    def write(self, results: Iterator[Photo], output: Path) -> list[str]:
        """Write the results in the order of axes and the type of numbers of the source."""
        with atomic_write(output) as part, tempfile.TemporaryDirectory(dir=output.parent, prefix=".ganvas-") as place:
            target = part if output.suffix.lower() == ".npy" else Path(place) / "images.npy"
            with target.open("wb") as stream:
                self._write_npy(results, stream)
            if target != part:
                with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
                    archive.write(target, f"{self.key}.npy")
                    for name, array in self.others.items():
                        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                            np.lib.format.write_array(member, array, allow_pickle=False)
        return []

    def _write_npy(self, results: Iterator[Photo], stream: Any) -> None:
        shape: tuple[int, ...] = ()
        for result in results:
            image = photo_as_numbers(result, self.array.dtype)
            image = self._as_source(image)
            if not shape:
                shape = image.shape if self.single else (self.count, *image.shape)
                header = {"descr": np.lib.format.dtype_to_descr(image.dtype), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_2_0(stream, header)
            stream.write(np.ascontiguousarray(image).data)

    def _as_source(self, image: np.ndarray) -> np.ndarray:
        """An image (H, W, C) with its axes as those of the source; grey of the source without an axis of channels."""
        if self.axis is None:
            return image[..., 0] if image.shape[2] == 1 else image
        return np.moveaxis(image, -1, self.axis)


def _axes(shape: tuple[int, ...], options: StackOptions, file: Path) -> tuple[int | None, bool]:
    """The axis of the channels in one image, None for grey without one, and whether the array is one image.

    Arrays are (H, W), (N, H, W), (N, H, W, C) or (N, C, H, W), and one image (H, W, C) or (C, H, W) where C is the
    network's.
    """
    channels, count = options.channels, len(shape)
    if 0 in shape or count not in (2, 3, 4):
        raise UserError(f"{file} holds an array of shape {shape}; images are (N, H, W), (N, H, W, C) or (N, C, H, W).")
    if count == 2:
        return _check(None, 1, True, options, file)
    if count == 3:
        if options.pages == "images":
            return _check(None, 1, False, options, file)
        fits = [axis for axis in (2, 0) if shape[axis] == channels and (channels > 1 or options.pages)]
        if options.pages == "channels" or fits:
            axis = fits[0] if fits else 0
            return _check(axis, shape[axis], True, options, file)
        return _check(None, 1, False, options, file)
    axes = [axis for axis in (3, 1) if shape[axis] == channels]
    axis_of = axes[0] if axes else channel_axis(shape)
    if axis_of is None:
        raise UserError(f"{file} holds an array of shape {shape}; images have 1 to {MOST_CHANNELS} channels.")
    return _check(axis_of - 1, shape[axis_of], False, options, file)


def _check(axis: int | None, present: int, single: bool, options: StackOptions, file: Path) -> tuple[int | None, bool]:
    """The arguments `axis` and `single`; raises `UserError` for channels that the network does not take."""
    check_channels(present, options.channels, file)
    return axis, single


def check_channels(present: int, channels: int, file: Path) -> None:
    """Raise `UserError` for an image of other channels than a network takes, or of more than 64."""
    if present > MOST_CHANNELS:
        raise UserError(f"{printable(file)} has {present} channels, and images have 1 to {MOST_CHANNELS}.")
    if present != channels and not (channels in USUAL and present in (1, 3, 4)):
        raise UserError(f"{printable(file)} has {present} channels, and the model takes {channels}.")


def _levels(array: np.ndarray) -> tuple[Levels, list[str]]:
    """The numbers of black and white in an array, and a note where they are its smallest and largest."""
    if array.dtype in (np.uint8, np.uint16):
        return (0.0, float(np.iinfo(array.dtype).max)), []
    if array.ndim == 2:
        array = array[None]
    parts = [array[k : k + CHUNK] for k in range(0, len(array), CHUNK)]
    low, high = min(float(part.min()) for part in parts), max(float(part.max()) for part in parts)
    if not np.isfinite([low, high]).all():
        raise BadImage("holds values that are not numbers or not finite")
    if levels := usual_range(array.dtype.kind, low, high):
        return levels, []
    white = high if high > low else low + max(1.0, abs(low))
    return (low, white), [f"its values reach from {low:g} to {high:g}, which are read as black and white"]


def numbers_as_photo(array: np.ndarray, levels: Levels, bands: bool) -> Photo:
    """An image (H, W, C) of numbers of any type; its channels are bands, or those of images."""
    held = array if array.dtype.name in NATIVE else array.astype(np.float32)
    return Photo(held, levels, False, bands=True) if bands else replace(as_photo(held), levels=levels)


def photo_as_numbers(photo: Photo, dtype: np.dtype) -> np.ndarray:
    """The pixels of a result in a type of numbers, rounded for whole ones."""
    array = photo.array
    if array.dtype == dtype:
        return array
    if dtype.kind == "f":
        return array.astype(dtype)
    if dtype.kind == "b":
        return array >= 0.5
    limits = np.iinfo(dtype)
    return array.astype(np.float64).round().clip(limits.min, limits.max).astype(dtype)


# --- TIFF --------------------------------------------------------------------------------------------------


class TiffStack:
    """The pages of a TIFF: images of their own, or the channels of one image."""

    def __init__(self, file: Path, options: StackOptions):
        self.file, self.channels, self.notes = file, options.channels, list[str]()
        self.offsets = page_offsets(file)
        if not self.offsets:
            raise BadImage("has no page that is no thumbnail")
        counts = [count_bands(file, offset) for offset in self.offsets[: MOST_CHANNELS + 1]]
        joined = sum(counts) == options.channels and options.channels not in USUAL and len(self.offsets) > 1
        self.joined = joined if options.pages is None else options.pages == "channels"
        if self.joined:
            check_channels(sum(counts), self.channels, file)
        self.count = 1 if self.joined else len(self.offsets)
        self.sources: list[BandPage] = []

    def read(self, index: int) -> Photo:
        """One page, or all of them as the channels of one image."""
        if not self.joined and self.channels in USUAL:
            with self.file.open("rb") as stream:
                return open_photo(io.BufferedReader(PageView(stream, self.offsets[index])))
        chosen = self.offsets if self.joined else [self.offsets[index]]
        self.sources = [read_bands(self.file, offset) for offset in chosen]
        if len(kinds := {(page.array.shape[:2], page.array.dtype.str) for page in self.sources}) > 1:
            has = " and ".join(f"{width}x{height} {dtype}" for (height, width), dtype in sorted(kinds)[:2])
            raise BadImage(f"has pages of {has}, which are not the channels of one image")
        array = np.concatenate([page.array for page in self.sources], 2)
        check_channels(array.shape[2], self.channels, self.file)
        levels, notes = _levels(array)
        photo, first = numbers_as_photo(array, levels, bands=True), self.sources[0]
        return replace(photo, metadata=first.metadata, notes=[*notes, *first.notes])

    def write(self, results: Iterator[Photo], output: Path) -> list[str]:
        """Write the results page by page; channels that were pages of one band are pages again."""
        return save_pages((page for result in results for page in self._pages(result)), output)

    def _pages(self, result: Photo) -> Iterator[Photo]:
        if not self.joined or result.array.shape[2] != len(self.sources):
            yield result
            return
        for k, source in enumerate(self.sources):
            metadata = replace(source.metadata, xmp=result.metadata.xmp if k == 0 else source.metadata.xmp)
            yield replace(result, array=result.array[..., k : k + 1], metadata=metadata)
