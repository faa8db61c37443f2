"""Two folders of images, file by file: what is compared with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..data.files import Folder, Tree, Zip, is_image
from ..errors import UsageError
from ..imaging import decode
from ..imaging.decode import BadImage, DecodedImage

Pair = tuple[str, DecodedImage, DecodedImage]


def pairs(a: Path, b: Path) -> Iterator[Pair]:
    """Images of the same name in both, whatever their suffix, or two files: (name, of A, of B), one at a time.

    Names may have a suffix more on one side (`baby_x4` beside `baby`) if that tells every image apart.
    Raises `UsageError` if an image has no partner, `UserError` for a file that is no image.
    """
    if a.is_file() and b.is_file() and not {a.suffix.lower(), b.suffix.lower()} & {".zip"}:
        yield a.stem, read_image(a), read_image(b)
        return
    left, right = tree(a), tree(b)
    ours, theirs = stems(left, a), stems(right, b)
    if len(ours) != len(theirs):
        raise UsageError(f"{a} holds {len(ours)} images and {b} {len(theirs)}; they cannot be compared one by one.")
    found = {name: partner(name, theirs, b) for name in ours}
    if len(set(found.values())) < len(found):
        twice = Counter(found.values()).most_common(1)[0][0]
        several = " or ".join(name for name in found if found[name] == twice)
        raise UsageError(f"{b} holds {twice}, which could belong to {several}.")
    for name, file in ours.items():
        other = found[name]
        with left.open(file) as x, right.open(other) as y:
            yield name, named(x, file), named(y, other)


def tree(path: Path) -> Tree:
    """A folder or a zip; raises `UsageError` for anything else."""
    if path.is_dir():
        return Folder(path)
    if path.is_file() and path.suffix.lower() == ".zip":
        return Zip(path)
    found = "is no folder, zip or image" if path.exists() else "does not exist"
    raise UsageError(f"{path} {found}; images are compared file by file.")


def stems(files: Tree, path: Path) -> dict[str, str]:
    """Images by their name without suffix; raises `UsageError` for two of one name."""
    found: dict[str, str] = {}
    for file in sorted(files.files):
        if not is_image(file):
            continue
        name = file.rpartition(".")[0]
        if name in found:
            raise UsageError(f"{path} holds both {found[name]} and {file}, so that {name} could be either.")
        found[name] = file
    if not found:
        raise UsageError(f"{path} holds no images.")
    return found


def partner(name: str, others: dict[str, str], where: Path) -> str:
    """The image of that name among others; raises `UsageError` if none or several could be meant."""
    if name in others:
        return others[name]
    near = [other for other in others if begins(other, name) or begins(name, other)]
    if len(near) != 1:
        raise UsageError(f"{where} holds {'several images' if near else 'no image'} for {name}.")
    return others[near[0]]


def begins(longer: str, name: str) -> bool:
    """Whether a name is another and something behind it; 10 is not 1 and something behind it."""
    rest = longer.removeprefix(name)
    return longer.startswith(name) and not (name[-1:].isdigit() and rest[:1].isdigit())


def read_image(file: Path) -> DecodedImage:
    """One file as an image."""
    return named(file, str(file))


def named(source: Path | BinaryIO, name: str) -> DecodedImage:
    """What a file holds; a refusal names the file."""
    try:
        return decode.read_image(source)
    except BadImage as problem:
        raise BadImage(problem.reason, name) from None


def levels(decoded: DecodedImage) -> np.ndarray:
    """(H, W, C) float64 in [0, 255], whatever the bit depth was."""
    scale = 257.0 if decoded.array.dtype == np.uint16 else 1.0
    return decoded.array.astype(np.float64) / scale
