"""Relativistic losses: of differences between real and fake logits, not of their values."""

from torch import Tensor
from torch.nn.functional import softplus

from .adversarial import Loss


class RelativisticPairing(Loss):
    """Relativistic pairing loss: -log sigmoid(D(x) - D(G(z))) for D, -log sigmoid(D(G(z)) - D(x)) for G.

    Jolicoeur-Martineau 2018; the loss of R3GAN (Huang et al. 2024, eq. 2).  Images are paired by position, so that
    both of a pair have one label.
    """

    relative = True

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real).mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        assert real is not None
        return softplus(real - fake).mean()


class RelativisticAverage(Loss):
    """Relativistic average loss: -log sigmoid(D(x) - mean D(G(z))) - log sigmoid(mean D(x) - D(G(z))) for D.

    Jolicoeur-Martineau 2018; G minimises the same with real and fake exchanged.  ESRGAN's loss, without the half of
    its code.
    """

    relative = True

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake.mean() - real).mean() + softplus(fake - real.mean()).mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        assert real is not None
        return self.d(fake, real)
