"""What the rules read: the lines of a run's log up to some moment, and how the run was set up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Line = Mapping[str, Any]


class Setup:
    """A run's config as plain JSON, so that runs of components that are not ours can be read too."""

    def __init__(self, config: Mapping[str, Any]):
        self.recipe: Mapping[str, Any] = config.get("recipe") or {}
        self.data: Mapping[str, Any] = config.get("data") or {}

    def get(self, path: str, default: Any = None) -> Any:
        """What an option was set to, by the path that `--set` takes; the default where the config does not say."""
        for root in (self.recipe, self.recipe.get("task")):
            value: Any = root
            for name in path.split("."):
                value = value.get(name) if isinstance(value, Mapping) else None
            if value is not None:
                return value
        return default

    def component(self, path: str) -> str:
        """The class that stands at a path, without its module; nothing if none does."""
        return str(self.get(f"{path}.()", "")).rpartition(":")[2]

    @property
    def planned(self) -> int:
        """Images of the whole run."""
        return int(self.get("images", 0))

    @property
    def epochs(self) -> float:
        """How often the whole run passes through the data."""
        return self.planned / max(int(self.data.get("images") or 0), 1)


class Chart:
    """The log of a run up to some moment, as a physician reads it: the newest values, and those from the beginning."""

    def __init__(self, lines: Sequence[Line], setup: Setup):
        self.lines, self.setup = lines, setup

    @property
    def images(self) -> int:
        return int(self.lines[-1].get("images", 0)) if self.lines else 0

    @property
    def fraction(self) -> float:
        """The share of the planned run that is over."""
        return self.images / self.setup.planned if self.setup.planned else 1.0

    def all(self, name: str) -> list[float]:
        """Every value of a field, oldest first; lines without it are passed over."""
        return [float(line[name]) for line in self.lines if _is_number(line.get(name))]

    def last(self, name: str, count: int) -> list[float]:
        """The newest `count` values of a field, oldest first; none at all if there are fewer."""
        found: list[float] = []
        for line in reversed(self.lines):
            if _is_number(line.get(name)):
                found.append(float(line[name]))
                if len(found) == count:
                    return found[::-1]
        return []

    def now(self, name: str, count: int) -> float:
        """The median of the newest `count` values of a field; not a number if there are fewer."""
        return median(self.last(name, count) or [math.nan])

    def first(self, name: str, count: int) -> float:
        """The median of the first `count` values of a field; not a number if there are fewer."""
        values = self.all(name)[:count]
        return median(values) if len(values) == count else math.nan


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
