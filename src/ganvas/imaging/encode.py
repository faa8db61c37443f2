"""The files that images are written to: what each can hold, and how it is written whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ..errors import UsageError, did_you_mean
from ..files import atomic_write
from .decode import shown, to_channels
from .encode_bands import write_png, write_tiff
from .metadata import Metadata, as_srgb, exif_bytes, profile, sized
from .photo import Photo


@dataclass(frozen=True)
class Format:
    """What a kind of file can hold."""

    name: str  # as Pillow calls it
    suffixes: tuple[str, ...]  # the first is the usual one
    depths: tuple[str, ...] = ("uint8",)
    channels: tuple[int, ...] = (1, 3)
    side: int = (1 << 31) - 1  # longest
    profile: bool = True  # whether it holds a colour profile, EXIF and XMP


FORMATS = (
    Format("PNG", (".png",), ("uint8", "uint16"), (1, 2, 3, 4)),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), side=65535),
    Format("WEBP", (".webp",), channels=(3, 4), side=16383),
    Format("TIFF", (".tif", ".tiff"), ("uint8", "uint16", "float32"), (1, 2, 3, 4)),
    Format("BMP", (".bmp",), profile=False),
    Format("GIF", (".gif",), channels=(1, 3, 4), side=65535, profile=False),
)
SUFFIXES = {suffix: form for form in FORMATS for suffix in form.suffixes}


def format_of(file: Path | str) -> Format:
    """How a file of that name is written; raises `UsageError` for an unknown suffix."""
    suffix = Path(file).suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(form.suffixes[0] for form in FORMATS)
        found = f"the suffix {suffix}" if suffix else "no suffix"
        raise UsageError(
            f"{shown(file)} has {found}, and images are written as {known}.{did_you_mean(suffix, SUFFIXES)}"
        )
    return SUFFIXES[suffix]


def check_quality(quality: int) -> None:
    """Raise `UsageError` unless it is one of JPEG's and WebP's."""
    if not 1 <= quality <= 100:
        raise UsageError(f"--quality is from 1 to 100, got {quality}.")


def save(photo: Photo, file: Path | str, *, quality: int = 95, lossless: bool = False) -> list[str]:
    """Write an image with its metadata, in the format of the file's suffix; the whole file or none.

    `quality` is that of JPEG and WebP, 1 to 100; `lossless` is for WebP.  Gives what the format could not hold, one
    sentence each.  Raises `UsageError` for an unknown suffix, a quality out of range or an image too large for the
    format, and `UserError` if the file cannot be written, which leaves whatever was there before as it was.
    """
    file, form = Path(file), format_of(file)
    check_quality(quality)
    height, width = photo.array.shape[:2]
    if max(height, width) > form.side:
        raise UsageError(f"{form.name} holds up to {form.side:,} pixels a side, not {width}x{height}: save it as PNG.")
    array, metadata, notes = _fitting(photo, form)
    metadata = sized(metadata, width, height)
    with atomic_write(file) as part, part.open("wb") as out:
        if form.name == "PNG":
            write_png(out, array, metadata)
        elif form.name == "TIFF":
            write_tiff(out, array, metadata)
        else:
            notes += _by_pillow(out, array, metadata, form, quality, lossless)
    return notes


def _fitting(photo: Photo, form: Format) -> tuple[np.ndarray, Metadata, list[str]]:
    """The pixels and metadata as far as a format holds them, and what it does not."""
    array, metadata, notes = photo.array, photo.metadata, []
    if array.dtype.name not in form.depths:
        depth = "uint16" if "uint16" in form.depths and array.dtype == np.float32 else "uint8"
        found = "floating point" if array.dtype == np.float32 else "16 bits"
        notes.append(f"{form.name} does not hold {found}: {16 if depth == 'uint16' else 8} bits are written")
        array = _shallower(photo, depth)
    channels = array.shape[2]
    if channels in (2, 4) and not {2, 4} & set(form.channels):
        notes.append(f"{form.name} holds no transparency, which is laid on white")
        array = to_channels(to_channels(_four(array), 3), 3)
        array = array[..., :1] if channels == 2 else array
    elif channels == 2 and 2 not in form.channels:
        array = _four(array)
    if array.shape[2] == 1 and 1 not in form.channels:
        array = np.repeat(array, 3, axis=2)
    icc, lost = profile(metadata.icc, array.shape[2])  # grey may have become colour on the way
    return array, replace(metadata, icc=icc), notes + lost


def _four(array: np.ndarray) -> np.ndarray:
    return array if array.shape[2] == 4 else array[..., [0, 0, 0, 1]]


def _shallower(photo: Photo, depth: str) -> np.ndarray:
    """The pixels as whole numbers of fewer bits, rounded."""
    top, (low, high) = np.iinfo(depth).max, photo.levels
    scale = np.full(photo.array.shape[2], top / (high - low), np.float32)
    shift = np.full(photo.array.shape[2], low, np.float32)
    if photo.alpha:
        scale[-1], shift[-1] = top / photo.top, 0
    out = np.empty(photo.array.shape, depth)
    for row in range(0, len(out), 256):
        part = (photo.array[row : row + 256].astype(np.float32) - shift) * scale
        out[row : row + 256] = part.round().clip(0, top)
    return out


def _by_pillow(
    out: BinaryIO, array: np.ndarray, metadata: Metadata, form: Format, quality: int, lossless: bool
) -> list[str]:
    """Write (H, W, C) uint8, C = 1, 3 or 4, by one of Pillow's writers."""
    image, notes = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array), []
    how: dict[str, Any] = {"dpi": metadata.dpi} if metadata.dpi and form.name in ("JPEG", "BMP") else {}
    if form.profile:
        exif = exif_bytes(metadata, resolved=form.name == "WEBP")
        if exif and form.name == "JPEG" and len(exif) > 65_000:
            exif = None
            notes.append("its EXIF data are too long for JPEG and left behind")
        how |= {"icc_profile": metadata.icc} if metadata.icc else {}
        how |= {"exif": b"Exif\0\0" + exif} if exif else {}
        if metadata.xmp and (form.name != "JPEG" or len(metadata.xmp) < 65_000):
            how["xmp"] = metadata.xmp
    else:
        image, told = _plain(image, metadata, form)
        notes += told
    if form.name == "JPEG":
        how |= {"quality": quality, "subsampling": 0 if quality >= 90 else 2, "optimize": True}
    elif form.name == "WEBP":
        how |= {"quality": quality, "lossless": lossless, "exact": True}
    elif form.name == "GIF" and image.mode != "L":
        notes.append("GIF holds 256 colours, to which it is reduced")
        if image.mode == "RGBA":
            image.putalpha(image.getchannel("A").point(lambda a: 255 * (a > 127)))
            notes.append("GIF shows a pixel or does not: what is half transparent becomes one of them")
    image.save(out, form.name, **how)
    return notes


def _plain(image: Image.Image, metadata: Metadata, form: Format) -> tuple[Image.Image, list[str]]:
    """An image for a format without colour profiles: sRGB, which everybody takes such a file for."""
    notes = [f"{form.name} holds no EXIF or XMP, which are left behind"] if metadata.exif or metadata.xmp else []
    if metadata.icc:
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        made = as_srgb(image.convert("RGB") if alpha else image, metadata.icc)
        if made is None:
            return image, [*notes, f"{form.name} holds no colour profile, which is left behind"]
        image, was = made, image
        if alpha:
            image.putalpha(alpha)
        elif was.mode == "L":
            image = image.convert("L")
        notes.append(f"{form.name} holds no colour profile: the colours are converted to sRGB")
    return image, notes
