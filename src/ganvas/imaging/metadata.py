"""What an image's file says beside its pixels: colour profile, EXIF, XMP and resolution, fit for a new image."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from PIL import Image

ORIENTATION, WIDTH, HEIGHT = 0x0112, 0xA002, 0xA003
DETAILS, GPS = 0x8769, 0x8825  # the IFDs below the first
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
# How a file stores its pixels, which another file does otherwise: TIFF keeps these among its EXIF data.
STORAGE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291),
    *(292, 293, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 334, 338, 339, 340, 341, 342, 347),
    *(512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532),
    *(700, 33723, 34377, 34675, 37724, 50341),  # XMP, IPTC, Photoshop, profile: carried by themselves, or not at all
}
SPACES = {1: b"GRAY", 2: b"GRAY", 3: b"RGB ", 4: b"RGB "}  # what a profile calls the colours of so many channels


@dataclass(frozen=True)
class Metadata:
    """What travels with an image."""

    icc: bytes | None = None  # colour profile
    exif: Image.Exif | None = None  # without orientation, thumbnail, and what describes the file's own storage
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None  # along x and y
    gamma: float | None = None  # PNG's exponent of the file, where it has no profile


def gathered(image: Any, channels: int) -> tuple[Metadata, list[str]]:
    """What an image of Pillow's carries, for pixels of so many channels, and what had to be left behind.

    The pixels are taken to be upright, so the orientation is taken out wherever it is told.
    """
    icc, notes = profile(image.info.get("icc_profile"), channels)
    if image.mode == "CMYK" or (image.mode == "LAB" and image.format == "TIFF"):
        icc, notes = None, []  # the pixels were converted to sRGB
    try:
        exif = clean(image.getexif())
    except Exception:  # a hundred ways to be damaged, none of which concerns the pixels
        exif = None
        notes.append("its EXIF data are damaged and left behind")
    gamma = image.info.get("gamma") if icc is None and "srgb" not in image.info else None
    found = Metadata(icc, exif, upright_xmp(image.info), resolution(image), gamma)
    return found, notes


def profile(icc: Any, channels: int) -> tuple[bytes | None, list[str]]:
    """A colour profile if it is one and speaks of such colours, else None and why (ICC.1:2022, section 7.2)."""
    if not icc or not isinstance(icc, bytes):
        return None, []
    if len(icc) < 132 or icc[36:40] != b"acsp":
        return None, ["its colour profile is damaged and left behind"]
    if icc[16:20] != SPACES[channels]:
        return None, [f"its colour profile is for {icc[16:20].decode('latin-1').strip()} and left behind"]
    return icc, []


def clean(exif: Image.Exif) -> Image.Exif | None:
    """A copy without orientation, thumbnail and storage; None if nothing is left."""
    made = Image.Exif()
    details, place = dict(exif.get_ifd(DETAILS)), dict(exif.get_ifd(GPS))
    for tag, value in exif.items():
        if tag not in STORAGE and tag not in (ORIENTATION, DETAILS, GPS):
            made[tag] = _verbatim(value)
    for where, ifd in ((DETAILS, details), (GPS, place)):
        if ifd:
            made.get_ifd(where).update({tag: _verbatim(value) for tag, value in ifd.items()})
    return made if len(made) or details or place else None


def _verbatim(value: Any) -> Any:
    """Text as the bytes it was stored as: Pillow takes them for Latin-1, and would write all but ASCII as `?`."""
    return value.encode("latin-1", "replace") if isinstance(value, str) and not value.isascii() else value


def upright_xmp(info: dict[str, Any]) -> bytes | None:
    """A file's XMP with its orientation, if it has one, set to 1."""
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    if not xmp:
        return None
    if not isinstance(xmp, (str, bytes)):
        return None
    raw = xmp.encode() if isinstance(xmp, str) else xmp
    return re.sub(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[2-8]", rb"\g<1>1", raw)


def resolution(image: Any) -> tuple[float, float] | None:
    """Dots an inch along x and y, None where the file does not say or says nonsense."""
    try:
        x, y = (float(v) for v in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if image.format == "TIFF" and X_RESOLUTION not in image.tag_v2:  # Pillow says 1 where there is none
        return None
    # PNG counts whole pixels a metre, which turns 300 into 299.9994
    return (round(x, 2), round(y, 2)) if 0.01 < x < 1e6 and 0.01 < y < 1e6 else None


def sized(found: Metadata, width: int, height: int) -> Metadata:
    """The same for an image of another size: EXIF that tells the size tells the new one."""
    exif = clean(found.exif) if found.exif is not None else None
    if exif is None:
        return found
    details = exif.get_ifd(DETAILS)
    details.update({tag: side for tag, side in ((WIDTH, width), (HEIGHT, height)) if tag in details})
    return replace(found, exif=exif)


def exif_bytes(found: Metadata, *, resolved: bool = False) -> bytes | None:
    """EXIF as a TIFF stream (without the letters Exif before it), with the resolution in it if `resolved`."""
    exif = (clean(found.exif) if found.exif is not None else None) or Image.Exif()
    if resolved and found.dpi:
        exif[X_RESOLUTION], exif[Y_RESOLUTION], exif[RESOLUTION_UNIT] = *found.dpi, 2
    if not len(exif) and not exif.get_ifd(DETAILS) and not exif.get_ifd(GPS):
        return None
    raw = exif.tobytes()
    return raw.removeprefix(b"Exif\0\0")


def by_tags(tags: dict[int, Any], stream: BinaryIO, channels: int) -> tuple[Metadata, list[str]]:
    """What a TIFF's tags tell, by number, where Pillow cannot open the file for its pixels."""
    icc, notes = profile(tags.get(34675), channels)
    xmp = tags.get(700)
    try:
        exif = Image.Exif()
        exif.load_from_fp(stream)
        found = clean(exif)
    except Exception:
        found = None
        notes.append("its EXIF data are damaged and left behind")
    carried = upright_xmp({"xmp": xmp}) if isinstance(xmp, (str, bytes)) else None
    return Metadata(icc, found, carried, _dpi(tags)), notes


def _dpi(tags: dict[int, Any]) -> tuple[float, float] | None:
    try:
        x, y = (tags[tag][0] / tags[tag][1] for tag in (X_RESOLUTION, Y_RESOLUTION))
    except (KeyError, TypeError, ZeroDivisionError, IndexError):
        return None
    unit = {2: 1.0, 3: 2.54}.get(int(tags.get(RESOLUTION_UNIT, 2)))
    return (round(x * unit, 2), round(y * unit, 2)) if unit and 0 < x < 1e6 and 0 < y < 1e6 else None


def as_srgb(image: Image.Image, icc: bytes) -> Image.Image | None:
    """An image (L or RGB) by its profile as sRGB, for formats that hold none; None if the profile is unusable."""
    from PIL import ImageCms

    try:
        made = ImageCms.profileToProfile(
            image, ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (OSError, TypeError, ValueError, ImageCms.PyCMSError):
        return None
    return made
