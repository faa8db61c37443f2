"""Make the strip of images at the top of README from those of the gallery and of the embedded models.

    python benchmarks/strip.py DOCS [-o DOCS/strip.webp]

Samples are not chosen: they are the first rows of docs/gallery/*.webp, which begin with seed 0, and docs/models/*.webp.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

WIDTH, GAP, QUALITY = 1000, 6, 80
ROWS: tuple[tuple[tuple[str, float], ...], ...] = (  # image, and which share of its height from the top
    (("models/clean", 1.0), ("models/lowlight", 1.0)),
    (("gallery/r3gan", 0.5), ("models/digits", 1.0), ("models/emoji", 1.0), ("models/paint_ink", 1.0)),
)


def row(images: list[Image.Image]) -> Image.Image:
    """Images side by side, of one height, `WIDTH` wide."""
    free = WIDTH - GAP * (len(images) - 1)
    height = round(free / sum(image.width / image.height for image in images))
    strip, left = Image.new("RGB", (WIDTH, height), "white"), 0
    for k, image in enumerate(images):
        last = k == len(images) - 1
        width = WIDTH - left if last else round(image.width / image.height * height)
        strip.paste(image.resize((width, height), Image.Resampling.LANCZOS), (left, 0))
        left += width + GAP
    return strip


def part(file: Path, share: float) -> Image.Image:
    with Image.open(file) as image:
        return image.convert("RGB").crop((0, 0, image.width, round(share * image.height)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("docs", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    rows = [row([part(asked.docs / f"{name}.webp", share) for name, share in names]) for names in ROWS]
    strip = Image.new("RGB", (WIDTH, sum(r.height for r in rows) + GAP * (len(rows) - 1)), "white")
    top = 0
    for r in rows:
        strip.paste(r, (0, top))
        top += r.height + GAP
    file = asked.output or asked.docs / "strip.webp"
    strip.save(file, quality=QUALITY)
    print(f"{file}: {strip.width}x{strip.height}, {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
