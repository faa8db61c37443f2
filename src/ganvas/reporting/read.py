"""Reading of run folders: every value is checked, and damaged lines are counted."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import Recipe
from ..doctor import Finding, findings_in
from ..doctor.log import History, Setup
from ..doctor.symptoms import FIRST_STEPS
from ..errors import UserError
from ..legacy import current_evaluation
from ..run import Run, read_lines

LARGEST_CONFIG = 8 << 20  # bytes


@dataclass(frozen=True)
class Record:
    """The files of a run, read and checked."""

    run: Run
    name: str  # short, and unique on the page
    config: Mapping[str, Any]
    recipe: Recipe | None  # None if it has components from outside Ganvas
    lines: list[Mapping[str, Any]]  # of the log, sorted by images
    evaluations: list[Mapping[str, Any]]
    snapshots: list[tuple[int, Path]]  # images, file
    findings: list[Finding]
    notes: list[str] = field(default_factory=list)  # sentences about what could not be read

    @property
    def title(self) -> str:
        return f"{self.config.get('recipe_name') or 'custom'} on {self.data_name}"

    @property
    def data(self) -> Mapping[str, Any]:
        return self.config["data"]

    @property
    def data_name(self) -> str:
        source = str(self.data.get("source") or "custom data")
        return source if len(source) < 40 or "=" in source else Path(source).name

    @property
    def images(self) -> int:
        """Images the run has been trained on."""
        logged = int(self.lines[-1]["images"]) if self.lines else 0
        return max([logged, *(images for images, _ in self.snapshots)])

    @property
    def planned(self) -> int:
        return as_count(self.config["recipe"].get("images"))

    @property
    def seconds(self) -> float:
        """Seconds of training, without evaluations and snapshots."""
        return max(self.values("seconds"), default=0.0)

    @property
    def early_note(self) -> str:
        """A sentence if the run is too short for findings about samples; else empty."""
        chart = History(Setup(self.config))
        chart.add({"images": self.images})
        try:
            steps = chart.steps
        except (TypeError, ValueError):  # a recipe that ganvas does not write
            return ""
        note = f"Samples are checked after {FIRST_STEPS} steps of the generator; this run has made about {steps:,}."
        return note if steps < FIRST_STEPS else ""

    @property
    def kind(self) -> str:
        """The name of its task."""
        return str(self.config["recipe"]["task"].get("()", "")) or "unknown"

    @property
    def points(self) -> bool:
        return self.data.get("resolution") == [1, 1]

    def values(self, name: str) -> list[float]:
        """Every value of a field of the log that is a number."""
        return [y for _, y in self.curve(name)]

    def curve(self, name: str) -> list[tuple[float, float]]:
        """(images, value) of a field of the log."""
        return [(float(line["images"]), float(line[name])) for line in self.lines if is_number(line.get(name))]

    def fields(self) -> list[str]:
        """Every field of the log with a number in any line, in the order of appearance."""
        names = {name: None for line in self.lines for name, value in line.items() if is_number(value)}
        return [name for name in names if name not in ("images", "seconds")]


def is_number(value: Any) -> bool:
    """True for a finite number that a chart can show."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 1e300


def as_count(value: Any) -> int:
    """A count from a file; 0 for anything that is not one."""
    return int(value) if is_number(value) and 0 <= value < 1 << 62 else 0


def read_records(paths: Sequence[str | os.PathLike[str]]) -> list[Record]:
    """Records of the runs in these folders.

    Raises `UsageError` for a folder that is not a run, `UserError` for one with a damaged config.
    """
    runs = [Run.open(path) for path in paths]
    return [_read(run, name) for run, name in zip(runs, short_names([run.path for run in runs]))]


def short_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that are all different."""
    parts = [path.resolve().parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        ends = ["/".join(p[-length:]) for p in parts]
        if len(set(ends)) == len(set(parts)):
            return ends
    return [str(path) for path in paths]


def _read(run: Run, name: str) -> Record:
    config = _config(run)
    notes: list[str] = []
    lines = _ordered(*run.read_log(), run.log_file.name, "images", notes)
    results = _ordered(*read_lines(run.evaluation_file), run.evaluation_file.name, "trained_images", notes)
    evaluations: list[Mapping[str, Any]] = [current_evaluation(line) for line in results]
    try:
        recipe = Recipe.from_dict(config["recipe"])
    except UserError:
        recipe = None
    try:
        findings = findings_in(config, lines)
    except Exception:  # rules expect the numbers that ganvas writes; a file may hold anything
        findings = []
        notes.append("The doctor could not read this log: it holds values that ganvas does not write.")
    return Record(run, name, config, recipe, lines, evaluations, _snapshots(run, notes), findings, notes)


def _config(run: Run) -> dict[str, Any]:
    """The config.json of a run; raises `UserError` if ganvas did not write it."""
    if run.config_file.stat().st_size > LARGEST_CONFIG:
        raise UserError(f"{run.config_file} is too large to be the config of a run.")
    config = run.config()
    recipe, data = config.get("recipe"), config.get("data")
    if not isinstance(recipe, dict) or not isinstance(recipe.get("task"), dict) or not isinstance(data, dict):
        raise UserError(f"{run.config_file} was not written by ganvas train: it has no recipe or no data.")
    return config


def _ordered(
    lines: Sequence[Mapping[str, Any]], damaged: int, name: str, key: str, notes: list[str]
) -> list[Mapping[str, Any]]:
    """The lines of a file sorted by their count of images; notes how many are left out as damaged."""
    good = [line for line in lines if is_number(line.get(key)) and line[key] >= 0]
    damaged += len(lines) - len(good)
    if damaged:
        some = "1 line" if damaged == 1 else f"{damaged:,} lines"
        notes.append(f"{some} of {name} could not be read and {'is' if damaged == 1 else 'are'} left out.")
    return sorted(good, key=lambda line: float(line[key]))


def _snapshots(run: Run, notes: list[str]) -> list[tuple[int, Path]]:
    """(images, file) of the sample grids, oldest first; files outside the run folder are left out."""
    inside = run.samples.resolve()
    numbered = (f for f in run.samples.glob("*.png") if f.stem.isascii() and f.stem.isdecimal() and len(f.stem) < 19)
    files = [f for f in numbered if f.resolve().parent == inside]
    if not files:
        notes.append("This run has no snapshots of samples yet.")
    return sorted((int(file.stem), file) for file in files)
