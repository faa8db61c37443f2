"""The doctor: names what is wrong with a run, on what evidence, and what to change.

Every rule is a pure function of the lines of log.jsonl, so a run is diagnosed alike while it trains and years later.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..run import Run
from .chart import Chart, Line, Setup
from .rules import RULES, Severity


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: its name, the numbers that show it, and what to change."""

    trouble: str  # a name of the table in docs/doctor.md
    evidence: str  # a sentence with numbers
    remedy: str  # a sentence with the options to change
    severity: Severity
    images: int  # how far the run was when it was found

    def __str__(self) -> str:
        """As one calm line."""
        return f"{self.trouble.capitalize()} at {self.images:,} images: {self.evidence}. To change: {self.remedy}."


class Doctor:
    """Listens to a run line by line and names each trouble once."""

    def __init__(self, config: Mapping[str, Any], lines: Sequence[Line] = ()):
        self.setup = Setup(config)
        self.lines: list[Line] = []
        self.named: set[str] = set()
        for line in lines:
            self.lines.append(line)
            self.named |= {said["trouble"] for said in line.get("findings", [])}

    def hear(self, line: Line) -> list[Finding]:
        """What a new line of the log shows that was not said before."""
        self.lines.append(line)
        chart = Chart(self.lines, self.setup)
        found = []
        for rule in RULES:
            if rule.trouble in self.named:
                continue
            evidence = rule.sign(chart)
            if evidence:
                self.named.add(rule.trouble)
                found.append(Finding(rule.trouble, evidence, rule.remedy(self.setup), rule.severity, chart.images))
        return found


def diagnose(run: Run | str | os.PathLike[str]) -> list[Finding]:
    """Everything that the log of a run shows, in the order in which it could have been said.

    Raises `UsageError` if this is no run.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    doctor = Doctor(run.config())
    return [finding for line in run.log() for finding in doctor.hear(line)]
