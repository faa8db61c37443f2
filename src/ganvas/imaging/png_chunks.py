"""PNG's chunks beside the pixels: colour spaces and texts, carried as they are stored (W3C, third edition)."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import BinaryIO

Chunk = tuple[bytes, bytes]  # name and data

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR = (b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi", b"sRGB", b"gAMA", b"cHRM")
TEXT = (b"tEXt", b"zTXt", b"iTXt")
ELSEWHERE = (b"XML:com.adobe.xmp", b"Raw profile type ", b"Thumb::")  # XMP, EXIF and profiles; thumbnails
LARGEST, MOST = 1 << 26, 1 << 20  # bytes of all chunks, and their number
UNPACKED = 1 << 20  # bytes of a text, as Pillow allows
SRGB = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def read_chunks(stream: BinaryIO) -> tuple[list[Chunk], bool]:
    """Read the chunks of colour and text; false if there are more than is reasonable, and some are left out."""
    chunks: list[Chunk] = []
    room = LARGEST
    if stream.read(8) != SIGNATURE:
        return [], True
    for _ in range(MOST):
        if len(head := stream.read(8)) < 8 or head[4:] == b"IEND":
            break
        length, name = struct.unpack(">I4s", head)
        if name in COLOUR + TEXT and length <= room:
            data = stream.read(length)
            room -= length
            if not (name in TEXT and data.startswith(ELSEWHERE)):
                chunks.append((name, data))
            stream.seek(4, 1)
        else:
            room = -1 if name in COLOUR + TEXT else room
            stream.seek(length + 4, 1)
    return meaningful_colour(chunks), room >= 0


def meaningful_colour(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Chunks without those that another of them overrides, or of a wrong length."""
    lengths = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}
    right = [(name, data) for name, data in chunks if lengths.get(name, len(data)) == len(data)]
    overridden = (b"gAMA", b"cHRM") if any(name == b"sRGB" for name, _ in right) else ()
    return [chunk for chunk in right if chunk[0] not in overridden]


def unusual_colour(chunks: Iterable[Chunk]) -> str:
    """The names of the chunks that say other colours than sRGB; empty if there are none."""
    usual = ((b"gAMA", struct.pack(">I", 45455)), (b"cHRM", SRGB), (b"cICP", bytes([1, 13, 0, 1])))
    names = [name.decode() for name, data in chunks if name in COLOUR[:1] + COLOUR[6:] and (name, data) not in usual]
    return ", ".join(dict.fromkeys(names))


def make_text(keyword: str, value: str) -> Chunk:
    """A chunk of text: tEXt where Latin-1 is enough, else iTXt."""
    with suppress(UnicodeEncodeError):
        return b"tEXt", f"{keyword}\0{value}".encode("latin-1")
    return b"iTXt", f"{keyword}\0\0\0\0\0{value}".encode()


def texts(chunks: Iterable[Chunk]) -> Iterator[tuple[str, str]]:
    """Keyword and text of the chunks that hold text; damaged ones are left out."""
    for name, data in chunks:
        keyword, _, rest = data.partition(b"\0")
        with suppress(zlib.error, IndexError):
            if name == b"tEXt":
                yield keyword.decode("latin-1"), rest.decode("latin-1")
            elif name == b"zTXt":
                yield keyword.decode("latin-1"), _unpack(rest[1:]).decode("latin-1")
            elif name == b"iTXt":
                value = rest[2:].split(b"\0", 2)[2]
                value = _unpack(value) if rest[0] else value
                yield keyword.decode("latin-1"), value.decode("utf-8", "replace")


def _unpack(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, UNPACKED)
