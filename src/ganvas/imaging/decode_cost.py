"""Limits on what decoding may cost: a file is refused, before it is decoded, whose bytes cannot hold its pixels."""

import io
from typing import Any, BinaryIO

from ..errors import BadImage

SMALL = 1 << 22  # pixels that any decoder handles at once, whatever the file holds
# Most pixels per byte of a file: what a blank image of the format needs, and twice as much where it is measured.
DENSEST = {
    "PNG": 8256,  # deflate packs 1032 bytes into one, and a byte holds 8 pixels
    "JPEG": 1100,  # measured: 255, or 512 where one code ends many blocks
    "MPO": 1100,
    "GIF": 2600,  # LZW: 3839 pixels in a code of 12 bits
    "BMP": 128,  # run lengths: 255 pixels in two bytes
    "PPM": 8,
    "WEBP": 48_000,  # measured: 23,599
    "AVIF": 40_000,  # measured: 20,151
    "JPEG2000": 16_000,  # measured: 15,123; the slowest decoder
    "TIFF": 2600 * 8,  # LZW of one bit a pixel; a blank row of CCITT group 4 is one bit
}
SAMPLES, PLANAR = 277, 284  # TIFF tags: channels; 2 where they are stored one after the other
SCANS = 100  # of a progressive JPEG: each goes through all its pixels


def check_cost(image: Any, stream: BinaryIO) -> None:
    """Raise `BadImage` for an opened Pillow image whose file is too small for it; the stream keeps its position."""
    width, height = image.size
    if hasattr(image, "tag_v2"):  # not a page that tifffile reads, which looks for its strips itself
        _check_strips(image)
    if width * height <= SMALL:
        return
    position = stream.tell()
    size = stream.seek(0, io.SEEK_END)
    densest = max(DENSEST.get(image.format, 1), 8 * width if image.format == "TIFF" else 0)
    if width * height > densest * size:
        raise BadImage(f"refused: {size:,} bytes cannot hold the {width}x{height} pixels that it declares")
    if image.format == "JPEG" and image.info.get("progressive"):
        stream.seek(0)
        scans = stream.read().count(b"\xff\xda")
        if scans > SCANS:
            raise BadImage(f"refused: a progressive JPEG of {scans:,} scans, and up to {SCANS} are read")
    stream.seek(position)


def _check_strips(image: Any) -> None:
    """Raise `BadImage` for an unpacked TIFF that lacks strips: Pillow takes what is not there for black."""
    width, height = image.size
    planes = image.tag_v2.get(SAMPLES, 1) if image.tag_v2.get(PLANAR) == 2 else 1
    boxes = [tile.extents for tile in image.tile if tile.codec_name == "raw"]
    covered = sum((right - left) * (lower - upper) for left, upper, right, lower in boxes) // planes
    if boxes and covered < width * height:
        raise BadImage(f"is damaged: it holds {covered:,} of its {width}x{height} = {width * height:,} pixels")
