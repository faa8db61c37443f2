"""Factors that change over a run, as functions of the share of its planned images."""

from __future__ import annotations

import math


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
        """How far the way from one to `to` has been gone at t in [0, 1]."""
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
