"""Adversarial losses: one class per loss, one method per player, both minimised.

Logits are float32 of shape (N, K) or (N, K, h, w); `d` and `g` return scalars.
"""

from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from ..errors import UsageError
from ..game import Progress


class Loss(nn.Module):
    """Base of adversarial losses; a loss with memory keeps it in buffers, which are saved with the run."""

    relative = False  # the generator's loss also uses the real logits
    outputs: int = 1  # logits per image (or per patch) that the loss needs of the discriminator

    def follow(self, progress: Progress) -> None:
        """Update what depends on the progress of the run, before a step."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss of real and fake logits, a scalar."""
        raise NotImplementedError

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The generator's loss of fake logits, and of real ones if `relative`, a scalar."""
        raise NotImplementedError

    def to_scalar(self, logits: Tensor) -> Tensor:
        """One number per image or patch in the loss's own sign, (N, K, ...) to (N, 1, ...)."""
        return logits

    def score(self, logits: Tensor) -> Tensor:
        """The realness of images, (N, K, ...) to (N,): higher is more real; the mean over patches."""
        return self.to_scalar(logits).flatten(1).mean(1)

    def stats(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Further statistics for the log, from the logits of a discriminator step."""
        return {}


def check_smoothing(value: float) -> float:
    """Label smoothing unchanged; raises `UsageError` unless it is from 0 to less than 0.5."""
    if not 0 <= value < 0.5:
        raise UsageError(f"smoothing lowers the target of real images from 1, by 0 to less than 0.5, not {value:g}.")
    return value


class NonSaturating(Loss):
    """Non-saturating loss: -log D(x) - log(1 - D(G(z))) for D, -log D(G(z)) for G (Goodfellow et al. 2014, section 3).

    D is the sigmoid of the logit.  Smoothing is one-sided: real targets only (Salimans et al. 2016, section 3.4).
    """

    def __init__(
        self,
        *,
        smoothing: float = 0.0,  # the discriminator's target for real images is 1 minus this; for fake images it is 0
    ):
        super().__init__()
        self.smoothing = check_smoothing(smoothing)

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """-t log D(x) - (1 - t) log(1 - D(x)) - log(1 - D(G(z))) with the target t = 1 - smoothing."""
        # -log(1 - D(x)) = x - log D(x), so all that smoothing adds is a linear term
        return softplus(-real).mean() + self.smoothing * real.mean() + softplus(fake).mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-log D(G(z))."""
        return softplus(-fake).mean()


class Minimax(NonSaturating):
    """Minimax loss: -log D(x) - log(1 - D(G(z))) for D, log(1 - D(G(z))) for G (Goodfellow et al. 2014, eq. 1)."""

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -softplus(fake).mean()


class LeastSquares(Loss):
    """Least squares loss: ((D(x) - 1)^2 + D(G(z))^2) / 2 for D, (D(G(z)) - 1)^2 / 2 for G (Mao et al. 2017, eq. 9)."""

    def __init__(
        self,
        *,
        smoothing: float = 0.0,  # the discriminator's target for real images is 1 minus this
    ):
        super().__init__()
        self.smoothing = check_smoothing(smoothing)

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return ((real - (1 - self.smoothing)).square().mean() + fake.square().mean()) / 2

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return (fake - 1).square().mean() / 2


class Wasserstein(Loss):
    """Wasserstein loss: D(G(z)) - D(x) for the critic D, -D(G(z)) for G (Arjovsky et al. 2017, eq. 2-3)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


class Hinge(Wasserstein):
    """Hinge loss: max(0, 1 - D(x)) + max(0, 1 + D(G(z))) for D, -D(G(z)) for G (Lim and Ye 2017).

    Miyato et al. 2018, eq. 16-17.
    """

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(1 - real).mean() + relu(1 + fake).mean()
