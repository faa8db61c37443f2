"""Matroska's header after the muxer: times in microseconds, and the delay of audio that begins before zero.

The muxer of FFmpeg counts milliseconds and moves every stream where one begins before zero.  It is given microseconds
as if they were milliseconds, audio from zero on, and a name for such a stream whose place the delay takes here
(RFC 9559: TimestampScale, CodecDelay, Name).
"""

import re
import struct
from collections.abc import Mapping
from pathlib import Path

HEAD = 1 << 20  # bytes in which the header lies
SCALE, MILLISECONDS, MICROSECONDS = b"\x2a\xd7\xb1\x83", (1_000_000).to_bytes(3), (1000).to_bytes(3)
DELAY, NAME = b"\x56\xaa\x84", b"\x53\x6e"
LONGEST = 110  # bytes of a name that still has a size of one byte


def delay_name(number: int, name: str = "") -> str:
    """The name of a stream whose delay `patch` writes, from its own name."""
    return f"@{number:03d}" if not name else f"@{number:03d}=+@{name}"


def fits(name: str) -> bool:
    """True if `delay_name` takes a name."""
    return len(name.encode()) <= LONGEST


def patch(file: Path, delays: Mapping[int, float], *, microseconds: bool) -> None:
    """Write the delays (in seconds) of streams by the number of their `delay_name`, and the unit of the times."""
    with file.open("r+b") as stream:
        head = stream.read(HEAD)
        for number, seconds in delays.items():
            head = _write_delay(head, number, round(seconds * 1e9))
        if microseconds:
            head = head.replace(SCALE + MILLISECONDS, SCALE + MICROSECONDS, 1)
            head = re.sub(rb"(DURATION\x44\x87[\x80-\xff])(\d+:\d\d:\d\d\.\d+)(\0*)", _thousandth, head)
        stream.seek(0)
        stream.write(head)


def _write_delay(head: bytes, number: int, nanoseconds: int) -> bytes:
    """Put the delay in the place of a stream's name, or of the beginning of that name; all lengths stay."""
    mark = delay_name(number).encode()
    at = head.index(mark)
    size = head[at - 1] & 0x7F
    rest = head[at + 7 : at + size]
    element = DELAY + struct.pack(">I", nanoseconds)
    name = NAME + bytes([0x80 | len(rest)]) + rest if rest else b""
    start = at - 3
    changed = element + name
    if head[start : start + 2] != NAME or len(changed) != 3 + size:
        raise ValueError(f"the name of stream {number} is not where it was written")
    return head[:start] + changed + head[start + len(changed) :]


def _thousandth(match: re.Match[bytes]) -> bytes:
    """The text of a duration that was counted in a unit a thousand times too large."""
    hours, minutes, seconds = match[2].split(b":")
    total = (int(hours) * 3600 + int(minutes) * 60 + float(seconds)) / 1000
    whole, part = divmod(total, 60)
    text = b"%02d:%02d:%012.9f" % (whole // 60, whole % 60, part)
    length = len(match[2]) + len(match[3])
    return match[1] + text[:length].ljust(length, b"\0")
