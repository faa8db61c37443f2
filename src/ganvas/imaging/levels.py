"""Levels: the range of values of images, from black to white, where it is not that of their number format."""

import numpy as np

DARK = 0.32  # share of the range below which the brightest level is noted: 14 of 16 bits, and some ringing of resizing
NARROW = 0.1  # share of the range below which all levels are noted
SAMPLE = 256  # images that are looked at before all are
SAMPLE_BYTES = 1 << 25
DEPTHS = (1, 255, 1023, 4095, 16383)  # white of masks and of 8 to 14 bits in 16

Levels = tuple[float, float]  # values that become black and white


def usual_range(kind: str, low: float, high: float) -> Levels | None:
    """Black and white of numbers from `low` to `high` of a NumPy kind that is not uint8 or uint16; None: not sure.

    [0, 1] and [-1, 1] of floats, and levels from 0 to 255.
    """
    if kind in "iu" and low >= 0 and high <= 255:
        return 0.0, 255.0
    if kind in "fb" and low >= 0 and high <= 1:
        return 0.0, 1.0
    if kind == "f" and low >= -1 and high <= 1:
        return -1.0, 1.0
    return (0.0, 255.0) if kind == "f" and low >= 0 and 2 <= high <= 255 else None


def stretch(array: np.ndarray, levels: Levels) -> np.ndarray:
    """Scale colours (..., C) so that `levels` become black and white: uint8 to uint8, all others to uint16.

    Values outside become black or white, and so does what is not a number: black.  Transparency, the fourth channel,
    is kept.
    """
    low, high = levels
    top = 255 if array.dtype == np.uint8 else 65535
    colours = np.nan_to_num(array[..., :3].astype(np.float64), nan=low, posinf=high, neginf=low)
    scaled = np.floor((colours - low) * (top / (high - low)) + 0.5).clip(0, top)
    return np.concatenate([scaled, array[..., 3:]], -1).astype(np.uint8 if top == 255 else np.uint16)


def fill_depth(levels: np.ndarray, white: int) -> np.ndarray:
    """Scale whole levels from 0..white to 0..255 or, if white is larger, 0..65535, rounded."""
    top, dtype = (255, np.uint8) if white < 256 else (65535, np.uint16)
    if white == top:
        return levels.astype(dtype, copy=False)
    table = ((np.arange(white + 1, dtype=np.uint32) * top + white // 2) // white).astype(dtype)
    return table[np.minimum(levels, white)]


def describe_levels(images: np.ndarray) -> str:
    """Sentence part about images (N, H, W, C) whose range is obviously not what was meant; empty for others."""
    if images.dtype.kind != "u" or not images.size:
        return ""
    top, colours = int(np.iinfo(images.dtype).max), images[..., :3]
    count = max(16, min(SAMPLE, SAMPLE_BYTES // images[0].nbytes))
    part = colours[:: max(1, len(images) // count)]
    if not _is_suspicious(int(part.min()), int(part.max()), top):
        return ""
    extremes = [(int(image.min()), int(image.max())) for image in colours]
    low, high = min(low for low, _ in extremes), max(high for _, high in extremes)
    if not _is_suspicious(low, high, top):
        return ""
    if low == high:
        name = {0: " (black)", top: " (white)"}.get(low, "")
        return f"all {len(images):,} images are of one level, {low:,} of {top:,}{name}"
    if high >= DARK * top:
        return f"all levels are from {low:,} to {high:,} of {top:,}; --data levels:{low}:{high}:PATH scales them"
    white = next((white for white in DEPTHS if high <= 1.25 * white), high) if top > 255 or high == 1 else high
    nearly = f"the brightest level is {high:,} of {top:,}, nearly black"
    return f"{nearly}; if {white:,} is white, --data levels:0:{white}:PATH scales it"


def _is_suspicious(low: int, high: int, top: int) -> bool:
    return high < DARK * top or high - low < NARROW * top
