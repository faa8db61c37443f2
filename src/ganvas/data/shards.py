"""WebDataset tar shards: images with their labels and captions in tar files, read where they lie.

A sample is a run of members with one name up to the first dot: `000001.jpg`, `000001.cls`, `000001.txt` (a caption) or
`000001.json` (`label`, `text`).  Nothing is unpacked, and a member's name is never a path.
"""

import json
import re
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from ..errors import UserError, printable
from .files import is_image
from .labels import LABEL_COLUMNS, TEXT_COLUMNS, Label

BLOCK = 512  # bytes of a tar's header, to a multiple of which members are filled
MOST_TEXT = 1 << 20  # bytes of a label or a caption
MAX_MEMBER = 1 << 30  # bytes of an image
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass
class Sample:
    """An image in a shard with what belongs to it."""

    name: str  # of the image's member
    offset: int  # bytes from the shard's beginning
    size: int
    label: Label = None
    text: str = ""


@dataclass
class _Parts:
    """Members of one sample, by what follows the first dot: (name, offset, size)."""

    key: str = ""
    members: dict[str, tuple[str, int, int]] = field(default_factory=dict)


def expand_braces(text: str) -> list[str]:
    """`shards/{0000..0099}.tar` as names, with as many digits as are written; several braces multiply."""
    match = BRACES.search(text)
    if match is None:
        return [text]
    first, last = int(match[1]), int(match[2])
    if not 0 <= last - first < 1_000_000:
        raise UserError(f"{text}: {match[0]} counts from {first} to {last}; write {{0000..0099}}.")
    names = (f"{text[: match.start()]}{k:0{len(match[1])}d}{text[match.end() :]}" for k in range(first, last + 1))
    return [name for part in names for name in expand_braces(part)]


def read_samples(stream: BinaryIO, size: int, shard: str) -> Iterator[Sample]:
    """The samples of a shard, an open file of `size` bytes; those without an image are left out.

    Raises `UserError` with the shard and the member where a shard is cut off or damaged.
    """
    parts = _Parts()
    for name, offset, length in _members(stream, size, shard):
        path = PurePosixPath(name)
        base, _, rest = path.name.partition(".")
        key = str(path.with_name(base)) if base else name
        if key != parts.key and parts.members:
            yield from _sample(parts, stream, shard)
        if key != parts.key:
            parts = _Parts(key)
        parts.members.setdefault(rest.lower(), (name, offset, length))
    yield from _sample(parts, stream, shard)


def _members(stream: BinaryIO, size: int, shard: str) -> Iterator[tuple[str, int, int]]:
    """Name, place and size of every regular file of a tar."""
    if stream.read(2) == b"\x1f\x8b":
        raise UserError(f"{shard} is compressed, so that its images cannot be found in it; `gunzip` it first.")
    stream.seek(0)
    last = ""
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # a shard's list of members may be long
                last = member.name
                if member.offset_data + member.size > size:
                    there = max(0, size - member.offset_data)
                    raise UserError(_cut(shard, last, f"holds {there:,} of its {member.size:,} bytes"))
                if member.isreg() and not PurePosixPath(last).name.startswith("."):
                    yield last, member.offset_data, member.size
            end = tar.offset
    except (tarfile.TarError, EOFError, OSError, ValueError) as problem:
        if not last:
            raise UserError(f"{shard} is not a tar that can be read: {problem}.") from None
        raise UserError(_cut(shard, last, "is the last that can be read")) from None
    stream.seek(end)
    if stream.read(BLOCK).strip(b"\0") or size % BLOCK:
        raise UserError(_cut(shard, last, "is the last that can be read"))


def _cut(shard: str, member: str, what: str) -> str:
    return f"{shard} is cut off or damaged: {printable(member)} {what}; copy the shard again, or make it anew."


def _sample(parts: _Parts, stream: BinaryIO, shard: str) -> Iterator[Sample]:
    images = [rest for rest in parts.members if is_image(f".{rest}")]
    if not images:
        return
    name, offset, size = parts.members[min(images, key=lambda rest: rest.count("."))]
    if size > MAX_MEMBER:
        raise UserError(f"{shard}: {printable(name)} has {size >> 20:,} MiB, over the limit of {MAX_MEMBER >> 20:,}.")
    sample = Sample(name, offset, size)
    for kind in ("json", "cls", "txt"):
        if kind in parts.members:
            text = _text(stream, parts.members[kind], shard)
            if kind == "cls":
                sample.label = sys.intern(text.strip()) or None
            elif kind == "txt":
                sample.text = text.strip()
            else:
                _read_json(sample, text, f"{shard}: {printable(parts.members[kind][0])}")
    yield sample


def _text(stream: BinaryIO, member: tuple[str, int, int], shard: str) -> str:
    name, offset, size = member
    if size > MOST_TEXT:
        raise UserError(f"{shard}: {printable(name)} has {size:,} bytes, too many for a label or a caption.")
    before = stream.tell()
    stream.seek(offset)
    text = stream.read(size).decode("utf-8", "replace")
    stream.seek(before)
    return text


def _read_json(sample: Sample, text: str, where: str) -> None:
    try:
        facts: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"{where} is not valid JSON.") from None
    if isinstance(facts, dict):
        value = next((facts[k] for k in ("label", "cls", *LABEL_COLUMNS) if facts.get(k) is not None), None)
        sample.label = as_label(value, where)
        sample.text = str(next((facts[k] for k in ("text", *TEXT_COLUMNS) if isinstance(facts.get(k), str)), ""))


def as_label(value: Any, where: str) -> Label:
    """A label of a file's value: a word, a whole number or a list of numbers."""
    if value is None or isinstance(value, str):
        return sys.intern(value.strip()) or None if value else None
    if isinstance(value, list) and value and all(isinstance(v, (int, float)) for v in value):
        return tuple(map(float, value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, (int, float)):
        return sys.intern(str(int(value) if isinstance(value, bool) else value))
    raise UserError(f"{where}: the label must be a word, a number or a list of numbers, not {value!r}.")


def split_of(name: str) -> str:
    """The split that a data file's name stands for, `train`, `test` or `validation`; empty if it names none."""
    words = re.split(r"[^a-z]+", name.lower())
    kinds = {"train": "train", "training": "train", "test": "test", "testing": "test"}
    kinds |= dict.fromkeys(("validation", "valid", "val", "dev", "eval"), "validation")
    return next((kinds[word] for word in words if word in kinds), "")


def choose_split(names: list[str], split: str, where: str) -> tuple[list[str], list[str]]:
    """The names of one split, by default the training one, and notes; all names where they name no splits."""
    counts, split_name = Counter(map(split_of, names)), split_of(split) or split
    if not split and len(counts) > 1:
        split_name = "train" if counts["train"] else counts.most_common(1)[0][0]
    if split_name and not counts[split_name]:
        there = ", ".join(filter(None, counts)) or "one without a name"
        raise UserError(f"{where} has no split {split!r}, only {there}.")
    chosen = [name for name in names if split_of(name) == split_name] if split_name else names
    others = sorted(filter(None, counts.keys() - {split_name}))
    return chosen, [f"the split {split_name}; there are also {', '.join(others)}"] if split_name and others else []
