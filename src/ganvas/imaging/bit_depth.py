"""Pixels of more than 8 bits a channel: 16-bit colour, which Pillow reads as 8, and floating-point TIFF."""

import os
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from ..errors import BadImage, UsageError
from .levels import fill_depth
from .pnm import largest_level
from .quiet import quiet_log
from .tiff import BITS, EXTRA, ORIENTATION, PLANAR, Tiff, choose_page, extra_note

USUAL_LIMIT = 200_000_000  # pixels of an image
BAND = 1 << 22  # pixels copied at once
DEFLATE = (8, 32946)  # TIFF's two codes of this compression


def pixel_limit() -> int:
    """The number of pixels from which on an image is refused: $GANVAS_MAX_PIXELS, or 200 million."""
    given = os.environ.get("GANVAS_MAX_PIXELS", "")
    try:
        return int(float(given)) if given else USUAL_LIMIT
    except (ValueError, OverflowError):
        raise UsageError(f"GANVAS_MAX_PIXELS is a number of pixels, not {given!r}.") from None


def check_pixel_limit(width: int, height: int, max_pixels: int) -> None:
    """Raise `BadImage` for an image of more than `max_pixels`."""
    if width * height > max_pixels:
        size = f"{width}x{height} = {width * height / 1e6:.0f} megapixels"
        raise BadImage(f"refused: {size} is over the limit of {max_pixels / 1e6:g}; GANVAS_MAX_PIXELS raises it")


def raw_mode(image: Any) -> str:
    """Pillow's name of a file's pixel layout, such as `RGB;16B`; empty if Pillow gives none."""
    tiles = getattr(image, "tile", None)
    args = tiles[0].args if tiles else ""
    return str(args[0] if isinstance(args, tuple) else args)


def deep_mode(image: Any) -> str:
    """`I;16`, `RGB;16` or `RGBA;16` for an undecoded image of 16 bits a channel, else empty.

    Raises `BadImage` for planes of a TIFF that Pillow reads wrongly: of 16 bits, or with further bands.
    """
    raw, tags = raw_mode(image), getattr(image, "tag_v2", {})
    if tags.get(PLANAR) == 2:
        further = 0 in tags.get(EXTRA, ()) and (image.tile[0].codec_name == "raw" or any(tags[EXTRA]))
        if max(tags.get(BITS, (8,))) > 8 or further:
            raise BadImage("stores its channels plane by plane; save it with the channels interleaved")
    if image.mode.startswith("I"):
        return "RGBA;16" if isinstance(image.info.get("transparency"), int) else "I;16"
    if ";16" not in raw or raw.startswith("BGR") or image.mode not in ("RGB", "RGBA"):  # BGR;16: 16 bits for all three
        deep = image.format == "PPM" and image.mode == "RGB" and largest_level(image) > 255
        return "RGB;16" if deep else ""
    transparent = image.mode == "RGBA" or isinstance(image.info.get("transparency"), tuple)
    return "RGBA;16" if transparent else "RGB;16"


def declared_bits(head: bytes, kind: str) -> list[int]:
    """Bits of each channel by the beginning of a JPEG 2000 file, or of the colours by that of an AVIF file.

    The marker SIZ (ISO 15444-1, A.5.1) and the property av1C (AV1 in ISO base media, 2.3.3); 8 if there is none.
    """
    if kind == "AVIF":
        flags = [part[2] for part in head.split(b"av1C")[1:] if len(part) > 2]
        return [12 if any(f & 0x20 for f in flags) else 10 if any(f & 0x40 for f in flags) else 8]
    at = head.find(b"\xff\x4f\xff\x51")
    count = int.from_bytes(head[at + 40 : at + 42], "big")
    return [(bits & 0x7F) + 1 for bits in head[at + 42 : at + 42 + 3 * count : 3]] if at >= 0 else [8]


def fill_range(array: np.ndarray, bits: list[int]) -> np.ndarray:
    """Scale the channels of a JPEG 2000 image, whose levels Pillow shifts up: their white becomes 255 or 65535."""
    depth = array.dtype.itemsize * 8
    if all(b >= depth for b in bits) or array.shape[2] not in (len(bits), 2 * len(bits)):
        return array
    bits = [bits[0]] * (array.shape[2] - len(bits)) + bits  # grey with alpha is RGBA by now
    planes = [fill_depth(array[..., k] >> depth - b, (1 << b) - 1) for k, b in enumerate(min(b, depth) for b in bits)]
    return np.stack([plane.astype(array.dtype) for plane in planes], -1)


def read_16bit_colour(image: Any, again: Callable[[], Any]) -> np.ndarray:
    """Decode 16-bit colour to (H, W, 3 or 4) uint16; `again` opens the same file once more.

    Pillow's decoders return one byte of two: which one depends on the byte order they are given.  Decoding twice,
    once with the wrong order, gives both bytes.
    """
    raw, hidden = raw_mode(image), image.info.get("transparency")
    if raw.startswith("LA"):  # four bytes a pixel, which Pillow can read as RGBA
        both = _read_bytes(image, "RGBA").astype(np.uint16)
        grey, alpha = both[..., 0] << 8 | both[..., 1], both[..., 2] << 8 | both[..., 3]
        return np.stack([grey, grey, grey, alpha], -1)
    mode, order = raw.split(";16")
    mode = mode.replace("RGBa", "RGBA")  # Pillow would divide 8-bit colours by their alpha
    big = order == "B" or (order == "N" and not np.little_endian)
    high = _read_bytes(image, f"{mode};16{'B' if big else 'L'}").astype(np.uint16)
    array = high << 8 | _read_bytes(again(), f"{mode};16{'L' if big else 'B'}")
    if raw.startswith("RGBa"):
        return unmultiply_levels(array)
    return add_key_alpha(array, hidden) if isinstance(hidden, tuple) else array


def _read_bytes(image: Any, raw: str) -> np.ndarray:
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in image.tile
    ]
    image.load()
    return to_array(image)


def to_array(image: Any) -> np.ndarray:
    """Copy a decoded image to (H, W) or (H, W, C), band by band: a large one does not fit into memory twice."""
    width, height = image.size
    rows = max(1, BAND // max(width, 1))
    if height <= rows:
        return np.asarray(image)
    first = np.asarray(image.crop((0, 0, width, rows)))
    out = np.empty((height, *first.shape[1:]), first.dtype)
    for top in range(0, height, rows):
        out[top : top + rows] = np.asarray(image.crop((0, top, width, min(top + rows, height))))
    return out


def scale_key(image: Any) -> None:
    """Scale the transparent grey of a PNG (tRNS) of 2 or 4 bits, as Pillow scales the pixels but not this."""
    key = image.info.get("transparency")
    if isinstance(key, int) and (bits := {"L;2": 2, "L;4": 4}.get(raw_mode(image))):
        image.info["transparency"] = key * 255 // ((1 << bits) - 1)


def add_key_alpha(array: np.ndarray, hidden: int | tuple[int, ...]) -> np.ndarray:
    """Convert (H, W, 1 or 3) to (H, W, 4); alpha is 0 where a pixel has the transparent colour of PNG's tRNS."""
    alpha = np.where((array == np.array(hidden, array.dtype)).all(-1, keepdims=True), 0, np.iinfo(array.dtype).max)
    return np.concatenate([np.broadcast_to(array, (*array.shape[:2], 3)), alpha.astype(array.dtype)], -1)


def unmultiply_levels(array: np.ndarray) -> np.ndarray:
    """Divide the colours of (H, W, C) by their alpha, the last channel; 0 where alpha is 0."""
    top = np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1
    alpha = array[..., -1:].astype(np.float64)
    colours = np.divide(array[..., :-1] * float(top), alpha, out=np.zeros(array[..., :-1].shape), where=alpha > 0)
    colours = colours.round() if array.dtype.kind == "u" else colours
    return np.concatenate([colours.clip(0, top).astype(array.dtype), array[..., -1:]], -1)


def open_tiff(stream: BinaryIO, max_pixels: int) -> "Tiff | TiffPage":
    """Open a TIFF by Pillow or, where Pillow would not read it rightly, by tifffile."""
    start = stream.tell()
    try:
        image = Tiff(stream)
        deep_mode(image)
        return image
    except Exception:
        stream.seek(start)
        page = _special_page(stream, max_pixels)
        stream.seek(start)
        if page is None:
            raise
        return page


@quiet_log("tifffile")  # it logs every defect of a damaged file
def _special_page(stream: BinaryIO, max_pixels: int) -> "TiffPage | None":
    """The image of a TIFF that tifffile reads, else None."""
    import tifffile

    start, (number, _) = stream.tell(), choose_page(stream)
    try:
        page: Any = tifffile.TiffFile(stream).pages[number]
        stream.seek(start)
        known = page.dtype.kind == "f" or (page.dtype in (np.uint8, np.uint16) and page.samplesperpixel > 1)
        return TiffPage(page, stream, max_pixels) if known else None
    except Exception:
        return None


class TiffPage:
    """A page of a TIFF that Pillow does not read rightly: floating-point colour, planes, or more bands.

    Three bands or more are taken for red, green and blue, even where the file calls them grey.
    """

    format = "TIFF"

    def __init__(self, page: Any, stream: BinaryIO, max_pixels: int):
        self.page, self.stream, self.start, self.max_pixels = page, stream, stream.tell(), max_pixels
        self.tags: dict[int, Any] = {tag.code: tag.value for tag in page.tags.values()}
        turn = self.tags.get(ORIENTATION, 1)
        self.orientation = turn if isinstance(turn, int) else 1
        width, height = page.imagewidth, page.imagelength
        self.size = (height, width) if self.orientation in (5, 6, 7, 8) else (width, height)  # upright, as Pillow's
        bands = page.samplesperpixel
        self.colours = 3 if page.photometric == 2 or bands > 2 else 1
        declared = [int(kind) for kind in page.extrasamples][self.colours - bands :] if bands > self.colours else []
        self.extra = [*[2] * (bands - self.colours - len(declared)), *declared]  # not declared: transparency
        self.alpha = self.extra[:1] in ([1], [2])
        self.notes = extra_note(self.extra[self.alpha :])

    def read(self) -> np.ndarray:
        """Decode to (H, W, C) uint8, uint16 or float32, C from 1 to 4, not yet turned; raises `BadImage`."""
        page = self.page
        if page.photometric not in (0, 1, 2):
            kind = f"{page.samplesperpixel} channels of {page.dtype}"
            raise BadImage(f"has {kind}; grey and RGB are read, each with alpha or without")
        array = _read_page(page, self.stream, self.max_pixels)[..., : self.colours + self.alpha]
        self.stream.seek(self.start)  # where its EXIF data are read from
        if page.photometric == 0 and array.dtype.kind == "u":  # white is 0; a second channel is alpha and stays
            array[..., 0] = np.iinfo(array.dtype).max - array[..., 0]
        return unmultiply_levels(array) if self.alpha and self.extra[0] == 1 else array


def read_samples(page: Any, stream: BinaryIO, max_pixels: int) -> np.ndarray:
    """Decode a page with all its samples to (H, W, C) of any type of number; raises `BadImage`.

    Grey whose 0 is white is turned over.
    """
    if page.photometric not in (0, 1, 2) or page.dtype is None or page.dtype.kind not in "iuf":
        raise BadImage(f"has {page.samplesperpixel} channels of {page.dtype}, which are no levels")
    array = _read_page(page, stream, max_pixels, page.dtype.newbyteorder("="))
    if page.photometric == 0 and array.dtype.kind == "u":
        array = np.iinfo(array.dtype).max - array
    return array


@quiet_log("tifffile")
def _read_page(page: Any, stream: BinaryIO, max_pixels: int, dtype: Any = None) -> np.ndarray:
    """Decode a page to (H, W, C) after checking its declared size and the unpacked size of its strips.

    Floating-point numbers become float32 unless `dtype` is given.
    """
    height, width = page.imagelength, page.imagewidth
    check_pixel_limit(width * max(page.samplesperpixel // 4, 1), height, max_pixels)
    if int(page.compression) in DEFLATE:
        tile = page.tilewidth * page.tilelength if page.is_tiled else 0  # which may reach beyond the image
        check_pixel_limit(tile, 1, max_pixels)
        most = max(page.size, tile * page.samplesperpixel) * page.dtype.itemsize
        for offset, count in zip(page.dataoffsets, page.databytecounts):
            stream.seek(offset)
            unpacker = zlib.decompressobj()
            unpacker.decompress(stream.read(count), most)
            if unpacker.unconsumed_tail:
                raise BadImage("is damaged: a strip unpacks to more than the whole image")
    try:
        array = page.asarray()
    except ValueError as problem:
        if "imagecodecs" not in str(problem):
            raise
        name = getattr(page.compression, "name", page.compression)  # a number where tifffile has no name for it
        raise BadImage(f"is packed with {name}; TIFFs of such numbers are read plain or with deflate") from None
    array = array.reshape(-1, height, width) if page.planarconfig == 2 else array.reshape(height, width, -1)
    array = np.moveaxis(array, 0, -1) if page.planarconfig == 2 else array
    own = np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    return np.ascontiguousarray(array.astype(dtype or own, copy=False))
