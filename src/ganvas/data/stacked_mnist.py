"""Stacked MNIST: three random grey images as red, green and blue, with a known number of modes (Metz et al. 2017)."""

from pathlib import Path

import numpy as np

from ..errors import UsageError
from .cache import Annotations, ArrayWriter, SourceOptions, content_key, load_or_build
from .dataset import Dataset

COUNT = 50_000
CHUNK = 1024  # images composed at a time


def open_stacked(base: Dataset, options: SourceOptions, *, count: int = COUNT, seed: int = 0) -> Dataset:
    """Compose `count` images (H, W, 3) whose channels are labelled images of `base`, drawn independently.

    With K classes there are K^3 modes, and the label is the index (a K + b) K + c of those in red, green and blue: for
    digits 100 a + 10 b + c.  The draw follows from the seed alone.  Raises `UsageError` unless the images of `base`
    are grey and have classes.
    """
    if base.labels is None or base.facts.kind != "images" or base.facts.channels != 1:
        raise UsageError(f"{options.name}: stacked needs grey images with classes, such as digits or MNIST's files.")
    if count < 1:
        raise UsageError(f"{options.name}: stacked needs at least one image, as in stacked:{COUNT}:digits.")
    labels, usable, classes = base.labels, base.labelled, len(base.class_names)
    bits = np.random.Philox(key=np.array([seed & (1 << 64) - 1, 0], np.uint64)).random_raw(3 * count)
    chosen = usable[(bits % np.uint64(len(usable))).astype(np.int64)].reshape(count, 3)

    def build(file: Path) -> Annotations:
        height, width = base.facts.resolution
        with ArrayWriter(file, (height, width, 3), base.images.dtype) as rows:
            for start in range(0, count, CHUNK):
                part = chosen[start : start + CHUNK]
                for image in base.images[part.ravel(), ..., 0].reshape(-1, 3, height, width):
                    rows.append(image.transpose(1, 2, 0))
                if options.progress:
                    options.progress(start + len(part), count)
        index = labels[chosen] @ np.array([classes**2, classes, 1])
        note = f"three of {len(usable):,} images as red, green and blue (seed {seed}): {classes**3:,} modes"
        return Annotations(index, _triple_names(base.class_names), notes=[*base.notes, note])

    return load_or_build(content_key("stacked", base.fingerprint, count, seed), build, options)


def _triple_names(names: tuple[str, ...]) -> tuple[str, ...]:
    between = "" if all(len(n) == 1 for n in names) else " "
    return tuple(f"{a}{between}{b}{between}{c}" for a in names for b in names for c in names)
