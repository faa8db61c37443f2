"""Tables of what a run is: its recipe, its data, its machine, and the command that does it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ..catalog import RECIPES
from ..describe import Option, describe
from .html import Child, Safe, joined, tag
from .plot import brief
from .read import Record, whole

WORDY = {"protocol", "what it means"}  # columns of sentences
SHOWN_NAMES = 12  # classes listed before the rest is counted
COLOURS = {1: "grey", 3: "RGB", 4: "RGBA"}


def table(columns: Sequence[str], rows: Iterable[Sequence[Child]], numbers: Iterable[str] = (), kind: str = "") -> Safe:
    """A table that scrolls by itself where the screen is narrow."""
    right = {k for k, name in enumerate(columns) if name in set(numbers)}
    head = tag("tr", *(tag("th", c, class_="number" if k in right else None) for k, c in enumerate(columns)))
    kinds = ["number" if k in right else "text" if name in WORDY else None for k, name in enumerate(columns)]
    body = [tag("tr", *(_cell(value, k, kinds[k]) for k, value in enumerate(row))) for row in rows]
    content = tag("table", tag("thead", head) if any(columns) else None, tag("tbody", *body), class_=kind or None)
    return tag("div", content, class_="scroll", tabindex=0)


def _cell(value: Child, place: int, kind: str | None) -> Safe:
    return tag("th", value, scope="row") if place == 0 else tag("td", value, class_=kind)


def side_by_side(records: Sequence[Record], rows: Iterable[tuple[str, Sequence[Child]]]) -> Safe:
    """One row a fact, one column a run; facts that no run has are left out."""
    kept = [[name, *values] for name, values in rows if any(str(v) for v in values if v is not None)]
    heads = [] if len(records) == 1 else [run_name(k, r) for k, r in enumerate(records)]
    return table(["", *heads] if heads else ["", ""], kept, kind="facts")


def run_name(place: int, record: Record) -> Safe:
    return tag("span", tag("i", class_=f"key c{place}"), record.name, class_="entry")


# --- the recipe ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Built:
    """An option of a recipe as built."""

    value: str
    meaning: str = ""
    usual: str | None = None  # what the named recipe has, where that is something else


def options_of(record: Record) -> dict[str, Built]:
    """Every option by its path."""
    if record.recipe is None:
        return {path: Built(value) for path, value in flat(record.config["recipe"])}
    usual = _usual(record)
    found = {}
    for option in _described(record.recipe):
        value = shown(option.value)
        before = usual.get(option.path, value) if usual else value
        found[option.path] = Built(value, option.meaning, before if before != value else None)
    return found


def _described(recipe: Any) -> list[Option]:
    """The options of a recipe; none where components cannot be described."""
    try:
        return describe(recipe)
    except Exception:  # a saved recipe may lack what its components demand
        return []


def _usual(record: Record) -> dict[str, str]:
    """The options of the named recipe as it comes; nothing for a recipe without a name of ours."""
    name = record.config.get("recipe_name")
    if not isinstance(name, str) or name not in RECIPES:
        return {}
    return {option.path: shown(option.value) for option in _described(RECIPES[name]())}


def shown(value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(v) for v in value) or "-"
    if isinstance(value, bool) or value is None:
        return "none" if value is None else str(value).lower()
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def flat(value: Any, path: str = "", depth: int = 0) -> Iterable[tuple[str, str]]:
    """Every leaf of a JSON object by its path."""
    if isinstance(value, Mapping) and depth < 12:
        for name, inside in value.items():
            yield from flat(inside, f"{path}.{name}".removeprefix("."), depth + 1)
    else:
        yield path.removesuffix(".()"), shown(value) if not isinstance(value, (Mapping, list)) else json.dumps(value)


def recipe(records: Sequence[Record]) -> Safe:
    """Every option as built; of several runs first those in which they differ."""
    if len(records) == 1:
        return _one_recipe(records[0])
    every = [options_of(record) for record in records]
    paths = list(dict.fromkeys(path for options in every for path in options))
    rows = {path: [options[path].value if path in options else "-" for options in every] for path in paths}
    different = {path: values for path, values in rows.items() if len(set(values)) > 1}
    alike = {path: values for path, values in rows.items() if path not in different}
    heads = ["option", *(run_name(k, r) for k, r in enumerate(records))]
    first = table(heads, [[p, *v] for p, v in different.items()], kind="options")
    if not different:
        first = tag("p", "The recipes are the same.", class_="quiet")
    rest = tag(
        "details",
        tag("summary", f"{len(alike)} options that are alike"),
        table(["option", "value"], [[p, v[0]] for p, v in alike.items()], kind="options"),
    )
    return joined([first, rest])


def _one_recipe(record: Record) -> Safe:
    options = options_of(record)
    changed = {path: o for path, o in options.items() if o.usual is not None}
    parts: list[Child] = []
    if record.recipe is None:
        parts.append(tag("p", "It is made of components that are not all of ganvas's catalogue.", class_="quiet"))
    if changed:
        rows = [[p, tag("b", o.value), o.usual, o.meaning] for p, o in changed.items()]
        head = f"As {record.config['recipe_name']} comes, but for {len(changed)} of its {len(options)} options:"
        parts += [tag("p", head), table(["option", "value", "usually", "what it means"], rows, kind="options")]
    rows = [[path, o.value, o.meaning] for path, o in options.items()]
    whole_ = table(["option", "value", "what it means"], rows, kind="options")
    parts.append(tag("details", tag("summary", f"All {len(options)} options as built"), whole_))
    return joined(parts)


# --- data and machine ------------------------------------------------------------------------------------


def data(records: Sequence[Record]) -> Safe:
    """What the runs were trained on."""
    known = [_data(record) for record in records]
    names = list(dict.fromkeys(name for facts in known for name in facts))
    return side_by_side(records, [(name, [facts.get(name, "") for facts in known]) for name in names])


def _data(record: Record) -> dict[str, str]:
    d = record.data
    size = d.get("resolution")
    size = size if isinstance(size, list) and len(size) == 2 else [0, 0]
    count, held = whole(d.get("images")), whole(d.get("held_out"))
    facts = {"source": str(d.get("source") or "handed over in Python")}
    if d.get("path") and d.get("path") != d.get("source"):
        facts["found at"] = str(d["path"])
    facts["points" if record.points else "images"] = f"{count:,}"
    if held:
        facts["held out"] = f"{held:,}, never trained on"
    if not record.points:
        facts["size"] = f"{shown(size[1])}x{shown(size[0])}"
        facts["channels"] = COLOURS.get(whole(d.get("channels")), shown(d.get("channels")))
    if d.get("source_channels"):
        facts["made of"] = f"images, {COLOURS.get(whole(d['source_channels']), shown(d['source_channels']))}"
    if classes := _classes(d):
        facts["classes"] = classes
    for key, name in (("attributes", "numbers a label"), ("labels_kept", "labels kept"), ("unlabelled", "unlabelled")):
        if whole(d.get(key)):
            facts[name] = f"{whole(d[key]):,}"
    if count - held > 0 and record.images:
        facts["passes"] = f"{record.images / (count - held):.3g} through the training {list(facts)[1]}"
    return {**facts, "fingerprint": str(d.get("fingerprint") or "")}


def _classes(d: Mapping[str, Any]) -> str:
    names = d.get("class_names")
    if not isinstance(names, list) or not names:
        return ""
    more = len(names) - SHOWN_NAMES
    listed = ", ".join(str(name) for name in names[:SHOWN_NAMES])
    return f"{len(names):,}: {listed}{f', and {more:,} more' if more > 0 else ''}"


def machine(records: Sequence[Record]) -> Safe:
    """Where the runs were trained, and how fast."""
    known = [_machine(record) for record in records]
    names = list(dict.fromkeys(name for facts in known for name in facts))
    return side_by_side(records, [(name, [facts.get(name, "") for facts in known]) for name in names])


def _machine(record: Record) -> dict[str, str]:
    hardware, versions = record.config.get("hardware"), record.config.get("versions")
    facts = {}
    if isinstance(hardware, Mapping):
        facts = {str(k).replace("_", " "): shown(v) for k, v in hardware.items()}
    else:
        facts["device"] = "not written down (the run was started by an earlier ganvas)"
    facts["precision"] = str(record.config.get("precision") or "")
    speeds = record.values("images_per_second")
    if speeds:
        facts["throughput"] = f"{brief(median(speeds))} images a second (median of {len(speeds):,} lines of the log)"
        facts["training time"] = duration(record.seconds)
    waits = record.values("diagnostics/data_wait_share")
    if waits:
        facts["waiting for data"] = f"{100 * median(waits):.2g} % of the time (median)"
    if isinstance(versions, Mapping):
        facts["software"] = ", ".join(f"{k} {shown(v)}" for k, v in versions.items())
    return facts


def duration(seconds: float) -> str:
    """A time as a person says it: 46 s, 12 min, 3 h 20 min."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


# --- doing it again --------------------------------------------------------------------------------------


def command(record: Record) -> str | None:
    """The command line that trains this run again, from its own config; None where a command cannot."""
    c, d = record.config, record.data
    source = d.get("path") or d.get("source")
    if not isinstance(source, str) or not source or record.recipe is None:
        return None
    words = ["ganvas", "train", str(record.run.config_file), "--data", source]
    given: list[tuple[str, Any]] = [("seed", c.get("seed")), ("precision", c.get("precision"))]
    asked = d.get("asked_resolution")
    if isinstance(asked, list) and len(asked) == 2:
        given.append(("resolution", f"{asked[1]}x{asked[0]}"))
    given += [("hold-out", d.get("held_out")), ("labels", d.get("labels_kept")), ("init-from", c.get("init_from"))]
    watched = c.get("evaluation")
    given += [(k.replace("_", "-"), v) for k, v in watched.items()] if isinstance(watched, Mapping) else []
    words += [word for name, value in given if value is not None for word in (f"--{name}", str(value))]
    words += [f"--{name}" for name in ("init-raw", "heal") if c.get(name.replace("-", "_")) is True]
    return shlex.join([*words, "--outdir", "NEW"])


def reproduce(records: Sequence[Record]) -> Safe:
    """The command of every run, and its config."""
    parts: list[Child] = []
    for k, record in enumerate(records):
        if len(records) > 1:
            parts.append(tag("h3", run_name(k, record)))
        again = command(record)
        if again is None:
            parts.append(
                tag("p", "Its data or its components were handed over in Python, so no command does it again.")
            )
        else:
            parts.append(tag("pre", again, class_="command", tabindex=0))
        content = json.dumps(record.config, indent=2, ensure_ascii=False)
        name = f"{Path(record.run.config_file).name}, from which the recipe is read"
        parts.append(tag("details", tag("summary", name), tag("pre", content, tabindex=0)))
    said = "With the same data, versions and number of threads the result is the same on a CPU, bit for bit."
    return joined([tag("p", said), *parts])
