"""Metadata of image files: colour profile, EXIF, XMP and resolution, adapted to a new image."""

import io
import re
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from PIL import Image

ORIENTATION, WIDTH, HEIGHT = 0x0112, 0xA002, 0xA003
DETAILS, GPS = 0x8769, 0x8825  # the IFDs below the first
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
# Tags of how a file stores its pixels, which TIFF keeps among its EXIF data and another file must not repeat.
STORAGE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291),
    *(292, 293, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 334, 338, 339, 340, 341, 342, 347),
    *(512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532),
    *(700, 33723, 34377, 34675, 37724, 50341),  # XMP, IPTC, Photoshop, profile: copied separately or not at all
}
SPACES = {1: b"GRAY", 2: b"GRAY", 3: b"RGB ", 4: b"RGB "}  # colour space of a profile by number of channels


@dataclass(frozen=True)
class Metadata:
    """Metadata that is copied from a source image to its result."""

    icc: bytes | None = None  # colour profile
    exif: Image.Exif | None = None  # without orientation, thumbnail and storage tags
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None  # along x and y
    gamma: float | None = None  # PNG's exponent of the file, where it has no profile


def read_metadata(image: Any, channels: int) -> tuple[Metadata, list[str]]:
    """Read the metadata of a Pillow image whose pixels have so many channels; returns notes on what is dropped.

    The pixels are upright, so every tag of orientation is removed.
    """
    icc, notes = check_profile(image.info.get("icc_profile"), channels)
    if image.mode == "CMYK" or (image.mode == "LAB" and image.format == "TIFF"):
        icc, notes = None, []  # the pixels were converted to sRGB
    try:
        exif = clean_exif(image.getexif())
    except Exception:  # damaged EXIF raises errors of any type and does not concern the pixels
        exif = None
        notes.append("its EXIF data are damaged and left behind")
    gamma = image.info.get("gamma") if icc is None and "srgb" not in image.info else None
    return Metadata(icc, exif, upright_xmp(image.info), read_dpi(image), gamma), notes


def check_profile(icc: Any, channels: int) -> tuple[bytes | None, list[str]]:
    """Return a valid colour profile for so many channels, else None and a note (ICC.1:2022, section 7.2)."""
    if not icc or not isinstance(icc, bytes):
        return None, []
    if len(icc) < 132 or icc[36:40] != b"acsp":
        return None, ["its colour profile is damaged and left behind"]
    if icc[16:20] != SPACES[channels]:
        return None, [f"its colour profile is for {icc[16:20].decode('latin-1').strip()} and left behind"]
    return icc, []


def clean_exif(exif: Image.Exif) -> Image.Exif | None:
    """Copy EXIF without orientation, thumbnail and storage tags; None if nothing is left."""
    copy = Image.Exif()
    details, place = dict(exif.get_ifd(DETAILS)), dict(exif.get_ifd(GPS))
    for tag, value in exif.items():
        if tag not in STORAGE and tag not in (ORIENTATION, DETAILS, GPS):
            copy[tag] = _verbatim(value)
    for where, ifd in ((DETAILS, details), (GPS, place)):
        if ifd:
            copy.get_ifd(where).update({tag: _verbatim(value) for tag, value in ifd.items()})
    return copy if len(copy) or details or place else None


def _verbatim(value: Any) -> Any:
    """Return text as its stored bytes: Pillow reads them as Latin-1 and would write all but ASCII as `?`."""
    return value.encode("latin-1", "replace") if isinstance(value, str) and not value.isascii() else value


def upright_xmp(info: dict[str, Any]) -> bytes | None:
    """XMP of a file with its orientation, if any, set to 1."""
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    if not xmp or not isinstance(xmp, (str, bytes)):
        return None
    raw = xmp.encode() if isinstance(xmp, str) else xmp
    return re.sub(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[2-8]", rb"\g<1>1", raw)


def read_dpi(image: Any) -> tuple[float, float] | None:
    """Dots per inch along x and y; None if the file has no plausible numbers."""
    try:
        x, y = (float(v) for v in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if image.format == "TIFF" and X_RESOLUTION not in image.tag_v2:  # Pillow reports 1 where there is none
        return None
    # PNG counts whole pixels a metre, which turns 300 into 299.9994
    return (round(x, 2), round(y, 2)) if 0.01 < x < 1e6 and 0.01 < y < 1e6 else None


def with_size(metadata: Metadata, width: int, height: int) -> Metadata:
    """Metadata for an image of another size: the tags of size in EXIF, if any, get the new one."""
    exif = clean_exif(metadata.exif) if metadata.exif is not None else None
    if exif is None:
        return metadata
    details = exif.get_ifd(DETAILS)
    details.update({tag: side for tag, side in ((WIDTH, width), (HEIGHT, height)) if tag in details})
    return replace(metadata, exif=exif)


def exif_bytes(metadata: Metadata, *, resolved: bool = False) -> bytes | None:
    """EXIF as a TIFF stream without the leading letters Exif; `resolved` adds the resolution."""
    exif = (clean_exif(metadata.exif) if metadata.exif is not None else None) or Image.Exif()
    if resolved and metadata.dpi:
        exif[X_RESOLUTION], exif[Y_RESOLUTION], exif[RESOLUTION_UNIT] = *metadata.dpi, 2
    if not len(exif) and not exif.get_ifd(DETAILS) and not exif.get_ifd(GPS):
        return None
    return exif.tobytes().removeprefix(b"Exif\0\0")


def metadata_from_tags(tags: dict[int, Any], stream: BinaryIO, channels: int) -> tuple[Metadata, list[str]]:
    """Read metadata from a TIFF's tags by number, for a file that Pillow cannot open."""
    icc, notes = check_profile(tags.get(34675), channels)
    exif: Image.Exif | None = None
    try:
        stored = Image.Exif()
        stored.load_from_fp(stream)
        exif = clean_exif(stored)
    except Exception:
        notes.append("its EXIF data are damaged and left behind")
    return Metadata(icc, exif, upright_xmp({"xmp": tags.get(700)}), _dpi_of_tags(tags)), notes


def _dpi_of_tags(tags: dict[int, Any]) -> tuple[float, float] | None:
    try:
        x, y = (tags[tag][0] / tags[tag][1] for tag in (X_RESOLUTION, Y_RESOLUTION))
    except (KeyError, TypeError, ZeroDivisionError, IndexError):
        return None
    unit = {2: 1.0, 3: 2.54}.get(int(tags.get(RESOLUTION_UNIT, 2)))
    return (round(x * unit, 2), round(y * unit, 2)) if unit and 0 < x < 1e6 and 0 < y < 1e6 else None


def convert_to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image | None:
    """Convert a Pillow image (L, RGB or CMYK) from its colour profile to sRGB; None if the profile is unusable."""
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc or b""))
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (OSError, TypeError, ValueError, ImageCms.PyCMSError):
        return None
