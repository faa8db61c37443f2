"""Recipes for points in the plane, on small fully connected networks.

`ganvas train wgan_gp_points --data ring` shows a method where the true distribution is known.  Networks have
three hidden layers as in the toy experiments of Gulrajani et al. 2017.  The discriminators also
see sines and cosines of the coordinates, because a mode is a hundredth of the plane wide and plain networks learn such
detail slowly; the rates fall and the generator is averaged, so that measures are of the method and not of the last
step's noise.
"""

from typing import Any

from torch.optim import Adam

from ..config import Recipe, Spec
from ..losses.adversarial import Hinge, NonSaturating, Wasserstein
from ..losses.gradient_penalties import R1, R2, GradientPenalty
from ..losses.relativistic import RelativisticPairing
from ..networks import mlp
from ..networks.heads import Plain
from ..networks.minibatch_heads import MinibatchDiscrimination
from ..schedule import Anneal, Cosine
from ..tasks.generation import Generation
from .optimizers import both


def gan_points() -> Recipe:
    """Non-saturating loss on points, without penalty: the baseline, which may lose modes (Goodfellow et al. 2014)."""
    return on_points(NonSaturating)


def wgan_gp_points() -> Recipe:
    """WGAN-GP on points: Wasserstein loss with a gradient penalty (Gulrajani et al. 2017)."""
    return on_points(Wasserstein, penalties=[Spec(GradientPenalty, weight=0.1)])


def r3gan_points() -> Recipe:
    """R3GAN on points: relativistic pairing loss with R1 and R2 every fourth step (Huang et al. 2024)."""
    return on_points(RelativisticPairing, penalties=r1_and_r2())


def sngan_points() -> Recipe:
    """SNGAN on points: spectral norm, hinge loss, and a gradient penalty (Miyato et al. 2018).

    Spectral norm alone loses modes here: in two dimensions a discriminator of norm one is too flat.  Its input is
    multiplied by 16, and the penalty keeps it from being steep elsewhere.
    """
    return on_points(Hinge, penalties=[Spec(GradientPenalty, weight=0.1)], spectral=True, gain=16.0)


def minibatch_points() -> Recipe:
    """Minibatch discrimination on points, with the loss and penalties of `r3gan_points` (Salimans et al. 2016)."""
    head = Spec(MinibatchDiscrimination, kernels=8, dims=4)
    return on_points(RelativisticPairing, head=head, penalties=r1_and_r2())


def r1_and_r2() -> list[Spec]:
    """R1 and R2 with falling weights; lazily, because differentiating twice is most of the work."""
    gamma = Spec(Anneal, start=0.01, end=0.0001)
    return [Spec(R1, gamma=gamma, every=4), Spec(R2, gamma=gamma.copy(), every=4)]


def on_points(loss: type, *, penalties: list[Spec] | None = None, **more: Any) -> Recipe:
    """A recipe of small fully connected networks with this loss, these penalties and options of the discriminator."""
    options = {"spectral": False, "gain": 1.0, "head": Spec(Plain, bias=True), **more}
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(mlp.Generator, latent=2, width=128, depth=3, init="kaiming"),
            discriminator=Spec(mlp.LeakyDiscriminator, width=128, depth=3, frequencies=5, **options),
            loss=Spec(loss),
            penalties=penalties or [],
        ),
        **both(Spec(Adam, lr=2e-3, betas=(0.0, 0.99))),
        batch=128,
        images=3_000_000,
        lr_schedule=Spec(Cosine, to=0.01),
        ema_images=60_000.0,
    )
