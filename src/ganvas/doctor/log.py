"""The input of the rules: the log of a run up to some line, and the config of the run."""

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from .. import catalog, legacy
from ..config import Spec, encode, options

Line = Mapping[str, Any]
PREFIX = "diagnostics/"  # of the keys in log.jsonl that the doctor measures


class Setup:
    """The config of a run as plain JSON, so that runs with components from outside Ganvas can be read too."""

    def __init__(self, config: Mapping[str, Any]):
        self.recipe: Mapping[str, Any] = legacy.current(config.get("recipe") or {})
        self.data: Mapping[str, Any] = config.get("data") or {}

    def get(self, path: str, default: Any = None) -> Any:
        """The value of an option by its `--set` path: as set, else its component's default, else `default`."""
        for root in (self.recipe, self.recipe.get("task")):
            value: Any = root
            for name in path.split("."):
                value = _inside(value, name)
            if value is not None:
                return value
        return default

    def component(self, path: str) -> str:
        """The catalogue name of the component at a path; empty if there is none."""
        return str(self.get(f"{path}.()", ""))

    @property
    def players(self) -> list[str]:
        """The players that have an optimiser: `g`, and `d` if there is one."""
        return [player for player in ("g", "d") if self.get(f"{player}_optimizer")]

    @property
    def has_images(self) -> bool:
        """True for images, False for points."""
        return max(self.data.get("resolution") or [8]) > 1

    @property
    def scores_have_sign(self) -> bool:
        """True if the loss makes logits positive for real images and negative for generated ones."""
        return self.component("loss") in ("non_saturating", "minimax", "hinge")

    @property
    def training_images(self) -> int:
        """The number of images in the data without those held out; 0 if the config does not say."""
        return int(self.data.get("images") or 0) - self.held_out

    @property
    def held_out(self) -> int:
        return int(self.data.get("held_out") or 0)

    @property
    def images_per_step(self) -> int:
        """The number of images that one training step draws."""
        d_steps, g_steps = self.get("d_steps", 1), self.get("g_steps", 1)
        d_steps = d_steps.get("usual", 5) if isinstance(d_steps, Mapping) else d_steps  # a rule, such as LongStarts
        return max(int(self.get("batch", 1)) * max(int(d_steps), int(g_steps)), 1)


def _inside(value: Any, name: str) -> Any:
    """The value under one name of a path: an option of a component or its default, or an item of a list."""
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    if not isinstance(value, Mapping):
        return None
    target = catalog.component(str(value.get("()", "")))
    if name in value or target is None or name not in options(target):
        return value.get(name)
    default = options(target)[name].default
    return encode(default) if isinstance(default, (Spec, list, tuple, str, int, float, bool)) else None


class History:
    """The log of a run up to some line, by key without `PREFIX`: first values, newest values, and their change.

    Adding a line takes the same time however long the log is.
    """

    def __init__(self, setup: Setup):
        self.setup, self.images = setup, 0
        self.values: dict[str, list[float]] = {}

    def add(self, line: Line) -> None:
        """Append the next line of the log; values that are no finite numbers are left out."""
        self.images = int(line.get("images", 0))
        for name, value in line.items():
            if _is_number(value):
                self.values.setdefault(name.removeprefix(PREFIX), []).append(float(value))

    @property
    def steps(self) -> int:
        """The approximate number of steps that the generator has made."""
        warmup = int(self.setup.get("d_warmup_images", 0))
        return max(self.images - warmup, 0) // self.setup.images_per_step

    def change(self, name: str, count: int) -> float:
        """The relative change from the older to the newer half of the last `count` values: -0.1 is a tenth less.

        Between the medians of the halves; NaN if there are fewer values.
        """
        values = self.last(name, count)
        if not values:
            return math.nan
        old, new = median(values[: count // 2]), median(values[count // 2 :])
        return (new - old) / max(abs(old), 1e-12)

    def all(self, name: str) -> list[float]:
        """Every value of a field, oldest first; lines without the field are left out."""
        return list(self.values.get(name, ()))

    def last(self, name: str, count: int) -> list[float]:
        """The newest `count` values of a field, oldest first; an empty list if there are fewer."""
        values = self.values.get(name, [])
        return values[-count:] if len(values) >= count else []

    def recent(self, name: str, count: int) -> float:
        """The median of the newest `count` values of a field; NaN if there are fewer."""
        return median(self.last(name, count) or [math.nan])

    def first(self, name: str, count: int) -> float:
        """The median of the first `count` values of a field; NaN if there are fewer."""
        values = self.values.get(name, [])[:count]
        return median(values) if len(values) == count else math.nan


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
