"""Mixture of several sources in one data set, by weight: `mix:A=3,B=1`."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import UsageError
from ..imaging.decode import to_channels
from .cache import Annotations, ArrayWriter, SourceOptions, content_key, load_or_build
from .dataset import Dataset

PART = r"(.+?)=(\d*\.?\d+)(?:,|$)"
MIX = r"mix:(labels:)?((?:.+?=\d*\.?\d+(?:,|$))+)"
LARGEST = 20  # times the number of images, by which repetition may grow the data


def parse_mixture(name: str, text: str) -> list[tuple[str, float]]:
    """Sources and weights of `A=3,B=1`; raises `UsageError` for a single source, or a weight of 0."""
    parts = [(source, float(weight)) for source, weight in re.findall(PART, text)]
    if len(parts) < 2 or any(weight <= 0 for _, weight in parts):
        raise UsageError(f"{name}: a mixture is of two sources or more with weights above 0, as mix:A=3,B=1.")
    return parts


def counts_of(sizes: Sequence[int], weights: Sequence[float], name: str) -> list[int]:
    """The number of images of each source: every image at least once, in the ratio of the weights.

    Raises `UsageError` for weights so unequal that the data would grow more than twenty times.
    """
    scale = max(size / weight for size, weight in zip(sizes, weights))
    counts = [max(round(weight * scale), size) for size, weight in zip(sizes, weights)]
    if sum(counts) > LARGEST * sum(sizes):
        raise UsageError(
            f"{name}: with these weights {sum(sizes):,} images would be repeated to {sum(counts):,}; give weights that"
            " are nearer to the numbers of images."
        )
    return counts


def mix(parts: Sequence[Dataset], weights: Sequence[float], options: SourceOptions, by_source: bool) -> Dataset:
    """Mix images of one size: those of every source repeated to the share of its weight.

    Labels are kept where all sources have classes, matched by name; `by_source` makes the source the label.  Images of
    fewer channels become those of the source with most.  Raises `UsageError` for points, and for other sizes.
    """
    for part in parts:
        if part.facts.kind != "images" or part.facts.source_channels or part.facts.attributes:
            raise UsageError(
                f"{options.name}: {part.name} holds points, pairs or vectors; mix sources of plain images."
            )
    sizes = {part.facts.resolution for part in parts}
    if len(sizes) > 1:
        raise UsageError(f"{options.name}: the sources have {len(sizes)} sizes of images; give --resolution.")
    counts = counts_of([len(part) for part in parts], weights, options.name)
    names = [part.name for part in parts] if by_source else common_classes(parts)
    channels, dtype = (
        max(p.facts.channels for p in parts),
        max((p.images.dtype for p in parts), key=lambda d: d.itemsize),
    )

    def build(file: Path) -> Annotations:
        (shape,) = sizes
        with ArrayWriter(file, (*shape, channels), dtype) as rows:
            for part, count in zip(parts, counts):
                for k in range(count):
                    rows.append(convert(part.images[k % len(part)], channels, dtype))
        labels = [label(part, k, count, names, by_source) for k, (part, count) in enumerate(zip(parts, counts))]
        listed = ", ".join(f"{count:,} of {part.name}" for part, count in zip(parts, counts))
        note = f"a mixture: {listed}; {sum(counts) - sum(map(len, parts)):,} are repetitions"
        return Annotations(np.concatenate(labels) if names else None, tuple(names), notes=[note])

    key = content_key("mix", [part.fingerprint for part in parts], counts, by_source, options.resolution)
    return load_or_build(key, build, options)


def convert(image: np.ndarray, channels: int, dtype: np.dtype) -> np.ndarray:
    """An image (H, W, C) with more channels, and in 16 bits if others have them."""
    image = to_channels(image, channels)
    return image if image.dtype == dtype else image.astype(np.uint16) * 257


def common_classes(parts: Sequence[Dataset]) -> list[str]:
    """The classes of all sources in the order in which they appear; none if a source has no labels."""
    if any(part.labels is None for part in parts):
        return []
    return list(dict.fromkeys(name for part in parts for name in part.class_names))


def label(part: Dataset, index: int, count: int, names: Sequence[str], by_source: bool) -> np.ndarray:
    """The labels of `count` images of a source, repeated as the images are."""
    if by_source or part.labels is None:
        return np.full(count, index if by_source else -1, np.int64)
    own = np.array([names.index(name) if name in names else -1 for name in part.class_names] + [-1])
    return own[np.resize(part.labels, count)]


def open_mixture(
    options: SourceOptions, by_source: str | None, text: str, open_part: Callable[[str, SourceOptions], Dataset]
) -> Dataset:
    """Open the sources of a mixture, in the resolution of the first where none is given, and mix them."""
    parts: list[Dataset] = []
    pairs = parse_mixture(options.name, text)
    for source, _ in pairs:
        parts.append(open_part(source, options))
        options = replace(options, resolution=options.resolution or parts[0].facts.resolution)
    return mix(parts, [weight for _, weight in pairs], options, bool(by_source))
