"""The pages of a TIFF: each opened as a file of one page, or read with all its bands."""

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import BadImage
from .bit_depth import read_samples
from .decode import MAX_PIXELS, TIFF, apply_orientation, decoding_errors, read_image
from .metadata import Metadata, metadata_from_tags
from .quiet import quiet_log
from .tiff import ORIENTATION, is_full, walk_directories

MOST_PAGES = 100_000
HEAD = 16  # bytes that hold the offset of the first directory


class PageView(io.RawIOBase):
    """A TIFF of one page, a chosen one of another TIFF: the header points to it, and it to no other."""

    def __init__(self, stream: BinaryIO, offset: int):
        self.stream, self.place = stream, 0
        stream.seek(0)
        head = bytearray(stream.read(HEAD))
        order, big = "<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+")
        struct.pack_into(order + ("Q" if big else "I"), head, 8 if big else 4, offset)
        stream.seek(offset)
        size, row, letter = (8, 20, "Q") if big else (2, 12, "H")
        count = struct.unpack(order + letter, stream.read(size).ljust(size, b"\0"))[0]
        self.changes = {0: bytes(head), offset + size + row * count: bytes(8 if big else 4)}  # bytes by position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            offset += self.place if whence == io.SEEK_CUR else self.stream.seek(0, io.SEEK_END)
        self.place = max(offset, 0)
        return self.place

    def tell(self) -> int:
        return self.place

    def close(self) -> None:
        self.stream.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        self.stream.seek(self.place)
        data = self.stream.read(len(buffer))
        for place, change in self.changes.items():
            first, last = max(place, self.place), min(place + len(change), self.place + len(data))
            if first < last:
                part = change[first - place : last - place]
                data = data[: first - self.place] + part + data[last - self.place :]
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)


def page_offsets(file: Path) -> list[int]:
    """The offsets of the pages of a TIFF that are no thumbnails or masks; empty for any other file."""
    with file.open("rb") as stream:
        if stream.read(2) not in TIFF:
            return []
        stream.seek(0)
        try:
            return [offset for offset, tags in walk_directories(stream, MOST_PAGES) if is_full(tags)]
        except struct.error:
            return []


def count_bands(file: Path, offset: int) -> int:
    """The samples of a pixel in a page."""
    page, stream = _open(file, offset)
    with stream:
        return int(page.samplesperpixel)


@dataclass(frozen=True)
class BandPage:
    """A page with all its bands, of which none is transparency."""

    array: np.ndarray  # (H, W, C) upright, of any type of number
    metadata: Metadata
    notes: list[str]


def read_bands(file: Path, offset: int) -> BandPage:
    """Decode a page with all its bands in the numbers of the file; raises `BadImage`."""
    with decoding_errors(file):
        page, stream = _open(file, offset)
        with stream:
            tags = {tag.code: tag.value for tag in page.tags.values()}
            try:
                array = apply_orientation(read_samples(page, stream, MAX_PIXELS), int(tags.get(ORIENTATION, 1)))
            except BadImage:
                if page.samplesperpixel not in (1, 3):
                    raise
                stream.seek(0)
                array = read_image(stream).array  # by Pillow, which knows more codecs, and palettes
            stream.seek(0)
            metadata, notes = metadata_from_tags(tags, stream, array.shape[2], page.offset)
    return BandPage(np.ascontiguousarray(array), metadata, notes)


@quiet_log("tifffile")
def _open(file: Path, offset: int) -> tuple[Any, BinaryIO]:
    """The page of tifffile at an offset, and its stream, which is to be closed."""
    import tifffile

    stream = io.BufferedReader(PageView(file.open("rb"), offset))
    try:
        return tifffile.TiffFile(stream).pages[0], stream
    except Exception as problem:  # of damaged files
        stream.close()
        raise BadImage(f"is damaged: {str(problem).splitlines()[0] if str(problem) else 'no page'}") from None
