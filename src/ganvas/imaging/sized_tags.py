"""Tags of EXIF and TIFF that depend on the size of the image: scaled to another size, or left behind."""

import json
import math
import re
from collections.abc import Sequence

from .exif import (
    DETAILS,
    DOUBLE,
    LONG,
    RATIONAL,
    SHORT,
    Directory,
    Entry,
    below,
    fraction,
    numbers,
    text,
    text_of,
    values_of,
)
from .xmp import Size

WIDTH, HEIGHT, SUBJECT_AREA, SUBJECT_PLACE = 0xA002, 0xA003, 0x9214, 0xA214
FOCAL_X, FOCAL_Y = 0xA20E, 0xA20F  # pixels a unit of the sensor's plane
DESCRIPTION, X_RESOLUTION, Y_RESOLUTION = 270, 282, 283
PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, GEO_KEYS, RATIONAL_POLYNOMIALS = 33550, 33922, 34264, 34735, 50844
GEO = {PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, GEO_KEYS, RATIONAL_POLYNOMIALS, 34736, 34737, 42112, 42113}
PRIVATE = {  # what makers of cameras and microscopes write about the pixels as they were stored
    **dict.fromkeys([*range(50706, 50844), *range(50845, 51200), 33421, 33422], "its tags of a raw photograph"),
    **dict.fromkeys([50838, 50839], "its ImageJ overlays and labels"),
    **dict.fromkeys([33628, 33629, 33630, 33631, 34361, 34362, 34412, 34680, 34682, 51123], "its microscope's tags"),
    **dict.fromkeys(range(65420, 65460), "its microscope's tags"),
    **{33920: "", 33921: "", 33723: "its IPTC data", 37724: "its Photoshop layers"},
}
UNITS = {"nm": 25.4e6, "µm": 25400.0, "um": 25400.0, "mm": 25.4, "cm": 2.54}  # to an inch
COUNTS = ("images", "channels", "slices", "frames", "hyperstack", "mode", "loop", "fps", "finterval", "spacing")


def clean_description(directory: Directory) -> tuple[float | None, list[str]]:
    """Remove from a TIFF's description what counts pages and pixels; returns dots per inch and notes.

    The dots per inch, 0 where the tags have them, are those of a description that measures with the image.
    """
    description = text_of(directory, DESCRIPTION)
    if description.startswith("ImageJ="):
        lines = [line for line in description.splitlines() if line.partition("=")[0] not in COUNTS]
        directory[DESCRIPTION] = text("\n".join([*lines, "images=1", ""]))
        return 0, []
    if re.match(r"\s*\{", description) and '"shape"' in description:  # tifffile's
        try:
            content = {k: v for k, v in json.loads(description).items() if k not in ("shape", "axes", "truncated")}
        except (ValueError, RecursionError):
            content = {}
        directory.pop(DESCRIPTION)
        if content:
            directory[DESCRIPTION] = text(json.dumps(content))
        return None, []
    maker = re.search(r"<OME\b|^Aperio|<scn\b", description[:4000])
    if not maker:
        return None, []
    directory.pop(DESCRIPTION)
    pixel = re.search(r'PhysicalSizeX="([\d.eE+-]+)"', description) or re.search(r"\bMPP\s*=\s*([\d.]+)", description)
    unit = re.search(r'PhysicalSizeXUnit="([^"]+)"', description)
    note = f"its description ({maker[0].strip('<')}) counts the source's pixels and pages and is left behind"
    try:
        dots = UNITS[unit[1] if unit else "µm"] / float(pixel[1]) if pixel else None
    except (KeyError, ValueError, ZeroDivisionError):
        dots = None
    return dots, [note + ("; its pixel size is kept as DPI" if dots else "")]


def rescale_tags(
    tags: Directory, before: Size, after: Size, *, orientation: int, measured: bool
) -> tuple[Directory, list[str]]:
    """Copy of the tags for another size of the upright image, and notes on those that are left behind.

    `orientation` is that in which the source stored it; `measured` scales the resolution, too.
    """
    tags, details = dict(tags), dict(below(tags, DETAILS))
    x, y = after[0] / before[0], after[1] / before[1]
    details |= {tag: numbers(LONG, side) for tag, side in zip((WIDTH, HEIGHT), after) if tag in details}
    for tag in (SUBJECT_AREA, SUBJECT_PLACE):
        if tag in details:
            area = _upright(values_of(details, tag), before, orientation)
            area = [round(v * (y if place % 2 else x)) for place, v in enumerate(area)]
            del details[tag]
            if area and max(area) < 1 << 16 and min(area) >= 0:
                details[tag] = numbers(SHORT, *area)
    sensor = (FOCAL_X, FOCAL_Y) if orientation < 5 else (FOCAL_Y, FOCAL_X)
    per_unit = [_number(details, tag) for tag in sensor]
    details |= {
        tag: fraction(value * factor) for tag, value, factor in zip((FOCAL_X, FOCAL_Y), per_unit, (x, y)) if value
    }
    if measured:
        pair = ((X_RESOLUTION, x), (Y_RESOLUTION, y))
        tags |= {tag: fraction(_number(tags, tag) * factor) for tag, factor in pair if tag in tags}
    if details:
        tags[DETAILS] = details
    if orientation > 1 and GEO & tags.keys():
        return without_ground(tags), ["its place on the ground (GeoTIFF) is of the unturned image and left behind"]
    return _rescale_ground(tags, x, y), []


def _number(tags: Directory, tag: int) -> float:
    """A positive number or fraction; 0 where there is none."""
    values = values_of(tags, tag)
    entry = tags.get(tag)
    is_fraction = isinstance(entry, Entry) and entry.kind == RATIONAL
    value = values[0] / (values[1] or math.inf) if is_fraction and len(values) > 1 else values[0] if values else 0.0
    return value if 0 < value < math.inf else 0.0


def _upright(area: Sequence[float], upright: Size, orientation: int) -> Sequence[float]:
    """Turn x, y, and width and height or a diameter, if any, as the pixels of the stored image are turned."""
    if len(area) < 2 or orientation < 2:
        return area
    (width, height), (x, y, *extent) = upright[:: -1 if orientation > 4 else 1], area
    x = width - x if orientation in (2, 3, 7, 8) else x
    y = height - y if orientation in (3, 4, 6, 7) else y
    swapped = orientation > 4
    return [y, x, *extent[::-1]] if swapped else [x, y, *extent]


def without_ground(tags: Directory) -> Directory:
    """Copy of the tags without those of GeoTIFF."""
    return {tag: value for tag, value in tags.items() if tag not in GEO}


def _rescale_ground(tags: Directory, x: float, y: float) -> Directory:
    """Scale the tags of GeoTIFF (OGC 19-008r4, annex C): the image covers the same ground with other pixels."""
    keys = values_of(tags, GEO_KEYS)
    half = 0.5 if (1025, 0, 1, 2) in zip(*(keys[k:] for k in range(4))) else 0.0  # coordinates are of pixels' centres

    def moved(place: float, factor: float, centre: float = half) -> float:
        return (place + centre) * factor - centre

    new: dict[int, list[float]] = {tag: list(values_of(tags, tag)) for tag in GEO if tag in tags}
    if len(scale := new.get(PIXEL_SCALE, [])) > 1:
        scale[:2] = scale[0] / x, scale[1] / y
    points = new.get(TIE_POINTS, [])
    points[0::6] = [moved(v, x) for v in points[0::6]]
    points[1::6] = [moved(v, y) for v in points[1::6]]
    if len(matrix := new.get(TRANSFORMATION, [])) == 16:
        for row in range(0, 12, 4):
            a, b = matrix[row : row + 2]
            matrix[row + 3] += a * (half / x - half) + b * (half / y - half)
            matrix[row : row + 2] = a / x, b / y
    if len(model := new.get(RATIONAL_POLYNOMIALS, [])) > 8:
        model[2:4] = moved(model[2], y, 0.5), moved(model[3], x, 0.5)  # line before sample
        model[7:9] = model[7] * y, model[8] * x
    changed = (PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, RATIONAL_POLYNOMIALS)
    return {**tags, **{tag: numbers(DOUBLE, *new[tag]) for tag in changed if tag in new}}
