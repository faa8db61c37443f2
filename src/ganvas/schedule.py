"""Factors that change over a run, as functions of the share of its planned images."""

from __future__ import annotations

import math
from collections.abc import Callable

from .config import Spec


class Constant:
    """Always the same factor."""

    def __init__(
        self,
        *,
        value: float = 1.0,  # the factor
    ):
        self.value = value

    def __call__(self, fraction: float) -> float:
        return self.value


class Anneal:
    """From `start` to `end` along half a cosine until a share of the run, then `end`."""

    def __init__(
        self,
        *,
        start: float,  # the value at the beginning
        end: float,  # the value from `until` on
        until: float = 1.0,  # share of the run, 0 to 1
    ):
        if not 0 < until <= 1:
            raise ValueError(f"until is a share of the run from 0 to 1, got {until}")
        self.start, self.end, self.until = start, end, until

    def __call__(self, fraction: float) -> float:
        t = min(fraction / self.until, 1.0)
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * t)) / 2


class LongStarts:
    """Discriminator steps per generator step: many for the first steps of a run and now and then.

    The defaults are those of the authors' code (Arjovsky et al. 2017).
    """

    def __init__(
        self,
        *,
        usual: int = 5,  # steps as a rule
        long: int = 100,  # steps at the first and at every `every`-th step of the game
        first: int = 25,  # steps of the game that are long
        every: int = 500,  # and every so many after that
    ):
        if min(usual, long, first, every) < 1:
            raise ValueError("every number of LongStarts must be at least 1")
        self.usual, self.long, self.first, self.every = usual, long, first, every

    def steps(self, step: int) -> int:
        """Discriminator updates in the step of the game with that number, from 0."""
        return self.long if step < self.first or step % self.every == 0 else self.usual


def as_schedule(option: float | Spec) -> Callable[[float], float]:
    """A number that a recipe gives as it is or as a schedule over the run, as a function of the run's fraction."""
    if isinstance(option, Spec):
        schedule: Callable[[float], float] = option.build()
        return schedule
    return lambda fraction: float(option)


def per_step(option: int | Spec) -> Callable[[int], int]:
    """A number of updates that a recipe gives as it is or as a rule, as a function of the step of the game."""
    if isinstance(option, Spec):
        rule: LongStarts = option.build()
        return rule.steps
    return lambda step: option


class Linear:
    """One until `begin`, then a straight line to `to` at `end` (both shares of the run, 0 to 1)."""

    def __init__(
        self,
        *,
        begin: float = 0.5,  # share of the run until which the factor is one
        end: float = 1.0,  # share of the run from which it is `to`
        to: float = 0.0,  # the last factor
    ):
        if not 0 <= begin < end <= 1:
            raise ValueError(f"a schedule needs 0 <= begin < end <= 1, got begin={begin} and end={end}")
        self.begin, self.end, self.to = begin, end, to

    def shape(self, t: float) -> float:
        """Share of the change from one to `to` at t in [0, 1]."""
        return t

    def __call__(self, fraction: float) -> float:
        t = min(max((fraction - self.begin) / (self.end - self.begin), 0.0), 1.0)
        return 1.0 + (self.to - 1.0) * self.shape(t)


class Cosine(Linear):
    """One until `begin`, then half a cosine to `to` at `end` (both shares of the run, 0 to 1)."""

    def __init__(
        self,
        *,
        begin: float = 0.0,  # share of the run until which the factor is one
        end: float = 1.0,  # share of the run from which it is `to`
        to: float = 0.0,  # the last factor
    ):
        super().__init__(begin=begin, end=end, to=to)

    def shape(self, t: float) -> float:
        return (1 - math.cos(math.pi * t)) / 2


class Steps:
    """One, times `factor` after each of some shares of the run (0 to 1)."""

    def __init__(
        self,
        *,
        at: list[float],  # shares of the run
        factor: float = 0.5,  # by which the number falls at each
    ):
        if not all(0 <= share <= 1 for share in at) or not factor > 0:
            raise ValueError(f"steps are shares from 0 to 1 and a factor above 0, got {at} and {factor:g}")
        self.at, self.factor = list(at), factor

    def __call__(self, fraction: float) -> float:
        return float(self.factor ** sum(fraction >= share for share in self.at))


class Inverse:
    """Falls as 1 / (1 + `falls` x share of the run): fast at first, then ever slower."""

    def __init__(
        self,
        *,
        falls: float = 8.0,  # the last factor is 1 / (1 + falls)
    ):
        if not falls >= 0:
            raise ValueError(f"falls must be at least 0, got {falls}")
        self.falls = falls

    def __call__(self, fraction: float) -> float:
        return 1.0 / (1.0 + self.falls * fraction)
