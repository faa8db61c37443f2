"""Pixels of more than 8 bits a channel: colour of 16 bits, which Pillow reads as 8, and floating-point colour."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import BadImage

BITS, PLANAR = 258, 284  # TIFF's tags: of each channel; 2 where the channels are stored one after the other
BAND = 1 << 22  # pixels that are copied at once
DEFLATE = (8, 32946)  # TIFF's two numbers for it


def within_limit(width: int, height: int, max_pixels: int) -> None:
    """Raise `BadImage` for an image that declares more pixels than may be decoded."""
    if width * height > max_pixels:
        found = f"{width}x{height} = {width * height / 1e6:.0f} megapixels"
        raise BadImage(f"refused: {found} is over the limit of {max_pixels / 1e6:g}")


def rawmode(image: Any) -> str:
    """How Pillow would unpack a file, such as `RGB;16B`; empty where it does not say."""
    tiles = getattr(image, "tile", None)
    args = tiles[0].args if tiles else ""
    return str(args[0] if isinstance(args, tuple) else args)


def deep(image: Any) -> str:
    """`I;16`, `RGB;16` or `RGBA;16` for an undecoded image of 16 bits a channel, else empty.

    Raises `BadImage` for colours of 16 bits plane by plane, which Pillow would read as if they had 8.
    """
    raw, tags = rawmode(image), getattr(image, "tag_v2", {})
    if tags.get(PLANAR) == 2 and max(tags.get(BITS, (8,))) > 8:
        raise BadImage("stores its 16-bit colours plane by plane; save it with the channels interleaved")
    if image.mode.startswith("I"):
        return "RGBA;16" if isinstance(image.info.get("transparency"), int) else "I;16"
    if ";16" not in raw or image.mode not in ("RGB", "RGBA"):
        return ""
    seen_through = image.mode == "RGBA" or isinstance(image.info.get("transparency"), tuple)
    return "RGBA;16" if seen_through else "RGB;16"


def colour(image: Any, again: Callable[[], Any]) -> np.ndarray:
    """(H, W, C) uint16 with C = 3 or 4 of an image that `deep` calls so; `again` opens the same file once more.

    Pillow's decoders hand out one byte of two.  Which one follows from the byte order they are told, so decoding
    twice, once by the wrong order, gives both.
    """
    raw, hidden = rawmode(image), image.info.get("transparency")
    if raw.startswith("LA"):  # four bytes a pixel, for which Pillow has a name
        both = _bytes(image, "RGBA").astype(np.uint16)
        grey, alpha = both[..., 0] << 8 | both[..., 1], both[..., 2] << 8 | both[..., 3]
        return np.stack([grey, grey, grey, alpha], -1)
    mode, order = raw.split(";16")
    mode = mode.replace("RGBa", "RGBA")  # as Pillow has it, it would divide 8-bit colours by their alpha
    big = order == "B" or (order == "N" and not np.little_endian)
    high = _bytes(image, f"{mode};16{'B' if big else 'L'}").astype(np.uint16)
    array = high << 8 | _bytes(again(), f"{mode};16{'L' if big else 'B'}")
    if raw.startswith("RGBa"):
        return unmultiplied(array)
    return with_hidden(array, hidden) if isinstance(hidden, tuple) else array


def _bytes(image: Any, raw: str) -> np.ndarray:
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in image.tile
    ]
    image.load()
    return as_array(image)


def as_array(image: Any) -> np.ndarray:
    """The pixels of a decoded image, (H, W) or (H, W, C): a band at a time, or a large one would be there twice."""
    width, height = image.size
    rows = max(1, BAND // max(width, 1))
    if height <= rows:
        return np.asarray(image)
    first = np.asarray(image.crop((0, 0, width, rows)))
    out = np.empty((height, *first.shape[1:]), first.dtype)
    for top in range(0, height, rows):
        out[top : top + rows] = np.asarray(image.crop((0, top, width, min(top + rows, height))))
    return out


def with_hidden(array: np.ndarray, hidden: int | tuple[int, ...]) -> np.ndarray:
    """(H, W, 1 or 3) as (H, W, 4): alpha is nought where a pixel has the one colour that PNG's tRNS names."""
    alpha = np.where((array == np.array(hidden, array.dtype)).all(-1, keepdims=True), 0, np.iinfo(array.dtype).max)
    return np.concatenate([np.broadcast_to(array, (*array.shape[:2], 3)), alpha.astype(array.dtype)], -1)


def unmultiplied(array: np.ndarray) -> np.ndarray:
    """(H, W, C) whose colours were stored times their alpha, the last channel, as they are without."""
    top = np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1
    alpha = array[..., -1:].astype(np.float64)
    colours = np.divide(array[..., :-1] * float(top), alpha, out=np.zeros(array[..., :-1].shape), where=alpha > 0)
    colours = colours.round() if array.dtype.kind == "u" else colours
    return np.concatenate([colours.clip(0, top).astype(array.dtype), array[..., -1:]], -1)


def special_tiff(stream: BinaryIO, max_pixels: int) -> tuple[np.ndarray, dict[int, Any]] | None:
    """The first page of a TIFF that Pillow cannot read: floating point in colour, 16 bits with alpha or by planes.

    Gives (H, W, C) uint16 or float32 with C from 1 to 4 as it is stored, and its tags by number; None for any other
    file, with the stream where it was.  Raises `BadImage` if it is too large or packed in a way unknown here.
    """
    start = stream.tell()
    magic = stream.read(4)
    stream.seek(start)
    if magic not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    try:
        if _known(stream):
            return None
        stream.seek(start)
        page = _special(stream)
        if page is None:
            return None
        array = _page(page, stream, max_pixels)
        tags = {tag.code: tag.value for tag in page.tags.values()}
    finally:
        stream.seek(start)
    channels = array.shape[2]
    if channels > 4 or (page.photometric not in (0, 1, 2)):
        raise BadImage(f"has {channels} channels of {array.dtype}; grey and RGB are read, each with alpha or without")
    array = array if page.photometric or array.dtype.kind == "f" else _turned(array)
    multiplied = channels in (2, 4) and 1 in [int(e) for e in page.extrasamples]
    return unmultiplied(array) if multiplied else array, tags


def _turned(array: np.ndarray) -> np.ndarray:
    """Grey that counts from white, as it counts from black; a second channel is alpha and stays."""
    turned = array.copy()
    turned[..., 0] = np.iinfo(array.dtype).max - array[..., 0]
    return turned


def _known(stream: BinaryIO) -> bool:
    """Whether Pillow reads a TIFF, and reads it rightly."""
    try:
        deep(TiffImageFile(stream))
    except Exception:
        return False
    return True


def _special(stream: BinaryIO) -> Any:
    """The first page of a TIFF if it is of a kind that only tifffile reads, else None."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it tells the log of all that is wrong in a damaged file
    try:
        page: Any = tifffile.TiffFile(stream).pages[0]
        floating = page.dtype.kind == "f"
    except Exception:
        return None
    return page if floating or (page.dtype == np.uint16 and page.samplesperpixel > 1) else None


def _page(page: Any, stream: BinaryIO, max_pixels: int) -> np.ndarray:
    """The pixels (H, W, C), once what the file declares and what its pieces unpack to is known to be small enough."""
    height, width = page.imagelength, page.imagewidth
    within_limit(width, height, max_pixels)
    if int(page.compression) in DEFLATE:
        most = page.size * page.dtype.itemsize
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
        name = getattr(page.compression, "name", page.compression)
        raise BadImage(f"is packed with {name}; TIFFs of such numbers are read plain or with deflate") from None
    array = array.reshape(-1, height, width) if page.planarconfig == 2 else array.reshape(height, width, -1)
    array = np.moveaxis(array, 0, -1) if page.planarconfig == 2 else array
    return np.ascontiguousarray(array.astype(np.uint16 if array.dtype == np.uint16 else np.float32))
