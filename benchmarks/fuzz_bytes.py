"""Mutations of bytes, of JSON and of archives, for `fuzz.py`."""

from __future__ import annotations

import copy
import io
import json
import struct
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1)
DEEP: list[Any] = []
for _ in range(900):
    DEEP = [DEEP]
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 0.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"), 10**12, 2**63, -(2**63)),
    *("", "x", "nan", "x" * 5000, "\ud800", "../../x", "[red]x[/]", "1", [], [0], [None], [8, 8, 8], {}, {"": None}),
    *({"()": "os:system"}, {"()": "DCGAN"}, {"()": ["x"]}, [[1, 2], [3]], DEEP, [1] * 10_000, {"images": 8}),
)


@dataclass
class Case:
    """A mutated file or folder: what was done, what to do with it, and the content where it is one file."""

    what: str
    act: Callable[[], str]  # returns the refusal, or nothing
    content: bytes = b""


def pick(rng, items: Sequence[Any]) -> Any:
    """One of several."""
    return items[int(rng.integers(0, len(items)))]


def mutate_bytes(rng, data: bytes, other: bytes) -> tuple[str, bytes]:
    """Flip bits, set numbers to extremes, cut, insert, double or splice; `other` is a donor."""
    size = max(len(data), 1)
    at = int(size * rng.random() ** pick(rng, (1, 1, 3)))  # often near the beginning
    length = int(pick(rng, (1, 2, 4, 8, 16, 64, max(size // 4, 1))))
    what = pick(rng, ("flip", "flip", "set", "set", "cut", "insert", "double", "splice", "zero", "drop"))
    out = bytearray(data)
    if what == "flip":
        for _ in range(int(pick(rng, (1, 1, 2, 8)))):
            place = int(rng.integers(0, size))
            if place < len(out):
                out[place] ^= 1 << int(rng.integers(0, 8))
    elif what == "set":
        value, form = int(pick(rng, EXTREMES)), pick(rng, ("B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
        packed = struct.pack(form, value & ((1 << (8 * struct.calcsize(form))) - 1))
        out[at : at + len(packed)] = packed
    elif what == "cut":
        del out[at:]
    elif what == "insert":
        out[at:at] = rng.bytes(length)
    elif what == "double":
        out[at:at] = out[at : at + length] * int(pick(rng, (1, 2, 10)))
    elif what == "splice":
        out[at:] = other[int(rng.integers(0, len(other) + 1)) :]
    elif what == "zero":
        out[at : at + length] = bytes([int(pick(rng, (0, 255)))]) * len(out[at : at + length])
    else:
        del out[at : at + length]
    return f"{what} at {at}", bytes(out)


def mutate_value(rng, root: Any, path: str = "") -> tuple[str, Any]:
    """Replace, drop, rename or double one value somewhere inside dictionaries and lists."""
    keys = list(root) if isinstance(root, dict) else list(range(len(root))) if isinstance(root, list) else []
    if not keys:
        return f"{path} = ...", copy.deepcopy(pick(rng, VALUES))
    key, root = pick(rng, keys), copy.copy(root)
    value, here = root[key], f"{path}/{key}"
    if isinstance(value, (dict, list)) and len(value) and rng.random() < 0.75:
        what, root[key] = mutate_value(rng, value, here)
        return what, root
    what = pick(rng, ("replace", "replace", "replace", "drop", "rename", "double"))
    if what == "drop":
        del root[key]
    elif what == "replace" or isinstance(root, list):
        root[key] = copy.deepcopy(pick(rng, VALUES))
        return f"{here} = {str(root[key])[:20]}", root
    elif what == "rename":
        root[pick(rng, (f"{key}x", "", "()", "task"))] = root.pop(key)
    else:
        root[key] = [value, value]
    return f"{what} {here}", root


def mutate_json(rng, data: bytes) -> tuple[str, bytes]:
    """Change one value of a JSON file (or of one line of several), or its bytes."""
    lines = data.splitlines(True) if b"}\n{" in data else [data]
    at = int(rng.integers(0, len(lines)))
    if rng.random() < 0.15:
        return mutate_bytes(rng, data, data)
    what, value = mutate_value(rng, json.loads(lines[at]))
    lines[at] = json.dumps(value).encode() + b"\n"
    return what, b"".join(lines)


def mutate_archive(rng, data: bytes, change: Callable[[str, bytes], bytes]) -> tuple[str, bytes]:
    """Change one member of a zip archive by `change` or as bytes, or how it is packed, with right checksums."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = pick(rng, list(members))
    what = pick(rng, ("value", "value", "value", "bytes", "drop", "packed", "flags", "method", "twice"))
    if what in ("value", "bytes"):
        old = members[name]
        members[name] = change(name, old) if what == "value" else mutate_bytes(rng, old, data)[1]
    elif what == "drop":
        del members[name]
    out = io.BytesIO()
    packing = zipfile.ZIP_DEFLATED if what == "packed" else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", packing) as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member), content, packing)
        if what == "twice":
            archive.writestr(name + "x", members[name])
    raw = bytearray(out.getvalue())
    if what in ("flags", "method"):
        value = 1 if what == "flags" else int(pick(rng, (1, 8, 9, 12, 14, 97, 99)))
        for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            at = raw.find(magic) + offset + (2 if what == "method" else 0)
            raw[at : at + 2] = struct.pack("<H", value)
    return f"{what} {name}", bytes(raw)
