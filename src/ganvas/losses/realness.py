"""RealnessGAN's loss: the discriminator gives a distribution over outcomes of realness instead of one logit."""

import torch
from torch import Tensor
from torch.special import ndtr, xlogy

from ..errors import UsageError
from .adversarial import Loss

SPREAD = 0.31  # of the fake anchor: a normal histogram over the range of 1,000 draws, as in the authors' code


class Realness(Loss):
    """RealnessGAN: KL divergences from anchors A1 (real) and A0 (fake) to D's distribution over K outcomes.

    Xiangli et al. 2020: D minimises KL(A1 || D(x)) + KL(A0 || D(G(z))) (eq. 3) and G minimises
    KL(D(x) || D(G(z))) - KL(A0 || D(G(z))) (eq. 19), or with `relativistic=false` A1 in place of D(x) (eq. 20).
    D(x) is the softmax of K logits; outcomes are evenly spaced from -1 to 1.  The anchors are those of the authors'
    code, exact instead of sampled: A0 is normal and A1 uniform, moved by minus and plus `skew`, with what falls
    outside of [-1, 1] on the last outcome.
    """

    def __init__(
        self,
        *,
        outcomes: int = 51,  # the paper's K: logits of the discriminator for each image
        skew: float = 1.0,  # distance of both anchors from 0
        relativistic: bool = True,  # the generator's target is D(x) of real images instead of the anchor A1
    ):
        super().__init__()
        if outcomes < 2 or not 0 <= skew <= 2:
            raise UsageError(f"outcomes is at least 2 and skew from 0 to 2, got {outcomes} and {skew:g}.")
        self.outputs, self.skew, self.relative = outcomes, skew, relativistic

    def anchors(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """A1 and A0, each (K, 1, ...) to go with logits (N, K, ...)."""
        inner = torch.linspace(-1, 1, 2 * self.outputs - 1, dtype=like.dtype, device=like.device)[1::2]  # (K - 1,)
        uniform = ((inner - self.skew).clamp(-1, 1) + 1) / 2
        normal = ndtr((inner + self.skew) / SPREAD)
        shape = (self.outputs, *[1] * (like.ndim - 2))
        zero, one = like.new_zeros(1), like.new_ones(1)
        real, fake = (torch.cat([zero, below, one]).diff().view(shape) for below in (uniform, normal))
        return real, fake

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        a1, a0 = self.anchors(real)
        return divergence(a1, real.log_softmax(1)) + divergence(a0, fake.log_softmax(1))

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        target, a0 = self.anchors(fake)
        if self.relative:
            assert real is not None
            target = real.softmax(1)
        log_fake = fake.log_softmax(1)
        return divergence(target, log_fake) - divergence(a0, log_fake)

    def to_scalar(self, logits: Tensor) -> Tensor:
        """The expected outcome, (N, K, ...) to (N, 1, ...) in [-1, 1]."""
        outcomes = torch.linspace(-1, 1, self.outputs, dtype=logits.dtype, device=logits.device)
        return (logits.softmax(1) * outcomes.view(-1, *[1] * (logits.ndim - 2))).sum(1, keepdim=True)


def divergence(p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) of distributions over dimension 1 of (N, K, ...), as a mean over the others."""
    return (xlogy(p, p) - p * log_q).sum(1).mean()
