"""Types of what runs and models save, checked where a file is read, so that a damaged one is named with its field."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from .config import accepts, type_name
from .errors import UserError

Shape = Mapping[str, Any]  # annotations by name; a nested one is in turn a `Shape`

DATA: Shape = {
    **dict.fromkeys(("source", "fingerprint"), str),
    **dict.fromkeys(("images", "channels", "classes", "attributes", "source_channels", "source_scale"), int),
    **dict.fromkeys(("labels_kept", "held_out"), int | None),
    **{"path": str | None, "resolution": tuple[int, int], "class_names": list[str]},
}
RECIPE: Shape = {
    **dict.fromkeys(("batch", "images", "g_steps", "accumulate", "d_warmup_images", "freeze_d", "patch"), int),
    **dict.fromkeys(("task", "g_optimizer"), dict),
    **dict.fromkeys(("d_optimizer", "lr_schedule", "beta2", "degradation"), dict | None),
    **{"d_steps": int | dict, "ema_images": float | dict, "ema_ramp": float, "clip_norm": float | None},
    **{"transforms": list, "sync_batch_norm": bool},
}
CONFIG: Shape = {
    **{"data": DATA, "recipe": RECIPE, "task": dict, "recipe_name": str, "seed": int, "precision": str},
    **{"init_from": str | None, "init_raw": bool, "heal": bool, "evaluation": dict | None, "images": int},
    **{"hardware": dict, "versions": dict, "options": dict},
}
GROUP: Shape = {  # of an optimiser's parameters
    **dict.fromkeys(("lr", "eps", "weight_decay", "momentum", "alpha", "dampening"), float),
    **{"betas": tuple[float, float], "params": list[int]},
}
TRAINER: Shape = {
    **{"images": int, "step": int, "task": dict, "average": dict, "rng": {"cpu": Tensor}, "ease": dict},
    **{"tally": {"sums": dict, "counts": dict}, "g": {"state": dict, "param_groups": list}},
}
STATE: Shape = {
    **{"trainer": TRAINER, "retries": int, "heals": int, "seconds": float, "watch": dict | None},
    **{"signals": {"fake_mean": Tensor | None}},
}
LATER = ("tally", "ease", "heals", "watch", "signals")  # parts of a state that old versions did not save


def check_config(config: Mapping[str, Any], file: Path) -> None:
    """Raise `UserError` for a field of a run's or a model's config.json that is of another type than it was saved."""
    if problem := _problem(CONFIG, config):
        raise UserError(f"{file} is damaged: {problem}.")


def is_log_line(line: Mapping[str, Any]) -> bool:
    """True for a line of log.jsonl or evaluation.jsonl whose counters and findings have their types."""
    counters = [line[name] for name in ("images", "trained_images") if name in line]
    findings = line.get("findings", [])
    listed = isinstance(findings, list) and all(isinstance(finding, dict) for finding in findings)
    return listed and isinstance(line.get("heal", {}), dict) and all(accepts(int, n) and n >= 0 for n in counters)


def check_state(state: Mapping[str, Any]) -> None:
    """Raise `ValueError`, which names the field, for a training state with a part missing or of another type."""
    trainer = state.get("trainer") or {}
    parts = {name: shape for name, shape in TRAINER.items() if name in trainer or name not in LATER}
    needed = {name: shape for name, shape in STATE.items() if name in state or name not in LATER}
    shape = {**needed, "trainer": {**parts, **({"d": TRAINER["g"]} if "d" in trainer else {})}}
    if problem := _problem(shape, state, whole=True):
        raise ValueError(problem)
    check_networks(state)
    tally = trainer.get("tally") or {"sums": {}, "counts": {}}
    for name, part, kind in (
        *(("tally.sums", tally["sums"], Tensor), ("tally.counts", tally["counts"], int)),
        ("ease", trainer.get("ease", {}), float),
        ("rule", trainer.get("rule", {}), float),
    ):
        _check_values(f"trainer.{name}", part, kind)
    if tally["sums"].keys() != tally["counts"].keys():
        raise ValueError("trainer.tally has other sums than counts")
    for player in ("g", "d"):
        _check_optimizer(f"trainer.{player}", trainer.get(player, {"param_groups": [], "state": {}}))


def check_networks(state: Mapping[str, Any]) -> None:
    """Raise `ValueError` for a training state without the tensors of its networks."""
    if problem := _problem({"trainer": {"task": dict, "average": dict}}, state, whole=True):
        raise ValueError(problem)
    for name in ("task", "average"):
        weights = state["trainer"][name]  # the module that wrote an extra state checks it
        plain = {k: v for k, v in weights.items() if not str(k).endswith("_extra_state")}
        _check_values(f"trainer.{name}", plain, Tensor)


def _check_values(path: str, part: Mapping[Any, Any], kind: type) -> None:
    for key, value in part.items():
        if not isinstance(key, str) or not accepts(kind, value):
            raise ValueError(f"{path}.{key} is {_brief(value)}, not {kind.__name__}")


def _check_optimizer(path: str, saved: Mapping[str, Any]) -> None:
    for group in saved["param_groups"]:
        if problem := _problem(GROUP, group, f"{path}.param_groups"):
            raise ValueError(problem)
    for k, memory in saved["state"].items():
        entries = memory.values() if isinstance(memory, dict) else [None]
        if not all(isinstance(entry, Tensor) or accepts(float, entry) for entry in entries):
            raise ValueError(f"{path}.state.{k} holds more than tensors and numbers")


def _problem(shape: Shape, value: Any, path: str = "", whole: bool = False) -> str:
    """The first field that is missing (if `whole`), or of another type, negative or not finite; empty if none is."""
    if not isinstance(value, Mapping):
        return f"{path or 'it'} is {_brief(value)}, and holds names and values"
    for name, hint in shape.items():
        field = f"{path}.{name}".removeprefix(".")
        if name not in value:
            if whole:
                return f"{field} is missing"
        elif isinstance(hint, Mapping):
            if problem := _problem(hint, value[name], field, whole):
                return problem
        elif not accepts(hint, value[name]):
            return f"{field} is {_brief(value[name])}, not {type_name(hint)}"
        elif isinstance(value[name], (int, float)) and not 0 <= value[name] < math.inf:
            return f"{field} is {value[name]}, not a number from 0 on"
    return ""


def _brief(value: Any) -> str:
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__
    return text if len(text) < 40 else f"{text[:36]}..."
