"""Whether `textgan` obeys: MNIST with captions of a grammar, and how often samples show what their caption asks for.

    python benchmarks/text.py data captions.zip                     MNIST of $GANVAS_DATA with a caption an image
    python benchmarks/text.py train captions.zip runs/text          `ganvas train textgan --preset tiny`
    python benchmarks/text.py measure runs/text captions.zip --judge runs/gallery/judge
    python benchmarks/text.py images runs/text text.webp            the grid of docs/text.md

A caption names the digit, in English or in German, and in half of the captions each its stroke and its slant: "a thin
slanted seven", "two", "eine dicke gerade Acht".  Thin and thick are the lowest and the highest third of a class by
measured stroke width, upright and slanted those by measured slant.  The judge is benchmarks/judge.py's.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

from judge import Judge

import ganvas
from ganvas.api import grid, open_source
from ganvas.models.model import Model

DATA = Path(os.environ.get("GANVAS_DATA", Path(__file__).parents[2] / "shared" / "data"))
ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GERMAN = ("Null", "Eins", "Zwei", "Drei", "Vier", "Fünf", "Sechs", "Sieben", "Acht", "Neun")
LANGUAGES = {  # article, thin and thick, upright and slanted, digits
    "en": ("a", ("thin", "thick"), ("upright", "slanted"), ENGLISH),
    "de": ("eine", ("dünne", "dicke"), ("gerade", "schräge"), GERMAN),
}
LOW, MIDDLE, HIGH = -1, 0, 1  # thirds of a class
EACH = 16  # samples of a caption
SEED = 0


def describe(digit: int, stroke: int, slant: int, language: str) -> str:
    """The caption of a digit; a stroke or slant of `MIDDLE` is not named, and a bare digit has no article."""
    article, strokes, slants, digits = LANGUAGES[language]
    words = [pair[third > 0] for pair, third in ((strokes, stroke), (slants, slant)) if third]
    return " ".join([article, *words, digits[digit]] if words else [digits[digit]])


def stroke_width(images: Tensor) -> Tensor:
    """Stroke width in pixels of images (N, 1, H, W) in [-1, 1]: (N,), twice the ink over the length of its outline."""
    ink = torch.nn.functional.pad((images[:, 0].double().clamp(-1, 1) + 1) / 2, (1, 1, 1, 1))
    down, right = ink[:, 1:, :-1] - ink[:, :-1, :-1], ink[:, :-1, 1:] - ink[:, :-1, :-1]
    return 2 * ink.sum((1, 2)) / (down**2 + right**2).sqrt().sum((1, 2)).clamp(min=1e-9)


def slant(images: Tensor) -> Tensor:
    """Slant of images (N, 1, H, W) in [-1, 1]: (N,), pixels to the right for each pixel up, by second moments."""
    ink = (images[:, 0].double().clamp(-1, 1) + 1) / 2
    mass = ink.sum((1, 2)).clamp(min=1e-9)
    y, x = (torch.arange(n, dtype=torch.float64) for n in ink.shape[1:])
    my, mx = ink.sum(2) @ y / mass, ink.sum(1) @ x / mass
    dy, dx = y[None] - my[:, None], x[None] - mx[:, None]
    both = torch.einsum("nhw,nh,nw->n", ink, dy, dx)
    return -both / torch.einsum("nhw,nh->n", ink, dy**2).clamp(min=1e-9)


def thirds(values: Tensor, labels: Tensor) -> Tensor:
    """The third of its class that each value (N,) lies in: (N,) of `LOW`, `MIDDLE` and `HIGH`."""
    found = torch.zeros(len(values), dtype=torch.long)
    for k in labels.unique():
        low, high = values[labels == k].quantile(torch.tensor([1 / 3, 2 / 3], dtype=torch.float64))
        found[labels == k] = ((values > high).long() - (values < low).long())[labels == k]
    return found


def write_data(file: Path) -> None:
    """Write a zip archive of MNIST's training images, with a caption each in metadata.jsonl."""
    source = open_source(str(DATA / "mnist"))
    labels = torch.from_numpy(np.asarray(source.labels)).long()
    images = torch.from_numpy(source.images[:].copy()).permute(0, 3, 1, 2)
    levels = images.float() / 127.5 - 1
    strokes, slants = thirds(stroke_width(levels), labels), thirds(slant(levels), labels)
    random = torch.Generator().manual_seed(SEED)
    named = torch.rand(2, len(labels), generator=random) < 0.75  # two thirds of these lie outside the middle
    german = torch.rand(len(labels), generator=random) < 0.5
    rows = zip(labels.tolist(), (strokes * named[0]).tolist(), (slants * named[1]).tolist(), german.tolist())
    with zipfile.ZipFile(file, "w") as archive:
        lines = []
        for k, (digit, stroke, lean, other) in enumerate(rows):
            png = io.BytesIO()
            Image.fromarray(images[k, 0].numpy()).save(png, "PNG")
            archive.writestr(f"{k:05d}.png", png.getvalue())
            text = describe(digit, stroke, lean, "de" if other else "en")
            lines.append(json.dumps({"file_name": f"{k:05d}.png", "text": text}, ensure_ascii=False))
        archive.writestr("metadata.jsonl", "\n".join(lines) + "\n")


def spearman(a: Tensor, b: Tensor) -> float:
    """Rank correlation of two series (N,), ties by their mean rank."""

    def ranks(x: Tensor) -> Tensor:
        _, places, counts = x.unique(return_inverse=True, return_counts=True)
        return (counts.cumsum(0).double() - (counts.double() - 1) / 2)[places]

    return torch.corrcoef(torch.stack([ranks(a), ranks(b)]))[0, 1].item()


def asked(languages: tuple[str, ...] = ("en", "de")) -> Iterator[tuple[str, int, int, int]]:
    """Every caption of the grammar, with its digit, stroke and slant."""
    thirds_ = (LOW, MIDDLE, HIGH)
    for language, digit, stroke, lean in itertools.product(languages, range(10), thirds_, thirds_):
        yield describe(digit, stroke, lean, language), digit, stroke, lean


def order(measured: Tensor, third: Tensor, digits: Tensor) -> float:
    """Spearman correlation of the third asked for and the measured value within each class, mean of the classes."""
    named = third != MIDDLE
    found = [spearman(third[rows], measured[rows]) for k in range(10) if (rows := named & (digits == k)).any()]
    return sum(found) / len(found)


def variety(images: Tensor, meaning: Tensor) -> float:
    """Mean over captions of the same meaning (N,) of the deviation of a pixel between their images, range [0, 1]."""
    groups = [(images[meaning == k].clamp(-1, 1) + 1) / 2 for k in meaning.unique()]
    return sum(group.var(0).mean().sqrt().item() for group in groups) / len(groups)


def figures(images: Tensor, digits: Tensor, strokes: Tensor, slants: Tensor, judge: Judge) -> dict[str, float]:
    """How far images obey: the share that shows the digit, and the correlations of stroke and slant; and variety."""
    seen = torch.cat([judge.look(part)[1].argmax(1) for part in images.split(500)])
    right = seen == digits
    return {
        "samples": len(images),
        "as_asked": right.double().mean().item(),
        "least_digit": min(right[digits == k].double().mean().item() for k in range(10)),
        "stroke": order(stroke_width(images), strokes, digits),
        "slant": order(slant(images), slants, digits),
        "variety": variety(images, 9 * digits + 3 * strokes + slants),
    }


def draw(model: Model) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Samples of every caption with their digits, strokes and slants."""
    rows = list(asked())
    images = torch.cat([model.sample(EACH, seed=k * EACH, label=row[0]) for k, row in enumerate(rows)])
    return images, *(torch.tensor([row[k] for row in rows]).repeat_interleave(EACH) for k in (1, 2, 3))


def real(data: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The first real images with the meaning of their captions."""
    source, meaning = open_source(str(data)), {row[0]: row[1:] for row in asked()}
    assert source.captions is not None
    rows = torch.tensor([meaning[text] for text in source.captions[:10_000]])
    return torch.from_numpy(source.images[:10_000].copy()).permute(0, 3, 1, 2).float() / 127.5 - 1, *rows.unbind(1)


def sheet(model: Model, file: Path) -> None:
    """A row of eight seeds for each of eight captions."""
    texts = [describe(7, *w, "en") for w in ((LOW, LOW), (LOW, HIGH), (HIGH, LOW), (HIGH, HIGH))]
    texts += [describe(2, MIDDLE, MIDDLE, "en"), describe(8, HIGH, LOW, "de"), describe(4, LOW, MIDDLE, "de"), "Drei"]
    grid(torch.cat([model.sample(8, seed=0, label=text) for text in texts]), columns=8).save(file, lossless=True)
    print("\n".join(texts))


def main() -> None:
    """Make the data, train, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("data").add_argument("file", type=Path)
    learn = commands.add_parser("train")
    learn.add_argument("data", type=Path)
    learn.add_argument("run", type=Path)
    learn.add_argument("--set", action="append", default=[], help="an option of the recipe, name=value")
    look = commands.add_parser("measure")
    look.add_argument("run", type=Path)
    look.add_argument("data", type=Path)
    look.add_argument("--judge", type=Path, required=True)
    show = commands.add_parser("images")
    show.add_argument("run", type=Path)
    show.add_argument("file", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command == "data":
        write_data(given.file)
    if given.command == "train":
        changes = dict(change.split("=", 1) for change in given.set)
        ganvas.train("textgan", data=str(given.data), outdir=given.run, preset="tiny", resume=True, set=changes)
    if given.command == "images":
        sheet(ganvas.load(given.run), given.file)
    if given.command == "measure":
        judge = Judge(given.judge, str(DATA / "mnist"))
        print(json.dumps({"real": figures(*real(given.data), judge)}))
        print(json.dumps({"run": str(given.run), **figures(*draw(ganvas.load(given.run)), judge)}))


if __name__ == "__main__":
    main()
