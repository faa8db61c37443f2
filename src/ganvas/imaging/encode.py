"""Writing of images: formats, what each can hold, and conversion to what it can."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ..errors import UsageError, did_you_mean, printable
from ..files import atomic_write
from ..paths import user_path
from .decode import to_channels
from .encode_bands import Page, write_png, write_tiff
from .file_kinds import FILM, FRAMES, kind_of_name
from .metadata import (
    Metadata,
    check_profile,
    convert_to_srgb,
    exif_bytes,
    fit_ground,
    fit_texts,
    shorten_exif,
    with_size,
)
from .photo import Photo
from .png_chunks import unusual_colour
from .xmp import jpeg_segments

WRITES = {FILM: f": {FRAMES}"}  # what makes a kind of file that is not written
JPEG_EXIF = 65_000  # bytes of EXIF in a segment


@dataclass(frozen=True)
class Format:
    """An image format with its limits."""

    name: str  # in Pillow
    suffixes: tuple[str, ...]  # the first is the common one
    depths: tuple[str, ...] = ("uint8",)
    channels: tuple[int, ...] = (1, 3)
    side: int = (1 << 31) - 1  # longest side in pixels
    bytes: int = 1 << 62  # of unpacked pixels
    profile: bool = True  # holds a colour profile, EXIF and XMP


FORMATS = (
    Format("PNG", (".png",), ("uint8", "uint16"), (1, 2, 3, 4)),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), side=65500),  # libjpeg's
    Format("WEBP", (".webp",), channels=(3, 4), side=16383),
    Format("TIFF", (".tif", ".tiff"), ("uint8", "uint16", "float32"), (1, 2, 3, 4)),
    Format("BMP", (".bmp",), bytes=(1 << 32) - 4096, profile=False),
    Format("GIF", (".gif",), channels=(1, 3, 4), side=65535, profile=False),
)
SUFFIXES = {suffix: form for form in FORMATS for suffix in form.suffixes}


def format_of(file: Path | str) -> Format:
    """Format of a file by its suffix; raises `UsageError` for an unknown one."""
    suffix = Path(file).suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(form.suffixes[0] for form in FORMATS)
        has = f"the suffix {suffix}" if suffix else "no suffix"
        kind = kind_of_name(file)
        near = f" It would be {kind.name}{WRITES.get(kind, '')}." if kind else did_you_mean(suffix, SUFFIXES)
        raise UsageError(f"{printable(file)} has {has}, and images are written as {known}.{near}")
    return SUFFIXES[suffix]


def check_quality(quality: int) -> None:
    """Raise `UsageError` for a JPEG or WebP quality outside 1 to 100."""
    if not 1 <= quality <= 100:
        raise UsageError(f"--quality is from 1 to 100, got {quality}.")


def check_size(file: Path | str, height: int, width: int) -> None:
    """Raise `UsageError` for an image too large for the format of a file."""
    form = format_of(file)
    if max(height, width) > form.side:
        raise UsageError(f"{form.name} holds up to {form.side:,} pixels a side, not {width}x{height}: save it as PNG.")
    if height * width * 3 > form.bytes:
        raise UsageError(f"{form.name} holds up to {form.bytes / 1e9:.1f} GB, not {width}x{height}: save it as PNG.")


def save(photo: Photo, file: Path | str, *, quality: int = 95, lossless: bool = False) -> list[str]:
    """Write an image with its metadata in the format of the file's suffix, the whole file or none.

    `quality` is that of JPEG and WebP, 1 to 100; `lossless` is for WebP.  Returns one note for each thing that the
    format cannot hold.  Raises `UsageError` for an unknown suffix, a quality out of range or an image too large for
    the format, and `UserError` if the file cannot be written; an existing file then stays as it was.
    """
    file, form = user_path(file), format_of(file)
    check_quality(quality)
    height, width = photo.array.shape[:2]
    check_size(file, height, width)
    array, metadata, notes = _fit_format(photo, form)
    metadata, left = with_size(metadata, width, height)
    notes += left
    with atomic_write(file) as part, part.open("wb") as out:
        if form.name == "PNG":
            write_png(out, array, metadata)
        elif form.name == "TIFF":
            notes += write_tiff(out, [(array, metadata, photo.bands)])
        else:
            notes += _write_by_pillow(out, array, metadata, form, quality, lossless)
    return notes


def save_pages(photos: Iterable[Photo], file: Path) -> list[str]:
    """Write images as the pages of a TIFF, one at a time; notes and errors as `save`."""
    form, notes = format_of(file), list[str]()

    def pages() -> Iterator[Page]:
        for photo in photos:
            height, width = photo.array.shape[:2]
            array, metadata, losses = _fit_format(photo, form)
            metadata, left = with_size(metadata, width, height)
            notes.extend([*losses, *left])
            yield array, metadata, photo.bands

    with atomic_write(file) as part, part.open("wb") as out:
        notes += write_tiff(out, pages())
    return list(dict.fromkeys(notes))


def _fit_format(photo: Photo, form: Format) -> tuple[np.ndarray, Metadata, list[str]]:
    """Reduce pixels and metadata to what a format can hold, with a note for each loss."""
    array, metadata, notes = photo.array, photo.metadata, []
    if array.dtype.name not in form.depths:
        depth = "uint16" if "uint16" in form.depths and array.dtype == np.float32 else "uint8"
        kind = "floating point" if array.dtype == np.float32 else "16 bits"
        notes.append(f"{form.name} does not hold {kind}: {16 if depth == 'uint16' else 8} bits are written")
        array = _reduce_depth(photo, depth)
    channels = array.shape[2]
    if channels == 2 and 2 not in form.channels:
        array = array[..., [0, 0, 0, 1]]
    if photo.plane and channels in (2, 4) and form.name not in ("PNG", "TIFF", "WEBP"):
        notes.append(f"{form.name} holds no plane of data, and alpha is left out")
        array = array[..., : channels - 1]
    elif channels in (2, 4) and not {2, 4} & set(form.channels):
        notes.append(f"{form.name} holds no transparency, which is laid on white")
        array = to_channels(array, 3)[..., : channels - 1]
    if array.shape[2] == 1 and 1 not in form.channels:
        array = np.repeat(array, 3, axis=2)
    icc, lost = check_profile(metadata.icc, array.shape[2])  # grey may have become colour on the way
    notes += lost
    if form.name != "TIFF":
        metadata, lost = fit_ground(metadata, form.name)
        notes += lost
    if form.name != "PNG" and not icc and (names := unusual_colour(metadata.chunks)):
        notes.append(f"its colours are described by {names}, which {form.name} does not hold: they look different")
    return array, replace(metadata, icc=icc), notes


def _reduce_depth(photo: Photo, depth: str) -> np.ndarray:
    """Round the pixels to unsigned integers of fewer bits."""
    top, (low, high) = np.iinfo(depth).max, photo.levels
    scale = np.full(photo.array.shape[2], top / (high - low))
    shift = np.full(photo.array.shape[2], low)
    if photo.alpha:
        scale[-1], shift[-1] = top / photo.top, 0
    out = np.empty(photo.array.shape, depth)
    for row in range(0, len(out), 256):  # in float64: floats may lie anywhere
        part = (photo.array[row : row + 256] - shift) * scale
        out[row : row + 256] = part.round().clip(0, top)
    return out


def _write_by_pillow(
    out: BinaryIO, array: np.ndarray, metadata: Metadata, form: Format, quality: int, lossless: bool
) -> list[str]:
    """Write (H, W, C) uint8, C = 1, 3 or 4, with one of Pillow's writers; returns notes."""
    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    options, notes = _metadata_options(metadata, form)
    if not form.profile:
        image, losses = _without_profile(image, metadata, form)
        notes += losses
    if form.name == "JPEG":
        options |= {"quality": quality, "subsampling": 0 if quality >= 90 else 2, "optimize": True}
    elif form.name == "WEBP":
        options |= {"quality": quality, "lossless": lossless, "exact": True}
    elif form.name == "GIF" and image.mode != "L":
        notes.append("GIF holds 256 colours, to which it is reduced")
        if image.mode == "RGBA":
            image.putalpha(image.getchannel("A").point(lambda a: 255 * (a > 127)))
            notes.append("GIF shows a pixel or does not: what is half transparent becomes one of them")
    try:
        image.save(out, form.name, **options)
    except OSError:
        if "optimize" not in options:
            raise
        # Optimizing needs the whole file in Pillow's buffer, which noise in full colour exceeds.
        out.seek(0)
        out.truncate()
        image.save(out, form.name, **{**options, "optimize": False})
    return notes


def _metadata_options(metadata: Metadata, form: Format) -> tuple[dict[str, Any], list[str]]:
    """Options with which Pillow writes the metadata that a format holds; notes on the rest."""
    fits = metadata.dpi and (form.name == "BMP" or (form.name == "JPEG" and max(metadata.dpi) < 1 << 16))
    options: dict[str, Any] = {"dpi": metadata.dpi} if fits else {}
    metadata, comment, notes = fit_texts(metadata, form.name)
    options |= {"comment": comment.encode()} if comment else {}
    if not form.profile:
        return options, notes
    if form.name == "JPEG":
        metadata, losses = shorten_exif(metadata, JPEG_EXIF)
        notes += losses
    options |= {"icc_profile": metadata.icc} if metadata.icc else {}
    exif = exif_bytes(metadata, resolved=not fits)
    options |= {"exif": b"Exif\0\0" + exif} if exif else {}
    if metadata.xmp and form.name == "JPEG":
        if segments := jpeg_segments(metadata.xmp):
            options["extra"] = segments
        else:
            notes.append("its XMP is too long for JPEG and damaged, so it cannot be split and is left behind")
    elif metadata.xmp:
        options["xmp"] = metadata.xmp
    return options, notes


def _without_profile(image: Image.Image, metadata: Metadata, form: Format) -> tuple[Image.Image, list[str]]:
    """Convert an image to sRGB for a format without colour profiles, since viewers take such a file for sRGB."""
    notes = [f"{form.name} holds no EXIF or XMP, which are left behind"] if metadata.exif or metadata.xmp else []
    if metadata.icc:
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        srgb = convert_to_srgb(image.convert("RGB") if alpha else image, metadata.icc)
        if srgb is None:
            return image, [*notes, f"{form.name} holds no colour profile, which is left behind"]
        image = srgb.convert("L") if image.mode == "L" else srgb
        if alpha:
            image.putalpha(alpha)
        notes.append(f"{form.name} holds no colour profile: the colours are converted to sRGB")
    return image, notes
