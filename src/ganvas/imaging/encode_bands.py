"""PNG and TIFF of any depth, written a band of rows at a time, so that large images need little memory.

Pillow writes neither 16-bit colour nor 16-bit grey with alpha, and needs the whole image at once.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from ..errors import UsageError
from .exif import BYTES, LONG, SHORT, Directory, Entry, directory_bytes, numbers
from .metadata import Metadata, exif_bytes, fit_texts, resolution_tags
from .png_chunks import SIGNATURE, Chunk

Page = tuple[np.ndarray, Metadata, bool]  # of a TIFF: pixels, metadata, and whether the channels are bands
BAND = 8 << 20  # bytes of pixels processed at once
PNG_COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}  # colour type by channels (PNG 3rd edition, table 9)
LAST = (1 << 32) - (1 << 24)  # largest offset of a TIFF's last strip: offsets have 32 bits


def bands(array: np.ndarray, rows: int | None = None) -> Iterator[np.ndarray]:
    """Yield an image (H, W, C) from top to bottom in bands of so many rows, by default of about `BAND` bytes."""
    rows = rows or max(1, BAND // (array.shape[1] * array.shape[2] * array.itemsize))
    for first in range(0, len(array), rows):
        yield np.ascontiguousarray(array[first : first + rows])


def write_png(out: BinaryIO, array: np.ndarray, metadata: Metadata, *, level: int = 4) -> None:
    """Write (H, W, C) uint8 or uint16 with 1 to 4 channels as PNG (W3C, third edition); `level` is zlib's, 0 to 9.

    Level 6 makes a photograph 7 % smaller in three times as long, which is longer than a small network needs.
    """
    height, width, channels = array.shape
    out.write(SIGNATURE)
    depth = array.itemsize * 8
    _write_chunk(out, b"IHDR", struct.pack(">IIBBBBB", width, height, depth, PNG_COLOUR[channels], 0, 0, 0))
    for name, data in _ancillary_chunks(metadata):
        _write_chunk(out, name, data)
    packer, above = zlib.compressobj(level, zlib.DEFLATED, 15, 9), None
    for band in bands(array):
        raw = band.astype(">u2" if depth == 16 else np.uint8, copy=False)
        rows = np.frombuffer(raw.tobytes(), np.uint8).reshape(len(band), -1)
        above = np.zeros_like(rows[0]) if above is None else above
        data = packer.compress(_filter_rows(rows, above, channels * array.itemsize).tobytes())
        above = rows[-1]
        if data:
            _write_chunk(out, b"IDAT", data)
    _write_chunk(out, b"IDAT", packer.flush())
    _write_chunk(out, b"IEND", b"")


def _write_chunk(out: BinaryIO, name: bytes, data: bytes) -> None:
    for part in (struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(name + data))):
        out.write(part)


def _ancillary_chunks(metadata: Metadata) -> Iterator[Chunk]:
    """Chunks before the pixels: a profile takes the place of gamma and primaries, not of cICP."""
    if metadata.icc:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)
    for name, data in metadata.chunks:
        if not (metadata.icc and name in (b"sRGB", b"gAMA", b"cHRM")):
            yield name, data
    if metadata.dpi:
        yield b"pHYs", struct.pack(">IIB", *(round(d / 0.0254) for d in metadata.dpi), 1)  # pixels a metre
    if exif := exif_bytes(metadata):
        yield b"eXIf", exif
    if metadata.xmp:
        yield b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp


def _filter_rows(rows: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    """Filter each row (N, bytes) with none, sub, up or average, whichever gives the smallest bytes.

    Returns each row after the number of its filter.  Paeth's filter costs ten times as much as these together and
    makes photographs hardly smaller.
    """
    left, up = np.zeros_like(rows), np.concatenate([above[None], rows[:-1]])
    left[:, step:] = rows[:, :-step]
    mean = ((left.astype(np.uint16) + up) >> 1).astype(np.uint8)
    best, chosen = rows, np.zeros(len(rows), np.uint8)
    least = _byte_size(rows)
    for number, guess in ((1, left), (2, up), (3, mean)):
        residual = rows - guess
        size = _byte_size(residual)
        better = size < least
        chosen[better], least[better] = number, size[better]
        best = np.where(better[:, None], residual, best)
    return np.concatenate([chosen[:, None], best], 1)


def _byte_size(rows: np.ndarray) -> np.ndarray:
    """Sum of the bytes' distances from zero modulo 256: (N,) int64."""
    return np.minimum(rows, np.uint8(0) - rows).sum(1, dtype=np.int64)


def write_tiff(out: BinaryIO, pages: Iterable[Page], *, level: int = 6) -> list[str]:
    """Write pages (H, W, C) uint8, uint16 or float32 as TIFF 6.0 in strips of deflate, one after the other.

    Integers are stored as differences from the left (predictor 2).  More than 4 channels are bands.  Returns notes on
    texts without a place; raises `UsageError` for files above 4 GB.
    """
    start, notes, link = out.tell(), list[str](), 4  # link: position of the offset of the next directory
    out.write(struct.pack("<2sHI", b"II", 42, 0))
    for array, metadata, banded in pages:
        metadata, _, lost = fit_texts(metadata, "TIFF")
        notes += lost
        at = out.tell() - start
        after = _write_page(out, start, array, metadata, banded, level)
        out.seek(start + link)
        out.write(struct.pack("<I", at))
        out.seek(0, 2)
        link = after
    return list(dict.fromkeys(notes))


def _write_page(out: BinaryIO, start: int, array: np.ndarray, metadata: Metadata, banded: bool, level: int) -> int:
    """Write a page at the end; returns the position of the offset of the next one, counted from `start`."""
    height, width, channels = array.shape
    at, rows = out.tell() - start, max(1, BAND // 8 // (width * channels * array.itemsize))
    strips = -(-height // rows)
    directory = _build_directory(array, metadata, rows, banded)
    room = len(_with_strips(directory, [0] * strips, [0] * strips, at))  # the tags stand before the pixels
    out.write(bytes(room))
    offsets, counts = [], []
    for band in bands(array, rows):
        if array.dtype.kind == "u":
            band = np.diff(band, axis=1, prepend=np.zeros_like(band[:, :1]))
        data = zlib.compress(band.astype(band.dtype.newbyteorder("<"), copy=False).tobytes(), level)
        offsets.append(out.tell() - start)
        counts.append(len(data))
        out.write(data + b"\0" * (len(data) % 2))
        if out.tell() - start > LAST:
            raise UsageError(f"An image of {width}x{height} is too large for TIFF, which ends at 4 GB; save it as PNG.")
    out.seek(start + at)
    tags = _with_strips(directory, offsets, counts, at)
    out.write(tags)
    return at + 2 + 12 * int.from_bytes(tags[:2], "little")


def _with_strips(directory: Directory, offsets: list[int], counts: list[int], at: int) -> bytes:
    """Tags as bytes for a position of the file."""
    return directory_bytes({**directory, 273: numbers(LONG, *offsets), 279: numbers(LONG, *counts)}, at)


def _build_directory(array: np.ndarray, metadata: Metadata, rows: int, banded: bool) -> Directory:
    """Tags of a TIFF without those of the strips' positions."""
    height, width, channels = array.shape
    whole = array.dtype.kind == "u"
    directory = {
        **(metadata.exif or {}),
        **{256: numbers(LONG, width), 257: numbers(LONG, height), 278: numbers(LONG, rows)},
        **{258: numbers(SHORT, *[array.itemsize * 8] * channels), 259: numbers(SHORT, 8)},
        **{262: numbers(SHORT, 2 if channels > 2 else 1), 277: numbers(SHORT, channels), 284: numbers(SHORT, 1)},
        **{317: numbers(SHORT, 2 if whole else 1), 339: numbers(SHORT, *[1 if whole else 3] * channels)},
    }
    if banded and channels != 3:
        directory |= {262: numbers(SHORT, 1), 338: numbers(SHORT, *[0] * (channels - 1))} if channels > 1 else {}
    elif channels in (2, 4):
        directory[338] = numbers(SHORT, 2)  # alpha by which the colours are not multiplied
    if metadata.dpi:
        directory |= resolution_tags(metadata.dpi)
    if metadata.xmp:
        directory[700] = Entry(1, metadata.xmp)
    if metadata.icc:
        directory[34675] = Entry(BYTES, metadata.icc)
    return directory
