"""DICOM images (extra `dicom`): values of the modality, mapped to grey by the window of the file."""

from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ..errors import BadImage
from .bit_depth import check_pixel_limit

DEFLATED = b"1.2.840.10008.1.2.1.99"  # a transfer syntax that unpacks completely before sizes can be checked
PREAMBLE = 128  # bytes before the letters DICM (PS3.10, section 7.1)


def is_dicom(stream: BinaryIO) -> bool:
    """True for a file with the letters DICM after its preamble; the stream keeps its position."""
    start = stream.tell()
    head = stream.read(PREAMBLE + 4)
    stream.seek(start)
    return head[PREAMBLE:] == b"DICM"


def open_dicom(stream: BinaryIO, max_pixels: int) -> Image.Image:
    """Decode the first frame to a Pillow image: `I;16` for grey of any depth, `RGB` for colour.

    Rescale slope and intercept are applied, then the file's first window (PS3.3, C.11.2.1.2.1), or without one the
    range of the values; MONOCHROME1 is inverted.  `info["notes"]` names the window.  Raises `BadImage` without
    pydicom, for files without pixels or over `max_pixels`, and for compressions that pydicom alone cannot read.
    """
    try:
        import pydicom
        from pydicom.pixels import apply_rescale, convert_color_space, pixel_array
    except Exception:
        raise BadImage("is DICOM, which needs the package pydicom: pip install 'ganvas[dicom]'") from None
    start = stream.tell()
    if DEFLATED in stream.read(1024):
        raise BadImage("is DICOM deflated as a whole; save it with another transfer syntax")
    stream.seek(start)
    data = pydicom.dcmread(stream)
    height, width, frames = int(data.get("Rows", 0)), int(data.get("Columns", 0)), int(data.get("NumberOfFrames") or 1)
    if not height * width or "PixelData" not in data:
        raise BadImage("is DICOM without an image")
    check_pixel_limit(width, height, max_pixels)
    try:
        array = pixel_array(data, index=0, raw=True)
    except (RuntimeError, NotImplementedError) as problem:
        reason = str(problem).strip().splitlines()[0].rstrip(".")
        raise BadImage(f"is DICOM packed in a way that pydicom alone does not read: {reason}") from None
    notes = ["the first frame of several is used"] if frames > 1 else []
    if int(data.get("SamplesPerPixel", 1)) == 3:
        kind = str(data.get("PhotometricInterpretation", "RGB"))
        array = convert_color_space(array, kind, "RGB") if kind.startswith("YBR_FULL") else array
        if array.dtype != np.uint8:
            raise BadImage(f"is DICOM in colour of {array.dtype}; 8 bits are read")
        image = Image.fromarray(array)
    else:
        grey, note = apply_window(apply_rescale(array, data).astype(np.float64), data)
        image = Image.fromarray(grey)
        notes.append(note)
    image.format = "DICOM"
    image.info["notes"] = notes
    return image


def apply_window(values: np.ndarray, data: Any) -> tuple[np.ndarray, str]:
    """Map values of the modality to uint16 grey by the file's own linear window; returns a note that names it."""
    centre, width = first_number(data.get("WindowCenter")), first_number(data.get("WindowWidth"))
    exact = str(data.get("VOILUTFunction", "LINEAR")) == "LINEAR_EXACT"
    if centre is not None and width is not None and width >= (1e-9 if exact else 1):
        note = f"DICOM window: centre {centre:g}, width {width:g}"
        shift, span = (0.0, width) if exact else (0.5, max(width - 1, 1e-9))
        share = (values - (centre - shift)) / span + 0.5
    else:
        low, high = float(values.min()), float(values.max())
        note = f"DICOM without a window: {low:g} to {high:g}"
        share = (values - low) / max(high - low, 1e-9)
    share = share.clip(0, 1)
    share = 1 - share if data.get("PhotometricInterpretation") == "MONOCHROME1" else share
    return (share * 65535).round().astype(np.uint16), note


def first_number(value: Any) -> float | None:
    """First of one or several numbers of a DICOM element; None if it has no value."""
    if isinstance(value, Sequence) and not isinstance(value, str):  # pydicom's MultiValue
        value = value[0] if len(value) else None
    return None if value is None else float(value)
