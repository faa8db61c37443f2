"""Tables of a run: its recipe, its data, its machine, and the command that repeats it."""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ..catalog import RECIPES
from ..describe import Option, describe
from .html import Child, Safe, fold, join, tag
from .plot import brief
from .read import Record, as_count

WORDY = {"protocol", "meaning"}  # columns of sentences
LISTED_CLASSES = 12  # the other classes are counted
COLOURS = {1: "grey", 3: "RGB", 4: "RGBA"}


def table(columns: Sequence[str], rows: Iterable[Sequence[Child]], numbers: Iterable[str] = (), kind: str = "") -> Safe:
    """A table that scrolls inside the page on a narrow screen."""
    right = {k for k, name in enumerate(columns) if name in set(numbers)}
    head = tag("tr", *(tag("th", c, class_="number" if k in right else None) for k, c in enumerate(columns)))
    kinds = ["number" if k in right else "text" if name in WORDY else None for k, name in enumerate(columns)]
    body = [tag("tr", *(_cell(value, k, kinds[k]) for k, value in enumerate(row))) for row in rows]
    content = tag("table", tag("thead", head) if any(columns) else None, tag("tbody", *body), class_=kind or None)
    return tag("div", content, class_="scroll", tabindex=0)


def _cell(value: Child, column: int, kind: str | None) -> Safe:
    return tag("th", value, scope="row") if column == 0 else tag("td", value, class_=kind)


def side_by_side(records: Sequence[Record], rows: Iterable[tuple[str, Sequence[Child]]]) -> Safe:
    """A table with a row for each fact and a column for each run; facts that no run has are left out."""
    filled = [[name, *values] for name, values in rows if any(str(v) for v in values if v is not None)]
    heads = [] if len(records) == 1 else [run_name(k, r) for k, r in enumerate(records)]
    return table(["", *heads] if heads else ["", ""], filled, kind="facts")


def run_name(index: int, record: Record) -> Safe:
    """The name of a run with the colour of its curves."""
    return tag("span", tag("i", class_=f"key c{index}"), record.name, class_="entry")


def heading(index: int, records: Sequence[Record]) -> Safe | None:
    """The name of a run above its part of a section; None on the page of a single run."""
    return tag("h3", run_name(index, records[index])) if len(records) > 1 else None


# --- the recipe ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """The value of an option in a run."""

    value: str
    meaning: str = ""
    default: str | None = None  # value in the named recipe, if it differs


def options_of(record: Record) -> dict[str, Setting]:
    """The settings of a run by the path of the option."""
    if record.recipe is None:
        return {path: Setting(value) for path, value in flatten(record.config["recipe"])}
    defaults = _recipe_defaults(record)
    settings = {}
    for option in _describe(record.recipe):
        value = format_value(option.value)
        default = defaults.get(option.path, value)
        settings[option.path] = Setting(value, option.meaning, default if default != value else None)
    return settings


def _describe(recipe: Any) -> list[Option]:
    """The options of a recipe; empty if its components cannot be described."""
    try:
        return describe(recipe)
    except Exception:  # a saved recipe may lack what its components demand
        return []


def _recipe_defaults(record: Record) -> dict[str, str]:
    """The options of the named recipe; empty if the catalogue has no recipe of that name."""
    name = record.config.get("recipe_name")
    if not isinstance(name, str) or name not in RECIPES:
        return {}
    return {option.path: format_value(option.value) for option in _describe(RECIPES[name]())}


def format_value(value: Any) -> str:
    """A value as text."""
    if isinstance(value, (list, tuple)):
        return ", ".join(format_value(v) for v in value) or "-"
    if isinstance(value, bool) or value is None:
        return "none" if value is None else str(value).lower()
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def flatten(value: Any, path: str = "", depth: int = 0) -> Iterable[tuple[str, str]]:
    """(path, value) of every leaf of a JSON object."""
    if isinstance(value, Mapping) and depth < 12:
        for name, inside in value.items():
            yield from flatten(inside, f"{path}.{name}".removeprefix("."), depth + 1)
    else:
        text = json.dumps(value) if isinstance(value, (Mapping, list)) else format_value(value)
        yield path.removesuffix(".()"), text


def recipe(records: Sequence[Record]) -> Safe:
    """Every option; of several runs first the options that differ."""
    if len(records) == 1:
        return _one_recipe(records[0])
    every = [options_of(record) for record in records]
    paths = list(dict.fromkeys(path for options in every for path in options))
    rows = {path: [options[path].value if path in options else "-" for options in every] for path in paths}
    different = {path: values for path, values in rows.items() if len(set(values)) > 1}
    equal = {path: values for path, values in rows.items() if path not in different}
    heads = ["option", *(run_name(k, r) for k, r in enumerate(records))]
    first = table(heads, [[p, *v] for p, v in different.items()], kind="options")
    if not different:
        first = tag("p", "The recipes are the same.", class_="quiet")
    rest = table(["option", "value"], [[p, v[0]] for p, v in equal.items()], kind="options")
    return join([first, fold(f"{len(equal)} options with the same value", rest)])


def _one_recipe(record: Record) -> Safe:
    options = options_of(record)
    changed = {path: o for path, o in options.items() if o.default is not None}
    parts: list[Child] = []
    if record.recipe is None:
        parts.append(tag("p", "Some components of this run are not in the catalogue of ganvas.", class_="quiet"))
    if changed:
        rows = [[p, tag("b", o.value), o.default, o.meaning] for p, o in changed.items()]
        head = f"{len(changed)} of {len(options)} options differ from the recipe {record.config['recipe_name']}:"
        parts += [tag("p", head), table(["option", "value", "in the recipe", "meaning"], rows, kind="options")]
    rows = [[path, o.value, o.meaning] for path, o in options.items()]
    every = table(["option", "value", "meaning"], rows, kind="options")
    return join([*parts, fold(f"All {len(options)} options", every)])


# --- data and machine ------------------------------------------------------------------------------------


def facts_table(records: Sequence[Record], facts_of: Callable[[Record], dict[str, str]]) -> Safe:
    """Facts of the runs side by side: `data_facts` or `machine_facts`."""
    every = [facts_of(record) for record in records]
    names = dict.fromkeys(name for facts in every for name in facts)
    return side_by_side(records, [(name, [facts.get(name, "") for facts in every]) for name in names])


def data_facts(record: Record) -> dict[str, str]:
    """The data of a run."""
    d = record.data
    size = d.get("resolution")
    size = size if isinstance(size, list) and len(size) == 2 else [0, 0]
    count, held = as_count(d.get("images")), as_count(d.get("held_out"))
    facts = {"source": str(d.get("source") or "passed in Python")}
    if d.get("path") and d.get("path") != d.get("source"):
        facts["path"] = str(d["path"])
    facts["points" if record.points else "images"] = f"{count:,}"
    if held:
        facts["held out"] = f"{held:,}, not trained on"
    if not record.points:
        facts["size"] = f"{format_value(size[1])}x{format_value(size[0])}"
        facts["channels"] = COLOURS.get(as_count(d.get("channels")), format_value(d.get("channels")))
    if d.get("source_channels"):
        facts["source images"] = COLOURS.get(as_count(d["source_channels"]), format_value(d["source_channels"]))
    if classes := _classes(d):
        facts["classes"] = classes
    for key, name in (("attributes", "label size"), ("labels_kept", "labels kept"), ("unlabelled", "unlabelled")):
        if as_count(d.get(key)):
            facts[name] = f"{as_count(d[key]):,}"
    if count - held > 0 and record.images:
        facts["passes"] = f"{record.images / (count - held):.3g} over the training data"
    return {**facts, "fingerprint": str(d.get("fingerprint") or "")}


def _classes(d: Mapping[str, Any]) -> str:
    names = d.get("class_names")
    if not isinstance(names, list) or not names:
        return ""
    more = len(names) - LISTED_CLASSES
    listed = ", ".join(str(name) for name in names[:LISTED_CLASSES])
    return f"{len(names):,}: {listed}{f', and {more:,} more' if more > 0 else ''}"


def machine_facts(record: Record) -> dict[str, str]:
    """The machine of a run, and its speed."""
    hardware, versions = record.config.get("hardware"), record.config.get("versions")
    facts = {}
    if isinstance(hardware, Mapping):
        facts = {str(k).replace("_", " "): format_value(v) for k, v in hardware.items()}
    else:
        facts["device"] = "unknown (the run was started by an earlier version)"
    facts["precision"] = str(record.config.get("precision") or "")
    speeds = record.values("images_per_second")
    if speeds:
        facts["throughput"] = f"{brief(median(speeds))} images/s (median of {len(speeds):,} log lines)"
        facts["training time"] = format_duration(record.seconds)
    waits = record.values("diagnostics/data_wait_share")
    if waits:
        facts["waiting for data"] = f"{100 * median(waits):.2g} % of the time (median)"
    if isinstance(versions, Mapping):
        facts["software"] = ", ".join(f"{k} {format_value(v)}" for k, v in versions.items())
    return facts


def format_duration(seconds: float) -> str:
    """A duration in the largest fitting units: 46 s, 12 min, 3 h 20 min."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


# --- reproduction --------------------------------------------------------------------------------------


def command(record: Record) -> str | None:
    """The command that repeats this run from its config.json; None if its data or components came from Python."""
    c, d = record.config, record.data
    source = d.get("path") or d.get("source")
    if not isinstance(source, str) or not source or record.recipe is None:
        return None
    words = ["ganvas", "train", str(record.run.config_file), "--data", source]
    options: list[tuple[str, Any]] = [("seed", c.get("seed")), ("precision", c.get("precision"))]
    size = d.get("asked_resolution")
    if isinstance(size, list) and len(size) == 2:
        options.append(("resolution", f"{size[1]}x{size[0]}"))
    options += [("hold-out", d.get("held_out")), ("labels", d.get("labels_kept")), ("init-from", c.get("init_from"))]
    evaluation = c.get("evaluation")
    options += [(k.replace("_", "-"), v) for k, v in evaluation.items()] if isinstance(evaluation, Mapping) else []
    words += [word for name, value in options if value is not None for word in (f"--{name}", str(value))]
    words += [f"--{name}" for name in ("init-raw", "heal") if c.get(name.replace("-", "_")) is True]
    return shlex.join([*words, "--outdir", "NEW"])


def reproduce(records: Sequence[Record]) -> Safe:
    """The command that repeats each run, and its config."""
    note = "On a CPU the same data, versions and number of threads give the same result, bit for bit."
    parts: list[Child] = [tag("p", note)]
    for k, record in enumerate(records):
        parts.append(heading(k, records))
        line = command(record)
        if line is None:
            parts.append(tag("p", "The data or components were passed in Python, so no command can repeat this run."))
        else:  # a line may end between words, not at the hyphens of an option
            words = [[tag("span", shlex.quote(word)), " "] for word in shlex.split(line)]
            parts.append(tag("pre", words, class_="command", tabindex=0))
        content = json.dumps(record.config, indent=2, ensure_ascii=False)
        name = f"{Path(record.run.config_file).name}, which holds the recipe"
        parts.append(fold(name, tag("pre", content, tabindex=0)))
    return join(parts)
