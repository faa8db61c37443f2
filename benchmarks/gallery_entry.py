"""An entry of the gallery: a command that trains a recipe, the processor time that it took, and its images."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ganvas.api import grid, read_records
from ganvas.recipes.presets import presets
from ganvas.run import Run

DATA = Path(os.environ.get("GANVAS_DATA", Path(__file__).parents[2] / "shared" / "data"))
LARGEST = 60_000  # bytes of a grid
FILES = {"MNIST": "mnist", "EMOJI": "emoji.zip", "FACES": "faces.zip", "CIFAR": "cifar10-train.zip"}


@dataclass(frozen=True)
class Entry:
    """One row of the gallery: a recipe, the data it learns and what is said beyond its preset."""

    recipe: str
    data: str = "MNIST"
    options: str = ""
    preset: str = "tiny"
    name: str = ""  # of the run; the recipe's by default
    tried: tuple[str, ...] = ()  # what did not reach the goals, for an entry that misses them
    seen: str = ""  # what an eye sees that the figures do not say

    @property
    def key(self) -> str:
        return self.name or self.recipe

    def arguments(self, data: str, outdir: str) -> list[str]:
        """The arguments of `ganvas`."""
        preset = ["--preset", self.preset] if self.preset else []
        return ["train", self.recipe, *preset, "--data", data, "--outdir", outdir, *shlex.split(self.options)]

    def path(self, outdir: Path) -> str:
        """The data of the run."""
        return str(DATA / FILES[self.data])


def train(entry: Entry, outdir: Path, minutes: float) -> None:
    """Train one entry for at most so many minutes in all, or go on with it."""
    run = Run(outdir / entry.key)
    spent = read_records([run.path])[0].seconds / 60 if run.exists() else 0.0
    if spent >= minutes:
        return
    arguments = [*entry.arguments(entry.path(outdir), str(run.path)), "--resume", "--minutes", str(minutes - spent)]
    print(f"ganvas {shlex.join(arguments)}", flush=True)
    environment, before = os.environ | {"OMP_NUM_THREADS": "1"}, of_children()
    child = subprocess.Popen([sys.executable, "-m", "ganvas", *arguments], env=environment)
    try:
        if child.wait():
            raise SystemExit(f"{entry.key} ended with exit code {child.returncode}.")
    finally:
        child.wait()  # after Ctrl-C too: it saves, and its time is counted
        computed = processor_seconds(entry, outdir) + of_children() - before
        seconds_file(entry, outdir).write_text(f"{computed:.1f}\n")


def of_children() -> float:
    """Seconds of processor time of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def seconds_file(entry: Entry, outdir: Path) -> Path:
    """Where the processor time of an entry is kept."""
    return outdir / f"{entry.key}.seconds"


def processor_seconds(entry: Entry, outdir: Path) -> float:
    """Seconds of processor time of all trainings of an entry."""
    file = seconds_file(entry, outdir)
    return float(file.read_text()) if file.is_file() else 0.0


def save_grid(images: Tensor, file: Path) -> None:
    """Write a grid of eight columns as WebP: lossless, or with the highest quality that fits into `LARGEST` bytes."""
    sheet = grid(images, columns=8)
    for quality in (None, 90, 75, 60, 45, 30, 15, 1):
        options = {"lossless": True} if quality is None else {"quality": quality}
        sheet.save(file, "WEBP", method=4, **options)
        if file.stat().st_size <= LARGEST:
            return
    raise SystemExit(f"{file} has {file.stat().st_size} bytes, more than {LARGEST}.")


def command_of(entry: Entry, found: dict[str, Any]) -> str:
    """The command of a run, with its length if that is not the preset's."""
    line = f"ganvas {shlex.join(entry.arguments(entry.data, f'runs/{entry.key}'))}"
    usual = presets(entry.recipe)[entry.preset].changes.get("images", "").replace("_", "")
    shorter = "--images" not in line and usual and int(usual) != found["planned"]
    return f"{line} --images {found['planned']}" if shorter else line
