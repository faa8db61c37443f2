"""Run folders as a training leaves them, written by hand in no time, and a reader of the pages made of them."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

from ganvas import catalog

VOID = {"meta", "img", "input", "br", "link"}


def config(recipe="dcgan_small", *, source="digits", images=20_000, changes=(), **data):
    made = catalog.RECIPES[recipe]()
    made.images = images
    for path, value in dict(changes).items():
        made.set(path, value)
    facts = {
        "source": source,
        "path": None,
        "asked_resolution": None,
        "images": 1797,
        "fingerprint": "ab" * 16,
        "class_names": [str(k) for k in range(10)],
        "resolution": [32, 32],
        "channels": 1,
        "classes": 10,
    }
    return {
        "recipe_name": recipe,
        "recipe": made.to_dict(),
        "data": {**facts, **data},
        "seed": 3,
        "precision": "fp32",
        "versions": {"ganvas": "0.1.0", "torch": "2.13.0"},
        "hardware": {"device": "cpu", "processor": "A processor", "cores": 2},
    }


def log(count=50, every=400):
    """Lines that no rule of the doctor's finds anything in."""
    return [
        {
            "images": every * (k + 1),
            "seconds": 1.5 * (k + 1),
            "images_per_second": 400.0 + k % 7,
            "d/adversarial": 1.2 + 0.01 * (k % 5),
            "g/adversarial": 0.8 + 0.02 * (k % 3),
            "d/gradient_norm": 2.0 + k % 3,
            "g/gradient_norm": 10.0 ** (k % 4),
        }
        for k in range(count)
    ]


def measured(count=4, every=5000, **more):
    said = {"features": "pocket", "resizer": "antialiased bicubic to 32x32", "fake": {"name": "model", "images": 500}}
    return [
        {"metric": "fd", "trained_images": every * (k + 1), "fd": 4.0 / (k + 1), **said, **more} for k in range(count)
    ]


def write_run(folder: Path, *, snapshots=5, size=64, lines=None, evaluations=None, **options) -> Path:
    """A run folder without weights; snapshot k is one flat grey of 40 k, so that a browser can tell which is shown."""
    (folder / "samples").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config(**options)), encoding="utf-8")
    rows = log() if lines is None else lines
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if evaluations is not None:
        text = "".join(json.dumps(row) + "\n" for row in evaluations)
        (folder / "evaluation.jsonl").write_text(text, encoding="utf-8")
    for k in range(snapshots):
        Image.new("RGB", (size, size), (40 * k % 256,) * 3).save(folder / "samples" / f"{4000 * k:012d}.png")
    return folder


def noisy(folder: Path, count: int, size: int) -> None:
    """Snapshots that do not compress."""
    rng = np.random.default_rng(0)
    for k in range(count):
        pixels = rng.integers(0, 256, (size, size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "samples" / f"{100 * k:012d}.png")


class Page(HTMLParser):
    """A page as a browser's parser would see it: elements, their text, and whether they close one another rightly."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.inside: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name, (name, self.getpos())

    def handle_data(self, data):
        self.inside.setdefault(self.open[-1] if self.open else "", []).append(data)
        if not {"script", "style"} & {*self.open}:
            self.text.append(data)

    def all(self, name, class_=None):
        return [
            a for n, a in self.elements if n == name and (class_ is None or class_ in (a.get("class") or "").split())
        ]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())
