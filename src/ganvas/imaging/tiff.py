"""TIFF directories: which page holds the image, and tags that Pillow misreads put right."""

import struct
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import BadImage
from .file_kinds import DEVELOP
from .levels import fill_depth

SUBFILE, OLD_SUBFILE, BITS, PACKING, PHOTOMETRIC, ORIENTATION = 254, 255, 258, 259, 262, 274
SAMPLES, PLANAR = 277, 284  # channels; 2 where they are stored one after the other
COLOUR_MAP, SUB_DIRECTORIES, EXTRA, SAMPLE_FORMAT, DNG_VERSION = 320, 330, 338, 339, 50706
RAW = (32803, 34892)  # photometric interpretations of sensors: colour filter array, linear raw (DNG 1.7)
FAX = (2, 3, 4)  # compressions of black on white
MOST, ENTRIES, VALUES = 128, 512, 16  # directories of a file, entries of one, and values of a tag that are looked at
READ_TAGS = (SUBFILE, OLD_SUBFILE, PHOTOMETRIC, SUB_DIRECTORIES, DNG_VERSION)
Directory = dict[int, tuple[int, ...]]


def walk_directories(stream: IO[bytes], most: int = MOST) -> Iterator[tuple[int, Directory]]:
    """Yield the offset and the `READ_TAGS` tags of each page of a TIFF, at most so many; a damaged end is left out."""
    start = stream.tell()
    head = stream.read(16)
    order, big = "<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+")
    offset = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)[0]
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < most:
        seen.add(offset)
        try:
            tags, following = _read_directory(stream, start, offset, order, big)
        except (struct.error, OverflowError):
            break
        yield offset, tags
        offset = following


def read_directories(stream: IO[bytes]) -> tuple[list[Directory], list[Directory]]:
    """Read the `READ_TAGS` tags of a TIFF's pages, and of the directories inside them."""
    start = stream.tell()
    head = stream.read(16)
    order, big = "<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+")
    stream.seek(start)
    pages: list[Directory] = []
    inner: list[Directory] = []
    for _, tags in walk_directories(stream):
        if len(pages) + len(inner) >= MOST:
            break
        pages.append(tags)
        try:
            for place in tags.get(SUB_DIRECTORIES, ()):
                inner.append(_read_directory(stream, start, place, order, big)[0])
        except (struct.error, OverflowError):
            break  # a damaged end: the pages before it count
    stream.seek(start)
    return pages, inner


def _read_directory(stream: IO[bytes], start: int, offset: int, order: str, big: bool) -> tuple[Directory, int]:
    """Read the `READ_TAGS` tags of a directory, and the offset of the next one."""
    word, counts, size = ("Q", "Q", 20) if big else ("I", "H", 12)
    stream.seek(start + offset)
    count = struct.unpack(order + counts, stream.read(struct.calcsize(counts)))[0]
    raw = stream.read(min(count, ENTRIES) * size + struct.calcsize(word))
    tags: Directory = {}
    for at in range(0, min(count, ENTRIES) * size, size):
        tag, kind, values = struct.unpack_from(order + "HH" + word, raw, at)
        code = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(kind)
        if tag not in READ_TAGS or code is None or not 0 < values <= VALUES:
            continue
        field = raw[at + size - struct.calcsize(word) : at + size]
        if struct.calcsize(code) * values > len(field):
            stream.seek(start + struct.unpack(order + word, field)[0])
            field = stream.read(struct.calcsize(code) * values)
        tags[tag] = struct.unpack_from(f"{order}{values}{code}", field)
    return tags, struct.unpack_from(order + word, raw, count * size)[0]


def is_full(tags: Directory) -> bool:
    """False for a reduced image (a thumbnail) and for a mask (TIFF 6.0, tags 254 and 255)."""
    return not tags.get(SUBFILE, (0,))[0] & 5 and tags.get(OLD_SUBFILE, (1,))[0] != 2


def choose_page(stream: IO[bytes]) -> tuple[int, bool]:
    """Number of the first page that is no thumbnail, and whether there are more of them.

    Raises `BadImage` for raw images of cameras, and for files whose image is not in a page.
    """
    pages, inner = read_directories(stream)
    if any(len(tags.get(DNG_VERSION, ())) == 4 for tags in pages):
        raise BadImage(f"is a raw photograph (DNG): {DEVELOP}")
    if any(tags.get(PHOTOMETRIC, (0,))[0] in RAW for tags in pages + inner):
        raise BadImage(f"is a raw photograph: {DEVELOP}")
    full = [k for k, tags in enumerate(pages) if is_full(tags)]
    if not full and any(is_full(tags) for tags in inner):
        raise BadImage("holds a thumbnail, and its image in a directory that is not read: save it as a plain TIFF")
    return (full or [0])[0], len(full) > 1


def extra_note(extra: Sequence[int]) -> list[str]:
    """Note on the bands of a TIFF that are neither colour nor transparency."""
    count = len(extra)
    what = "a further band, which is no transparency, is" if count == 1 else f"{count} further bands are"
    return [f"{what} left out"] if count else []


class Tiff(TiffImageFile):
    """A TIFF that Pillow decodes: its first page that is no thumbnail, with grey from black to white.

    `info["notes"]` names bands that are left out.
    """

    page, inverted, white = 0, False, 65535  # inverted: 0 is white; white: the largest level of a channel

    def _open(self) -> None:
        assert self.fp is not None
        self.page, several = choose_page(self.fp)
        super()._open()
        if self.page:
            self._seek(self.page)
        self.is_animated = several

    def _setup(self) -> None:
        """Describe the pixels of the chosen page by its tags, some of which Pillow would misread."""
        if self.tell() != self.page:
            return
        tags = self.tag_v2
        if PHOTOMETRIC not in tags and tags.get(PACKING, 1) not in FAX:  # as other readers guess
            tags[PHOTOMETRIC] = 2 if tags.get(SAMPLES, 1) > 2 else 1
        if tags[PHOTOMETRIC] == 0 and tags.get(BITS) in ((12,), (16,)) and tags.get(SAMPLE_FORMAT, (1,)) == (1,):
            tags[PHOTOMETRIC], self.inverted = 1, True
        if tags.get(BITS) == (12,):
            self.white, tags._prefix = 4095, b"II"  # bits are packed alike in both byte orders
        colours = tags.get(COLOUR_MAP, (65535,))
        if max(colours) < 256:
            tags[COLOUR_MAP] = tuple(257 * level for level in colours)
        super()._setup()
        if isinstance(xmp := self.info.get("xmp", b""), str):  # on which Pillow would fail
            self.info["xmp"] = xmp.encode()
        elif not isinstance(xmp, bytes):
            del self.info["xmp"]
        self.info["notes"] = extra_note([kind for kind in tags.get(EXTRA, ()) if kind == 0])

    def load_end(self) -> None:
        """Turn the pixels upright, and scale 12 bits to 16."""
        super().load_end()
        if self.inverted or self.white < 65535:
            levels = fill_depth(np.asarray(self), self.white)
            self.im = Image.fromarray(65535 - levels if self.inverted else levels).im
            self._mode = "I;16"
