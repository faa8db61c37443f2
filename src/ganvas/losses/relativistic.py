"""Losses that ask whether a real image is judged more real than a fake one, not how real it is judged."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from .adversarial import Loss


class RelativisticPairing(Loss):
    """Every real image against one fake: -log sigmoid(D(x) - D(G(z))) (Jolicoeur-Martineau 2018).

    The loss of R3GAN (Huang et al. 2024, eq. 2).  Pairs are made by position, so with labels like meets like.
    """

    relative = True

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real).mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        assert real is not None
        return softplus(real - fake).mean()


class RelativisticAverage(Loss):
    """Every image against the average of the other kind, logistic (Jolicoeur-Martineau 2018).

    ESRGAN's loss, without the half of its code.  The generator pays for both terms: of the real images' term,
    which its own logits enter through their mean, too.
    """

    relative = True

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake.mean() - real).mean() + softplus(fake - real.mean()).mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        assert real is not None
        return self.d(fake, real)
