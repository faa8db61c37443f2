"""What the rules read: the lines of a run's log up to some moment, and how the run was set up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from .. import catalog, legacy
from ..config import Spec, encode, options

Line = Mapping[str, Any]


class Setup:
    """A run's config as plain JSON, so that runs of components that are not ours can be read too."""

    def __init__(self, config: Mapping[str, Any]):
        self.recipe: Mapping[str, Any] = legacy.current(config.get("recipe") or {})
        self.data: Mapping[str, Any] = config.get("data") or {}

    def get(self, path: str, default: Any = None) -> Any:
        """What an option is, by the path that `--set` takes: as it was set, else its component's default, else
        `default`.
        """
        for root in (self.recipe, self.recipe.get("task")):
            value: Any = root
            for name in path.split("."):
                value = _inside(value, name)
            if value is not None:
                return value
        return default

    def component(self, path: str) -> str:
        """The catalogue name of the component at a path; empty if none is there."""
        return str(self.get(f"{path}.()", ""))

    @property
    def players(self) -> list[str]:
        """Those with an optimiser: `g`, and `d` if there is one."""
        return [player for player in ("g", "d") if self.get(f"{player}_optimizer")]

    @property
    def has_images(self) -> bool:
        """Whether the data are images and not points."""
        return max(self.data.get("resolution") or [8]) > 1

    @property
    def judges_by_sign(self) -> bool:
        """Whether logits are meant to be positive for real images and negative for others."""
        return self.component("loss") in ("non_saturating", "minimax", "hinge")

    @property
    def planned(self) -> int:
        """Images of the whole run."""
        return int(self.get("images", 0))

    @property
    def trained_on(self) -> int:
        """Images that the data have beside those held out; 0 where the config does not say."""
        return int(self.data.get("images") or 0) - self.held_out

    @property
    def held_out(self) -> int:
        return int(self.data.get("held_out") or 0)

    @property
    def drawn(self) -> int:
        """Images that one step of the game draws."""
        d_steps, g_steps = self.get("d_steps", 1), self.get("g_steps", 1)
        d_steps = d_steps.get("usual", 5) if isinstance(d_steps, Mapping) else d_steps  # a rule, such as LongStarts
        return max(int(self.get("batch", 1)) * max(int(d_steps), int(g_steps)), 1)


def _inside(value: Any, name: str) -> Any:
    """One step along a path: into a component, with its defaults, or into a list by position."""
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    if not isinstance(value, Mapping):
        return None
    target = catalog.component(str(value.get("()", "")))
    if name in value or target is None or name not in options(target):
        return value.get(name)
    default = options(target)[name].default
    return encode(default) if isinstance(default, (Spec, list, tuple, str, int, float, bool)) else None


class Chart:
    """The log of a run up to some moment, as a physician reads it: the newest values, and those from the beginning.

    Kept by field, so that reading a long log takes time in proportion to its length.
    """

    def __init__(self, setup: Setup):
        self.setup, self.images = setup, 0
        self.values: dict[str, list[float]] = {}

    def add(self, line: Line) -> None:
        """The next line of the log."""
        self.images = int(line.get("images", 0))
        for name, value in line.items():
            if _is_number(value):
                self.values.setdefault(name, []).append(float(value))

    @property
    def fraction(self) -> float:
        """The share of the planned run that is over."""
        return self.images / self.setup.planned if self.setup.planned else 1.0

    @property
    def steps(self) -> int:
        """About how many steps the generator has made."""
        warming = int(self.setup.get("d_warmup_images", 0))
        return max(self.images - warming, 0) // self.setup.drawn

    def change(self, name: str, count: int) -> float:
        """How the newer half of the last `count` values compares with the older one: -0.1 is a tenth less.

        Medians of the halves; not a number if there are fewer values.
        """
        values = self.last(name, count)
        if not values:
            return math.nan
        old, new = median(values[: count // 2]), median(values[count // 2 :])
        return (new - old) / max(abs(old), 1e-12)

    def all(self, name: str) -> list[float]:
        """Every value of a field, oldest first; lines without it are passed over."""
        return list(self.values.get(name, ()))

    def last(self, name: str, count: int) -> list[float]:
        """The newest `count` values of a field, oldest first; none at all if there are fewer."""
        values = self.values.get(name, [])
        return values[-count:] if len(values) >= count else []

    def now(self, name: str, count: int) -> float:
        """The median of the newest `count` values of a field; not a number if there are fewer."""
        return median(self.last(name, count) or [math.nan])

    def first(self, name: str, count: int) -> float:
        """The median of the first `count` values of a field; not a number if there are fewer."""
        values = self.values.get(name, [])[:count]
        return median(values) if len(values) == count else math.nan


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
