"""What the two players are paid: one class per loss, one method per player, both minimised.

Logits are float32 of any shape; every method returns a scalar.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from ..errors import UsageError
from ..game import Progress


class Loss(nn.Module):
    """What every loss has; one that remembers something keeps it in buffers, so that it is saved with the run."""

    relative = False  # the generator's loss also uses the real logits
    outputs: int = 1  # logits per image (or per patch) that the loss needs of the discriminator

    def follow(self, progress: Progress) -> None:
        """Hear where the run stands, before a step."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the discriminator minimises."""
        raise NotImplementedError

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """What the generator minimises."""
        raise NotImplementedError

    def to_scalar(self, logits: Tensor) -> Tensor:
        """One number per image or patch in the loss's own sign, (N, K, ...) to (N, 1, ...)."""
        return logits

    def score(self, logits: Tensor) -> Tensor:
        """The realness of images, (N, K, ...) to (N,): higher is more real; the mean over patches."""
        return self.to_scalar(logits).flatten(1).mean(1)

    def stats(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """What else is worth logging about the logits of a discriminator's step."""
        return {}


def checked_smoothing(value: float) -> float:
    """The smoothing of real targets, if it leaves them above a half."""
    if not 0 <= value < 0.5:
        raise UsageError(f"smoothing lowers the target of real images from 1, by 0 to less than 0.5, not {value:g}.")
    return value


class NonSaturating(Loss):
    """Logistic loss with the generator's -log D(G(z)) (Goodfellow et al. 2014, section 3).

    Smoothing is one-sided: real targets only (Salimans et al. 2016, section 3.4).
    """

    def __init__(
        self,
        *,
        smoothing: float = 0.0,  # real images are to be judged 1 minus this, fake ones 0 as ever
    ):
        super().__init__()
        self.smoothing = checked_smoothing(smoothing)

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """-t log D(x) - (1 - t) log(1 - D(x)) - log(1 - D(G(z))) with the target t = 1 - smoothing."""
        # -log(1 - D(x)) = x - log D(x), so all that smoothing adds is a linear term
        return softplus(-real).mean() + self.smoothing * real.mean() + softplus(fake).mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-log D(G(z))."""
        return softplus(-fake).mean()


class Minimax(NonSaturating):
    """The game as first written: the generator minimises log(1 - D(G(z))) (Goodfellow et al. 2014, eq. 1)."""

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -softplus(fake).mean()


class LeastSquares(Loss):
    """Squared distance to the targets 1 and 0, halved as published (Mao et al. 2017, eq. 9)."""

    def __init__(
        self,
        *,
        smoothing: float = 0.0,  # the discriminator's target for real images is 1 minus this
    ):
        super().__init__()
        self.smoothing = checked_smoothing(smoothing)

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return ((real - (1 - self.smoothing)).square().mean() + fake.square().mean()) / 2

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return (fake - 1).square().mean() / 2


class Wasserstein(Loss):
    """Difference of the critic's means (Arjovsky et al. 2017, eq. 2-3)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


class Hinge(Wasserstein):
    """The margin version (Lim and Ye 2017; Miyato et al. 2018, eq. 16-17)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(1 - real).mean() + relu(1 + fake).mean()
