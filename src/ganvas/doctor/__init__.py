"""The doctor: names what is wrong with a run, on what evidence, and what to change.

Every rule is a pure function of the lines of log.jsonl, so a run is diagnosed alike while it trains and years later.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..run import Run
from .log import Chart, Line, Setup
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
        self.chart = Chart(self.setup)
        self.named: set[str] = set()
        for line in lines:
            self.chart.add(line)
            self.named |= {str(said.get("trouble")) for said in line.get("findings", [])}

    def hear(self, line: Line) -> list[Finding]:
        """What a new line of the log shows that was not said before."""
        self.chart.add(line)
        chart, found = self.chart, []
        for rule in RULES:
            if rule.trouble in self.named:
                continue
            evidence = rule.sign(chart)
            if evidence:
                self.named.add(rule.trouble)
                found.append(Finding(rule.trouble, evidence, rule.remedy(self.setup), rule.severity, chart.images))
        return found

    def curable(self, findings: Sequence[Finding]) -> Finding | None:
        """The first of them that is a trouble and has a cure."""
        return next((found for found in findings if found.severity == "trouble" and self.cure(found)), None)

    def cure(self, finding: Finding) -> Mapping[str, float]:
        """The mildest there is, as factors on the players' learning rates; nothing if none of that kind would help."""
        return next((rule.ease for rule in RULES if rule.trouble == finding.trouble and rule.ease), {})


def diagnose(run: Run | str | os.PathLike[str]) -> list[Finding]:
    """Everything that the log of a run shows, in the order in which it could have been said.

    Raises `UsageError` if this is no run.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    return findings_in(run.config(), run.log())


def findings_in(config: Mapping[str, Any], lines: Sequence[Line]) -> list[Finding]:
    """The same of a config and a log that were read already."""
    doctor, found = Doctor(config), []
    for line in lines:
        found += _healed(line)
        found += doctor.hear(line)
    return found


def _healed(line: Line) -> list[Finding]:
    """What was found in lines that healing took back, as a note."""
    said = line.get("healed")
    if not isinstance(said, Mapping) or not {"trouble", "evidence", "remedy", "images", "done"} <= said.keys():
        return []
    evidence = f"{said['evidence']} (healed: {said['done']})"
    return [Finding(str(said["trouble"]), evidence, str(said["remedy"]), "note", int(said["images"]))]
