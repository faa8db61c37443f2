"""The page of a study: its best trial, the importance of options, parallel coordinates, and every trial."""

import math
from pathlib import Path
from typing import Any

from ..files import write_bytes
from ..reporting.html import Safe, join, page, tag

WIDE, HIGH, TOP = 960, 320, 30  # pixels of the drawing
FEW = 4  # complete trials from which importance is estimated


def write_page(file: Path, study: Any, settings: dict[str, Any]) -> Path:
    """Write the page of a study; returns the file."""
    trials = [t for t in study.get_trials(deepcopy=False) if t.state.name != "RUNNING"]
    complete = [t for t in trials if t.state.name == "COMPLETE"]
    metric, best = settings["metric"], study.best_trial
    parts = [
        tag("h1", f"Tuning of {settings['recipe']}"),
        tag("p", f"{len(trials)} trials on {settings['data']}; {metric} {best.value:.4g} in trial {best.number}."),
        tag("h2", "Best options"),
        table(["option", "value"], [[k, number(v)] for k, v in best.params.items()]),
    ]
    if len(complete) >= FEW:
        rows = [[k, f"{100 * v:.0f} %"] for k, v in importance(study).items()]
        parts += [tag("h2", "Importance"), tag("p", "Share of the variance of the result that an option explains.")]
        parts.append(table(["option", "share"], rows))
    if len(complete) > 1:
        note = f"A line a trial, the darker the better its {metric}; the last axis is {metric}."
        parts += [tag("h2", "Parallel coordinates"), tag("p", note), coordinates(study, complete, metric)]
    head = ["trial", "state", metric, *best.params]
    rows = [
        [t.number, t.state.name.lower(), number(t.value), *(number(t.params.get(k, "")) for k in best.params)]
        for t in trials
    ]
    parts += [tag("h2", "Trials"), table(head, rows)]
    write_bytes(file, page(f"Tuning of {settings['recipe']}", tag("main", *parts)))
    return file


def importance(study: Any) -> dict[str, float]:
    """The importance of every option by fANOVA (Hutter et al. 2014); empty if it cannot be estimated."""
    from optuna.importance import get_param_importances

    try:
        return dict(get_param_importances(study))
    except (RuntimeError, ValueError, ImportError):
        return {}


def number(value: Any) -> str:
    """A value as short text."""
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def table(head: list[str], rows: list[list[Any]]) -> Safe:
    """A table with a row of headings."""
    heading = tag("tr", *(tag("th", name) for name in head))
    body = [tag("tr", *(tag("td", cell) for cell in row)) for row in rows]
    return tag("div", tag("table", tag("thead", heading), tag("tbody", *body)), class_="scroll")


def coordinates(study: Any, trials: list[Any], metric: str) -> Safe:
    """Parallel coordinates of trials as a drawing: an axis an option, and the result's last."""
    names = list(trials[0].params)
    columns = [[t.params[name] for t in trials] for name in names] + [[t.value for t in trials]]
    axes = [axis(values) for values in columns]
    step = (WIDE - 160) / max(len(axes) - 1, 1)
    order = sorted(range(len(trials)), key=lambda k: trials[k].value, reverse=study.direction.name == "MINIMIZE")
    lines = []
    for place, k in enumerate(order):  # the best one is drawn last
        points = " ".join(f"{80 + step * a:.1f},{TOP + (1 - axes[a][k]) * HIGH:.1f}" for a in range(len(axes)))
        shade = 0.15 + 0.85 * (place + 1) / len(order)
        lines.append(tag("polyline", points=points, fill="none", stroke="currentColor", stroke_opacity=f"{shade:.2f}"))
    for a, (name, values) in enumerate(zip([*names, metric], columns)):
        x = f"{80 + step * a:.1f}"
        ends = [str(v) for v in sorted({*map(str, values)})] if isinstance(values[0], str) else values
        low, high = (ends[0], ends[-1]) if isinstance(values[0], str) else (min(values), max(values))
        lines.append(tag("line", x1=x, x2=x, y1=TOP, y2=TOP + HIGH, stroke="currentColor", stroke_opacity="0.5"))
        for text, y in ((number(high), TOP - 8), (number(low), TOP + HIGH + 16), (name, TOP + HIGH + 34)):
            lines.append(tag("text", text, x=x, y=y, fill="currentColor", font_size=11, text_anchor="middle"))
    box = f"0 0 {WIDE} {TOP + HIGH + 44}"
    return tag(
        "div", tag("svg", join(lines), viewBox=box, role="img", aria_label="parallel coordinates"), class_="scroll"
    )


def axis(values: list[Any]) -> list[float]:
    """Places of values on an axis from 0 to 1: words in alphabetical order, numbers of several powers of ten by their
    logarithms."""
    if isinstance(values[0], str):
        words = sorted(set(values))
        return [words.index(v) / max(len(words) - 1, 1) for v in values]
    if min(values) > 0 and max(values) / min(values) > 10:
        values = [math.log(v) for v in values]
    low, high = min(values), max(values)
    return [(v - low) / (high - low) if high > low else 0.5 for v in values]
