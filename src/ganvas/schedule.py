"""Factors that change over a run, as functions of the share of its planned images."""

import math
from collections.abc import Callable

from .config import Spec


class Constant:
    """Constant factor."""

    def __init__(
        self,
        *,
        value: float = 1.0,  # the factor
    ):
        self.value = value

    def __call__(self, fraction: float) -> float:
        return self.value


class Anneal:
    """Cosine schedule from `start` to `end` until a share of the run, then `end`."""

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


class StepRule:
    """Base of rules for the number of discriminator updates in each step of the game."""

    def steps(self, step: int) -> int:
        """Discriminator updates in the step of the game with that number, from 0."""
        raise NotImplementedError

    def observe(self, loss: float) -> None:
        """Take note of the generator's adversarial loss after its update; only where `observes`."""

    observes = False  # it follows the generator's loss

    def state_dict(self) -> dict[str, float]:
        """Everything that changes during training."""
        return {}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue from `state_dict`."""


class FixedSteps(StepRule):
    """A fixed number of discriminator updates for all steps."""

    def __init__(self, count: int):
        self.count = count

    def steps(self, step: int) -> int:
        return self.count


class PauseAhead(StepRule):
    """No discriminator update while the generator falls behind: while its adversarial loss is above its running mean.

    Above by more than `margin` times the mean's size (adaptive D of neosr and traiNNer).  The mean keeps `decay` of
    itself in every step; the discriminator never rests longer than `longest` steps.
    """

    observes = True

    def __init__(
        self,
        *,
        usual: int = 1,  # discriminator steps of any other step
        margin: float = 0.02,  # share of the mean by which the loss may exceed it
        decay: float = 0.999,  # of the running mean, for each step of the generator
        longest: int = 1000,  # most steps of the game without the discriminator
    ):
        if usual < 1 or longest < 1 or not margin >= 0 or not 0 < decay < 1:
            raise ValueError(
                "PauseAhead needs usual and longest of at least 1, margin of at least 0, decay from 0 to 1"
            )
        self.usual, self.margin, self.decay, self.longest = usual, margin, decay, longest
        self.mean, self.loss, self.seen, self.rested = 0.0, 0.0, 0.0, 0.0

    def steps(self, step: int) -> int:
        behind = self.seen > 0 and self.loss > self.mean + self.margin * abs(self.mean)
        return 0 if behind and self.rested < self.longest else self.usual

    def observe(self, loss: float) -> None:
        self.rested = self.rested + 1 if self.steps(0) == 0 else 0.0
        self.mean = loss if not self.seen else self.decay * self.mean + (1 - self.decay) * loss
        self.loss, self.seen = loss, 1.0

    def state_dict(self) -> dict[str, float]:
        return {name: float(getattr(self, name)) for name in ("mean", "loss", "seen", "rested")}

    def load_state_dict(self, state: dict[str, float]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


class LongStarts(StepRule):
    """Discriminator steps per generator step: many in the first steps of a run and at intervals.

    The defaults are those of the authors' code (Arjovsky et al. 2017).
    """

    def __init__(
        self,
        *,
        usual: int = 5,  # discriminator steps of any other step
        long: int = 100,  # steps at the first and at every `every`-th step of the game
        first: int = 25,  # steps of the game that are long
        every: int = 500,  # distance of the long steps after that, in steps
    ):
        if min(usual, long, first, every) < 1:
            raise ValueError("every number of LongStarts must be at least 1")
        self.usual, self.long, self.first, self.every = usual, long, first, every

    def steps(self, step: int) -> int:
        return self.long if step < self.first or step % self.every == 0 else self.usual


def as_schedule(option: float | Spec) -> Callable[[float], float]:
    """Convert a number or a schedule of a recipe to a function of the share of the run, 0 to 1."""
    if isinstance(option, Spec):
        schedule: Callable[[float], float] = option.build()
        return schedule
    return lambda fraction: float(option)


def per_step(option: int | Spec) -> StepRule:
    """Convert a number of updates or a rule of a recipe to a rule."""
    if isinstance(option, Spec):
        rule: StepRule = option.build()
        return rule
    return FixedSteps(option)


class Linear:
    """Linear schedule: 1 until `begin`, then a straight line to `to` at `end` (shares of the run, 0 to 1)."""

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
    """Cosine schedule: 1 until `begin`, then half a cosine to `to` at `end` (shares of the run, 0 to 1)."""

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
    """Step schedule: 1, times `factor` after each of some shares of the run (0 to 1)."""

    def __init__(
        self,
        *,
        at: list[float],  # shares of the run
        factor: float = 0.5,  # multiplier at each share
    ):
        if not all(0 <= share <= 1 for share in at) or not factor > 0:
            raise ValueError(f"steps are shares from 0 to 1 and a factor above 0, got {at} and {factor:g}")
        self.at, self.factor = list(at), factor

    def __call__(self, fraction: float) -> float:
        return float(self.factor ** sum(fraction >= share for share in self.at))


class Inverse:
    """Inverse decay: 1 / (1 + `falls` x share of the run)."""

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


class Warmup:
    """Warm-up: a straight line from 0 to 1 over the first `share` of the run, times another schedule.

    The first step, at share 0, takes `start` of the rate, so that it is not lost.
    """

    def __init__(
        self,
        *,
        share: float = 0.02,  # of the run, over which the rate rises
        start: float = 0.01,  # the first factor
        then: Spec | None = None,  # schedule of the whole run; none: constant
    ):
        if not 0 < share <= 1 or not 0 <= start <= 1:
            raise ValueError(f"a warm-up needs a share and a start from 0 to 1, got {share} and {start}")
        self.share, self.start = share, start
        self.then: Callable[[float], float] = then.build() if then else Constant()

    def __call__(self, fraction: float) -> float:
        rise = min(fraction / self.share, 1.0)
        return (self.start + (1 - self.start) * rise) * self.then(fraction)
