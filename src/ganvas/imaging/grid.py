"""Grids of samples, scatter plots of points, and animations of latent walks."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..errors import UsageError, UserError
from ..files import atomic_write
from .decode import to_uint8
from .provenance import mark_mp4, png_mark

GAP = 2  # pixels between the images of a grid
READABLE = 64  # pixels: smaller images are enlarged by whole factors to about this size


def is_points(images: Tensor) -> bool:
    """True for 2-D points (N, 2, 1, 1), False for images."""
    return images.shape[1:] == (2, 1, 1)


def to_pil(pixels: np.ndarray) -> Image.Image:
    """Convert (H, W, C) uint8 to a Pillow image: L, RGB or RGBA; of 2 channels the first, of more the first three."""
    if pixels.shape[-1] not in (1, 3, 4):
        pixels = np.ascontiguousarray(pixels[..., : 1 if pixels.shape[-1] == 2 else 3])
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def to_pil_images(images: Tensor) -> list[Image.Image]:
    """Convert (N, C, H, W) in [-1, 1] to Pillow images."""
    return [to_pil(p) for p in to_uint8(images)]


def grid(images: Tensor, columns: int | None = None) -> Image.Image:
    """Arrange samples (N, C, H, W) in [-1, 1] in one image; points become a scatter plot.

    Small images are enlarged without smoothing; transparency is shown on white.
    """
    if is_points(images):
        return scatter(images)
    n, _, height, width = images.shape
    columns = columns or _columns(n, height / width)
    rows, factor = math.ceil(n / columns), max(1, READABLE // max(height, width))
    cell_w, cell_h = width * factor + GAP, height * factor + GAP
    sheet = Image.new("RGB", (columns * cell_w + GAP, rows * cell_h + GAP), "white")
    for k, one in enumerate(to_pil_images(images)):
        one = one.resize((width * factor, height * factor), Image.Resampling.NEAREST)
        place = (GAP + k % columns * cell_w, GAP + k // columns * cell_h)
        sheet.paste(one.convert("RGB"), place, one.getchannel("A") if one.mode == "RGBA" else None)
    return sheet


def split_mask(images: Tensor) -> tuple[Tensor, Tensor]:
    """Split images whose last channel is a mask: images (N, C - 1, H, W) and masks (N, 1, H, W) of -1 and 1."""
    mask = images[:, -1:]
    return images[:, :-1], (mask > 0).to(mask) * 2 - 1


def beside_mask(images: Tensor) -> Tensor:
    """Images (N, C, H, W) whose last channel is a mask as (N, C - 1, H, 2 W): the image and, to its right, the mask."""
    colours, mask = split_mask(images)
    return torch.cat([colours, mask.expand_as(colours)], 3)


def _columns(n: int, aspect: float) -> int:
    """Number of columns for an about square sheet, with full rows where possible."""
    ideal = math.sqrt(n * aspect)
    full = [c for c in range(1, n + 1) if n % c == 0 and 0.6 <= c / ideal <= 1.7]
    return min(full, key=lambda c: abs(math.log(c / ideal)), default=math.ceil(ideal))


def scatter(points: Tensor, size: int = 512) -> Image.Image:
    """Draw points (N, 2, 1, 1) in [-1, 1] as dots on white, y upwards, at twice the size and scaled down."""
    scale, radius = 2 * size, 4
    sheet = Image.new("RGB", (scale, scale), "white")
    pen = ImageDraw.Draw(sheet)
    for x, y in points.flatten(1).float().cpu().clamp(-1.05, 1.05).tolist():
        u, v = (0.05 + 0.9 * (x + 1) / 2) * scale, (0.95 - 0.9 * (y + 1) / 2) * scale
        pen.ellipse((u - radius, v - radius, u + radius, v + radius), fill=(62, 86, 184))
    return sheet.resize((size, size), Image.Resampling.LANCZOS)


def save_walk(frames: Sequence[Image.Image], file: Path, fps: int = 24, source_type: str | None = None) -> None:
    """Write frames as a strip (.png), an animation (.gif) or a film (.mp4, needs the extra `video`).

    `source_type` is what a strip or a film says of itself: `imaging.provenance`.
    """
    kind = file.suffix.lower()
    if kind == ".png":
        sheet = Image.new("RGB", (sum(f.width for f in frames), frames[0].height), "white")
        for k, frame in enumerate(frames):
            sheet.paste(frame, (k * frames[0].width, 0))
        with atomic_write(file) as part:
            sheet.save(part, "PNG", **png_mark(source_type))
    elif kind == ".gif":
        with atomic_write(file) as part:
            options = {"save_all": True, "append_images": frames[1:], "duration": round(1000 / fps), "loop": 0}
            frames[0].save(part, "GIF", **options)
    elif kind == ".mp4":
        _save_film(frames, file, fps, source_type)
    else:
        raise UsageError(f"A walk is written as .png, .gif or .mp4, not {file.suffix or 'without a suffix'}.")


def _save_film(frames: Sequence[Image.Image], file: Path, fps: int, source_type: str | None) -> None:
    try:
        import av
    except Exception:
        raise UserError("Films need the package av: pip install 'ganvas[video]'; .gif works without it.") from None
    width, height = (side + side % 2 for side in frames[0].size)  # H.264 takes even sizes only
    with atomic_write(file) as part:
        with av.open(str(part), "w", format="mp4") as film:
            stream = film.add_stream("libx264", rate=fps)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"crf": "16"}
            for frame in frames:
                sheet = Image.new("RGB", (width, height), "white")
                sheet.paste(frame)
                film.mux(stream.encode(av.VideoFrame.from_image(sheet)))
            film.mux(stream.encode())
        mark_mp4(part, source_type)
