"""Animated images (GIF, WebP, APNG): frames with their times, and writing."""

import io
import struct
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ..errors import BadImage, printable
from ..files import atomic_write
from .decode import to_8bit, to_channels
from .film import FilmInfo, Frame
from .grid import to_pil
from .provenance import mark_xmp, png_mark

ANIMATED = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}
MILLISECOND = Fraction(1, 1000)
DEFAULT = 100  # milliseconds of a frame that has no duration, as browsers show it


def is_animation(file: Path) -> bool:
    """True for a GIF, WebP or PNG of several frames."""
    try:
        with Image.open(file) as image:
            return image.format in ANIMATED.values() and getattr(image, "n_frames", 1) > 1
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


class AnimationReader:
    """An animated image, opened: its facts and its frames, whole as they are shown.

    Raises `BadImage` for a file that cannot be read.
    """

    def __init__(self, file: Path):
        self.file, self.damaged = file, 0
        try:
            with Image.open(file) as image:
                frames, grey, alpha, duration = getattr(image, "n_frames", 1), image.mode == "L", False, 0
                (width, height), loop = image.size, image.info.get("loop")
                for k in range(frames):
                    duration += _duration(image, k)
                    alpha = alpha or _is_clear(image)
        except (OSError, ValueError, SyntaxError, EOFError) as problem:
            raise BadImage(f"cannot be read as an animation: {problem}", printable(file)) from None
        rate = Fraction(frames * 1000, duration)
        self.info = FilmInfo(width, height, frames, MILLISECOND, rate, grey=grey, alpha=alpha, chroma="rgb", loop=loop)

    def __enter__(self) -> "AnimationReader":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def declared_end(self) -> Fraction:
        """Seconds at which the animation ends."""
        return self.info.frames / self.info.rate

    def frames(self, start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """Yield the frames from `start` (in seconds) on."""
        pts, mode = 0, "L" if self.info.grey else "RGBA" if self.info.alpha else "RGB"
        with Image.open(self.file) as image:
            for k in range(self.info.frames):
                try:
                    duration = _duration(image, k)
                    array = np.asarray(image.convert(mode)) if pts >= start * 1000 else None
                except (OSError, EOFError, ValueError, SyntaxError):
                    self.damaged += 1
                    return
                if array is not None:
                    yield Frame(array[..., None] if array.ndim == 2 else array, pts, duration, self.info)
                pts += duration


def _duration(image: Image.Image, k: int) -> int:
    """Milliseconds of a frame, to which the image is moved."""
    image.seek(k)
    image.load()  # WebP knows its duration afterwards
    return round(float(image.info.get("duration") or 0)) or DEFAULT


def _is_clear(image: Image.Image) -> bool:
    """True if any pixel of a frame is transparent, at least partly."""
    if not (image.has_transparency_data or image.mode in ("RGBA", "LA")):
        return False
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


def save_animation(
    frames: Iterator[np.ndarray],
    times: Sequence[tuple[int, int]],
    base: Fraction,
    output: Path,
    loop: int | None,
    *,
    quality: int,
    lossless: bool,
    source_type: str | None = None,
) -> list[str]:
    """Write frames (H, W, C) with their times in units of `base` as GIF, WebP or APNG; returns notes.

    GIF counts hundredths of a second, the others milliseconds; a frame's error is not passed on to the next.
    """
    form, unit = ANIMATED[output.suffix.lower()], Fraction(1, 1000)
    unit = Fraction(1, 100) if form == "GIF" else unit
    begin = times[0][0]
    edges = [round((pts - begin) * base / unit) for pts, _ in [*times, (sum(times[-1]), 0)]]
    durations = [max(b - a, 1) * int(1000 * unit) for a, b in zip(edges, edges[1:])]
    images = (to_pil(_for_image(array)) for array in frames)
    with atomic_write(output) as part, part.open("wb") as file:
        if form == "WEBP":
            xmp = mark_xmp(None, source_type) if source_type else None
            _write_webp(file, images, durations, loop, xmp, quality=quality, lossless=lossless)
            return []
        first = next(images)
        options: dict[str, Any] = {"duration": durations if len(durations) > 1 else durations[0]}
        if loop is not None or form == "PNG":
            options["loop"] = 1 if loop is None else loop
        options |= png_mark(source_type) if form == "PNG" else {}
        if form == "GIF":
            options["disposal"] = 2 if first.mode == "RGBA" else 1
        first.save(file, form, save_all=True, append_images=list(images), **options)
    return ["GIF holds 256 colours, to which each frame is reduced"] if form == "GIF" and first.mode != "L" else []


def _write_webp(
    file: BinaryIO,
    images: Iterable[Image.Image],
    durations: Sequence[int],
    loop: int | None,
    xmp: bytes | None,
    *,
    quality: int,
    lossless: bool,
) -> None:
    """Write an animation of whole frames, one at a time (RFC 9649): Pillow 13 drops alpha and merges equal frames."""
    file.write(bytes(12))
    size, clear = (1, 1), False
    for k, (image, duration) in enumerate(zip(images, durations)):
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=quality, lossless=lossless, exact=True)
        chunks = [(name, data) for name, data in _webp_chunks(buffer.getvalue()) if name in (b"ALPH", b"VP8 ", b"VP8L")]
        if not k:
            size = image.size
            file.write(
                _webp_chunk(b"VP8X", bytes(10))
                + _webp_chunk(b"ANIM", struct.pack("<IH", 0, 1 if loop is None else loop))
            )
        clear = clear or image.has_transparency_data
        place = bytes(6) + _three(size[0] - 1) + _three(size[1] - 1) + _three(duration) + b"\x02"  # not blended
        file.write(_webp_chunk(b"ANMF", place + b"".join(_webp_chunk(*chunk) for chunk in chunks)))
    if xmp:
        file.write(_webp_chunk(b"XMP ", xmp))
    length = file.tell()
    file.seek(0)
    flags = 0x02 | 0x10 * clear | 0x04 * bool(xmp)
    file.write(struct.pack("<4sI4s", b"RIFF", length - 8, b"WEBP"))
    file.write(_webp_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + _three(size[0] - 1) + _three(size[1] - 1)))


def _webp_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack("<4sI", name, len(data)) + data + bytes(len(data) % 2)


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and data of the chunks of a WebP file."""
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack("<4sI", data[at : at + 8])
        yield name, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _three(number: int) -> bytes:
    """A number in three bytes, as WebP stores sizes."""
    return min(number, (1 << 24) - 1).to_bytes(3, "little")


def _for_image(array: np.ndarray) -> np.ndarray:
    """Pixels of 8 bits with 1, 3 or 4 channels."""
    array = to_8bit(array)
    return array[..., [0, 0, 0, 1]] if array.shape[2] == 2 else array if array.shape[2] != 4 else to_channels(array, 4)
