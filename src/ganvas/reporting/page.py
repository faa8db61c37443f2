"""The page: its header, its sections and their order."""

import datetime
from collections.abc import Sequence
from typing import Any

from ..doctor import Finding
from ..version import __version__
from . import neighbours, tables
from .curves import curves, speed
from .html import Child, Safe, join, page, tag
from .metrics import headline, metrics
from .plot import brief
from .read import Record
from .samples import timeline
from .tables import format_duration, heading, side_by_side
from .validation import validation


def build_page(records: Sequence[Record], searched: int, device: str) -> tuple[bytes, list[str]]:
    """The page, and sentences about what it leaves out; `searched` 0: without neighbours."""
    parts, notes, why = sections(records, searched, device)
    links = tag("nav", *(tag("a", title, href=f"#{key}") for key, title, _ in parts), aria_label="Sections")
    listed = tag("ul", *(tag("li", note) for note in notes), class_="notes") if notes else None
    body = [tag("section", tag("h2", title), content, id=key) for key, title, content in parts]
    main = tag("main", _header(records), listed, links, *body, _footer())
    title = records[0].title if len(records) == 1 else " / ".join(r.name for r in records)
    return page(f"{title} - ganvas", main), [*notes, *why]


def sections(
    records: Sequence[Record], searched: int = 0, device: str = "cpu"
) -> tuple[list[tuple[str, str, Child]], list[str], list[str]]:
    """Sections of the page (key, title, content), notes on what they leave out, and why neighbours are missing."""
    snapshots, notes = timeline(records)
    near, why = tag("p", "Not searched (--no-neighbours).", class_="quiet"), list[str]()
    if searched:
        near, why = neighbours.section(records, device, searched)
    parts: list[tuple[str, str, Child]] = [
        ("samples", "Samples", snapshots),
        ("doctor", "Doctor", _findings(records)),
        ("metrics", "Metrics", metrics(records)),
        *([("validation", "Validation", sheets)] if (sheets := validation(records)) else []),
        ("curves", "Curves", curves(records)),
        ("neighbours", "Nearest training images", near),
        ("recipe", "Recipe", tables.recipe(records)),
        ("data", "Data", tables.facts_table(records, tables.data_facts)),
        ("machine", "Machine and throughput", [tables.facts_table(records, tables.machine_facts), speed(records)]),
        ("again", "Reproduce", tables.reproduce(records)),
    ]
    return parts, [*_damage(records), *_differences(records), *notes], why


def _damage(records: Sequence[Record]) -> list[str]:
    several = len(records) > 1
    return [f"{record.name}: {note}" if several else note for record in records for note in record.notes]


def _differences(records: Sequence[Record]) -> list[str]:
    """Reasons why numbers of these runs do not compare."""
    notes = []
    if len({record.kind for record in records}) > 1:
        kinds = ", ".join(f"{record.name} trains {record.kind}" for record in records)
        notes.append(f"These runs have different tasks ({kinds}): their losses and samples do not compare.")
    if len({str(record.data.get("fingerprint")) for record in records}) > 1:
        notes.append("These runs were trained on different data: their numbers do not compare.")
    return notes


def _header(records: Sequence[Record]) -> Safe:
    if len(records) > 1:
        kicker, title = f"{len(records)} runs compared", " / ".join(record.name for record in records)
        return tag("header", tag("p", kicker, class_="kicker"), tag("h1", title), _comparison(records))
    record = records[0]
    rows = [tag("div", tag("dt", name), tag("dd", value)) for name, value in _figures(records, 0).items() if value]
    return tag(
        "header",
        tag("p", record.run.path.resolve().name, class_="kicker"),
        tag("h1", record.title),
        tag("dl", *rows, class_="figures"),
    )


def _comparison(records: Sequence[Record]) -> Safe:
    every: list[dict[str, Any]] = [{"recipe": r.title, **_figures(records, k)} for k, r in enumerate(records)]
    return side_by_side(records, [(name, [figures[name] for figures in every]) for name in every[0]])


def _figures(records: Sequence[Record], index: int) -> dict[str, str]:
    """The main figures of a run."""
    record = records[index]
    planned = record.planned
    of = f" of {planned:,}" if planned and planned != record.images else ""
    speeds = record.values("images_per_second")
    return {
        "images": f"{record.images:,}{of}",
        "training time": format_duration(record.seconds) if record.seconds else "",
        "throughput": f"{brief(sum(speeds) / len(speeds))} images/s" if speeds else "",
        "best measurement": headline(records, index),
        "doctor": _summarise_findings(record),
    }


def _summarise_findings(record: Record) -> str:
    if not record.findings:
        return "" if not record.lines else "too early to say" if record.early_note else "no problems found"
    worst = min(record.findings, key=lambda f: ["trouble", "warning", "note"].index(f.severity))
    return worst.trouble + (f" and {len(record.findings) - 1} more" if len(record.findings) > 1 else "")


def _findings(records: Sequence[Record]) -> Safe:
    parts: list[Child] = []
    for k, record in enumerate(records):
        parts += [heading(k, records), *map(_finding, record.findings)]
        if not record.findings:
            note = f"No problems found in the log up to {record.images:,} images."
            parts.append(tag("p", note if record.lines else "The run has no log yet.", class_="quiet"))
        if record.lines and record.early_note:
            parts.append(tag("p", record.early_note, class_="quiet"))
    return join(parts)


def _finding(finding: Finding) -> Safe:
    return tag(
        "article",
        tag("h4", tag("span", finding.severity, class_=f"badge {finding.severity}"), finding.trouble),
        tag("p", tag("span", f"at {finding.images:,} images: ", class_="quiet"), finding.evidence, "."),
        tag("p", tag("b", "To change: "), finding.remedy, "."),
        class_=f"finding {finding.severity}",
    )


def _footer() -> Safe:
    written = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return tag("footer", f"Written {written} by ganvas {__version__}. This file is complete: it loads nothing.")
