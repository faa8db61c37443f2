"""The doctor: problems of a run, each with its evidence and with the options to change.

Every rule is a pure function of the lines of log.jsonl, so a run gets the same findings while it trains and afterwards.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..run import Run
from .log import History, Line, Setup
from .rules import RULES, Severity


@dataclass(frozen=True)
class Finding:
    """One problem of a run."""

    trouble: str  # name of the problem, from the table in docs/doctor.md
    evidence: str  # a clause with numbers
    remedy: str  # a clause with the options to change
    severity: Severity
    images: int  # images trained on when it was found

    def __str__(self) -> str:
        """The finding as one line of text."""
        return f"{self.trouble.capitalize()} at {self.images:,} images: {self.evidence}. To change: {self.remedy}."


class Doctor:
    """Reads the log of a run line by line and reports each problem once."""

    def __init__(self, config: Mapping[str, Any], lines: Sequence[Line] = ()):
        self.setup = Setup(config)
        self.history = History(self.setup)
        self.reported: set[str] = set()
        for line in lines:
            self.history.add(line)
            self.reported |= {str(finding.get("trouble")) for finding in line.get("findings", [])}

    def add(self, line: Line) -> list[Finding]:
        """The problems that show for the first time with this line of the log."""
        self.history.add(line)
        findings = []
        for rule in RULES:
            if rule.trouble in self.reported:
                continue
            evidence = rule.symptom(self.history)
            if evidence:
                self.reported.add(rule.trouble)
                remedy = rule.remedy(self.setup)
                findings.append(Finding(rule.trouble, evidence, remedy, rule.severity, self.history.images))
        return findings

    def first_curable(self, findings: Sequence[Finding]) -> Finding | None:
        """The first finding of severity `trouble` that has a cure."""
        return next((finding for finding in findings if finding.severity == "trouble" and self.cure(finding)), None)

    def cure(self, finding: Finding) -> Mapping[str, float]:
        """Factors on the players' learning rates that may help against a finding; empty if there are none."""
        return next((rule.lr_factors for rule in RULES if rule.trouble == finding.trouble and rule.lr_factors), {})


def diagnose(run: Run | str | os.PathLike[str]) -> list[Finding]:
    """Findings in the log of a run, in the order in which they show; raises `UsageError` if the folder is not a run."""
    run = run if isinstance(run, Run) else Run.open(run)
    return findings_in(run.config(), run.log())


def findings_in(config: Mapping[str, Any], lines: Sequence[Line]) -> list[Finding]:
    """Findings in the lines of a log, given the config of the run."""
    doctor, findings = Doctor(config), []
    for line in lines:
        findings += _healed_findings(line)
        findings += doctor.add(line)
    return findings


def _healed_findings(line: Line) -> list[Finding]:
    """The finding that made --heal go back, as a note: the lines that showed it are no longer in the log."""
    heal = line.get("heal")
    if not isinstance(heal, Mapping) or not {"trouble", "evidence", "remedy", "images", "action"} <= heal.keys():
        return []
    evidence = f"{heal['evidence']} (healed: {heal['action']})"
    return [Finding(str(heal["trouble"]), evidence, str(heal["remedy"]), "note", int(heal["images"]))]
