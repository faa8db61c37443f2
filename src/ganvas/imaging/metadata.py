"""Metadata of image files: colour profile, EXIF, XMP, texts and resolution, adapted to a new image."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from PIL import Image

from .exif import (
    BYTES,
    DETAILS,
    RATIONAL,
    SHORT,
    Directory,
    Entry,
    below,
    fraction,
    numbers,
    read_directory,
    stream_bytes,
)
from .exif import text as text_entry
from .png_chunks import Chunk, make_text, read_chunks, texts
from .sized_tags import GEO, PRIVATE, X_RESOLUTION, Y_RESOLUTION, clean_description, rescale_tags, without_ground
from .xmp import GAIN, Size, clean_xmp, rescale_xmp, with_extension

ORIENTATION, RESOLUTION_UNIT, COMMENT = 0x0112, 296, 0x9286
# Tags of how a file stores its pixels, which TIFF keeps among its EXIF data and another file must not repeat.
STORAGE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291),
    *(292, 293, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 334, 338, 339, 340, 341, 342, 347),
    *(512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532),
    *(700, 34377, 34675, 50341),  # XMP, Photoshop, profile: copied separately or not at all
}
SPACES = {1: b"GRAY", 2: b"GRAY", 3: b"RGB ", 4: b"RGB "}  # colour space of a profile by number of channels
TEXT_TAGS = {"Description": 270, "Title": 270, "Software": 305, "Author": 315, "Copyright": 33432}
ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\0"


@dataclass(frozen=True)
class Metadata:
    """Metadata that is copied from a source image to its result."""

    icc: bytes | None = None  # colour profile
    exif: Directory | None = None  # without orientation, thumbnail and storage tags
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None  # along x and y
    chunks: tuple[Chunk, ...] = ()  # PNG's, of colour and text
    size: Size | None = None  # width and height in pixels to which tags refer
    orientation: int = 1  # in which the source stored its pixels, which are upright now
    measured: bool = False  # the resolution is that of a measure, as in microscopy


def read_metadata(
    image: Any, channels: int, orientation: int, rewind: Callable[[], BinaryIO]
) -> tuple[Metadata, list[str]]:
    """Read the metadata of a Pillow image whose pixels have so many channels; returns notes on what is dropped.

    `orientation` is that in which the file stores the pixels, unless it is a TIFF, and `rewind` returns the file at
    its beginning.  The pixels are upright, so every tag of orientation is removed.
    """
    icc, notes = check_profile(image.info.get("icc_profile"), channels)
    if image.mode == "CMYK" or (image.mode == "LAB" and image.format == "TIFF"):
        icc, notes = None, []  # the pixels were converted to sRGB
    if image.format == "TIFF":
        metadata, losses = _read_tags(rewind(), getattr(image.tag_v2, "offset", None))
    else:
        raw = stored_exif(image.info)
        metadata, losses = _read_tags(io.BytesIO(raw), None) if raw else (Metadata(), [])
        metadata = replace(metadata, orientation=orientation)
    segments = [data for name, data in getattr(image, "applist", []) if name in ("APP1", "APP2", "APP13")]
    xmp, changes = _read_xmp(image.info, segments, metadata.orientation)
    chunks, left = _read_chunks(image, rewind)
    notes += losses + changes + left + _further_images(image, segments, changes)
    dpi = read_dpi(image) or metadata.dpi
    return replace(metadata, icc=icc, xmp=xmp, dpi=dpi, chunks=tuple(chunks)), notes


def check_profile(icc: Any, channels: int) -> tuple[bytes | None, list[str]]:
    """Return a valid colour profile for so many channels, else None and a note (ICC.1:2022, section 7.2)."""
    if not icc or not isinstance(icc, bytes):
        return None, []
    if len(icc) < 132 or icc[36:40] != b"acsp":
        return None, ["its colour profile is damaged and left behind"]
    if icc[16:20] != SPACES.get(channels):
        return None, [f"its colour profile is for {icc[16:20].decode('latin-1').strip()} and left behind"]
    return icc, []


def stored_exif(info: dict[str, Any]) -> bytes:
    """EXIF of a file as a TIFF stream; empty if there is none."""
    raw = info.get("exif")
    for name in ("exif", "APP1"):  # as ImageMagick writes it into PNG
        if not raw and isinstance(hexadecimal := info.get(f"Raw profile type {name}"), str):
            digits = re.sub(r"[^0-9a-fA-F]", "", "".join(hexadecimal.split("\n")[3:]))
            raw = bytes.fromhex(digits[: len(digits) // 2 * 2])
    raw = raw if isinstance(raw, bytes) else b""
    return b"" if raw.startswith(b"http://ns.adobe.com/xap") else raw.removeprefix(b"Exif\0\0")


def _read_tags(stream: BinaryIO, at: int | None) -> tuple[Metadata, list[str]]:
    """Read the EXIF or TIFF tags of a stream, without those of storage; returns notes on what is dropped."""
    try:
        stored, lost = read_directory(stream, at, skip=STORAGE)
    except (ValueError, OSError, OverflowError):  # damaged EXIF does not concern the pixels
        return Metadata(), ["its EXIF data are damaged and left behind"]
    notes = [f"{lost} of its EXIF tags are damaged and left behind"] if lost else []
    turn = stored.pop(ORIENTATION, None)
    turn_values = turn.values if isinstance(turn, Entry) else ()
    private = dict.fromkeys(PRIVATE[tag] for tag in stored if tag in PRIVATE)
    notes += [f"{what} are left behind" for what in private if what]
    directory = {tag: value for tag, value in stored.items() if tag not in PRIVATE}
    for tag, kind in ((X_RESOLUTION, RATIONAL), (Y_RESOLUTION, RATIONAL), (RESOLUTION_UNIT, SHORT)):
        entry = directory.get(tag)
        right = isinstance(entry, Entry) and entry.kind == kind and (kind != SHORT or entry.values[0] in (1, 2, 3))
        if entry and not right:  # readers of TIFF fail on such a one
            del directory[tag]
            notes.append(f"its EXIF tag {tag} is damaged and left behind")
    dots, losses = clean_description(directory)
    orientation = int(turn_values[0]) if turn_values and turn_values[0] in range(2, 9) else 1
    dpi = (dots, dots) if dots else None
    return Metadata(exif=directory or None, dpi=dpi, orientation=orientation, measured=dots is not None), notes + losses


def _read_xmp(info: dict[str, Any], segments: Sequence[bytes], orientation: int) -> tuple[bytes | None, list[str]]:
    """XMP of a file without what a copy of its pixels no longer has; returns notes."""
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    if not xmp or not isinstance(xmp, (str, bytes)):
        return None, []
    raw, notes = with_extension(xmp.encode() if isinstance(xmp, str) else xmp, segments)
    cleaned, changes = clean_xmp(raw, turned=orientation > 1)
    return cleaned, notes + changes


def _read_chunks(image: Any, rewind: Callable[[], BinaryIO]) -> tuple[list[Chunk], list[str]]:
    """PNG's chunks of colour and text, or another format's comment and colours as such chunks; returns notes."""
    if image.format == "PNG":
        chunks, whole = read_chunks(rewind())
        return chunks, [] if whole else ["its longest texts are left behind"]
    if image.format == "AVIF":
        colours = re.search(rb"colrnclx\0(.)\0(.)", rewind().read(1 << 16), re.DOTALL)
        if colours and (colours[2] in b"\x10\x12" or colours[1] in b"\x09\x0b\x0c"):  # PQ, HLG; BT.2020, P3
            return [(b"cICP", colours[1] + colours[2] + b"\0\1")], []
    comment = image.info.get("comment")
    if not comment or not isinstance(comment, bytes):
        return [], []
    try:
        text = comment.decode()
    except UnicodeDecodeError:
        text = comment.decode("latin-1")
    return [make_text("Comment", text.strip("\0").replace("\0", " "))], []


def _further_images(image: Any, segments: Sequence[bytes], notes: list[str]) -> list[str]:
    """Notes on what a JPEG holds beside its image: a gain map, further images, IPTC."""
    announced = any(GAIN in note for note in notes)
    losses = []
    if not announced and any(data.startswith(ISO_GAIN_MAP) for data in segments):
        losses.append(f"{GAIN} is left behind")
        announced = True
    entries = getattr(image, "mpinfo", {}).get(0xB002, ())[1:]
    kinds = [str(entry["Attribute"].get("MPType", "")) for entry in entries]
    if not announced and any("Thumbnail" not in kind for kind in kinds):
        losses.append("its further images (MPF) are left behind")
    if any(data.startswith(b"Photoshop 3.0\0") and b"8BIM\x04\x04" in data for data in segments):
        losses.append("its IPTC data are left behind")
    return losses


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


def with_size(metadata: Metadata, width: int, height: int) -> tuple[Metadata, list[str]]:
    """Metadata for an image of another size, and notes on what is left behind for that.

    Tags in pixels are scaled.  The resolution is not, so a larger image prints larger, as in an image editor; only
    where the file measures with it, as in microscopy, a pixel becomes smaller.
    """
    dpi, xmp, exif = metadata.dpi, metadata.xmp, metadata.exif
    size, notes = (width, height), list[str]()
    before = metadata.size or size
    if exif:
        exif, notes = rescale_tags(exif, before, size, orientation=metadata.orientation, measured=metadata.measured)
    if dpi and metadata.measured:
        dpi = dpi[0] * width / before[0], dpi[1] * height / before[1]
    if xmp:
        xmp = rescale_xmp(xmp, before, size)
        notes += [] if xmp else ["its XMP, which has sizes, is damaged or too long to be scaled and left behind"]
    return replace(metadata, exif=exif, xmp=xmp, dpi=dpi, size=size, orientation=1), notes


def fit_texts(metadata: Metadata, name: str) -> tuple[Metadata, str, list[str]]:
    """Put texts into EXIF for a format other than PNG, whose name is given; returns a comment, and notes.

    A generated image's parameters become the user comment, where other tools look for them.
    """
    exif, comment, left = dict(metadata.exif or {}), "", []
    details = dict(below(exif, DETAILS))
    for keyword, value in texts(metadata.chunks):
        tag = TEXT_TAGS.get(keyword)
        if keyword == "Comment" and name in ("JPEG", "GIF") and not comment and len(value.encode()) < 60_000:
            comment = value
        elif tag and tag not in exif and name not in ("BMP", "GIF"):
            exif[tag] = text_entry(value)
        elif keyword in ("parameters", "Comment") and COMMENT not in details and name not in ("BMP", "GIF"):
            details[COMMENT] = Entry(BYTES, b"UNICODE\0" + value.encode("utf-16-be", "replace"))
        else:
            left.append(keyword)
    if details:
        exif[DETAILS] = details
    names = ", ".join(repr(keyword) for keyword in dict.fromkeys(left))
    notes = [f"{name} has no place for its texts {names}, which are left behind: PNG has"] if left else []
    return replace(metadata, exif=exif or None), comment, notes


def fit_ground(metadata: Metadata, name: str) -> tuple[Metadata, list[str]]:
    """Remove the tags of GeoTIFF for a format other than TIFF, with a note."""
    if not metadata.exif or not GEO & metadata.exif.keys():
        return metadata, []
    note = f"{name} holds no place on the ground (GeoTIFF), which is left behind: TIFF does"
    return replace(metadata, exif=without_ground(metadata.exif) or None), [note]


def exif_bytes(metadata: Metadata, *, resolved: bool = False) -> bytes | None:
    """EXIF as a TIFF stream without the leading letters Exif; `resolved` adds the resolution."""
    tags = dict(metadata.exif or {})
    if resolved and metadata.dpi:
        tags |= resolution_tags(metadata.dpi)
    return stream_bytes(tags)


def resolution_tags(dpi: tuple[float, float]) -> Directory:
    """The tags of a resolution in dots per inch."""
    return {X_RESOLUTION: fraction(dpi[0]), Y_RESOLUTION: fraction(dpi[1]), RESOLUTION_UNIT: numbers(SHORT, 2)}


def shorten_exif(metadata: Metadata, limit: int) -> tuple[Metadata, list[str]]:
    """Leave out the longest tags until EXIF has at most so many bytes; a note names them."""
    tags, left = {tag: dict(v) if isinstance(v, dict) else v for tag, v in (metadata.exif or {}).items()}, []
    places = [tags, *(v for v in tags.values() if isinstance(v, dict))]
    entries = [(len(v.data), tag, place) for place in places for tag, v in place.items() if isinstance(v, Entry)]
    length = len(stream_bytes(tags) or b"")
    for size, tag, place in sorted(entries, key=lambda entry: entry[0], reverse=True):
        if length > limit:
            del place[tag]
            left.append(f"0x{tag:04X}")
            length -= 12 + (size if size > 4 else 0)
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    notes = [f"its EXIF tags {', '.join(left[:3])}{more} are too long for JPEG and left behind"] if left else []
    return (replace(metadata, exif=tags), notes) if left else (metadata, [])


def metadata_from_tags(
    tags: dict[int, Any], stream: BinaryIO, channels: int, at: int | None = None
) -> tuple[Metadata, list[str]]:
    """Read metadata from a TIFF's tags by number, for a file that Pillow cannot open; `at` is their offset."""
    icc, notes = check_profile(tags.get(34675), channels)
    metadata, losses = _read_tags(stream, at)
    xmp, changes = _read_xmp({"xmp": tags.get(700)}, (), metadata.orientation)
    return replace(metadata, icc=icc, xmp=xmp, dpi=_dpi_of_tags(tags) or metadata.dpi), notes + losses + changes


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
