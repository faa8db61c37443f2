"""Pairs of files of equal name in two folders of images."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..data.files import Folder, Tree, Zip, is_image
from ..data.names import align_names
from ..errors import UsageError
from ..imaging import decode
from ..imaging.decode import BadImage, DecodedImage

Pair = tuple[str, DecodedImage, DecodedImage]


def pairs(a: Path, b: Path) -> Iterator[Pair]:
    """Pairs (name, image of A, image of B), one at a time: files of equal name without suffix, or two files.

    Names may be longer on one side (`baby_x4` beside `baby`) if every image has one partner.
    Raises `UsageError` if an image has no partner, `UserError` for a file that is no image.
    """
    if a.is_file() and b.is_file() and ".zip" not in (a.suffix.lower(), b.suffix.lower()):
        yield a.stem, decode_image(a, str(a)), decode_image(b, str(b))
        return
    left, right = tree(a), tree(b)
    ours, theirs = align_names(stems(left, a), stems(right, b))
    if len(ours) != len(theirs):
        alone = sorted(ours.keys() - theirs.keys() or theirs.keys() - ours.keys())
        counts = f"{a} holds {len(ours)} images and {b} {len(theirs)}"
        raise UsageError(f"{counts}; each needs one partner, and {alone[0]} has none of its name.")
    partners = {name: find_partner(name, theirs, b) for name in ours}
    if len(set(partners.values())) < len(partners):
        twice = Counter(partners.values()).most_common(1)[0][0]
        several = " or ".join(name for name in partners if partners[name] == twice)
        raise UsageError(f"{b} holds {twice}, which could belong to {several}; rename or remove one.")
    for name, file in ours.items():
        other = partners[name]
        with left.open(file) as x, right.open(other) as y:
            yield file.rpartition(".")[0], decode_image(x, file), decode_image(y, other)


def tree(path: Path) -> Tree:
    """A folder or a zip; raises `UsageError` for anything else."""
    if path.is_dir():
        return Folder(path)
    if path.is_file() and path.suffix.lower() == ".zip":
        return Zip(path)
    problem = "is no folder, zip or image" if path.exists() else "does not exist"
    raise UsageError(f"{path} {problem}; give a folder, a zip or an image, which are compared file by file.")


def stems(files: Tree, path: Path) -> dict[str, str]:
    """Image files by name without suffix; raises `UsageError` for two of one name."""
    names: dict[str, str] = {}
    for file in sorted(filter(is_image, files.files)):
        name = file.rpartition(".")[0]
        if name in names:
            raise UsageError(f"{path} holds both {names[name]} and {file}, so that {name} could be either; keep one.")
        names[name] = file
    if not names:
        raise UsageError(f"{path} holds no images; they end in {', '.join(decode.SUFFIXES[:4])}, ...")
    return names


def find_partner(name: str, others: dict[str, str], where: Path) -> str:
    """The partner of an image among `others`; raises `UsageError` if none or several could be meant."""
    if name in others:
        return others[name]
    near = [other for other in others if is_longer_name(other, name) or is_longer_name(name, other)]
    if len(near) != 1:
        raise UsageError(
            f"{where} holds {'several images' if near else 'no image'} for {name}; give both the same name."
        )
    return others[near[0]]


def is_longer_name(longer: str, name: str) -> bool:
    """True for a name followed by something else, except a number followed by more digits: 10 does not continue 1."""
    rest = longer.removeprefix(name)
    return longer.startswith(name) and not (name[-1:].isdigit() and rest[:1].isdigit())


def decode_image(source: Path | BinaryIO, name: str) -> DecodedImage:
    """Decode an image file; raises `BadImage` with its name."""
    try:
        return decode.read_image(source)
    except BadImage as problem:
        raise BadImage(problem.reason, name) from None


def levels(decoded: DecodedImage) -> np.ndarray:
    """Levels (H, W, C) float64 in [0, 255] of an image of any bit depth."""
    scale = 257.0 if decoded.array.dtype == np.uint16 else 1.0
    return decoded.array.astype(np.float64) / scale
