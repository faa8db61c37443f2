"""DICOM images (extra `dicom`): values of the modality, mapped to grey by the window of the file."""

from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ..errors import BadImage
from .bit_depth import check_pixel_limit
from .levels import fill_depth

DEFLATED = b"1.2.840.10008.1.2.1.99"  # a transfer syntax that unpacks completely before sizes can be checked
PREAMBLE = 128  # bytes before the letters DICM (PS3.10, section 7.1)


def is_dicom(stream: BinaryIO) -> bool:
    """True for a file with the letters DICM after its preamble; the stream keeps its position."""
    start = stream.tell()
    head = stream.read(PREAMBLE + 4)
    stream.seek(start)
    return head[PREAMBLE:] == b"DICM"


def open_dicom(stream: BinaryIO, max_pixels: int) -> Image.Image:
    """Decode the first frame to a Pillow image: `I;16` for grey of any depth, `RGB` for colour and palettes.

    Grey goes through the modality's table or slope, then through the file's first VOI table or window (PS3.3, C.11.2),
    or without one the range of the values becomes black and white; MONOCHROME1 is inverted.  `info["notes"]` names
    table or window.  Raises `BadImage` without pydicom, for files without pixels or over `max_pixels`, and for
    compressions that pydicom alone cannot read.
    """
    try:
        import pydicom
        from pydicom.pixels import pixel_array
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
    except (RuntimeError, NotImplementedError):
        packing = getattr(getattr(data, "file_meta", None), "TransferSyntaxUID", None)
        name = getattr(packing, "name", "an unknown transfer syntax")
        raise BadImage(
            f"is DICOM packed in a way that pydicom alone does not read ({name}); `gdcmconv --raw FILE OUT` unpacks it"
        ) from None
    notes = ["the first frame of several is used"] if frames > 1 else []
    kind = str(data.get("PhotometricInterpretation", ""))
    coloured = array.ndim == 3 or kind == "PALETTE COLOR"
    pixels, more = read_colour(array, kind, data) if coloured else read_grey(array, data)
    image = Image.fromarray(pixels)
    image.format = "DICOM"
    image.info["notes"] = notes + more
    return image


def read_colour(array: np.ndarray, kind: str, data: Any) -> tuple[np.ndarray, list[str]]:
    """Convert stored colours, or indices of a palette, to (H, W, 3) uint8; returns notes.

    The high byte of a palette's 16 bits counts, whether the low one repeats it or is 0.
    """
    from pydicom.pixels import apply_color_lut, convert_color_space

    if kind == "PALETTE COLOR":
        colours = apply_color_lut(array, data)[..., :3]
        if colours.dtype == np.uint8:
            return colours, []
        high, low = colours >> 8, colours & 255
        fine = bool(((low != high) & (low != 0)).any())
        return high.astype(np.uint8), ["16-bit colour is read as 8-bit"] if fine else []
    array = convert_color_space(array, kind, "RGB") if kind.startswith("YBR_FULL") else array
    if array.dtype != np.uint8:
        raise BadImage(f"is DICOM in colour of {array.dtype}; 8 bits are read")
    return array, []


def read_grey(array: np.ndarray, data: Any) -> tuple[np.ndarray, list[str]]:
    """Map stored values to uint16 grey by the file's own tables or window; returns notes."""
    from pydicom.pixels import apply_modality_lut, apply_voi

    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):  # of multi-frame images
        for group in list(data.get(groups) or [])[:1]:
            for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
                data.update(next(iter(group.get(name) or []), {}))
    values = apply_modality_lut(array.astype(np.int64), data)
    if not data.get("VOILUTSequence"):
        grey, note = apply_window(values.astype(np.float64), data)
        return grey, [note]
    table = data.VOILUTSequence[0]
    bits = int(table.LUTDescriptor[2])
    grey = fill_depth(apply_voi(np.rint(values).astype(np.int64), data), (1 << bits) - 1)
    grey = grey.astype(np.uint16) * 257 if bits == 8 else grey
    name = str(table.get("LUTExplanation", "")).strip()
    inverted = data.get("PhotometricInterpretation") == "MONOCHROME1"
    return 65535 - grey if inverted else grey, [f"DICOM table of values (VOI LUT){': ' + name if name else ''}"]


def apply_window(values: np.ndarray, data: Any) -> tuple[np.ndarray, str]:
    """Map values of the modality to uint16 grey by the file's own window; returns a note that names it."""
    centre, width = first_number(data.get("WindowCenter")), first_number(data.get("WindowWidth"))
    function = str(data.get("VOILUTFunction") or "LINEAR")
    exact = function in ("LINEAR_EXACT", "SIGMOID")
    if centre is not None and width is not None and width >= (1e-9 if exact else 1):
        note = f"DICOM window: centre {centre:g}, width {width:g}"
        shift, span = (0.0, width) if exact else (0.5, max(width - 1, 1e-9))
        share = (values - (centre - shift)) / span + 0.5
        if function == "SIGMOID":
            share, note = (1 + np.tanh(2 * (values - centre) / width)) / 2, f"{note}, sigmoid"
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
