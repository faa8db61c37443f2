"""Names that files written by earlier versions use, and their present names."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TABLES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))  # {table: {old name: present}}
COMPONENTS: dict[str, str] = _TABLES["components"]  # by class, `ganvas.MODULE:CLASS`, in configs before December 2026
CATALOGUE_NAMES: dict[str, str] = _TABLES["catalogue_names"]  # also to be typed
METRIC_NAMES: dict[str, str] = _TABLES["metrics"]
LOG_KEYS: dict[str, str] = _TABLES["log"]  # fields of log.jsonl
EVALUATION_KEYS: dict[str, str] = _TABLES["evaluation"]  # fields of evaluation.jsonl

DEFAULTS: dict[str, dict[str, Any]] = _TABLES["defaults"]  # {component: options that old configs leave out}

# Penalties and image terms in the log: {class in small letters: catalogue name}.
_TERM_NAMES = {
    address.rpartition(":")[2].lower(): name
    for address, name in COMPONENTS.items()
    if address.startswith(("ganvas.losses.", "ganvas.metrics.perceptual"))
}
_TERM = re.compile(r"([dg]/)([a-z0-9]+?)(_\d+)?(_[ab])?")  # player, class, place in the list, side of unpaired data

# DCGAN's networks had these options themselves.
VARIANTS = {
    "dcgan_generator": ("dcgan_variant_generator", {"hidden", "norm", "reference"}),
    "dcgan_discriminator": ("dcgan_variant_discriminator", {"hidden", "reference"}),
}


def component_name(name: str) -> str:
    """The catalogue name of a component, from that name, an old one, or the address that old files use."""
    return COMPONENTS.get(name) or CATALOGUE_NAMES.get(name, name)


def current(value: Any) -> Any:
    """A config as the present version writes it: components by their catalogue names."""
    if isinstance(value, list):
        return [current(v) for v in value]
    if not isinstance(value, dict):
        return value
    if not isinstance(value.get("()"), str):
        return {k: current(v) for k, v in value.items()}
    name = component_name(value["()"])
    variant, own = VARIANTS.get(name, (name, set()))
    name = variant if own & value.keys() or value.get("norm") == "virtual" else name
    entries = {k: name if k == "()" else current(v) for k, v in value.items()}
    return entries | {k: v for k, v in DEFAULTS.get(name, {}).items() if k not in entries}


def current_evaluation(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of evaluation.jsonl with the present names of its metric and fields."""
    entries = current_keys(line, EVALUATION_KEYS)
    if isinstance(entries.get("metric"), str):
        entries["metric"] = METRIC_NAMES.get(entries["metric"], entries["metric"])
    return entries


def current_keys(line: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A line of a log with its fields' present names."""
    return {names.get(k, k): v for k, v in line.items()}


def current_log_line(line: dict[str, Any]) -> dict[str, Any]:
    """A line of log.jsonl, or the running means of a saved state, with the present names of the fields."""
    renamed = _current_terms(current_keys(line, LOG_KEYS))
    if isinstance(renamed.get("heal"), dict):
        renamed["heal"] = current_keys(renamed["heal"], {"done": "action"})
    return renamed


def _current_terms(line: dict[str, Any]) -> dict[str, Any]:
    """A log line whose penalties and image terms have catalogue names, numbered only where one stands twice.

    They had class names, and penalties always a number: `d/gradientpenalty_0` is now `d/gradient_penalty`.
    """
    matches = {key: match for key in line if (match := _TERM.fullmatch(key)) and match[2] in _TERM_NAMES}
    twins: dict[tuple[str, ...], list[str]] = {}
    for key, match in matches.items():
        twins.setdefault((match[1], match[2], match[4] or ""), []).append(key)
    renamed: dict[str, str] = {}
    for (player, name, side), keys in twins.items():
        for k, key in enumerate(keys):
            renamed[key] = f"{player}{_TERM_NAMES[name]}{f'_{k}' if len(keys) > 1 else ''}{side}"
    return {renamed.get(key, key): value for key, value in line.items()}
