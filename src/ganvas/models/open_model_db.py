"""Entries of OpenModelDB: a model's name, architecture, scale and licence, and where its files are offered.

The layout is that of the database's `data/models/ID.json` (https://github.com/OpenModelDB/open-model-database).
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError, printable
from ..files import read_json

OPEN_MODEL_DB = "openmodeldb.json"  # the entry in a model folder
ARCHITECTURES = {"rrdb": "esrgan", "srresnet": "sr-res-net"}  # ids of networks that are called otherwise here
MAX_BYTES = 1 << 20  # of an entry's file; the largest of the database has 20 kB
MOST_SCALE, MOST_CHANNELS, MOST_TEXT = 64, 64, 10_000
SHA256 = re.compile(r"[0-9a-f]{64}")
REQUIRED = ("architecture", "resources")  # a JSON object with neither is of another program


@dataclass(frozen=True)
class Resource:
    """One file of a model: its type (pth, safetensors, onnx), size in bytes, SHA-256, and where it is offered."""

    platform: str
    type: str
    size: int
    sha256: str  # in hexadecimal
    urls: tuple[str, ...] = ()  # of http and https

    def as_json(self) -> dict[str, Any]:
        """The resource in the database's layout."""
        about = {"platform": self.platform, "type": self.type, "size": self.size, "sha256": self.sha256}
        return {**about, "urls": list(self.urls)}


@dataclass(frozen=True)
class Entry:
    """The entry of one model."""

    name: str
    architecture: str  # the database's id, such as esrgan or compact
    scale: int
    resources: tuple[Resource, ...]
    author: str = ""  # several: separated by commas
    license: str | None = None  # SPDX; None: not known
    tags: tuple[str, ...] = ()
    description: str = ""
    date: str = ""  # of the release, as 2026-11-29
    channels: tuple[int, int] = (3, 3)  # of inputs and outputs
    size: tuple[str, ...] = ()  # of the network, such as 64nf
    file: Path | None = field(default=None, compare=False)  # that holds the entry

    def as_json(self) -> dict[str, Any]:
        """The entry in the database's layout."""
        return {
            "name": self.name,
            "author": self.author,
            "license": self.license,
            "tags": list(self.tags),
            "description": self.description,
            "date": self.date,
            "architecture": self.architecture,
            "size": list(self.size) or None,
            "scale": self.scale,
            "inputChannels": self.channels[0],
            "outputChannels": self.channels[1],
            "resources": [resource.as_json() for resource in self.resources],
            "images": [],
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the model: of its JSON file, which is the database's id, with its scale, and its own."""
        own = (self.file.stem,) if self.file else ()
        return tuple(dict.fromkeys((*own, f"{self.scale}x{self.name}", self.name)))


def read_entry(file: Path) -> Entry | None:
    """Read the entry in a file; None for a JSON object of another program.

    Raises `UserError` for a file that is no JSON object, is too large, or lacks what an entry has.
    """
    try:
        size = file.stat().st_size
    except OSError as problem:
        raise UserError(f"{printable(file)} cannot be read: {problem.strerror}.") from None
    if size > MAX_BYTES:
        raise UserError(f"{printable(file)} has {size:,} bytes, too many for an entry of OpenModelDB.")
    content = read_json(file)
    if not any(key in content for key in REQUIRED):
        return None
    return _Reader(content, file).entry()


class _Reader:
    """The values of an entry by their keys, checked; raises `UserError` with the first key that is wrong."""

    def __init__(self, content: dict[str, Any], file: Path):
        self.content, self.file = content, file

    def entry(self) -> Entry:
        names = {key: self.text(self.content, key) for key in ("name", "architecture")}
        scale, *channels = (
            self.number(self.content, key, most)
            for key, most in (
                ("scale", MOST_SCALE),
                ("inputChannels", MOST_CHANNELS),
                ("outputChannels", MOST_CHANNELS),
            )
        )
        resources = self.content.get("resources")
        if not isinstance(resources, list) or not all(isinstance(r, dict) for r in resources):
            raise self.wrong("resources", resources)
        return Entry(
            **names,
            scale=scale,
            resources=tuple(map(self.resource, resources)),
            author=", ".join(self.texts("author")),
            license=", ".join(self.texts("license")) or None,
            tags=self.texts("tags"),
            description=" ".join(self.texts("description")),
            date=", ".join(self.texts("date")),
            channels=(channels[0], channels[1]),
            size=self.texts("size"),
            file=self.file,
        )

    def resource(self, about: dict[str, Any]) -> Resource:
        digest, urls = about.get("sha256"), about.get("urls", [])
        if not isinstance(digest, str) or not SHA256.fullmatch(digest.lower()):
            raise self.wrong("sha256", digest)
        if not isinstance(urls, list) or not all(isinstance(url, str) and len(url) <= MOST_TEXT for url in urls):
            raise self.wrong("urls", urls)
        web = tuple(url for url in urls if re.match(r"https?://", url))
        size = self.number(about, "size", math.inf)
        return Resource(self.text(about, "platform"), self.text(about, "type").lower(), size, digest.lower(), web)

    def text(self, place: dict[str, Any], key: str) -> str:
        value = place.get(key)
        if not isinstance(value, str) or not value.strip() or len(value) > MOST_TEXT:
            raise self.wrong(key, value)
        return value.strip()

    def texts(self, key: str) -> tuple[str, ...]:
        """A text or a list of texts; nothing where the key is absent or null."""
        value = self.content.get(key)
        texts = [value] if isinstance(value, str) else [] if value is None else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise self.wrong(key, value)
        return tuple(text[:MOST_TEXT] for text in texts if text)

    def number(self, place: dict[str, Any], key: str, most: float) -> int:
        value = place.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise self.wrong(key, value)
        return value

    def wrong(self, key: str, value: object) -> UserError:
        """The error for a key that is absent or holds something else than an entry's."""
        state = f"{key} {repr(value)[:60]}" if value is not None else f"no {key}"
        return UserError(f"{printable(self.file)} is no entry of OpenModelDB: it has {state}.")
