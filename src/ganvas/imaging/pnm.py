"""PGM and PPM whose levels Pillow rounds to 8 bits or reads one by one in Python."""

import re
from typing import Any

import numpy as np

from ..errors import BadImage
from .levels import fill_depth


def largest_level(image: Any) -> int:
    """White of a PGM or PPM that `read_levels` reads; 0 for any other image."""
    if image.format != "PPM" or image.mode == "1" or not image.tile or image.tile[0].codec_name == "raw":
        return 0
    return int(image.tile[0].args[1])


def read_levels(image: Any) -> np.ndarray:
    """Decode to (H, W, 1 or 3) uint8 or, if white is above 255, uint16; white becomes 255 or 65535."""
    (width, height), white = image.size, largest_level(image)
    channels = 3 if image.mode == "RGB" else 1
    count = width * height * channels
    image.fp.seek(image.tile[0].offset)
    if image.tile[0].codec_name == "ppm_plain":
        text = re.sub(rb"#[^\r\n]*", b"", image.fp.read())
        if re.search(rb"[^0-9\s]", text):
            raise BadImage("is damaged: it has other letters than digits")
        levels = np.fromstring(text, np.int64, sep=" ")[:count] if text.strip() else np.zeros(0)
    else:
        size = 1 if white < 256 else 2
        levels = np.frombuffer(image.fp.read(count * size), f">u{size}")
    if len(levels) != count:
        raise BadImage(f"is truncated: it has {len(levels):,} of {count:,} levels")
    return fill_depth(levels, white).reshape(height, width, channels)
