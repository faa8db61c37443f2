"""L-BFGS and Adam for a single image tensor."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


class Optimizer(Protocol):
    """Optimizer of a tensor that is not a parameter of a network."""

    def update(self, gradient: Tensor) -> Tensor:
        """Compute the step to add to the point at which the gradient, of the same shape, was taken."""


class LBFGS:
    """Limited-memory BFGS without a line search: one gradient a step (Nocedal and Wright 2006, algorithm 7.4).

    All inner products of the stored steps are remembered, so that a step reads them twice and not four times (Chen et
    al. 2014, "Large-scale L-BFGS using MapReduce", algorithm 3).  The mean absolute step is at most `max_step`;
    curvature that is not positive is left out.
    """

    def __init__(self, *, memory: int = 20, max_step: float = 0.1):
        self.memory, self.max_step = memory, max_step
        self.history: Tensor | None = None  # (1 + 2 memory, D): the gradient, then steps s and gradient differences y
        self.products = torch.zeros(1 + 2 * memory, 1 + 2 * memory, dtype=torch.float64)
        self.pairs: list[int] = []  # rows of s, oldest first; that of y is the next one
        self.previous: tuple[Tensor, Tensor] | None = None  # the last step and the gradient before it

    def update(self, gradient: Tensor) -> Tensor:
        g = gradient.reshape(-1)
        if self.history is None:
            self.history = g.new_zeros(1 + 2 * self.memory, g.numel())
        new_rows = [0, *self._store_pair(g)]
        self.history[0] = g
        rows = self.history[: 1 + 2 * len(self.pairs)]
        products = (rows @ rows[new_rows].t()).double().cpu()
        self.products[: len(rows), new_rows] = products
        self.products[new_rows, : len(rows)] = products.t()
        step = (self._coefficients()[: len(rows)].to(rows) @ rows).view_as(gradient)
        size = step.abs().mean()
        if size > self.max_step:
            step *= self.max_step / size
        self.previous = step.reshape(-1).clone(), g.clone()
        return step

    def _store_pair(self, g: Tensor) -> list[int]:
        """Store the last step and its gradient difference if the curvature is positive; returns their rows."""
        if self.previous is None or self.history is None:
            return []
        s, old = self.previous
        y = g - old
        if not float(s.dot(y)) > 1e-10 * float(y.dot(y)):
            return []
        row = self.pairs.pop(0) if len(self.pairs) == self.memory else 1 + 2 * len(self.pairs)
        self.history[row], self.history[row + 1] = s, y
        self.pairs.append(row)
        return [row, row + 1]

    def _coefficients(self) -> Tensor:
        """Run the two loops of the algorithm on coefficients instead of vectors."""
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


class FrequencyPreconditioned:
    """Preconditioner for images (1, C, H, W): low frequencies move as easily as high ones.

    The optimizer works in a space where a wave of frequency f (in cycles per pixel, at least `least`) has `f ** power`
    times the amplitude that it has in the image: style losses are flat along low frequencies, which plain gradients
    move last.  Measured in benchmarks/README.md.
    """

    def __init__(self, optimizer: Optimizer, *, power: float = 0.75, least: float = 1 / 128):
        self.optimizer, self.power, self.least = optimizer, power, least
        self.factors: Tensor | None = None

    def update(self, gradient: Tensor) -> Tensor:
        if self.factors is None:
            down, across = (torch.fft.fftfreq(gradient.shape[2]), torch.fft.rfftfreq(gradient.shape[3]))
            f = (down[:, None].square() + across.square()).sqrt().clamp_min(self.least)
            self.factors = (4 * f).pow(-self.power).to(gradient.device)
        return self._filter(self.optimizer.update(self._filter(gradient)))

    def _filter(self, x: Tensor) -> Tensor:
        assert self.factors is not None
        return torch.fft.irfft2(torch.fft.rfft2(x) * self.factors, s=x.shape[2:])


class Adam:
    """Adam: steps of the same size for every pixel, whatever the size of its gradient (Kingma and Ba 2015)."""

    def __init__(self, *, lr: float = 0.05, betas: tuple[float, float] = (0.9, 0.999)):
        self.lr, self.betas, self.count = lr, betas, 0
        self.mean: Tensor | float = 0.0
        self.square: Tensor | float = 0.0

    def update(self, gradient: Tensor) -> Tensor:
        (a, b), self.count = self.betas, self.count + 1
        self.mean = a * self.mean + (1 - a) * gradient
        self.square = b * self.square + (1 - b) * gradient.square()
        mean, square = self.mean / (1 - a**self.count), self.square / (1 - b**self.count)
        return -self.lr * mean / (square.sqrt() + 1e-8)


OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {"lbfgs": lambda: FrequencyPreconditioned(LBFGS()), "adam": Adam}
