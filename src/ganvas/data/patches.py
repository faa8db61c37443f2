"""Images of any size cut into tiles of one size at full resolution, to train restoration.

A tile is twice as wide as the crop that is trained on, where the images allow it, so that `random_window` can draw the
position of every crop.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .annotations import summarize_skipped
from .cache import Annotations, ArrayWriter, SourceOptions, content_key, load_or_build, map_in_order
from .dataset import Dataset
from .files import Tree, is_image
from .folder import load_image, survey
from .pairs import combine, match_pairs

Size = tuple[int, int]


@dataclass
class TiledFiles:
    """Files of a tree to be cut into tiles of one size."""

    tree: Tree
    files: list[str]
    tile: Size
    channels: int
    dtype: type

    def write(self, file: Path, options: SourceOptions) -> Annotations:
        """Write all tiles to an .npy file; raises `UserError` for an image that cannot be read."""
        changes = Counter[str]()
        loaded = map_in_order(lambda path: load_image(self.tree, path, self.channels, self.dtype), self.files, ahead=4)
        with ArrayWriter(file, (*self.tile, self.channels), self.dtype) as rows:
            for done, (path, result) in enumerate(zip(self.files, loaded), 1):
                if isinstance(result, str):
                    raise UserError(f"{options.name}: {path} {result}; repair or remove it.")
                for part in iterate_tiles(result[0], self.tile):
                    rows.append(part)
                changes.update(result[1])
                if options.progress:
                    options.progress(done, len(self.files))
        return Annotations(notes=[f"{count:,} images: {change}" for change, count in changes.most_common()])

    def load_or_build(self, options: SourceOptions) -> Dataset:
        """Load the tiles of all files from the cache, or cut them."""
        kind: list[Any] = [self.tile, self.channels, np.dtype(self.dtype).name]
        kind += [self.tree.levels] if self.tree.levels else []
        images = None if options.earlier else filter(is_image, self.tree.files)
        key = content_key("tiles", self.tree.digest(images), self.files, kind)
        return load_or_build(key, lambda file: self.write(file, options), options)


def tile_starts(length: int, tile: int) -> list[int]:
    """First pixels of tiles along a side: one tile after the other, the last one at the end."""
    starts = list(range(0, length - tile + 1, tile))
    return starts if starts[-1] + tile == length else [*starts, length - tile]


def iterate_tiles(array: np.ndarray, size: Size) -> Iterator[np.ndarray]:
    """Yield tiles (h, w) of an image (H, W, C), row by row; the last of a row or column overlaps the one before."""
    (height, width), (h, w) = array.shape[:2], size
    for top in tile_starts(height, h):
        for left in tile_starts(width, w):
            yield array[top : top + h, left : left + w]


def choose_tile(
    sizes: dict[str, Size], window: Size, scale: int = 1, earlier: bool = False
) -> tuple[Size, dict[str, str]]:
    """Choose the size of tiles, a multiple of `scale`; returns with it the files that are too small, with reasons.

    It is twice the window, limited to a shorter side that four fifths of the images have, and at least the window:
    images of both orientations are used, and a few small ones among many do not make all tiles small.  `earlier`:
    limited to the medians of heights and of widths, as earlier versions did.
    """
    small = {f: _too_small(size, window) for f, size in sizes.items() if not fits(size, window)}
    large = {f: size for f, size in sizes.items() if f not in small}
    if not large:
        return window, small
    sides = np.array(list(large.values()))
    shorter = np.quantile(sides.min(1), 0.2, method="nearest")
    most = np.median(sides, axis=0) if earlier else (shorter, shorter)
    h, w = (max(side, min(2 * side, int(usual))) // scale * scale for side, usual in zip(window, most))
    return (h, w), small | {f: _too_small(size, (h, w)) for f, size in large.items() if not fits(size, (h, w))}


def open_patches(tree: Tree, window: Size, options: SourceOptions) -> Dataset:
    """Open the images of a folder or a zip at their own resolution, for crops of `window` (height, width).

    Smaller images are skipped; raises `UserError` if none is left.
    """
    files = [f for f in tree.files if is_image(f)]
    headers = survey(tree, files)
    tile, small = choose_tile(headers.size_of, window, earlier=options.earlier)
    bad = [*headers.bad, *small.items()]
    large = [f for f in headers.files if f not in small]
    if not large:
        reasons = summarize_skipped(bad) or "no image"
        raise UserError(f"{options.name}: no patches can be cut from its {len(files):,} files: {reasons}.")
    dataset = TiledFiles(tree, large, tile, headers.channels, headers.dtype).load_or_build(options)
    note = f"tiles of {tile[1]}x{tile[0]} of {len(large):,} images, at their own resolution"
    notes = [note, *headers.notes(), *dataset.notes]
    return replace(dataset, window=window, notes=notes, skipped=[*tree.skipped, *bad])


def fits(size: Size, inside: Size) -> bool:
    """True if `size` is at least `inside` on both sides."""
    return size[0] >= inside[0] and size[1] >= inside[1]


def _too_small(size: Size, tile: Size) -> str:
    return f"is {size[1]}x{size[0]}, smaller than the {tile[1]}x{tile[0]} that are cut out"


def open_paired_patches(source: Tree, target: Tree, window: Size, options: SourceOptions) -> Dataset:
    """Open pairs of files of equal names at their own resolution; a target is a whole factor larger than its source.

    Raises `UserError` for files without a partner, for pairs of several factors, or if none is large enough.
    """
    name, pairs = options.name, match_pairs(source, target, options.name)
    sides = survey(source, [s for s, _ in pairs]), survey(target, [t for _, t in pairs])
    bad = dict(sides[0].bad) | dict(sides[1].bad)
    readable = [(s, t) for s, t in pairs if s not in bad and t not in bad]
    scale = common_scale([(sides[0].size_of[s], sides[1].size_of[t], s, t) for s, t in readable], name)
    window = (-(-window[0] // scale) * scale, -(-window[1] // scale) * scale)
    tile, small = choose_tile({t: sides[1].size_of[t] for _, t in readable}, window, scale, options.earlier)
    large = [(s, t) for s, t in readable if t not in small]
    if not large:
        reasons = summarize_skipped([*bad.items(), *small.items()]) or "there is no pair"
        raise UserError(f"{name}: no patches can be cut from its {len(pairs):,} pairs: {reasons}.")
    right = TiledFiles(target, [t for _, t in large], tile, sides[1].channels, sides[1].dtype)
    low = (tile[0] // scale, tile[1] // scale)
    low_files = TiledFiles(source, [s for s, _ in large], low, sides[0].channels, sides[0].dtype)
    left, dataset = low_files.load_or_build(options), right.load_or_build(options)
    note = f"tiles of {tile[1]}x{tile[0]} of {len(large):,} pairs, the target {scale} times as large"
    notes = [note, *dict.fromkeys([*dataset.notes, *(f"sources: {note}" for note in left.notes)])]
    cropped = replace(dataset, paired=True, window=window)
    return combine("paired tiles", left, cropped, name, notes, sorted({**bad, **small}.items()))


def common_scale(pairs: list[tuple[Size, Size, str, str]], name: str) -> int:
    """Factor by which every target is larger than its source; raises `UserError` with the first that differs."""
    scale = 0
    for small, large, s, t in pairs:
        factor = large[0] // small[0]
        if factor < 1 or (small[0] * factor, small[1] * factor) != large or (scale and factor != scale):
            sizes = f"{s} is {small[1]}x{small[0]} and {t} {large[1]}x{large[0]}"
            expected = f"{scale} times, as in the pairs before" if scale else "a whole number of times"
            raise UserError(f"{name}: {sizes}; a target is {expected} as large as its source.")
        scale = factor
    return scale or 1
