"""Images of any size, cut into tiles of one size at their full resolution: what restoration learns from.

A tile is twice as wide as what is trained on, where the images allow it, so that `window` can take that from a place
of its own every time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..imaging.decode import BadImage, read_image, to_8bit, to_channels, whiten_hidden
from .annotations import by_reason
from .cache import Content, Progress, Rows, content_key, ordered, prepare
from .dataset import Dataset
from .files import Tree, is_image
from .folder import Loaded, Survey, survey
from .pairs import fingerprint_of, matched

Size = tuple[int, int]


@dataclass
class Cut:
    """Which files of a tree are cut into tiles of which size."""

    tree: Tree
    files: list[str]
    tile: Size
    channels: int
    dtype: type

    def content(self, file: Path, name: str, progress: Progress | None) -> Content:
        """Write all tiles to an .npy; raises `UserError` for an image that cannot be read after all."""
        work, changes = ordered(self._loader(), self.files, ahead=4), Counter[str]()
        with Rows(file, (*self.tile, self.channels), self.dtype) as rows:
            for done, (path, made) in enumerate(zip(self.files, work), 1):
                if isinstance(made, str):
                    raise UserError(f"{name}: {path} {made}; mend it or take it away.")
                for part in tiles(made[0], self.tile):
                    rows.append(part)
                changes.update(made[1])
                if progress:
                    progress(done, len(self.files))
        return Content(notes=[f"{count:,} images: {change}" for change, count in changes.most_common()])

    def _loader(self) -> Callable[[str], Loaded]:
        def load(path: str) -> Loaded:
            try:
                with self.tree.open(path) as stream:
                    image = read_image(stream)
            except BadImage as e:
                return e.reason
            array = image.array if self.dtype == np.uint16 else to_8bit(image.array)
            array = to_channels(array, self.channels)
            return whiten_hidden(array) if self.channels == 4 else array, image.notes

        return load

    def prepared(self, name: str, cache: Path | None, progress: Progress | None) -> Dataset:
        """The tiles of all files, from the cache if they are there."""
        kind = [self.tile, self.channels, np.dtype(self.dtype).name]
        key = content_key("tiles", self.tree.digest(), self.files, kind)
        return prepare(key, lambda file: self.content(file, name, progress), name=name, cache=cache)


def places(length: int, tile: int) -> list[int]:
    """Where tiles begin along a side: one after the other, the last one at the end."""
    starts = list(range(0, length - tile + 1, tile))
    return starts if starts[-1] + tile == length else [*starts, length - tile]


def tiles(array: np.ndarray, size: Size) -> Iterator[np.ndarray]:
    """An image (H, W, C) in tiles of (h, w), row by row; the last of a row and a column overlap those before them."""
    (height, width), (h, w) = array.shape[:2], size
    for top in places(height, h):
        for left in places(width, w):
            yield array[top : top + h, left : left + w]


def tile_size(sizes: Counter[Size], window: Size) -> Size:
    """Twice the window, but no more than half of the images hold, and in whole windows' worth of no less than one."""
    found = []
    for axis, side in enumerate(window):
        lengths = np.repeat([s[axis] for s in sizes], list(sizes.values()))
        found.append(max(side, min(2 * side, int(np.median(lengths)))))
    return found[0], found[1]


def open_patches(
    tree: Tree, *, name: str, window: Size, cache: Path | None = None, progress: Progress | None = None
) -> Dataset:
    """The images of a folder or a zip at their own resolution, for windows of (height, width) pixels.

    Smaller images are skipped; raises `UserError` if none is left.
    """
    files = [f for f in tree.files if is_image(f)]
    found = survey(tree, files)
    bad = found.bad + _small(found, window)
    large = [f for f in found.files if f not in dict(bad)]
    if not large:
        raise UserError(f"{name}: no patches can be cut from its {len(files):,} files: {by_reason(bad) or 'no image'}.")
    sizes = Counter({size: n for size, n in found.sizes.items() if fits(size, window)})
    tile = tile_size(sizes, window)
    bad += [(f, _too_small(found.size_of[f], tile)) for f in large if not fits(found.size_of[f], tile)]
    cut = Cut(tree, [f for f in large if f not in dict(bad)], tile, found.channels, found.dtype)
    made = cut.prepared(name, cache, progress)
    note = f"tiles of {tile[1]}x{tile[0]} of {len(cut.files):,} images, at their own resolution"
    return replace(made, window=window, notes=[note, *found.notes(), *made.notes], skipped=[*tree.skipped, *bad])


def fits(size: Size, inside: Size) -> bool:
    """Whether (height, width) holds a window of that size."""
    return size[0] >= inside[0] and size[1] >= inside[1]


def _small(found: Survey, window: Size) -> list[tuple[str, str]]:
    sizes = found.size_of
    return [(f, _too_small(sizes[f], window)) for f in found.files if not fits(sizes[f], window)]


def _too_small(size: Size, wanted: Size) -> str:
    return f"is {size[1]}x{size[0]}, smaller than the {wanted[1]}x{wanted[0]} that are cut out"


def open_paired_patches(
    source: Tree,
    target: Tree,
    *,
    name: str,
    window: Size,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Pairs of files called alike, the target so many times larger than the source, at their own resolution.

    Raises `UserError` for files without a partner, for pairs of several scales, or if none is large enough.
    """
    pairs = matched(source, target, name)
    sides = survey(source, [s for s, _ in pairs]), survey(target, [t for _, t in pairs])
    bad = dict(sides[0].bad) | dict(sides[1].bad)
    whole = [(s, t) for s, t in pairs if s not in bad and t not in bad]
    scale = common_scale([(sides[0].size_of[s], sides[1].size_of[t], s, t) for s, t in whole], name)
    window = (-(-window[0] // scale) * scale, -(-window[1] // scale) * scale)
    small = {t: _too_small(sides[1].size_of[t], window) for _, t in whole if not fits(sides[1].size_of[t], window)}
    kept = [(s, t) for s, t in whole if t not in small]
    if not kept:
        reasons = by_reason([*bad.items(), *small.items()]) or "there is no pair"
        raise UserError(f"{name}: no patches can be cut from its {len(pairs):,} pairs: {reasons}.")
    tile = tile_size(Counter(sides[1].size_of[t] for _, t in kept), window)
    tile = (tile[0] // scale * scale, tile[1] // scale * scale)
    small |= {t: _too_small(sides[1].size_of[t], tile) for _, t in kept if not fits(sides[1].size_of[t], tile)}
    kept = [(s, t) for s, t in kept if t not in small]
    right = Cut(target, [t for _, t in kept], tile, sides[1].channels, sides[1].dtype)
    low = (tile[0] // scale, tile[1] // scale)
    left = Cut(source, [s for s, _ in kept], low, sides[0].channels, sides[0].dtype).prepared(name, cache, progress)
    made = right.prepared(name, cache, progress)
    return replace(
        made,
        sources=left.images,
        paired=True,
        window=window,
        name=name,
        notes=[
            f"tiles of {tile[1]}x{tile[0]} of {len(kept):,} pairs, the target {scale} times as large",
            *dict.fromkeys([*made.notes, *(f"sources: {note}" for note in left.notes)]),
        ],
        skipped=sorted({**bad, **small}.items()),
        fingerprint=fingerprint_of("paired tiles", left, made),
    )


def common_scale(pairs: list[tuple[Size, Size, str, str]], name: str) -> int:
    """How many times larger every target is than its source; raises `UserError` naming the first that differs."""
    scale = 0
    for small, large, s, t in pairs:
        factor = large[0] // small[0]
        if factor < 1 or (small[0] * factor, small[1] * factor) != large or (scale and factor != scale):
            sizes = f"{s} is {small[1]}x{small[0]} and {t} {large[1]}x{large[0]}"
            expected = f"{scale} times, as in the pairs before" if scale else "a whole number of times"
            raise UserError(f"{name}: {sizes}; a target is {expected} as large as its source.")
        scale = factor
    return scale or 1
