"""Charts as SVG: one or more curves on a linear or logarithmic axis, with bands where many values are averaged."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from .html import Safe, escape, join, tag

WIDTH, HEIGHT = 420, 210  # of a chart, in units of the SVG
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 24  # margins
COLUMNS = 240  # points of a curve, at most; more are drawn as means with a band
DECADES = 30.0  # ratio of the largest to the smallest value from which the axis is logarithmic
COLOURS = 8  # that page.css has

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One curve."""

    name: str
    points: Sequence[Point]  # by x
    colour: int = 0
    dashed: bool = False
    dots: bool = False  # draw every point: the values are few


@dataclass(frozen=True)
class Scale:
    """An axis: its values, and their places on the chart."""

    low: float
    high: float
    start: float  # place of `low`
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """The coordinate of a value."""
        share = (self._linear(value) - self._linear(self.low)) / (self._linear(self.high) - self._linear(self.low))
        return self.start + share * (self.end - self.start)

    def _linear(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.log else value

    def ticks(self) -> list[float]:
        """A few round values along the axis."""
        return _decades(self.low, self.high) if self.log else _steps(self.low, self.high)


def _steps(low: float, high: float) -> list[float]:
    raw = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(k * unit for k in (1, 2, 5, 10) if k * unit >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / 5))
    within = [10.0**k for k in range(first, last + 1, every) if low * 0.999 <= 10.0**k <= high * 1.001]
    if len(within) >= 2:
        return within
    return [m * 10.0**k for k in range(first, last + 1) for m in (1, 2, 5) if low <= m * 10.0**k <= high]


def brief(value: float) -> str:
    """A number in few characters: 20k, 1.5M, 0.02, 3e-05."""
    size = abs(value)
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if unit <= size < 1e13 and (size >= 1e4 or unit > 1e3):
            return f"{value / unit:.3g}{sign}"
    return f"{value:.0f}" if 1000 <= size < 1e4 else f"{value:.3g}"


@dataclass(frozen=True)
class Outline:
    """The points of a curve on the chart, and its band."""

    line: list[Point]
    band: list[tuple[float, float, float]] = field(default_factory=list)  # x, least, greatest


def thin_out(points: Sequence[Point], columns: int = COLUMNS) -> Outline:
    """A curve of at most `columns` points: means of neighbouring values, with the band that these lie in."""
    if len(points) <= columns:
        return Outline(list(points))
    low, high = points[0][0], points[-1][0]
    columns = columns if high > low else 1
    groups: dict[int, list[Point]] = {}
    for x, y in points:
        groups.setdefault(min(int((x - low) / (high - low or 1) * columns), columns - 1), []).append((x, y))
    line, band = [], []
    for group in groups.values():
        xs, ys = zip(*group)
        line.append((math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)))
        band.append((line[-1][0], min(ys), max(ys)))
    return Outline(line, band)


def chart(title: str, series: Sequence[Series], about: str = "", unit: str = "images") -> Safe | None:
    """A figure with its legend; None if there is nothing to draw."""
    series = [s for s in series if s.points]
    if not series:
        return None
    outlines = [thin_out(s.points) for s in series]
    across, up = _scales(outlines)
    shapes = [_axis_y(up), _axis_x(across, unit)]
    for one, outline in zip(series, outlines):
        shapes.append(_curve(one, outline, across, up))
    view = " ".join(f"{v:.9g}" for v in (across.start, across.end, across.low, across.high, up.start, up.end))
    ends = f"{up.low:.9g} {up.high:.9g}"
    svg = tag(
        "svg",
        *shapes,
        tag("line", class_="rule", y1=TOP, y2=HEIGHT - BOTTOM),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{title}: {'; '.join(_summary(s) for s in series)}",
        data_view=f"{view} {ends}",
        data_log=up.log,
    )
    counts = [len(s.points) for s, d in zip(series, outlines) if d.band]
    note = f"lines: means of {max(counts):,} values; bands: smallest to largest" if counts else ""
    heading = [tag("span", title, class_="name"), tag("span", "log", class_="log") if up.log else None]
    rows = [tag("div", *heading, class_="head"), legend(series, title), svg]
    rows += [tag("p", text, class_="about") for text in (about, note) if text]
    return tag("figure", *rows, class_="chart")


def _summary(series: Series) -> str:
    first, last = series.points[0][1], series.points[-1][1]
    return f"{series.name} from {brief(first)} to {brief(last)}"


def legend(series: Sequence[Series], title: str) -> Safe:
    """The colour and last value of every curve, or its value under the pointer; a single one is named by the title."""
    rows = []
    for one in series:
        key = tag("i", class_=f"key c{one.colour % COLOURS}{' dashed' if one.dashed else ''}")
        name = tag("span", one.name) if len(series) > 1 or one.name != title else None
        rows.append(tag("span", key, name, tag("b", brief(one.points[-1][1])), class_="entry"))
    return tag("div", *rows, class_="legend")


def _scales(outlines: Sequence[Outline]) -> tuple[Scale, Scale]:
    xs = [x for d in outlines for x, _ in d.line]
    ys = [y for d in outlines for _, y in d.line] + [y for d in outlines for _, *ends in d.band for y in ends]
    low, high = (min(max(y, -1e290), 1e290) for y in (min(ys), max(ys)))  # with room beyond them
    low = max(low, 1e-290) if low > 0 else low
    log = bool(low > 0 and high > DECADES * low)
    if not log and high - low < 1e-9 * max(abs(high), abs(low), 1e-9):
        low, high = (low - abs(low) / 2, high + abs(high) / 2) if low else (0.0, 1.0)
    room = 0.0 if log else 0.04 * (high - low)
    factor = (high / low) ** 0.03 if log else 1.0
    up = Scale(low / factor - room, high * factor + room, HEIGHT - BOTTOM, TOP, log)
    start, end = min(xs), max(xs)
    start = 0.0 if 0 < start < 0.2 * end else start
    return Scale(start, end if end > start else start + 1, LEFT, WIDTH - RIGHT), up


def _axis_y(up: Scale) -> Safe:
    parts = []
    for value in up.ticks():
        y = f"{up.place(value):.1f}"
        parts.append(tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
        parts.append(tag("text", brief(value), x=LEFT - 6, y=y, dy="0.32em", text_anchor="end"))
    return join(parts)


def _axis_x(across: Scale, unit: str) -> Safe:
    parts = [tag("line", class_="axis", x1=LEFT, x2=WIDTH - RIGHT, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM)]
    ticks = across.ticks()
    for value in ticks:
        x, last = across.place(value), value is ticks[-1]
        anchor = "end" if x > WIDTH - 40 else "middle"
        label = f"{brief(value)} {unit}" if last else brief(value)
        parts.append(tag("text", label, x=f"{x:.1f}", y=HEIGHT - 7, text_anchor=anchor))
    return join(parts)


def _curve(series: Series, outline: Outline, across: Scale, up: Scale) -> Safe:
    def path(points: Sequence[Point]) -> str:
        return "L".join(f"{across.place(x):.2f},{up.place(y):.2f}" for x, y in points)

    colour, parts = f"c{series.colour % COLOURS}", []
    if outline.band:
        edge = [(x, high) for x, _, high in outline.band] + [(x, low) for x, low, _ in reversed(outline.band)]
        parts.append(tag("path", class_=f"band {colour}", d=f"M{path(edge)}Z"))
    kind = f"line {colour}{' dashed' if series.dashed else ''}"
    parts.append(tag("path", class_=kind, d=f"M{path(outline.line)}", data_name=escape(series.name)))
    if series.dots or len(outline.line) == 1:
        for x, y in outline.line:
            place = {"cx": f"{across.place(x):.2f}", "cy": f"{up.place(y):.2f}"}
            parts.append(tag("circle", class_=f"dot {colour}", r=2.6, **place))
    return join(parts)
