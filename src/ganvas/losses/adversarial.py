"""What the two players are paid: one class per loss, one method per player, both minimised.

Logits are float32 of any shape; every method returns a scalar.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from ..game import Progress


class Loss(nn.Module):
    """What every loss has; one that remembers something keeps it in buffers, so that it is saved with the run."""

    relative = False  # does the generator's loss look at the real logits?

    def follow(self, progress: Progress) -> None:
        """Hear where the run stands, before a step."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the discriminator minimises."""
        raise NotImplementedError

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """What the generator minimises."""
        raise NotImplementedError


class NonSaturating(Loss):
    """Logistic loss with the generator's -log D(G(z)) (Goodfellow et al. 2014, section 3)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """-log D(x) - log(1 - D(G(z)))."""
        return softplus(-real).mean() + softplus(fake).mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-log D(G(z))."""
        return softplus(-fake).mean()


class Minimax(NonSaturating):
    """The game as first written: the generator minimises log(1 - D(G(z))) (Goodfellow et al. 2014, eq. 1)."""

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -softplus(fake).mean()


class LeastSquares(NonSaturating):
    """Squared distance to the targets 1 and 0, halved as published (Mao et al. 2017, eq. 9)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return ((real - 1).square().mean() + fake.square().mean()) / 2

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return (fake - 1).square().mean() / 2


class Wasserstein(NonSaturating):
    """Difference of the critic's means (Arjovsky et al. 2017, eq. 2-3)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


class Hinge(Wasserstein):
    """The margin version (Lim and Ye 2017; Miyato et al. 2018, eq. 16-17)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(1 - real).mean() + relu(1 + fake).mean()
