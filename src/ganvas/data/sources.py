"""What `--data` may name, and how each becomes a data set."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..config import UsageError, did_you_mean
from .arrays import open_arrays
from .dataset import Dataset
from .embedded import open_digits, open_photos
from .folder import open_tree
from .idx import is_idx, open_idx
from .prepare import SMALLEST, Progress
from .stacked import COUNT, open_stacked
from .toy import open_toy
from .tree import Folder, Zip

LARGEST = 4096  # pixels


class Source(NamedTuple):
    """One entry of `ganvas list data`."""

    summary: str
    open: Callable[[tuple[int, int] | None], Dataset] | None = None  # None: a kind of path, not a name


def _points(resolution: tuple[int, int] | None, *, name: str) -> Dataset:
    if resolution:
        raise UsageError(f"{name} is points in the plane, which have no --resolution; leave it out.")
    return open_toy(name)


SOURCES = {
    "digits": Source("1,797 real handwritten digits of scikit-learn, grey, ten classes (embedded)", open_digits),
    "photos": Source("tiles of the photographs that scikit-learn and scikit-image carry (embedded)", open_photos),
    "ring": Source("points of 8 Gaussians on a circle, in the plane", partial(_points, name="ring")),
    "grid": Source("points of 25 Gaussians on a 5x5 grid, in the plane", partial(_points, name="grid")),
    "swissroll": Source("points on a spiral, in the plane", partial(_points, name="swissroll")),
    "folder": Source("a folder of images, however deep; first-level sub-folders become labels"),
    "zip": Source("a zip of such a folder; nothing is unpacked to disk"),
    "metadata": Source("a metadata.jsonl or CSV beside the images: file_name, and label (word, number, list) or text"),
    "idx": Source("the IDX files of MNIST, or the folder that holds them; labels are found beside them"),
    "stacked": Source("as stacked:SOURCE, three images of a grey source as R, G and B (Stacked MNIST: 1,000 modes)"),
    "npz": Source("an .npz (images, labels) or .npy: (N, H, W), (N, H, W, C) or (N, C, H, W)"),
}


def parse_resolution(text: str | int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) from `64`, `"64"`, `"64x48"` (width x height), or a tuple that already is (height, width)."""
    if isinstance(text, str):
        found = re.fullmatch(r"(\d+)(?:[xX](\d+))?", text.strip())
        if not found:
            raise UsageError(f"--resolution takes a size as 64 or 96x64 (width x height), not {text!r}.")
        width = int(found[1])
        height = int(found[2] or width)
    else:
        height, width = text if isinstance(text, (tuple, list)) else (text, text)
    if min(height, width) < SMALLEST or max(height, width) > LARGEST:
        raise UsageError(
            f"--resolution {width if width == height else f'{width}x{height}'}: each side must be"
            f" from {SMALLEST} to {LARGEST} pixels."
        )
    return height, width


def open_source(
    name: str,
    *,
    resolution: tuple[int, int] | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """The data set that `name` (the text given to --data) means.

    `resolution` is (height, width), None: as the source suggests; `cache` is where prepared pictures are kept, None:
    $GANVAS_CACHE or ~/.cache/ganvas; `progress(done, total)` counts pictures while they are prepared.
    Raises `UsageError` for a source that is not known, `UserError` for one whose content cannot be used.
    """
    size = parse_resolution(resolution) if resolution is not None else None
    built_in = SOURCES[name].open if name in SOURCES else None
    if built_in:
        return built_in(size)
    stacked = re.fullmatch(r"stacked:(?:(\d+):)?(.+)", name, re.DOTALL)
    if stacked:
        base = open_source(stacked[2], resolution=size, cache=cache, progress=progress)
        count = int(stacked[1] or COUNT)
        return open_stacked(base, name=name, count=count, cache=cache, progress=progress)
    path = Path(name).expanduser()
    if not name or not path.exists():
        raise _unknown(name)
    opened = partial(_open_path, name=name, resolution=size, cache=cache, progress=progress)
    return opened(path)


def _open_path(
    path: Path, *, name: str, resolution: tuple[int, int] | None, cache: Path | None, progress: Progress | None
) -> Dataset:
    suffix = path.suffix.lower()
    if path.is_dir():
        tree = Folder(path)
        if is_idx(path):
            return open_idx(path, name=name, resolution=resolution, cache=cache, progress=progress)
        return open_tree(tree, name=name, resolution=resolution, cache=cache, progress=progress)
    if is_idx(path):
        return open_idx(path, name=name, resolution=resolution, cache=cache, progress=progress)
    if suffix in (".npy", ".npz"):
        return open_arrays(path, name=name, resolution=resolution, cache=cache, progress=progress)
    if suffix == ".zip":
        return open_tree(Zip(path), name=name, resolution=resolution, cache=cache, progress=progress)
    if suffix in (".jsonl", ".csv"):
        tree, metadata = Folder(path.parent), path.name
        return open_tree(tree, name=name, metadata=metadata, resolution=resolution, cache=cache, progress=progress)
    raise UsageError(f"{name} is a file that is no data source; {_WORKS}.")


_NAMES = [name for name, source in SOURCES.items() if source.open]
_WORKS = f"--data takes {', '.join(_NAMES)}, a folder of images, a zip, MNIST's IDX files, an .npz or .npy"


def _unknown(name: str) -> UsageError:
    return UsageError(f"There is no data source, folder or file {name!r}.{did_you_mean(name, _NAMES)} {_WORKS}.")
