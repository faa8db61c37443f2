"""Directories of EXIF and TIFF: tags as they are stored, whatever their type, read and written."""

import io
import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

DETAILS, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005  # tags that point to a directory below
BELOW: dict[int, tuple[int, ...]] = {0: (DETAILS, GPS), DETAILS: (INTEROPERABILITY,)}
FORMATS = {  # of a value by TIFF type: size in bytes and letter of `struct`
    **{1: (1, "B"), 2: (1, "s"), 3: (2, "H"), 4: (4, "I"), 5: (8, "I"), 6: (1, "b"), 7: (1, "s"), 8: (2, "h")},
    **{9: (4, "i"), 10: (8, "i"), 11: (4, "f"), 12: (8, "d"), 13: (4, "I"), 16: (8, "Q"), 17: (8, "q"), 18: (8, "Q")},
}
TEXT, SHORT, LONG, RATIONAL, BYTES, DOUBLE = 2, 3, 4, 5, 7, 12
LARGEST = 1 << 24  # bytes of all values together: a directory may point to the same ones many times


@dataclass(frozen=True)
class Entry:
    """The value of a tag."""

    kind: int  # TIFF type
    data: bytes  # little-endian

    @property
    def values(self) -> tuple[float, ...]:
        """Numbers; those of a fraction one after the other.  Empty for text."""
        size, letter = FORMATS[self.kind]
        step = 4 if self.kind in (RATIONAL, 10) else size
        count = len(self.data) // step
        return () if letter == "s" else struct.unpack(f"<{count}{letter}", self.data[: count * step])

    @property
    def text(self) -> str:
        """Text up to the first zero; empty for numbers."""
        is_text = self.kind in (TEXT, BYTES, 1)
        return self.data.split(b"\0")[0].decode("utf-8", "replace") if is_text else ""


Directory = dict[int, "Entry | Directory"]


def numbers(kind: int, *values: float) -> Entry:
    """Entry of numbers; fractions are given as numerator, denominator, ..."""
    return Entry(kind, struct.pack(f"<{len(values)}{FORMATS[kind][1]}", *values))


def fraction(value: float) -> Entry:
    """Entry of one positive number as a fraction."""
    bottom = next(b for b in (1_000_000, 10_000, 100, 1) if value * b < 1 << 32 or b == 1)
    return numbers(RATIONAL, min(round(value * bottom), (1 << 32) - 1), bottom)


def text(value: str) -> Entry:
    """Entry of text."""
    return Entry(TEXT, value.encode() + b"\0")


def values_of(directory: Directory, tag: int) -> tuple[float, ...]:
    """Numbers of a tag; empty if there are none."""
    entry = directory.get(tag)
    return entry.values if isinstance(entry, Entry) else ()


def text_of(directory: Directory, tag: int) -> str:
    """Text of a tag; empty if there is none."""
    entry = directory.get(tag)
    return entry.text if isinstance(entry, Entry) else ""


def below(directory: Directory, tag: int) -> Directory:
    """The directory that a tag points to; empty if there is none."""
    inner = directory.get(tag)
    return inner if isinstance(inner, dict) else {}


def read_directory(stream: BinaryIO, at: int | None = None, *, skip: Collection[int] = ()) -> tuple[Directory, int]:
    """Read the first directory of a TIFF stream, or that at an offset, with the directories of EXIF below it.

    Tags to skip are not read.  Returns the number of tags that are damaged and left out, too.  Raises `ValueError`
    for what is no such stream.
    """
    start = stream.tell()
    head = stream.read(16)
    order, big = {b"II": "<", b"MM": ">"}.get(head[:2]), head[2:4] in (b"+\0", b"\0+")
    if order is None or len(head) < 8:
        raise ValueError("no TIFF header")
    first = struct.unpack_from(f"{order}{'8xQ' if big else '4xI'}", head)[0] if at is None else at
    reader = _Reader(stream, start, order, big, skip)
    return reader.read(first, 0), reader.lost


@dataclass
class _Reader:
    """A TIFF stream with its byte order."""

    stream: BinaryIO
    start: int
    order: str
    big: bool
    skip: Collection[int]
    lost: int = 0
    room: int = LARGEST

    def read(self, offset: int, level: int) -> Directory:
        """Read the directory at an offset; `level` is the tag that points to it, 0 for the first."""
        rows = [(*struct.unpack(f"{self.order}HH", row[:4]), row[4:]) for row in self._rows(offset)]
        directory: Directory = {}
        for tag, kind, rest in rows:
            if tag in self.skip or tag in directory:
                continue
            entry = self._entry(kind, rest)
            if entry is None:
                self.lost += 1
            elif tag not in BELOW.get(level, ()):
                directory[tag] = entry
            elif inner := self._inner(entry, tag):
                directory[tag] = inner
        return directory

    def _inner(self, entry: Entry, tag: int) -> Directory:
        """The directory that an entry points to; empty for a damaged one."""
        try:
            return self.read(int(entry.values[0]), tag)
        except (ValueError, IndexError):
            self.lost += 1
            return {}

    def _rows(self, offset: int) -> list[bytes]:
        letter, size, row = ("Q", 8, 20) if self.big else ("H", 2, 12)
        count = min(struct.unpack(self.order + letter, self._bytes(offset, size))[0], 1 << 16)
        table = self._bytes(offset + size, count * row, whole=False)
        rows = [table[k : k + row] for k in range(0, len(table) - row + 1, row)]
        self.lost += count - len(rows)
        return rows

    def _entry(self, kind: int, rest: bytes) -> Entry | None:
        """The value of a row after its tag and type; None for a damaged one."""
        size = FORMATS.get(kind, (0, ""))[0]
        width = 8 if self.big else 4
        count = struct.unpack(self.order + ("Q" if self.big else "I"), rest[:width])[0]
        if not size or not 0 < count * size <= self.room:
            return None
        try:
            place = struct.unpack(self.order + ("Q" if self.big else "I"), rest[width:])[0]
            data = rest[width:][: count * size] if count * size <= width else self._bytes(place, count * size)
        except ValueError:
            return None
        self.room -= len(data)
        step = 4 if kind in (RATIONAL, 10) else size
        if self.order == ">" and step > 1:
            data = np.frombuffer(data, f">u{step}").astype(f"<u{step}").tobytes()
        return self._classic(Entry(kind, data)) if kind > 13 else Entry(kind, data)

    @staticmethod
    def _classic(entry: Entry) -> Entry | None:
        """A value of 8 bytes, which only BigTIFF has, in 4; None if it is too large for that."""
        return numbers(LONG, *entry.values) if all(0 <= v < 1 << 32 for v in entry.values) else None

    def _bytes(self, offset: int, size: int, *, whole: bool = True) -> bytes:
        """Bytes at an offset; raises `ValueError` if the stream ends before."""
        self.stream.seek(self.start + min(offset, 1 << 62))
        data = self.stream.read(size)
        if whole and len(data) < size:
            raise ValueError("the stream is cut off")
        return data


def directory_bytes(directory: Directory, start: int = 8) -> bytes:
    """A directory, little-endian, that will stand at position `start` of a TIFF stream; empty ones are left out."""
    entries = {tag: value for tag, value in sorted(directory.items()) if value != {}}
    rows, tail = io.BytesIO(), io.BytesIO()
    for tag, value in entries.items():
        at = start + 6 + 12 * len(entries) + tail.tell()
        if isinstance(value, dict):
            rows.write(struct.pack("<HHII", tag, LONG, 1, at))
            tail.write(directory_bytes(value, at))
            continue
        rows.write(struct.pack("<HHI", tag, value.kind, len(value.data) // FORMATS[value.kind][0]))
        if len(value.data) <= 4:
            rows.write(value.data.ljust(4, b"\0"))
        else:
            rows.write(struct.pack("<I", at))
            tail.write(value.data + b"\0" * (len(value.data) % 2))
    return struct.pack("<H", len(entries)) + rows.getvalue() + b"\0\0\0\0" + tail.getvalue()


def stream_bytes(directory: Directory) -> bytes | None:
    """A TIFF stream of a directory alone, as EXIF is stored; None if it is empty."""
    data = directory_bytes(directory)
    return b"II*\0\x08\0\0\0" + data if len(data) > 6 else None
