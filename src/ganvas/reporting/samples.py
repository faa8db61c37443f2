"""The samples of every snapshot in one page: read, made smaller, thinned out until they fit, and said so."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, features

from .html import Safe, image_tag, joined, tag
from .read import Record

BUDGET = 8 << 20  # bytes of images in a page, before base64 makes them a third longer
MOST = 60  # snapshots of a run
LONGEST = 1024  # pixels a side
LARGEST = 64 << 20  # pixels that are decoded at all
QUALITIES = (0, 85, 60, 35)  # of WebP; 0: the file as it is


@dataclass(frozen=True)
class Shot:
    """The grid of one snapshot."""

    images: int
    content: bytes
    kind: str  # png or webp


def spread(count: int, most: int) -> list[int]:
    """At most so many places of `count`, evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(k * (count - 1) / (most - 1)) for k in range(most)}) if most > 1 else [count - 1]


def shots(record: Record, budget: int = BUDGET) -> tuple[list[Shot], list[str]]:
    """Snapshots that together take no more bytes than that, and sentences about what was done to fit them in."""
    chosen = [record.snapshots[k] for k in spread(len(record.snapshots), MOST)]
    read = [(images, content) for images, file in chosen if (content := _png(file)) is not None]
    notes = []
    if damaged := len(chosen) - len(read):
        some = "1 snapshot is" if damaged == 1 else f"{damaged} snapshots are"
        notes.append(f"{some} damaged or no image, and left out.")
    kept, how = fitted(read, budget)
    every = len(record.snapshots) - damaged
    if len(kept) < every:
        how = [f"{len(kept)} of {every:,} snapshots, evenly spread", *how]
    return kept, notes + ([f"Shown are {', '.join(how)}; the files in samples/ are untouched."] if how else [])


def fitted(read: Sequence[tuple[int, bytes]], budget: int) -> tuple[list[Shot], list[str]]:
    """Images as they are, else compressed harder and harder, else fewer of them, until they fit."""
    left = list(read)
    while left:
        for quality in QUALITIES:
            made, size = [], 0
            for images, content in left:
                made.append(_shot(images, content, quality))
                size += len(made[-1].content)
                if size > budget:
                    break
            if size <= budget:
                return made, _how(quality, made)
        left = [left[k] for k in spread(len(left), len(left) // 2)]
    return [], []


def _how(quality: int, made: Sequence[Shot]) -> list[str]:
    return [f"compressed again (WebP, quality {quality})"] if quality and any(s.kind != "png" for s in made) else []


def _png(file: Path) -> bytes | None:
    """The bytes of an image that is whole and not too large to look at; else None."""
    try:
        if file.stat().st_size > LARGEST:
            return None
        content = file.read_bytes()
        with _opened(content) as image:
            if image.width * image.height > LARGEST:
                return None
            image.load()
        return content
    except Exception:  # whatever Pillow makes of a damaged file
        return None


def _opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=["PNG"])


def _shot(images: int, content: bytes, quality: int) -> Shot:
    with _opened(content) as image:
        if max(image.size) <= LONGEST and not quality:
            return Shot(images, content, "png")
        return Shot(images, *packed(image, quality or QUALITIES[1]))


def packed(image: Image.Image, quality: int, longest: int = LONGEST) -> tuple[bytes, str]:
    """An image made to fit into so many pixels a side, and its kind; quality 0: without loss."""
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    if quality and features.check("webp"):
        image.save(out, "WEBP", quality=quality, method=2)
        return out.getvalue(), "webp"
    image.save(out, "PNG", optimize=True)
    return out.getvalue(), "png"


def timeline(records: Sequence[Record]) -> tuple[Safe, list[str]]:
    """The images of all runs with one slider over the images they were trained on."""
    figures, notes, positions = [], [], set()
    for k, record in enumerate(records):
        kept, said = shots(record, BUDGET // len(records))
        notes += [f"{record.name}: {text}" if len(records) > 1 else text for text in said]
        positions |= {shot.images for shot in kept}
        figures.append(_figure(record, kept, k if len(records) > 1 else None))
    if not positions:
        return joined([tag("p", "There are no snapshots of samples to show.", class_="quiet")]), notes
    shown = tag("div", *figures, class_="shots many" if len(records) > 1 else "shots")
    return joined([_slider(sorted(positions)), shown]), notes


def _figure(record: Record, kept: Sequence[Shot], colour: int | None) -> Safe:
    name = None if colour is None else tag("span", tag("i", class_=f"key c{colour}"), record.name, class_="entry")
    images = [
        image_tag(
            shot.content,
            shot.kind,
            class_="shot",
            alt=f"Samples of {record.name} after {shot.images:,} images",
            data_images=shot.images,
            hidden=shot is not kept[-1],
        )
        for shot in kept
    ]
    after = tag("span", f"after {kept[-1].images:,} images" if kept else "no snapshots", class_="after")
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
        aria_label="Snapshot, by images seen in training",
        aria_valuetext=f"{positions[-1]:,} images",
        data_positions=" ".join(map(str, positions)),
    )
    button = tag("button", "Play", type="button", id="play", aria_label="Play the snapshots")
    output = tag("output", f"{positions[-1]:,} images", for_="snapshot", id="position")
    without = tag("noscript", tag("p", "The slider needs JavaScript; shown is the last snapshot.", class_="quiet"))
    return joined([tag("div", button, slider, output, class_="slider", hidden=True, id="slider"), without])
