"""Two ways down for one tensor that is no network's weight: L-BFGS, with little memory traffic, and Adam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


class Way(Protocol):
    """What turns gradients into changes."""

    def change(self, gradient: Tensor) -> Tensor:
        """What to add to the point at which the gradient, of the same shape, was taken."""


class LBFGS:
    """Limited-memory BFGS without a line search: one gradient a step (Nocedal and Wright 2006, algorithm 7.4).

    All inner products of the kept changes are remembered, so that a step reads them twice and not four times (Chen et
    al. 2014, "Large-scale L-BFGS using MapReduce", algorithm 3).  A step moves the point by `reach` on average at most;
    curvature that is not positive is left out.
    """

    def __init__(self, *, memory: int = 20, reach: float = 0.1):
        self.memory, self.reach = memory, reach
        self.kept: Tensor | None = None  # (1 + 2 memory, D): the gradient, then changes s and changes y of the gradient
        self.products = torch.zeros(1 + 2 * memory, 1 + 2 * memory, dtype=torch.float64)
        self.pairs: list[int] = []  # rows of s, oldest first; that of y is the next one
        self.before: tuple[Tensor, Tensor] | None = None  # the last change and the gradient before it

    def change(self, gradient: Tensor) -> Tensor:
        g = gradient.reshape(-1)
        if self.kept is None:
            self.kept = g.new_zeros(1 + 2 * self.memory, g.numel())
        fresh = [0, *self._remember(g)]
        self.kept[0] = g
        used = self.kept[: 1 + 2 * len(self.pairs)]
        found = (used @ used[fresh].t()).double().cpu()
        self.products[: len(used), fresh] = found
        self.products[fresh, : len(used)] = found.t()
        step = (self._coefficients()[: len(used)].to(used) @ used).view_as(gradient)
        size = step.abs().mean()
        if size > self.reach:
            step *= self.reach / size
        self.before = step.reshape(-1).clone(), g.clone()
        return step

    def _remember(self, g: Tensor) -> list[int]:
        """Keep the last change if it tells of a valley; the rows that it is in."""
        if self.before is None or self.kept is None:
            return []
        s, old = self.before
        y = g - old
        if not float(s.dot(y)) > 1e-10 * float(y.dot(y)):
            return []
        row = self.pairs.pop(0) if len(self.pairs) == self.memory else 1 + 2 * len(self.pairs)
        self.kept[row], self.kept[row + 1] = s, y
        self.pairs.append(row)
        return [row, row + 1]

    def _coefficients(self) -> Tensor:
        """The two loops of the algorithm on coefficients instead of vectors."""
        b = self.products
        d = torch.zeros(len(b), dtype=torch.float64)
        d[0] = -1.0
        alphas = {}
        for s in reversed(self.pairs):
            alphas[s] = b[s] @ d / b[s, s + 1]
            d[s + 1] -= alphas[s]
        if self.pairs:
            s = self.pairs[-1]
            d *= b[s, s + 1] / b[s + 1, s + 1]
        for s in self.pairs:
            d[s] += alphas[s] - b[s + 1] @ d / b[s, s + 1]
        return d


class Evened:
    """Another way, for images (1, C, H, W), on which broad changes come as easily as fine ones.

    It goes down in a space where a wave of frequency f (in cycles a pixel, at least `least`) is `f ** power` times as
    high as in the image, a preconditioner of the whole: losses of style are flat along broad waves, which plain
    gradients move last.  Measured in benchmarks/README.md.
    """

    def __init__(self, way: Way, *, power: float = 0.75, least: float = 1 / 128):
        self.way, self.power, self.least = way, power, least
        self.factors: Tensor | None = None

    def change(self, gradient: Tensor) -> Tensor:
        if self.factors is None:
            down, across = (torch.fft.fftfreq(gradient.shape[2]), torch.fft.rfftfreq(gradient.shape[3]))
            f = (down[:, None].square() + across.square()).sqrt().clamp_min(self.least)
            self.factors = (4 * f).pow(-self.power).to(gradient.device)
        return self._through(self.way.change(self._through(gradient)))

    def _through(self, x: Tensor) -> Tensor:
        assert self.factors is not None
        return torch.fft.irfft2(torch.fft.rfft2(x) * self.factors, s=x.shape[2:])


class Adam:
    """Steps of the same size for every pixel, whatever its gradient's size (Kingma and Ba 2015)."""

    def __init__(self, *, rate: float = 0.05, betas: tuple[float, float] = (0.9, 0.999)):
        self.rate, self.betas, self.count = rate, betas, 0
        self.mean: Tensor | float = 0.0
        self.square: Tensor | float = 0.0

    def change(self, gradient: Tensor) -> Tensor:
        (a, b), self.count = self.betas, self.count + 1
        self.mean = a * self.mean + (1 - a) * gradient
        self.square = b * self.square + (1 - b) * gradient.square()
        mean, square = self.mean / (1 - a**self.count), self.square / (1 - b**self.count)
        return -self.rate * mean / (square.sqrt() + 1e-8)


WAYS: dict[str, Callable[[], Way]] = {"lbfgs": lambda: Evened(LBFGS()), "adam": Adam}
