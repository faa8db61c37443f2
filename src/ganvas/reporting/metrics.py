"""Measurements of runs, each with its protocol."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..catalog import METRICS
from .html import Safe, join, tag
from .plot import Series, brief, chart
from .read import Record, is_number
from .tables import run_name, table

COUNTS = ("metric", "trained_images")


@dataclass(frozen=True)
class Measure:
    """One measure of one run by one protocol, over the images the run was trained on."""

    run: int  # index of the run on the page
    name: str  # such as FD(pocket)
    key: str
    protocol: str
    pick: Callable[..., tuple[float, float]] | None = None  # min or max, as less or more is better
    points: list[tuple[float, float]] = field(default_factory=list)

    @property
    def best(self) -> tuple[float, float] | None:
        """(images, value) of the best measurement; None if neither more nor less is better."""
        return self.pick(self.points, key=lambda p: p[1]) if self.pick else None


def measures(records: Sequence[Record]) -> list[Measure]:
    """Every measure of every run; numbers of one protocol belong together."""
    measured: dict[tuple[int, str, str], Measure] = {}
    for run, record in enumerate(records):
        for line in record.evaluations:
            stamp = protocol(line)
            for key, value in line.items():
                if is_measure(line, key, value):
                    one = Measure(run, display_name(line, key), key, stamp, better(line, key))
                    measured.setdefault((run, one.name, stamp), one).points.append(
                        (float(line["trained_images"]), float(value))
                    )
    return list(measured.values())


def is_measure(line: Mapping[str, Any], key: str, value: Any) -> bool:
    """True for a result, False for a part of its protocol."""
    if key in COUNTS or is_table(line, key) or not is_number(value):
        return False
    return isinstance(value, float) or key == line.get("metric")


def is_table(line: Mapping[str, Any], key: str) -> bool:
    """True for an entry with one row per image or class, which a table has no room for."""
    metric = METRICS.get(str(line.get("metric")))
    return isinstance(line[key], list) or (metric is not None and key in metric.tables)


def better(line: Mapping[str, Any], key: str) -> Callable[..., tuple[float, float]] | None:
    """`min` where less of a result is better, `max` where more is, None where neither is."""
    metric = METRICS.get(str(line.get("metric")))
    if metric is None or key not in metric.less + metric.more:
        return None
    return min if key in metric.less else max


def display_name(line: Mapping[str, Any], key: str) -> str:
    """The name of a measure on the page, with its features unless they are FID's own: FD(pocket)."""
    metric = line.get("metric")
    if key != metric:
        return key.replace("_", " ")
    return f"{key.upper()}({line['features']})" if "features" in line and key != "fid" else key.upper()


def protocol(line: Mapping[str, Any]) -> str:
    """The protocol of a measurement as one line of text."""
    parts = []
    for key, value in line.items():
        if key in COUNTS or is_table(line, key) or is_measure(line, key, value):
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
        parts.append(f"{key.replace('_', ' ')}: {_plain(value)}")
    return "; ".join(parts)


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else json.dumps(value)[:200]


def metrics(records: Sequence[Record]) -> Safe:
    """A chart for every measure with more than one number, and a table of all with their protocols."""
    every = measures(records)
    if not every:
        way = "--eval-images K measures every K images during training, ganvas eval afterwards"
        return tag("p", f"No measurements: {way}.", class_="quiet")
    figures = []
    for name, stamp in dict.fromkeys((m.name, m.protocol) for m in every):
        curves = [m for m in every if (m.name, m.protocol) == (name, stamp)]
        if max(len({x for x, _ in m.points}) for m in curves) < 2:
            continue
        several = len(records) > 1
        series = [Series(records[m.run].name if several else name, m.points, m.run, dots=True) for m in curves]
        figures.append(chart(name, series, stamp))
    return join([tag("div", *figures, class_="charts"), _table(every, records)])


def _table(every: Sequence[Measure], records: Sequence[Record]) -> Safe:
    columns = ["measure", "latest", "at", "best", "at", "protocol"]
    rows: list[list[Any]] = []
    for m in every:
        x, y = m.points[-1]
        best = m.best
        row = [m.name, f"{y:.4g}", f"{x:,.0f}"]
        row += [f"{best[1]:.4g}", f"{best[0]:,.0f}"] if best else ["", ""]
        rows.append([*row, m.protocol])
    if len(records) > 1:
        columns = ["run", *columns]
        rows = [[run_name(m.run, records[m.run]), *row] for m, row in zip(every, rows)]
    return table(columns, rows, numbers={"latest", "at", "best"})


def headline(records: Sequence[Record], run: int) -> str:
    """The best value of the main measure of a run, such as "FD(pocket) 0.97 at 20,000"; empty without one."""
    for m in measures(records):
        if m.run == run and m.best is not None and m.key in ("fid", "fd", "kid", "psnr", "modes"):
            return f"{m.name} {brief(m.best[1])} at {m.best[0]:,.0f}"
    return ""
