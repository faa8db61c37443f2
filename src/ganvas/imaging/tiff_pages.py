"""The pages of a TIFF: each opened as an image of its own, or read with all its bands; and many written to one file."""

import io
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import BadImage
from .bit_depth import read_samples
from .decode import MAX_PIXELS, TIFF, apply_orientation, decoding_errors
from .metadata import metadata_from_tags
from .photo import Photo, open_photo
from .quiet import quiet_log
from .tiff import ORIENTATION, is_full, walk_directories

MOST_PAGES = 100_000
HEAD = 16  # bytes that hold the offset of the first directory


class PageView(io.RawIOBase):
    """A TIFF whose first directory is that of a chosen page: its header points there."""

    def __init__(self, stream: BinaryIO, offset: int):
        self.stream, self.place = stream, 0
        stream.seek(0)
        head = bytearray(stream.read(HEAD))
        order, big = "<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+")
        struct.pack_into(order + ("Q" if big else "I"), head, 8 if big else 4, offset)
        self.head = bytes(head)

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

    def readinto(self, buffer: Any) -> int:
        self.stream.seek(self.place)
        data = self.stream.read(len(buffer))
        if self.place < HEAD:
            data = self.head[self.place : self.place + len(data)] + data[max(HEAD - self.place, 0) :]
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


def open_page(file: Path, offset: int) -> Photo:
    """Decode a page in its own depth with its metadata, as `open_photo`; raises `BadImage`."""
    with file.open("rb") as stream:
        photo = open_photo(io.BufferedReader(PageView(stream, offset)))
    photo.notes[:] = [note for note in photo.notes if not note.startswith("the first frame of several")]
    return photo


def count_bands(file: Path, offset: int) -> int:
    """The samples of a pixel in a page."""
    page, stream = _open(file, offset)
    with stream:
        return int(page.samplesperpixel)


def read_bands(file: Path, offset: int) -> Photo:
    """Decode a page with all its bands, of which none is transparency, in the numbers of the file; raises `BadImage`.

    The array has any type of number, and the levels are not set.
    """
    with decoding_errors(file):
        page, stream = _open(file, offset)
        with stream:
            try:
                array = read_samples(page, stream, MAX_PIXELS)
            except BadImage:
                if page.samplesperpixel not in (1, 3):
                    raise
                return open_page(file, offset)  # by Pillow, which knows more codecs and palettes
            tags = {tag.code: tag.value for tag in page.tags.values()}
            metadata, notes = metadata_from_tags(tags, stream, array.shape[2], page.offset)
    array = np.ascontiguousarray(apply_orientation(array, int(tags.get(ORIENTATION, 1))))
    return Photo(array, neutral=False, metadata=metadata, notes=notes, kind="TIFF", bands=True)


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
