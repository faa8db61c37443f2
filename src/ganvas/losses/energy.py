"""Losses of energies: one logit per image that is low for real images, such as an autoencoder's error.

They expect logits of at least zero; a discriminator that can go below makes them unbounded.
"""

import torch
from torch import Tensor
from torch.nn.functional import relu

from ..errors import UsageError
from ..game import SharedBuffers
from .adversarial import Loss


class Energy(Loss):
    """Base of losses whose logits are energies: low for real images, and for fakes as G minimises them."""

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return fake.mean()

    def score(self, logits: Tensor) -> Tensor:
        """The realness of images, (N, 1, ...) to (N,): minus the energy."""
        return -super().score(logits)


class EnergyMargin(Energy):
    """EBGAN's loss of energies E: E(x) + max(0, m - E(G(z))) for D, E(G(z)) for G (Zhao et al. 2017, eq. 1-2)."""

    def __init__(
        self,
        *,
        margin: float = 10.0,  # the paper's m: fakes of a higher energy cost the discriminator nothing
    ):
        super().__init__()
        if margin <= 0:
            raise UsageError(f"The margin between energies must be positive, got {margin:g}.")
        self.margin = margin

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return real.mean() + relu(self.margin - fake).mean()


class BoundaryEquilibrium(Energy, SharedBuffers):
    """BEGAN's loss: E(x) - k E(G(z)) for D, E(G(z)) for G, where k keeps E(G(z)) at gamma E(x) (Berthelot et al. 2017).

    k moves by rate (gamma E(x) - E(G(z))) after every batch of the discriminator, within [0, 1].
    """

    k: Tensor

    def __init__(
        self,
        *,
        gamma: float = 0.5,  # the paper's gamma, diversity: energy of fakes over that of real images, 0 to 1
        rate: float = 1e-3,  # the paper's lambda_k: how fast the controller moves
    ):
        super().__init__()
        if not 0 <= gamma <= 1:
            raise UsageError(f"gamma is a proportion of energies from 0 to 1, got {gamma:g}.")
        self.gamma, self.rate = gamma, rate
        self.register_buffer("k", torch.zeros(()))

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """E(x) - k E(G(z)) with the present k, which then moves."""
        value = real.mean() - self.k.clone() * fake.mean()
        with torch.no_grad():
            self.k.add_(self.rate * self._imbalance(real, fake)).clamp_(0, 1)
        return value

    def stats(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """k, and the paper's measure of convergence: E(x) + |gamma E(x) - E(G(z))|."""
        return {"k": self.k.clone(), "convergence": real.mean() + self._imbalance(real, fake).abs()}

    def _imbalance(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.gamma * real.mean() - fake.mean()
