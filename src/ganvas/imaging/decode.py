"""One correct path from an image file to an array and back, and from an array to a tensor and back."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image

from ..errors import BadImage, printable
from ..files import atomic_write
from . import bit_depth as depth
from . import dicom
from .channels import levels_on_white, luma_of_levels

if TYPE_CHECKING:  # torch takes a second to import, and listing the data sources needs none of it
    from torch import Tensor

T = TypeVar("T")

# What is wrong with an image is said in its notes, or by `BadImage`, and not in the middle of a progress bar.
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")

MAX_PIXELS = 200_000_000  # a larger image is refused before it is decoded
# Only these decoders ever see a file: Pillow also has some that run other programs (EPS starts Ghostscript).
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".dcm", ".dicom"),
)
ORIENTATION = 0x0112  # the EXIF tag


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image, upright."""

    array: np.ndarray  # (H, W, C), C = 1, 3 or 4; uint8, or uint16 for what has more than 8 bits
    notes: list[str]  # what had to be changed to get here


@dataclass(frozen=True)
class Header:
    """What a file declares before anything is decoded."""

    size: tuple[int, int]  # (height, width), upright
    grey: bool
    alpha: bool  # transparency is declared; whether it is used shows only in the pixels
    bits: int  # 8 or 16


def read(file: Path | str | BinaryIO | bytes, *, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decode an image completely.

    Gives (H, W, C) uint8 or uint16 (grey, RGB or RGBA); EXIF orientation is applied.
    Raises `BadImage` for anything that is not wholly readable or declares more than `max_pixels`.
    """
    return using(file, max_pixels, decode)


def peek(file: Path | str | BinaryIO | bytes, *, max_pixels: int = MAX_PIXELS) -> Header:
    """What the file's header declares; raises `BadImage` as `read` does, as far as a header shows it."""
    return using(file, max_pixels, _header)


@dataclass(frozen=True)
class Opened:
    """A file whose header has been read."""

    image: Any  # of Pillow, not decoded
    again: Callable[[], Any]  # the same once more


def using(file: Path | str | BinaryIO | bytes, max_pixels: int, use: Callable[[Opened], T]) -> T:
    """What `use` makes of an opened image; whatever goes wrong with it is a `BadImage` that names the file."""
    with naming(file), _stream(file) as stream:
        return use(_opened(stream, max_pixels))


@contextlib.contextmanager
def naming(file: Path | str | BinaryIO | bytes) -> Iterator[None]:
    """Turn everything that a decoder may raise into `BadImage`, with the file's name where it has one."""
    name = shown(file) if isinstance(file, (Path, str)) else ""
    try:
        yield
    except BadImage as e:
        raise BadImage(e.reason, name) from None
    except OSError as e:
        reason = f"cannot be opened: {e.strerror}" if e.strerror else f"is damaged: {e}"
        raise BadImage(reason, name) from None
    except Image.DecompressionBombError as e:  # a few of Pillow's plugins check for themselves
        raise BadImage(f"refused: {e}", name) from None
    except MemoryError:
        raise BadImage("needs more memory than there is", name) from None
    except Exception as e:  # a decoder may stumble over foreign bytes in any way whatever
        raise BadImage(f"is damaged: {e or type(e).__name__}", name) from None


shown = printable


def _stream(file: Path | str | BinaryIO | bytes) -> BinaryIO:
    if isinstance(file, (Path, str)):
        return open(file, "rb")
    return io.BytesIO(file) if isinstance(file, bytes) else _Borrowed(file)  # type: ignore[return-value]


class _Borrowed:
    """A caller's file, which a `with` here must not close."""

    def __init__(self, file: BinaryIO):
        self.file = file

    def __enter__(self) -> BinaryIO:
        return self.file

    def __exit__(self, *error: object) -> None:
        pass


@cache
def _decoders() -> list[tuple[Callable[..., Any], Callable[[bytes], Any]]]:
    Image.init()
    return [Image.OPEN[f] for f in FORMATS if f in Image.OPEN]  # type: ignore[misc]


def _opened(stream: BinaryIO, max_pixels: int) -> Opened:
    """The image with its header read.

    Not `Image.open`: it checks the size against a limit that is global to the process, and says no numbers.
    """
    start = stream.tell()
    prefix = stream.read(16)
    if not prefix:
        raise BadImage("is empty (0 bytes)")
    stream.seek(start)
    if dicom.is_dicom(stream):
        image = dicom.opened(stream, max_pixels)
        return Opened(image, image.copy)
    # an accepting function that answers with a sentence means: known, but not built in
    known = [factory for factory, accept in _decoders() if isinstance(accept(prefix) or "", bool)]
    if not known:
        raise BadImage("is not an image in a format that is known here")

    def again() -> Any:
        stream.seek(start)
        return known[0](stream, "")

    image = again()
    width, height = image.size
    depth.within_limit(width, height, max_pixels)
    return Opened(image, again)


def _mode(image: Any) -> str:
    """How an image will be held: `I;16`, `RGB;16`, `RGBA;16`, `RGBA`, `L` or `RGB`."""
    if deep := depth.deep(image):
        return deep
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or image.has_transparency_data:
        return "RGBA"
    if image.mode in ("1", "L"):
        return "L"
    if image.mode == "P":
        palette = np.array(image.getpalette() or [0, 0, 1], np.uint8)
        colours = palette[: len(palette) // 3 * 3].reshape(-1, 3)
        return "L" if (colours == colours[:, :1]).all() else "RGB"
    return "RGB"


def orientation(image: Any) -> int:
    """The EXIF orientation, 1 to 8, of an image of Pillow's; 1 where there is none or it cannot be read."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged metadata says nothing about the pixels
        return 1


def greyish(image: Any) -> bool:
    """Whether an undecoded image of Pillow's has no colour, though it may have transparency."""
    return image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I") or depth.rawmode(image).startswith("LA")


def _header(opened: Opened) -> Header:
    image = opened.image
    mode = _mode(image)
    grey = mode == "L" or greyish(image)  # before anything asks for EXIF, for which Pillow may decode
    width, height = image.size
    # Pillow turns TIFF itself, and already gives the upright size
    if image.format != "TIFF" and orientation(image) in (5, 6, 7, 8):
        width, height = height, width
    deep = mode.endswith("16")
    return Header((height, width), grey, mode.startswith("RGBA"), 16 if deep else 8)


def decode(opened: Opened) -> DecodedImage:
    """All pixels of an opened image, upright, and what had to be changed."""
    image = opened.image
    notes = list(image.info.get("notes", [])) if image.format == "DICOM" else []
    if image.format in ("GIF", "WEBP", "PNG", "TIFF") and getattr(image, "is_animated", False):
        notes.append("the first frame of several is used")
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV") and image.format != "AVIF":
        notes.append(f"{image.mode} is converted to RGB")
    if image.mode == "CMYK" and ";16" in depth.rawmode(image):
        notes.append("16-bit colour is read as 8-bit")
    mode = _mode(image)
    if mode in ("RGB;16", "RGBA;16") and image.mode[0] != "I":
        array = depth.colour(image, opened.again)
    else:
        image.load()
        array = _pixels(image, mode)
    array = array.reshape(*array.shape[:2], -1)
    return DecodedImage(np.ascontiguousarray(upright(array, orientation(image))), notes)


def _pixels(image: Any, mode: str) -> np.ndarray:
    if image.mode == "F":
        raise BadImage("holds floating-point numbers, whose range is unknown; save it with 8 or 16 bits")
    if image.mode[0] != "I":
        if image.mode in ("La", "RGBa"):
            image = image.convert(image.mode.upper())
        if image.mode == "CMYK":
            image = by_profile(image)
        return depth.as_array(image if image.mode == mode else image.convert(mode))
    array = np.asarray(image)
    if array.dtype.itemsize > 2 and (array.min() < 0 or array.max() > 65535):
        raise BadImage(f"holds integers from {array.min()} to {array.max()}; save it with 8 or 16 bits")
    array = array.astype(np.uint16)
    return depth.with_hidden(array[..., None], image.info["transparency"]) if mode == "RGBA;16" else array


def by_profile(image: Any) -> Any:
    """An image of Pillow's as sRGB by the colour profile it carries; as it was where that has none or a broken one."""
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (KeyError, OSError, TypeError, ValueError, ImageCms.PyCMSError):
        return image


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation (1 to 8; anything else is left alone) of an (H, W, C) array."""
    turned = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, 1),
    }
    return turned[orientation](array) if orientation in turned else array


def fit(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale (H, W, C) uint8 or uint16, antialiased, until it covers (height, width), and cut out the centre."""
    if array.shape[:2] == tuple(size):
        return array
    (height, width), (h, w) = array.shape[:2], size
    step = min(height / h, width / w)  # source pixels per pixel of the result
    top, left = int((height - h * step) / 2), int((width - w * step) / 2)
    box = (left, top, min(left + w * step, width), min(top + h * step, height))

    def scaled(part: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(part).resize((w, h), Image.Resampling.LANCZOS, box=box))

    if array.dtype == np.uint8:  # Pillow weighs colour by alpha here, so nothing hidden bleeds in
        return scaled(array[..., 0] if array.shape[2] == 1 else array).reshape(h, w, -1)
    planes = [scaled(array[..., c].astype(np.float32)) for c in range(array.shape[2])]
    top_value = np.iinfo(array.dtype).max
    return np.stack(planes, -1).round().clip(0, top_value).astype(array.dtype)


def to_channels(array: np.ndarray, channels: int) -> np.ndarray:
    """(H, W, C) with 1, 3 or 4 channels, whatever C was.

    Grey is the luma of BT.601.  Transparency that has to go is laid on white; where it is new, all is opaque.
    """
    present = array.shape[2]
    if present == channels:
        return array
    if channels == 4:
        opaque = np.full_like(array[..., :1], np.iinfo(array.dtype).max)
        return np.concatenate([to_channels(array, 3), opaque], -1)
    if present == 4:
        return to_channels(levels_on_white(array), channels)
    return np.repeat(array, 3, axis=2) if channels == 3 else luma_of_levels(array)


def to_8bit(array: np.ndarray) -> np.ndarray:
    """The same image as uint8; 65535 becomes 255."""
    return array if array.dtype == np.uint8 else ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def transparent(array: np.ndarray) -> bool:
    """Whether an (H, W, C) image is see-through anywhere."""
    return array.shape[2] == 4 and bool(array[..., 3].min() < np.iinfo(array.dtype).max)


def whiten_hidden(array: np.ndarray) -> np.ndarray:
    """(H, W, 4) with white where nothing shows, so that no network learns what an editor left there."""
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


def to_float(array: np.ndarray | Tensor) -> Tensor:
    """(..., H, W, C) uint8 or uint16 as (..., C, H, W) float32 in [-1, 1]: a view of channels-last memory."""
    import torch

    whole = torch.from_numpy(np.array(array)) if isinstance(array, np.ndarray) else array
    half = 32767.5 if whole.dtype == torch.uint16 else 127.5
    return whole.to(torch.float32, copy=True).mul_(1 / half).sub_(1).movedim(-1, -3)


def to_uint8(images: Tensor) -> np.ndarray:
    """(..., C, H, W) float in [-1, 1] as (..., H, W, C) uint8: rounded, and what is outside is clamped."""
    import torch

    levels = images.detach().float().mul(127.5).add_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).movedim(-3, -1).contiguous().cpu().numpy()
