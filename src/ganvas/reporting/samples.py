"""The samples of every snapshot in one page: compressed and thinned out until they fit, with a note about it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, features

from .html import Safe, image_tag, join, tag
from .read import Record
from .tables import run_name

BUDGET = 8 << 20  # bytes of images in a page, before base64 makes them a third longer
MOST = 60  # snapshots of a run
LONGEST = 1024  # pixels a side
LARGEST = 64 << 20  # pixels that are decoded at all
QUALITIES = (0, 85, 60, 35)  # of WebP; 0: the file itself


@dataclass(frozen=True)
class Shot:
    """The grid of one snapshot."""

    images: int
    content: bytes
    kind: str  # png or webp


def spaced_indices(count: int, most: int) -> list[int]:
    """Indices of at most `most` of `count` items, evenly spread, with the first and the last."""
    if count <= most:
        return list(range(count))
    return sorted({round(k * (count - 1) / (most - 1)) for k in range(most)}) if most > 1 else [count - 1]


def shots(record: Record, budget: int = BUDGET) -> tuple[list[Shot], list[str]]:
    """Snapshots of at most `budget` bytes together, and sentences about omission and compression."""
    chosen = [record.snapshots[k] for k in spaced_indices(len(record.snapshots), MOST)]
    read = [(images, content) for images, file in chosen if (content := _png(file)) is not None]
    notes = []
    if damaged := len(chosen) - len(read):
        some = "1 snapshot is" if damaged == 1 else f"{damaged} snapshots are"
        notes.append(f"{some} damaged and left out.")
    fitting, quality = fit(read, budget)
    every = len(record.snapshots) - damaged
    how = [f"{len(fitting)} of {every:,} snapshots, evenly spread"] if len(fitting) < every else []
    if quality and any(shot.kind != "png" for shot in fitting):
        how.append(f"compressed again (WebP, quality {quality})")
    if how:
        notes.append(f"The page shows {', '.join(how)}; the files in samples/ are unchanged.")
    return fitting, notes


def fit(read: Sequence[tuple[int, bytes]], budget: int) -> tuple[list[Shot], int]:
    """Images and their WebP quality (0: unchanged): compressed more and more, then fewer of them, until they fit."""
    left = list(read)
    while left:
        for quality in QUALITIES:
            smaller, size = [], 0
            for images, content in left:
                smaller.append(_shot(images, content, quality))
                size += len(smaller[-1].content)
                if size > budget:
                    break
            if size <= budget:
                return smaller, quality
        left = [left[k] for k in spaced_indices(len(left), len(left) // 2)]
    return [], 0


def _png(file: Path) -> bytes | None:
    """The bytes of a PNG that is whole and not too large; else None."""
    try:
        if file.stat().st_size > LARGEST:
            return None
        content = file.read_bytes()
        with _open_png(content) as image:
            if image.width * image.height > LARGEST:
                return None
            image.load()
        return content
    except Exception:  # whatever Pillow raises for a damaged file
        return None


def _open_png(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=["PNG"])


def _shot(images: int, content: bytes, quality: int) -> Shot:
    with _open_png(content) as image:
        if max(image.size) <= LONGEST and not quality:
            return Shot(images, content, "png")
        return Shot(images, *compress(image, quality or QUALITIES[1]))


def compress(image: Image.Image, quality: int, longest: int = LONGEST) -> tuple[bytes, str]:
    """An image of at most `longest` pixels a side as bytes, and their kind; quality 0: lossless."""
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    if quality and features.check("webp"):
        image.save(out, "WEBP", quality=quality, method=2)
        return out.getvalue(), "webp"
    image.save(out, "PNG", optimize=True)
    return out.getvalue(), "png"


def timeline(records: Sequence[Record]) -> tuple[Safe, list[str]]:
    """The snapshots of all runs under one slider over the number of training images."""
    figures, notes, positions = [], [], set()
    for k, record in enumerate(records):
        snapshots, remarks = shots(record, BUDGET // len(records))
        notes += [f"{record.name}: {text}" if len(records) > 1 else text for text in remarks]
        positions |= {shot.images for shot in snapshots}
        figures.append(_figure(record, snapshots, k if len(records) > 1 else None))
    if not positions:
        return join([tag("p", "There are no snapshots of samples to show.", class_="quiet")]), notes
    frames = tag("div", *figures, class_="shots many" if len(records) > 1 else "shots")
    return join([_slider(sorted(positions)), frames]), notes


def _figure(record: Record, snapshots: Sequence[Shot], colour: int | None) -> Safe:
    name = None if colour is None else run_name(colour, record)
    images = [
        image_tag(
            shot.content,
            shot.kind,
            class_="shot",
            alt=f"Samples of {record.name} after {shot.images:,} images",
            data_images=shot.images,
            hidden=shot is not snapshots[-1],
        )
        for shot in snapshots
    ]
    after = tag("span", f"after {snapshots[-1].images:,} images" if snapshots else "no snapshots", class_="after")
    return tag("figure", tag("div", *images, class_="frame"), tag("figcaption", name, after))


def _slider(positions: Sequence[int]) -> Safe:
    last = len(positions) - 1
    slider = tag(
        "input",
        type="range",
        id="snapshot",
        min=0,
        max=last,
        step=1,
        value=last,
        aria_label="Snapshot, by number of training images",
        aria_valuetext=f"{positions[-1]:,} images",
        data_positions=" ".join(map(str, positions)),
    )
    button = tag("button", "Play", type="button", id="play", aria_label="Play the snapshots")
    output = tag("output", f"{positions[-1]:,} images", for_="snapshot", id="position")
    without = tag("noscript", tag("p", "The slider needs JavaScript; this is the last snapshot.", class_="quiet"))
    return join([tag("div", button, slider, output, class_="slider", hidden=True, id="slider"), without])
