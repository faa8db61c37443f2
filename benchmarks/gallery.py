"""The gallery of docs/gallery.md: every recipe trained by one command, measured, and shown by its first 64 seeds.

    python benchmarks/gallery.py run [RECIPE ...]      trains them one after another; run again, it goes on
    python benchmarks/gallery.py measure               judges what is trained, into OUTDIR/NAME.json
    python benchmarks/gallery.py write                 gallery.json, docs/gallery.md and docs/gallery/NAME.webp

`write` replaces what OUTDIR has measured and keeps the other figures and images: entries may be trained one at a time.

One thread; OUTDIR/NAME.seconds keeps the processor time of an entry.  Data are read from $GANVAS_DATA (mnist,
emoji.zip, faces.zip, cifar10-train.zip), by default ../shared/data.  Each run ends by the images of its preset or
after --minutes of training.
The judges of MNIST and CIFAR (benchmarks/judge.py) are trained first.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

import gallery_pairs
import judge as judges
from gallery_entry import DATA, FILES, Entry, command_of, processor_seconds, save_grid, train

import ganvas
from ganvas.api import evaluate, read_records
from ganvas.models.model import accuracy

DOCS = Path(__file__).parents[1] / "docs"
PAGE = Path(__file__).with_name("gallery.md")  # what docs/gallery.md says before its entries
FIGURES = Path(__file__).with_name("gallery.json")  # of every entry that was measured
SEEDS = range(64)  # of the samples that are shown, not chosen
SURE, LEAST, MOST = 0.85, 0.04, 0.20  # goals: share that the judge is sure of, shares of a class
CAPTIONS = [  # of emoji
    *("grinning face", "red heart", "cat face", "rocket", "slice of pizza", "red apple", "large blue circle"),
    "sun with face",
]


@dataclass(frozen=True)
class JudgeRun:
    """The judge of one data set: its run, and the images that it learns from and is tested on."""

    run: str
    images: int
    hold_out: int | None = None  # images to test it on; None: MNIST's test images

    def accuracy(self, run: Path) -> float:
        """Share of the test images that it names correctly."""
        if self.hold_out:
            return judges.held_out_accuracy(run)
        return accuracy(ganvas.load(run), judges.test_images(DATA / FILES["MNIST"]))


JUDGES = {"MNIST": JudgeRun("judge", 240_000), "CIFAR": JudgeRun("judge_cifar", 600_000, hold_out=5_000)}
DENSE = (  # of dcgan_small with fully connected layers, after 100,000 images, by a judge that had seen half as many
    "`dcgan_small`'s networks with layers of 512 units and 62 latents: 81.0 % after 164 s",
    "the same with 256 and 128 units and 32 latents: 80.0 % after 127 s",
)
ENTRIES = [
    Entry(
        "gan",
        tried=(
            "the published size, 400,000 images: 1, 7 and 9 dominate",
            "half the units of the discriminator, 300,000 images: 57.8 %, FD 168",
            "the same, 500,000 images with a rate that falls from 200,000 on to a fiftieth: 59.9 %, FD 120",
        ),
    ),
    Entry("dcgan"),
    Entry(
        "dcgan_small",
        options="--images 400000 --set lr_schedule=linear(begin=0.4,to=0.02)",
        tried=("100,000 images by its own schedule: 68.0 %, FD 60", "224,032 images: 67.7 %", *DENSE),
    ),
    Entry(
        "keras_dcgan",
        tried=(
            "without R1, half the rate and momentum, 144,000 images, no averaged weights: 45.9 %, FD 133",
            "the same averaged, 300,000 images: 55.6 %, FD 91",
            "150,000 images: 64.7 %, FD 55",
        ),
    ),
    *map(Entry, ("lsgan", "hinge")),
    Entry(
        "dragan",
        tried=(
            "`hinge`'s networks, penalty every fourth step, 300,000 images: 73.5 %, classes missing, FD 514",
            "the same at half the rate, penalty at every step, 60,000 images: one class",
            "weight 1 in place of 10, 60,000 images: classes missing",
            "Adam of 0.5 and 0.99 at a fifth of the rate, 60,000 images: one class",
            "R1 beside it, 60,000 images: one class",
        ),
    ),
    Entry(
        "realness",
        tried=(
            "spectral norm in place of R1: 31.7 %, one class missing",
            "a dense layer in the generator, 300,000 images: 85.2 %, but classes of 2.0 to 21.1 %, FD 82",
            "without it, 300,000 images: 76.5 %",
        ),
    ),
    Entry(
        "wgan",
        tried=(
            "DCGAN's networks of 32 channels, three steps of the discriminator, 192,000 images: 42.5 %",
            "400,000 images with a rate that falls from 160,000 on to a fiftieth: 70.2 %",
            "three steps of the discriminator, 100,000 images: 68.6 %",
            "twice the rate, 100,000 images: 62.0 %",
        ),
    ),
    Entry("wgan_gp", tried=("DCGAN's networks of 32 channels, 172,160 images: a quarter could be digits",)),
    Entry(
        "sngan",
        tried=(
            "residual networks of 16 channels for both players, 85,632 images: about half are clear",
            "DCGAN's generator of 32 channels, 300,000 images: 79.5 %",
            "200,000 images: 80.4 %; 300,000: 82.5 %",
        ),
    ),
    Entry(
        "sagan",
        tried=(
            "residual networks of 16 channels for both players, 79,040 images: a tenth are digits",
            "80,000 images: 72.8 %",
            "160,000: 82.3 %",
            "240,000: 84.6 %",
        ),
    ),
    Entry("biggan"),
    Entry(
        "r3gan",
        tried=("180,000 images: 83.0 %", "DCGAN's networks, 60,000 images: 53.5 % by an earlier judge"),
    ),
    Entry(
        "stylegan2",
        tried=(
            "a fifth of the generator's rate, 200,000 images: 69.1 %, FD 90",
            "60,000 images, the same fifth: 39.2 %; the rate itself: 66.5 %; twice that: 68.1 %",
            "300,000 images: 84.9 %, FD 21.8",
        ),
    ),
    Entry(
        "ebgan",
        tried=(
            "a generator without a dense layer, 60,000 images: 59.2 %",
            "150,000 images: 77.2 %, FD 98",
            "half the margin, 150,000 images: 72.3 %, FD 102",
        ),
    ),
    Entry(
        "began",
        tried=(
            "40,000 images without averaged weights: 35.9 %, FD 308",
            "`ebgan`'s generator, 100,000 images: nearly all of one class",
            "gamma of 0.7 in place of 1, 100,000 images: 36.2 %",
        ),
    ),
    *map(Entry, ("cgan", "acgan", "projection", "r3gan_conditional", "stylegan2_conditional", "infogan")),
    Entry("gat_small_conditional", seen="The classes are clear, the images of one nearly the same: so the FD is high."),
    Entry(
        "fastgan",
        "FACES",
        seen="About four fifths are faces at a glance. In pixels they are farther from the 400 images of the data than"
        " those from each other: no copies.",
    ),
    Entry("projected", "EMOJI", seen="Shapes in colour with the outlines of emoji, and no emoji yet."),
    Entry(
        "projected_conditional",
        "CIFAR",
        "--images 20000",
        seen="Airplanes, automobiles, birds and horses are recognisable, deer and frogs by their ground, cats and dogs"
        " hardly; images of a class are alike, under a grain that repeats.",
    ),
    Entry(
        "textgan",
        "EMOJI",
        "--resolution 64 --set text=word_encoder --set pixel=50 --set generator.latent=16 --set generator.label_norm=8"
        " --set d_optimizer.lr=5e-4 --images 160000",
        seen='A row a caption: "grinning face", "red heart" (which is no caption of the data), "cat face", "rocket",'
        ' "slice of pizza", "red apple", "large blue circle", "sun with face".',
    ),
    Entry("dcgan_small", "EMOJI", "--images 200000", name="emoji"),
    Entry(
        "dcgan_small",
        "FACES",
        "--images 100000",
        name="faces",
        seen="Half are faces at a glance, near to the 400 of the data; others are two faces at once.",
    ),
]


def measure(entry: Entry, outdir: Path, judge: judges.Judge | None) -> dict[str, Any]:
    """The figures of one entry: images, minutes, speed, diversity, and the judge's where its classes are the data's."""
    run = outdir / entry.key
    model, record = ganvas.load(run), read_records([run])[0]
    found: dict[str, Any] = {
        "images": record.images,
        "planned": record.planned,
        "minutes": round(processor_seconds(entry, outdir) / 60, 1),
    }
    found["diversity"] = evaluate("diversity", str(run), samples=1000)["diversity"]
    if judge:
        found |= judge.measure(*judges.samples(model, judges.SAMPLES))
    return found


def shown(entry: Entry, outdir: Path) -> Tensor:
    """Samples of seeds 0 to 63; with labels, a row (of eight) of each class or caption, without the last two of ten."""
    model = ganvas.load(outdir / entry.key)
    form = model.abilities()["label"]
    if form["kind"] == "none":
        return model.sample_seeds(SEEDS)
    rows = CAPTIONS if form["kind"] == "caption" else range(8)
    parts = [model.sample_seeds(SEEDS[8 * k : 8 * k + 8], label=label) for k, label in enumerate(rows)]
    return torch.cat(parts)


def misses(found: dict[str, Any]) -> list[str]:
    """The goals that an entry misses, in words."""
    if "sure" not in found:
        return []
    rows = [("sure", found["sure"] >= SURE), ("least class", found["least_class"] >= LEAST)]
    return [name for name, reached in [*rows, ("most frequent class", found["most_class"] <= MOST)] if not reached]


def row(entry: Entry, found: dict[str, Any]) -> str:
    """The line of the table."""
    command = f"`{command_of(entry, found)}`"
    stopped = f" of {found['planned']:,}" if found["images"] < found["planned"] else ""
    figures = [f"{found['images']:,}{stopped}", f"{found['minutes']:g}"]
    if "sure" in found:
        shares = f"{100 * found['least_class']:.1f} to {100 * found['most_class']:.1f} %"
        figures += [f"{100 * found['sure']:.1f} %", shares]
        figures += [f"{found['fd_judge']:.2f}", f"{100 * found['as_asked']:.1f} %" if "as_asked" in found else ""]
    else:
        figures += [""] * 4
    figures.append(f"{found['diversity']:.2f}")
    return f"| [`{entry.key}`](#{entry.key}) | {command} | {' | '.join(figures)} |"


def trained(outdir: Path) -> Iterator[Entry]:
    """The entries whose run has a model."""
    return (entry for entry in ENTRIES if (outdir / entry.key / "model").is_dir())


def write(outdir: Path, docs: Path) -> None:
    """Write the figures, the grids of what is measured in OUTDIR, and the page of all figures."""
    (docs / "gallery").mkdir(exist_ok=True)
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    both = [(entry, shown) for entry in ENTRIES] + [(entry, gallery_pairs.shown) for entry in gallery_pairs.ENTRIES]
    for entry, images in both:
        if (measured := outdir / f"{entry.key}.json").is_file():
            figures[entry.key] = json.loads(measured.read_text())
            save_grid(images(entry, outdir), docs / "gallery" / f"{entry.key}.webp")
    rows = [f'"{entry.key}": {json.dumps(figures[entry.key])}' for entry, _ in both if entry.key in figures]
    FIGURES.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    (docs / "gallery.md").write_text(page(figures), encoding="utf-8")


def page(figures: dict[str, dict[str, Any]]) -> str:
    """The text of docs/gallery.md."""
    results = {entry: figures[entry.key] for entry in ENTRIES if entry.key in figures}
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    lines += ["", "| | command | images | minutes | sure | classes | FD | as asked | diversity |", "|---" * 9 + "|"]
    lines += [row(entry, found) for entry, found in results.items()]
    if rest := [f"`{entry.key}`" for entry in ENTRIES if entry not in results]:
        lines += ["", f"Not trained yet: {', '.join(rest)}."]
    for entry, found in results.items():
        missing = f"Goals not reached: {', '.join(misses(found))}." if misses(found) else ""
        missing += f" Tried: {'; '.join(entry.tried)}." if missing and entry.tried else ""
        image = f"![64 samples of {entry.key}](gallery/{entry.key}.webp)"
        lines += ["", f"## `{entry.key}`", "", image]
        lines += [line for text in (missing.strip(), entry.seen) if text for line in ("", text)]
    return "\n".join([*lines, *gallery_pairs.section(figures)]).rstrip() + "\n"


def choose(names: list[str]) -> list[Entry]:
    """The entries of these names, or all."""
    if unknown := set(names) - {entry.key for entry in ENTRIES}:
        raise SystemExit(f"There is no entry {sorted(unknown)[0]!r}. There are: {', '.join(e.key for e in ENTRIES)}.")
    return [entry for entry in ENTRIES if not names or entry.key in names]


def main() -> None:
    """Run, measure or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["run", "measure", "write"])
    parser.add_argument("entries", nargs="*")
    parser.add_argument("--outdir", type=Path, default=Path("runs/gallery"))
    parser.add_argument("--minutes", type=float, default=60.0, help="of training, for each entry")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    chosen = choose(asked.entries)
    needed = {name: judge for name, judge in JUDGES.items() if any(entry.data == name for entry in chosen)}
    if asked.command == "run":
        for name, judge in needed.items():
            judges.train(str(DATA / FILES[name]), asked.outdir / judge.run, judge.images, judge.hold_out)
        for entry in chosen:
            train(entry, asked.outdir, asked.minutes)
    if asked.command == "measure":
        found = {
            name: judges.Judge(asked.outdir / judge.run, str(DATA / FILES[name])) for name, judge in needed.items()
        }
        for judge in needed.values():
            print(f"{judge.run}: {100 * judge.accuracy(asked.outdir / judge.run):.2f} % of the test images", flush=True)
        for entry in (e for e in trained(asked.outdir) if e in chosen):
            figures = measure(entry, asked.outdir, found.get(entry.data))
            (asked.outdir / f"{entry.key}.json").write_text(json.dumps(figures))
            print(entry.key, json.dumps(figures), *misses(figures), flush=True)
    if asked.command == "write":
        write(asked.outdir, DOCS)


if __name__ == "__main__":
    main()
