"""Data sources by name, as given to `--data`, and how each is opened."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..catalog import SOURCES
from ..errors import UsageError, UserError, did_you_mean
from ..imaging.file_kinds import IMAGE, kind_of_file
from ..imaging.levels import Levels
from ..paths import as_address, user_path
from .arrays import open_arrays
from .builtin import open_digits, open_photos
from .cache import OWN, SMALLEST, Progress, SourceOptions
from .containers import conversion
from .dataset import DERIVED_CHANNELS, Dataset
from .fetched import RemoteShards, fetch_source
from .files import Folder, Tree, Zip, is_image
from .folder import open_tree
from .hub import HUB, fetch_data
from .idx import is_idx, open_idx
from .masks import open_with_masks
from .mixture import MIX, open_mixture, parse_mixture
from .pairs import combine_fingerprints, combine_in_order, combine_unpaired, open_halves, open_pairs
from .parquet import open_parquet
from .patches import open_paired_patches, open_patches
from .shard_index import LocalShards, open_shards
from .shards import BRACES, choose_split, expand_braces
from .stacked_mnist import COUNT, open_stacked
from .stacks import STACK, SUFFIXES, Pages, open_channels, split_stack
from .tables import SUFFIXES as TABLES
from .toy import CURVES, MIXTURES, open_toy

LARGEST = 4096  # pixels


BUILT_IN: dict[str, Callable[[tuple[int, int] | None], Dataset]] = {
    "digits": open_digits,
    "photos": open_photos,
    **{name: partial(open_toy, name) for name in (*MIXTURES, *CURVES)},
}
_WORKS = f"--data takes {', '.join(BUILT_IN)}, a folder of images, a zip, tar shards, parquet, MNIST's IDX files,"
_WORKS += (
    f" an .npz or .npy, an address (s3://, https://), hf:NAME, or a table of labels beside images ({', '.join(TABLES)})"
)


def parse_resolution(text: str | int | tuple[int, int]) -> tuple[int, int]:
    """Parse `64`, `"64"`, `"64x48"` (width x height) or a tuple (height, width) to (height, width)."""
    if isinstance(text, str):
        match = re.fullmatch(r"(\d+)(?:[xX](\d+))?", text.strip())
        if not match:
            raise UsageError(f"--resolution takes a size as 64 or 96x64 (width x height), not {text!r}.")
        width = int(match[1])
        height = int(match[2] or width)
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
    patch: int = 0,
    earlier: bool = False,
) -> Dataset:
    """Open the data set that `name`, the text given to --data, refers to.

    `resolution` is (height, width), None: chosen by the source, OWN: the images' own, however large.  `cache` is the
    folder of prepared images, None: $GANVAS_CACHE or ~/.cache/ganvas.  `progress(done, total)` counts prepared images.
    With `patch`, images in folders, zips and pairs of them keep their own resolution, and crops of `patch` pixels a
    side (or of `resolution`, if given) are trained on.  `earlier`: with the fingerprint that earlier versions gave it.
    Raises `UsageError` for an unknown source, `UserError` for one whose content cannot be used.
    """
    size = resolution if resolution in (None, OWN) else parse_resolution(resolution)
    built_in = BUILT_IN.get(name)
    if built_in:
        size = None if size == OWN else size
        return built_in(size or ((patch, patch) if patch and name == "photos" else None))
    options = SourceOptions(name, size, cache, progress, earlier=earlier)
    if patch and (cut := _open_patches(size or (patch, patch), options)):
        return cut
    for pattern, opener in COMBINATIONS:
        match = re.fullmatch(pattern, name, re.DOTALL)
        if match:
            return opener(options, *match.groups())
    return _open_named(name, options)


def open_saved(name: str, fingerprint: str | None, labels: int | None, seed: int, **options: Any) -> Dataset:
    """Open the data of a run that may be of an earlier version, with `labels` of its labels kept.

    Earlier versions counted files beside the images in the fingerprint; theirs is taken if it is the run's.
    """
    dataset = open_source(name, **options)
    dataset = dataset if labels is None else dataset.keep_labels(labels, seed)
    if fingerprint is None or fingerprint == dataset.fingerprint or options.get("earlier"):
        return dataset
    with suppress(UserError):
        earlier = open_saved(name, fingerprint, labels, seed, **options, earlier=True)
        return earlier if earlier.fingerprint == fingerprint else dataset
    return dataset


def _open_patches(window: tuple[int, int], options: SourceOptions) -> Dataset | None:
    """Open a folder, a zip, or a pair of them for random crops; None for any other source."""
    name, pair = options.name, re.fullmatch(PAIR, options.name, re.DOTALL)
    if pair and are_files(*pair.groups()):
        return open_paired_patches(open_pair_tree(pair[1], options), open_pair_tree(pair[2], options), window, options)
    if pair:
        return None
    if name.startswith("pages:"):
        return open_patches(open_pair_tree(name, options), window, options)
    path = _local_path(_split_levels(name)[1], options)
    if not (path.is_dir() and not is_idx(path)) and not (path.is_file() and path.suffix.lower() == ".zip"):
        return None
    return open_patches(open_pair_tree(name, options), window, options)


def _open_part(name: str, options: SourceOptions) -> Dataset:
    """Open a source that is a part of another one."""
    given = {"resolution": options.resolution, "cache": options.cache, "progress": options.progress}
    return open_source(name, **given, earlier=options.earlier)  # type: ignore[arg-type]


def _derive(options: SourceOptions, derivation: str, base: str) -> Dataset:
    name, data = options.name, _open_part(base, options)
    if data.facts.kind != "images" or data.images.dtype.kind != "u":
        raise UsageError(
            f"{name}: {derivation} sources are made of images, and {base} is points; give a folder or photos."
        )
    if data.facts.source_channels:
        raise UsageError(f"{name}: {base} already has sources; leave {derivation}: out.")
    return replace(data, derivation=derivation, name=name, fingerprint=combine_fingerprints(derivation, data))


def _open_unpaired(options: SourceOptions, a: str, b: str) -> Dataset:
    target = _open_part(b, options)
    if target.facts.kind == "images":
        options = replace(options, resolution=target.facts.resolution)
    return combine_unpaired(_open_part(a, options), target, name=options.name)


def _split_levels(name: str) -> tuple[Levels | None, str]:
    """The values that become black and white, as in `levels:0:4095:DIR`, or None, and the rest of a name."""
    match = re.fullmatch(LEVELS, name, re.DOTALL)
    if not match:
        return None, name
    levels = float(match[1]), float(match[2])
    if levels[0] == levels[1]:
        raise UsageError(f"{name}: black and white are both {levels[0]:g}; give two values, as levels:0:1:{match[3]}.")
    return levels, match[3]


def _open_levels(options: SourceOptions, *_: str) -> Dataset:
    levels, name = _split_levels(options.name)
    if name in BUILT_IN or any(re.fullmatch(pattern, name, re.DOTALL) for pattern, _ in COMBINATIONS):
        raise UsageError(f"{options.name}: levels:LOW:HIGH: stands directly before a folder, an archive or an array.")
    return _open_named(name, replace(options, levels=levels))


def _open_with_masks(options: SourceOptions, image: str, mask: str) -> Dataset:
    return open_with_masks(open_pair_tree(image, options), open_pair_tree(mask, options), options)


def _open_stack(options: SourceOptions, kind: str, rest: str) -> Dataset:
    """Open TIFFs whose pages are images, or channels of one image each."""
    if kind == "pages":
        return open_tree(open_pair_tree(f"pages:{rest}", options), options)
    levels, base = _split_levels(rest)
    return open_channels(_existing_path(base, options), levels, options)


def are_files(*names: str) -> bool:
    """True if all names are those of folders, zips or pages, whose images are matched by name."""
    return not any(map(_is_ordered, names))


def _is_ordered(name: str) -> bool:
    """True for an array, and for another source whose images have no names."""
    base = _split_levels(name)[1]
    if stack := split_stack(base):
        return stack[0] == "channels"
    combined = any(re.fullmatch(pattern, base, re.DOTALL) for pattern, _ in COMBINATIONS)
    return combined or base in BUILT_IN or base.lower().endswith((".npy", ".npz"))


def _open_pair(options: SourceOptions, source: str, target: str) -> Dataset:
    """Open pairs from folders, zips or pages by name, or from arrays and other sources in order."""
    if are_files(source, target):
        return open_pairs(open_pair_tree(source, options), open_pair_tree(target, options), options)
    right = _open_part(target, options)
    left = _open_part(source, replace(options, resolution=OWN))
    if combined := combine_in_order(left, right, options.name):
        return combined
    size = replace(options, resolution=right.facts.resolution)
    combined = combine_in_order(_open_part(source, size), right, options.name)
    assert combined is not None
    return combined


def open_pair_tree(name: str, options: SourceOptions) -> Tree:
    """Open a folder, a zip or the pages of TIFFs as a tree of files."""
    if (stack := split_stack(name)) and stack[0] == "pages":
        levels, base = _split_levels(stack[1])
        return Pages(_existing_path(base, options), options.name, levels)
    levels, base = _split_levels(name)
    path = _local_path(base, options)
    if path.is_dir():
        return Folder(path, levels, options.earlier)
    if path.is_file() and path.suffix.lower() == ".zip":
        return Zip(path, levels, options.earlier)
    raise UsageError(f"{options.name}: {name!r} is neither a folder nor a zip, which pairs of images need.")


NUMBER = r"([-+]?\d*\.?\d+(?:e[-+]?\d+)?)"
LEVELS = rf"levels:{NUMBER}:{NUMBER}:(.+)"
PAIR = r"source=(.+),target=(.+)"
COMBINATIONS: list[tuple[str, Callable[..., Dataset]]] = [  # called with the options and the groups of the pattern
    (LEVELS, _open_levels),
    (HUB, lambda o, name, split: _open_hub(o, name, split)),
    (r"stacked:(?:(\d+):)?(.+)", lambda o, n, base: open_stacked(_open_part(base, o), o, count=int(n or COUNT))),
    (STACK, _open_stack),
    (MIX, lambda o, by_source, parts: open_mixture(o, by_source, parts, _open_part)),
    (rf"({'|'.join(DERIVED_CHANNELS)}):(.+)", _derive),
    (r"(AB|BA):(.+)", lambda o, order, path: open_halves(open_pair_tree(path, o), o, swapped=order == "BA")),
    (PAIR, _open_pair),
    (r"image=(.+),mask=(.+)", _open_with_masks),
    (r"a=(.+),b=(.+)", _open_unpaired),
]


def absolute_source(name: str) -> str | None:
    """Name of the same source with absolute paths; None for a built-in source."""
    if not name or name in SOURCES:
        return None
    if as_address(name) or re.fullmatch(HUB, name):
        return name
    if mixture := re.fullmatch(MIX, name, re.DOTALL):
        weighted = parse_mixture(name, mixture[2])
        return f"mix:{mixture[1] or ''}" + ",".join(f"{absolute_source(s) or s}={w:g}" for s, w in weighted)
    for pattern, _ in COMBINATIONS:
        match = re.fullmatch(pattern, name, re.DOTALL)
        if match:
            last, parts = match.lastindex or 0, name
            for k in range(last, 0, -1):
                if match[k] and (k == last or "=" in pattern):
                    parts = parts[: match.start(k)] + (absolute_source(match[k]) or match[k]) + parts[match.end(k) :]
            return parts
    return os.path.abspath(os.path.expanduser(name))


def _is_remote(name: str) -> bool:
    address = as_address(name)
    return address is not None and not address.startswith(("file:", "hf:"))


def _local_path(name: str, options: SourceOptions) -> Path:
    """The path of a file or folder, of one at an address that in the cache."""
    if _is_remote(name):
        return fetch_source(name, options.cache)[0]
    return user_path(name, "--data")


def _existing_path(name: str, options: SourceOptions) -> Path:
    """The path of a source; raises `UsageError` if there is nothing."""
    path = _local_path(name, options)
    if not name or not path.exists():
        near = did_you_mean(name, list(BUILT_IN))
        raise UsageError(f"There is no data source, folder or file {name!r}.{near} {_WORKS}.")
    return path


def _open_named(name: str, options: SourceOptions) -> Dataset:
    """Open a source that is no combination: a path, an address, or several shards by braces."""
    if _is_remote(name):
        return _open_remote(name, options)
    if BRACES.search(name) and not os.path.exists(name):
        return open_shards(LocalShards([user_path(part, "--data") for part in expand_braces(name)]), options)
    return _open_path(_existing_path(name, options), options)


def _open_remote(address: str, options: SourceOptions) -> Dataset:
    """Open an address: tar shards where they are, anything else from the cache."""
    if BRACES.search(address) or address.lower().endswith(".tar"):
        return open_shards(RemoteShards(expand_braces(address), options.cache), options)
    path, notes = fetch_source(address, options.cache)
    dataset = _open_path(path, options)
    dataset.notes = [*notes, *dataset.notes]
    return dataset


def _open_hub(options: SourceOptions, name: str, split: str | None) -> Dataset:
    folder, files, notes = fetch_data(name, split or "")
    paths = [folder / file for file in files]
    if files[0].lower().endswith(".parquet"):
        return open_parquet(paths, options, notes)
    if files[0].lower().endswith(".tar"):
        return open_shards(LocalShards(paths), options, notes)
    if len(files) == 1 and files[0].lower().endswith(".zip"):
        return _open_path(paths[0], options)
    return open_tree(Folder(folder, options.levels), options)


def _open_folder(path: Path, options: SourceOptions) -> Dataset:
    """Open a folder: of images, or else of parquet files or tar shards."""
    tree = Folder(path, options.levels, options.earlier)
    if not any(map(is_image, tree.files)):
        for suffix, opener in (
            (".parquet", open_parquet),
            (".tar", lambda paths, *o: open_shards(LocalShards(paths), *o)),
        ):
            if files := [file for file in tree.files if file.lower().endswith(suffix)]:
                files, notes = choose_split(files, "", options.name)
                return opener([path / file for file in files], options, notes)
        if way_out := conversion(tree.files, path):
            raise UserError(way_out)
    return open_tree(tree, options)


def _open_path(path: Path, options: SourceOptions) -> Dataset:
    suffix = path.suffix.lower()
    if path.is_dir():
        return open_idx(path, options) if is_idx(path) else _open_folder(path, options)
    if is_idx(path):
        return open_idx(path, options)
    if suffix in (".npy", ".npz"):
        return open_arrays(path, options)
    if suffix == ".zip":
        return open_tree(Zip(path, options.levels, options.earlier), options)
    if suffix == ".tar":
        return open_shards(LocalShards([path]), options)
    if suffix == ".parquet":
        return open_parquet([path], options)
    if suffix in TABLES:
        return open_tree(Folder(path.parent, options.levels, options.earlier), options, path.name)
    if suffix in SUFFIXES:
        way_out = f"pages:{path} takes its pages as images, channels:{path} as the channels of one"
        raise UsageError(f"{options.name} is a TIFF: {way_out}.")
    if way_out := conversion([path.name], path.parent):
        raise UsageError(way_out)
    kind = kind_of_file(path)
    known_as = f" It is {kind.name}: {kind.way_out}." if kind and kind is not IMAGE else ""
    raise UsageError(f"{options.name} is not a data source; {_WORKS}.{known_as}")
