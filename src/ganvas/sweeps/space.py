"""Search spaces: options of a recipe with the values that may be tried."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..config import Recipe
from ..describe import Option, describe
from ..errors import UsageError, did_you_mean

FORM = re.compile(r"\s*([\w.]+)\s*=\s*(log|uniform|int|one_of)\(([^()]*)\)\s*")
SPAN = (0.125, 4.0)  # of the default, in which learning rates and weights of penalties are searched
RATES = ("g_optimizer.lr", "d_optimizer.lr")


@dataclass(frozen=True)
class Range:
    """The values of one option: a range of numbers, or a choice."""

    path: str
    kind: str  # log, uniform, int or one_of
    values: tuple[Any, ...]  # two ends, or the choices as they are written after --set

    def distribution(self) -> Any:
        """The range for Optuna."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "one_of":
            return CategoricalDistribution(self.values)
        if self.kind == "int":
            return IntDistribution(*self.values)
        low, high = self.values
        return FloatDistribution(low, high, log=self.kind == "log")

    def holds(self, value: Any) -> bool:
        """True if a value is one of these."""
        if self.kind == "one_of":
            return value in self.values
        return isinstance(value, (int, float)) and self.values[0] <= value <= self.values[1]

    def __str__(self) -> str:
        return f"{self.path}={self.kind}({','.join(map(str, self.values))})"


def parse_range(text: str) -> Range:
    """Parse `g_optimizer.lr=log(1e-4,1e-2)`, `uniform(a,b)`, `int(a,b)` or `one_of(a,b,c)`.

    Raises `UsageError` for any other form, and for ends that are no numbers, or in the wrong order.
    """
    match = FORM.fullmatch(text)
    if not match:
        forms = "log(a,b), uniform(a,b), int(a,b) or one_of(a,b,c)"
        raise UsageError(f"--set-space takes OPTION={forms}, not {text!r}.")
    path, kind, inside = match.groups()
    parts = [part.strip() for part in inside.split(",")]
    if kind == "one_of":
        if len(set(parts)) < 2 or not all(parts):
            raise UsageError(f"{text}: one_of takes two different values or more.")
        return Range(path, kind, tuple(parts))
    try:
        ends = tuple((int if kind == "int" else float)(part) for part in parts)
    except ValueError:
        raise UsageError(f"{text}: {kind} takes two numbers.") from None
    if len(ends) != 2 or not ends[0] < ends[1] or (kind == "log" and ends[0] <= 0):
        raise UsageError(f"{text}: {kind} takes two numbers, the smaller first{', above 0' * (kind == 'log')}.")
    return Range(path, kind, ends)


def tune_space(recipe: Recipe) -> list[Range]:
    """The usual search of a recipe: the learning rates of its players and the weights of its penalties."""
    known = {option.path: option for option in describe(recipe)}
    penalties = [path for path in known if re.fullmatch(r"penalties\.\d+\.(gamma|weight)", path)]
    ranges = []
    for path in (*RATES, *penalties):
        value = known[path].value if path in known else None
        if isinstance(value, (int, float)) and value > 0:
            ranges.append(Range(path, "log", (value * SPAN[0], value * SPAN[1])))
    return ranges


def read_space(recipe: Recipe, texts: Iterable[str]) -> list[Range]:
    """The ranges of a search: those given, or `tune_space`; raises `UsageError` for options the recipe lacks."""
    known = {option.path: option for option in describe(recipe)}
    ranges = [parse_range(text) for text in texts] or tune_space(recipe)
    for one in ranges:
        if one.path not in known:
            near = did_you_mean(one.path, known)
            raise UsageError(f"The recipe has no option {one.path!r}.{near} `ganvas show RECIPE` lists them all.")
        check_values(recipe, one)
    paths = [one.path for one in ranges]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise UsageError(f"{twice} is given twice.")
    if not ranges:
        raise UsageError("This recipe has no usual search; give --set-space OPTION=log(a,b).")
    return ranges


def check_values(recipe: Recipe, one: Range) -> None:
    """Raise `UsageError` for values that the option does not take."""
    for value in one.values:
        recipe.copy().set(one.path, str(value))


def defaults_in(recipe: Recipe, ranges: Iterable[Range]) -> dict[str, Any]:
    """The recipe's own values within the ranges, the first trial; empty if one lies outside its range."""
    known: dict[str, Option] = {option.path: option for option in describe(recipe)}
    values = {one.path: known[one.path].value for one in ranges}
    values = {one.path: str(values[one.path]) if one.kind == "one_of" else values[one.path] for one in ranges}
    return values if all(one.holds(values[one.path]) for one in ranges) else {}
