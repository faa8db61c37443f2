"""Events of a run in training, in the order in which a `Session` yields them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..doctor import Finding
from ..game import Progress


@dataclass(frozen=True)
class Stepped:
    """One step of the game was taken."""

    progress: Progress


@dataclass(frozen=True)
class Logged:
    """A line was written to the log."""

    line: dict[str, Any]
    findings: tuple[Finding, ...] = ()  # of the doctor, new with this line


@dataclass(frozen=True)
class Evaluated:
    """The averaged generator was measured."""

    numbers: dict[str, Any]
    best: bool


@dataclass(frozen=True)
class Snapshot:
    """Samples, model and state were saved."""

    images: int
    grid: Path | None  # of a model that generates images


@dataclass(frozen=True)
class Notice:
    """One sentence for the user."""

    sentence: str


@dataclass(frozen=True)
class Finished:
    """The end of this session: `done`, `minutes`, `goal`, `patience`, or the name of a signal."""

    reason: str


Event = Stepped | Logged | Evaluated | Snapshot | Notice | Finished
