"""Decoding of image files to integer arrays, and conversion of arrays to tensors and back."""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image

from ..errors import BadImage, printable
from ..files import atomic_write
from . import bit_depth, dicom, pnm
from .channels import levels_on_white, levels_to_luma
from .decode_cost import check_cost
from .failures import explain_failure
from .file_kinds import kind_of_stream, not_an_image
from .levels import Levels, stretch
from .metadata import convert_to_srgb
from .quiet import quiet

if TYPE_CHECKING:  # torch takes a second to import, and reading files needs none of it
    from torch import Tensor

T = TypeVar("T")

MAX_PIXELS = bit_depth.pixel_limit()  # a larger image is refused before it is decoded
# Only these decoders ever see a file: Pillow also has some that run other programs (EPS starts Ghostscript).
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".dcm", ".dicom"),
)
ORIENTATION = 0x0112  # the EXIF tag
UNKNOWN_RANGE = "holds floating-point numbers of unknown range; save it with 8 or 16 bits"
TIFF = (b"II", b"MM")  # the first letters of such a file


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image, upright."""

    array: np.ndarray  # (H, W, C), C = 1, 3 or 4; uint8, or uint16 for what has more than 8 bits
    notes: list[str]  # conversions that the file needed, one sentence each


@dataclass(frozen=True)
class Header:
    """Size and kind of an image that its file declares, before anything is decoded."""

    size: tuple[int, int]  # (height, width), upright
    grey: bool
    alpha: bool  # transparency is declared; only the pixels show whether it is used
    bits: int  # 8 or 16
    floats: bool = False  # floating-point numbers, whose range is not known


def read_image(
    file: Path | str | BinaryIO | bytes, *, max_pixels: int = MAX_PIXELS, levels: Levels | None = None
) -> DecodedImage:
    """Decode an image file to (H, W, C) uint8 or uint16 (grey, RGB or RGBA), with EXIF orientation applied.

    With `levels`, these values become black and white; only then floating-point and other numbers are read.
    Raises `BadImage` for a file that is not completely readable or declares more than `max_pixels`.
    """
    return decode_with(file, max_pixels, lambda opened: decode(opened, levels))


def read_header(file: Path | str | BinaryIO | bytes, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Read size and kind from a file's header alone.

    Raises `BadImage` for a file without a readable header or with more than `max_pixels`.
    """
    return decode_with(file, max_pixels, _read_header)


@dataclass(frozen=True)
class OpenedImage:
    """An image file whose header has been read."""

    image: Any  # a Pillow image, not decoded, or a `TiffPage`
    again: Callable[[], Any]  # opens the file once more as a Pillow image
    rewind: Callable[[], BinaryIO]  # the file at its beginning


def decode_with(file: Path | str | BinaryIO | bytes, max_pixels: int, use: Callable[[OpenedImage], T]) -> T:
    """Open a file and return `use(opened)`; any error of it is raised as a `BadImage` that names the file."""
    with quiet, decoding_errors(file), open_stream(file) as stream:
        start = stream.tell()
        try:
            return use(_open_header(stream, max_pixels))
        except (BadImage, MemoryError, Image.DecompressionBombError):
            raise
        except Exception as problem:  # decoders of damaged files raise errors of any type
            stream.seek(start)
            raise BadImage(explain_failure(stream, problem)) from None


@contextlib.contextmanager
def decoding_errors(file: Path | str | BinaryIO | bytes) -> Iterator[None]:
    """Raise whatever a decoder raises as `BadImage`, with the file's name where it has one."""
    try:
        yield
    except BadImage as e:
        raise BadImage(e.reason, _name(file)) from None
    except OSError as e:
        raise BadImage(explain_failure(io.BytesIO(), e), _name(file)) from None
    except Image.DecompressionBombError:  # some of Pillow's plugins check the size themselves
        raise BadImage("refused: a part of it declares more pixels than are decoded at once", _name(file)) from None
    except MemoryError:
        raise BadImage("needs more memory than is available", _name(file)) from None
    except Exception as e:  # decoders of damaged files raise errors of any type
        raise BadImage(explain_failure(io.BytesIO(), e), _name(file)) from None


def _name(file: Path | str | BinaryIO | bytes) -> str:
    return printable(file) if isinstance(file, (Path, str)) else ""


def open_stream(file: Path | str | BinaryIO | bytes) -> contextlib.AbstractContextManager[BinaryIO]:
    """Open a file for a `with` statement, which leaves an open file of the caller open."""
    if isinstance(file, (Path, str)):
        return open(file, "rb")
    return contextlib.nullcontext(io.BytesIO(file) if isinstance(file, bytes) else file)


@cache
def _decoders() -> list[tuple[Callable[..., Any], Callable[[bytes], Any]]]:
    Image.init()
    return [Image.OPEN[f] for f in FORMATS if f in Image.OPEN]  # type: ignore[misc]


def _open_header(stream: BinaryIO, max_pixels: int) -> OpenedImage:
    """Read the header of an image.

    `Image.open` is not used: its limit of size is global to the process, and its error names no numbers.
    """
    start = stream.tell()

    def rewind() -> BinaryIO:
        stream.seek(start)
        return stream

    prefix = stream.read(16)
    if not prefix:
        raise BadImage("is empty (0 bytes)")
    rewind()
    if dicom.is_dicom(stream):
        image = dicom.open_dicom(stream, max_pixels)
        return OpenedImage(image, image.copy, rewind)
    # an accept function that returns a sentence knows the format, but its decoder is not built in
    decoder = next((factory for factory, accept in _decoders() if isinstance(accept(prefix) or "", bool)), None)
    if decoder is None or (prefix[8:10] == b"CR" and prefix[:2] == b"II"):  # Canon's raw photographs begin like TIFF
        raise BadImage(not_an_image(kind_of_stream(stream)))

    def again() -> Any:
        return bit_depth.open_tiff(rewind(), max_pixels) if prefix[:2] in TIFF else decoder(rewind(), "")

    image = again()
    if image.format in ("AVIF", "JPEG2000"):
        stream.seek(start)
        image.info["bits"] = bit_depth.declared_bits(stream.read(1 << 20), image.format)
    if prefix.startswith(b"\x89PNG"):
        bit_depth.scale_key(image)
    width, height = image.size
    bit_depth.check_pixel_limit(width, height, max_pixels)
    check_cost(image, stream)
    return OpenedImage(image, again, rewind)


def _array_mode(image: Any) -> str:
    """Mode of the decoded array: `I;16`, `RGB;16`, `RGBA;16`, `RGBA`, `L` or `RGB`."""
    if deep := bit_depth.deep_mode(image):
        return deep
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or image.has_transparency_data:
        return "RGBA"
    if image.mode in ("1", "L"):
        return "L"
    return "L" if image.mode == "P" and has_grey_palette(image) else "RGB"


def has_grey_palette(image: Any) -> bool:
    """True if all colours in the palette of a Pillow image are grey."""
    palette = np.array(image.getpalette() or [0, 0, 1], np.uint8)
    colours = palette[: len(palette) // 3 * 3].reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def exif_orientation(image: Any) -> int:
    """EXIF orientation, 1 to 8, of a Pillow image; 1 where there is none or it cannot be read."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged metadata does not concern the pixels
        return 1


def is_grey(image: Any) -> bool:
    """True for an undecoded Pillow image of grey levels, with or without transparency."""
    grey = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")
    return grey or bit_depth.raw_mode(image).startswith("LA")


def _read_header(opened: OpenedImage) -> Header:
    image = opened.image
    if isinstance(image, bit_depth.TiffPage):
        return Header(image.size[::-1], image.colours == 1, image.alpha, 8 if image.page.dtype == np.uint8 else 16)
    mode = _array_mode(image)
    grey = mode == "L" or is_grey(image)  # before EXIF is read, for which Pillow may decode
    width, height = image.size
    # Pillow rotates TIFF itself and reports the upright size
    if image.format != "TIFF" and exif_orientation(image) in (5, 6, 7, 8):
        width, height = height, width
    deep = mode.endswith("16")
    return Header((height, width), grey, mode.startswith("RGBA"), 16 if deep else 8, image.mode == "F")


def decode(opened: OpenedImage, levels: Levels | None = None) -> DecodedImage:
    """Decode all pixels of an opened image, upright, with a note for each conversion; `levels`: see `read_image`."""
    image = opened.image
    if isinstance(image, bit_depth.TiffPage):
        return _decode_page(image, levels)
    notes = list(image.info.get("notes", [])) if image.format in ("DICOM", "TIFF") else []
    if image.format in ("GIF", "WEBP", "PNG", "TIFF", "AVIF") and getattr(image, "is_animated", False):
        notes.append("the first frame of several is used")
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV") and image.format != "AVIF":
        notes.append(f"{image.mode} is converted to RGB")
    if image.mode == "CMYK" and ";16" in bit_depth.raw_mode(image):
        notes.append("16-bit colour is read as 8-bit")
    mode, bits = _array_mode(image), image.info.get("bits")
    if bits and max(bits) > 8 and not mode.endswith("16"):
        notes.append(f"{max(bits)}-bit colour is read as 8-bit")
    if image.format == "PPM" and pnm.largest_level(image):
        array = pnm.read_levels(image)
    elif mode in ("RGB;16", "RGBA;16") and image.mode[0] != "I":
        array = bit_depth.read_16bit_colour(image, opened.again)
    else:
        image.load()
        array = _read_pixels(image, mode, levels)
    array = array.reshape(*array.shape[:2], -1)
    if image.format == "JPEG2000" and image.mode[0] != "P":
        array = bit_depth.fill_range(array, bits)
    array = stretch(array, levels) if levels else array
    return DecodedImage(np.ascontiguousarray(apply_orientation(array, exif_orientation(image))), notes)


def _decode_page(page: bit_depth.TiffPage, levels: Levels | None) -> DecodedImage:
    if page.page.dtype.kind == "f" and not levels:
        raise BadImage(UNKNOWN_RANGE)
    array = page.read()
    array = array[..., [0, 0, 0, 1]] if array.shape[2] == 2 else array
    array = stretch(array, levels) if levels else array
    return DecodedImage(np.ascontiguousarray(apply_orientation(array, page.orientation)), page.notes)


def _read_pixels(image: Any, mode: str, levels: Levels | None) -> np.ndarray:
    if levels and image.mode in ("F", "I"):
        return np.asarray(image)
    if image.mode == "F":
        raise BadImage(UNKNOWN_RANGE)
    if image.mode[0] != "I":
        if image.mode in ("La", "RGBa"):
            image = image.convert(image.mode.upper())
        if image.mode == "CMYK":
            image = convert_to_srgb(image, image.info.get("icc_profile")) or image
        return bit_depth.to_array(image if image.mode == mode else image.convert(mode))
    array = np.asarray(image)
    if array.dtype.itemsize > 2 and (array.min() < 0 or array.max() > 65535):
        raise BadImage(f"holds integers from {array.min()} to {array.max()}; save it with 8 or 16 bits")
    array = array.astype(np.uint16)
    return bit_depth.add_key_alpha(array[..., None], image.info["transparency"]) if mode == "RGBA;16" else array


def apply_orientation(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an (H, W, C) array upright by its EXIF orientation, 1 to 8; any other number changes nothing."""
    array = array.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else array
    array = array[::-1] if orientation in (3, 4, 7, 8) else array
    return array[:, ::-1] if orientation in (2, 3, 6, 7) else array


def scale_and_crop(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale (H, W, C) uint8 or uint16, antialiased, until it covers (height, width), and crop to the centre."""
    if array.shape[:2] == tuple(size):
        return array
    (height, width), (h, w) = array.shape[:2], size
    step = min(height / h, width / w)  # source pixels per pixel of the result
    top, left = int((height - h * step) / 2), int((width - w * step) / 2)
    box = (left, top, min(left + w * step, width), min(top + h * step, height))

    def scale(part: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(part).resize((w, h), Image.Resampling.LANCZOS, box=box))

    if array.dtype == np.uint8 and array.shape[2] in (
        1,
        3,
        4,
    ):  # Pillow weights colour by alpha, so hidden colours do not bleed in
        return scale(array[..., 0] if array.shape[2] == 1 else array).reshape(h, w, -1)
    planes = [scale(array[..., c].astype(np.float32)) for c in range(array.shape[2])]
    top_value = np.iinfo(array.dtype).max
    return np.stack(planes, -1).round().clip(0, top_value).astype(array.dtype)


def to_channels(array: np.ndarray, channels: int) -> np.ndarray:
    """Convert (H, W, C) levels to 1, 3 or 4 channels.

    Grey is the luma of BT.601; transparency is laid on white where it is dropped, and opaque where it is added.
    """
    present = array.shape[2]
    if present == channels:
        return array
    if channels == 4:
        opaque = np.full_like(array[..., :1], np.iinfo(array.dtype).max)
        return np.concatenate([to_channels(array, 3), opaque], -1)
    if present == 4:
        return to_channels(levels_on_white(array), channels)
    return np.repeat(array, 3, axis=2) if channels == 3 else levels_to_luma(array)


def to_8bit(array: np.ndarray) -> np.ndarray:
    """Round uint16 levels to uint8, 65535 to 255; uint8 is returned as it is."""
    return array if array.dtype == np.uint8 else ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def is_transparent(array: np.ndarray) -> bool:
    """True if any pixel of an (H, W, C) image is transparent, at least partly."""
    return array.shape[2] == 4 and bool(array[..., 3].min() < np.iinfo(array.dtype).max)


def whiten_hidden(array: np.ndarray) -> np.ndarray:
    """Set invisible pixels of (H, W, 4) to white, so that no network learns colours an editor left there."""
    top = np.iinfo(array.dtype).max
    white = np.array([top, top, top, 0], array.dtype)
    return np.where(array[..., 3:] == 0, white, array)


def save_png(array: np.ndarray, path: Path | str) -> None:
    """Write (H, W) or (H, W, C) uint8 (grey, RGB, RGBA) or uint16 (grey) as PNG: the whole file or none."""
    path = Path(path)
    flat = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if flat.dtype not in (np.uint8, np.uint16) or (flat.ndim == 3 and flat.dtype != np.uint8):
        raise ValueError(f"a PNG holds uint8, or uint16 in grey, not {array.dtype} {array.shape}")
    with atomic_write(path) as part:
        Image.fromarray(np.ascontiguousarray(flat)).save(part, "PNG")


def to_float(array: "np.ndarray | Tensor") -> "Tensor":
    """Convert (..., H, W, C) uint8 or uint16 to (..., C, H, W) float32 in [-1, 1], a view of channels-last memory."""
    import torch

    levels = torch.from_numpy(np.array(array)) if isinstance(array, np.ndarray) else array
    half = 32767.5 if levels.dtype == torch.uint16 else 127.5
    return levels.to(torch.float32, copy=True).mul_(1 / half).sub_(1).movedim(-1, -3)


def to_uint8(images: "Tensor") -> np.ndarray:
    """Convert (..., C, H, W) float in [-1, 1] to (..., H, W, C) uint8, rounded and clamped."""
    import torch

    levels = images.detach().float().mul(127.5).add_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).movedim(-3, -1).contiguous().cpu().numpy()
