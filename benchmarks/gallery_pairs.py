"""Image to image in the gallery: recipes of translation, trained by one command and shown on images they never saw.

    python benchmarks/gallery_pairs.py run [RECIPE ...]      prepares the data and trains; run again, it goes on
    python benchmarks/gallery_pairs.py measure [RECIPE ...]  compares held-out images with the truth, OUTDIR/NAME.json

`python benchmarks/gallery.py write` shows the results below its own.  The data have a known truth
(benchmarks/translation.py): outlines of emoji, emoji of another hue, four looks of emoji, photographs in flat colours.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

sys.path.insert(0, str(Path(__file__).parent))

import translation
from gallery_entry import DATA, Entry, command_of, processor_seconds, train

import ganvas
from ganvas.api import read_records
from ganvas.imaging.channels import on_white

PAGE = Path(__file__).with_name("gallery_pairs.md")  # what the page says before these entries
SHOWN = slice(0, 8)  # held-out images, not chosen
WIDE = 64  # pixels of an image on the page at least


def against_truth(run: Path, place: Path) -> list[Tensor]:
    """Held-out images, their translations and the truth."""
    model = ganvas.load(run)
    held, right = (
        translation.opened(str(place / name), model.config["data"]["resolution"])[SHOWN] for name in ("held", "truth")
    )
    return [held, model(held), right]


def against_pairs(run: Path, place: Path) -> list[Tensor]:
    """Sources that a run held out, their translations and the truth."""
    shown, model = translation.held_pairs(str(run)), ganvas.load(run)
    source, right = shown["source"][SHOWN], shown["image"][SHOWN]
    return [source.expand(-1, 3, -1, -1), on_white(model(source)), on_white(right)]


def into_domains(run: Path, place: Path) -> list[Tensor]:
    """Held-out images of one domain, and translated into each other one."""
    model = ganvas.load(run)
    held = translation.opened(str(place / "held" / FROM))[SHOWN]
    others = [name for name in model.class_names if name != FROM]
    return [held, *(model(held, label=model.class_names.index(name)) for name in others)]


@dataclass(frozen=True)
class PairEntry(Entry):
    """A recipe of translation, how its data are written, and the figure and the rows of images of a run."""

    prepare: Callable[[Path, str], None] | None = None  # writes PLACE from a source
    source: str = ""  # of what is prepared, in GANVAS_DATA
    figure: Callable[[Path, Path], str] = lambda run, place: translation.truth(str(run), place)
    rows: Callable[[Path, Path], list[Tensor]] = against_truth
    judge: PairEntry | None = None  # trained first, for the figure
    folder: str = ""  # of the prepared data; the entry's name by default
    legend: str = "images that were held out, translations, the truth"

    def place(self, outdir: Path) -> Path:
        """The folder of the prepared data."""
        return outdir / "data" / (self.folder or self.key)

    def path(self, outdir: Path) -> str:
        """The data of the run."""
        return self.data.replace("PLACE", str(self.place(outdir))).replace("EMOJI", str(DATA / "emoji.zip"))


FROM = "hue"  # the domain whose images are shown in the others
HUE = "a=PLACE/a,b=PLACE/b"
ENTRIES = [
    PairEntry(
        "pix2pix",
        "edges:EMOJI",
        "--resolution 64 --hold-out 355",
        figure=lambda run, place: translation.pairs(str(run)),
        rows=against_pairs,
        legend="outlines that were held out, results, the emoji",
        seen="Faces are yellow, hands and jackets have their colours; small parts blur, under a fine checkerboard.",
    ),
    PairEntry(
        "cyclegan",
        HUE,
        "--resolution 16",
        prepare=translation.unpaired,
        source="emoji.zip",
        seen="At 32x32 with two blocks, 60,000 images did not turn the colours: error 0.276.",
    ),
    PairEntry(
        "stargan",
        "PLACE/train",
        prepare=translation.domains,
        source="emoji.zip",
        figure=lambda run, place: translation.judged(str(run), str(run.with_name("domains")), place),
        rows=into_domains,
        judge=PairEntry("classifier", "PLACE/train", "--images 37312", preset="", name="domains", folder="stargan"),
        legend="held-out emoji of another hue; as grey, negative and outline",
        seen="The classifier is satisfied, an eye is not: edges fray, and grey images have a halo.",
    ),
    PairEntry(
        "cartoon",
        HUE,
        "--resolution 32",
        prepare=translation.style,
        source="sr-train",
        seen="Flat skies and some black lines; busy regions turn into coloured grain, clouds are pink.",
    ),
]


def run(entry: PairEntry, outdir: Path, minutes: float) -> None:
    """Write the data where they are not there, and train the judge and the entry, or go on with them."""
    place = entry.place(outdir)
    if entry.prepare and not place.is_dir():
        entry.prepare(place, str(DATA / entry.source))
    if entry.judge:
        train(entry.judge, outdir, minutes)
    train(entry, outdir, minutes)


def measure(entry: PairEntry, outdir: Path) -> dict[str, Any]:
    """Images, minutes and the figure of an entry."""
    run = outdir / entry.key
    record = read_records([run])[0]
    minutes = round(processor_seconds(entry, outdir) / 60, 1)
    figure = entry.figure(run, entry.place(outdir))
    return {"images": record.images, "planned": record.planned, "minutes": minutes, "figure": figure}


def shown(entry: PairEntry, outdir: Path) -> Tensor:
    """The images of an entry, row by row, small ones enlarged."""
    images = torch.cat(entry.rows(outdir / entry.key, entry.place(outdir)))
    return interpolate(images, scale_factor=max(round(WIDE / images.shape[3]), 1), mode="nearest")


def section(figures: dict[str, dict[str, Any]]) -> list[str]:
    """The lines of the page: a table, then the images of each entry that is measured."""
    results = {entry: figures[entry.key] for entry in ENTRIES if entry.key in figures}
    lines = ["", *PAGE.read_text(encoding="utf-8").splitlines(), ""]
    lines += ["| | command | images | minutes | on held-out images |", "|---" * 5 + "|"]
    for entry, found in results.items():
        cells = f"{found['images']:,} | {found['minutes']:g} | {found['figure']}"
        lines.append(f"| [`{entry.key}`](#{entry.key}) | `{command_of(entry, found)}` | {cells} |")
    for entry in results:
        lines += ["", f"### `{entry.key}`", "", f"![{entry.legend}](gallery/{entry.key}.webp)", ""]
        lines.append(f"From above: {entry.legend}. {entry.seen}".rstrip())
    return lines


def main() -> None:
    """Run or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["run", "measure"])
    parser.add_argument("entries", nargs="*", help="pix2pix, cyclegan, ...; all by default")
    parser.add_argument("--outdir", type=Path, default=Path("runs/gallery"))
    parser.add_argument("--minutes", type=float, default=60.0, help="of training, for each entry")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for entry in ENTRIES:
        if asked.entries and entry.key not in asked.entries:
            continue
        if asked.command == "run":
            run(entry, asked.outdir, asked.minutes)
        elif (asked.outdir / entry.key / "model").is_dir():
            found = measure(entry, asked.outdir)
            (asked.outdir / f"{entry.key}.json").write_text(json.dumps(found))
            print(entry.key, json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
