"""Recipes for points in the plane: the methods that keep all modes, on fully connected networks.

`ganvas train wgan_gp_points --data ring` and its kin show what a method does where the truth is known.  Networks have
three hidden layers as in the toy experiments of Gulrajani et al. 2017.  The critics also see sines and cosines of the
coordinates, because a mode is a hundredth of the plane wide and plain networks learn such detail slowly; the rates fall
and the generator is averaged, so that what is measured is the method and not the last step's noise.
"""

from __future__ import annotations

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


def gan_points() -> Recipe:
    """Goodfellow's game on points with nothing to keep it honest: the one that is allowed to lose modes."""
    return on_points(NonSaturating)


def wgan_gp_points() -> Recipe:
    """Wasserstein distance with a gradient penalty on points (Gulrajani et al. 2017)."""
    return on_points(Wasserstein, penalties=[Spec(GradientPenalty, weight=0.1)])


def r3gan_points() -> Recipe:
    """The relativistic loss with R1 and R2 on points, every fourth step (Huang et al. 2024)."""
    return on_points(RelativisticPairing, penalties=both_sides())


def sngan_points() -> Recipe:
    """Spectral normalisation of the critic and the hinge loss on points (Miyato et al. 2018), with a gradient penalty.

    Spectral norm alone loses modes here: in two dimensions a critic of norm one is too flat.  What it sees is
    multiplied by 16, and the penalty keeps it from being steep at the wrong places.
    """
    return on_points(Hinge, penalties=[Spec(GradientPenalty, weight=0.1)], spectral=True, gain=16.0)


def minibatch_points() -> Recipe:
    """A critic that sees how alike the points of a batch are (Salimans et al. 2016), in the game of `r3gan_points`."""
    head = Spec(MinibatchDiscrimination, kernels=8, dims=4)
    return on_points(RelativisticPairing, head=head, penalties=both_sides())


def both_sides() -> list[Spec]:
    """R1 and R2, ever weaker; lazily, because differentiating twice is most of the work."""
    gamma = Spec(Anneal, start=0.01, end=0.0001)
    return [Spec(R1, gamma=gamma, every=4), Spec(R2, gamma=gamma.copy(), every=4)]


def on_points(
    loss: type,
    *,
    penalties: list[Spec] | None = None,
    head: Spec | None = None,
    spectral: bool = False,
    gain: float = 1.0,
) -> Recipe:
    """A small fully connected game with this loss and these penalties."""
    adam = Spec(Adam, lr=2e-3, betas=(0.0, 0.99))
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(mlp.Generator, latent=2, width=128, depth=3, init="kaiming"),
            discriminator=Spec(
                mlp.LeakyDiscriminator,
                width=128,
                depth=3,
                frequencies=5,
                spectral=spectral,
                gain=gain,
                head=head or Spec(Plain, bias=True),
            ),
            loss=Spec(loss),
            penalties=penalties or [],
        ),
        g_optimizer=adam,
        d_optimizer=adam.copy(),
        batch=128,
        images=3_000_000,
        lr_schedule=Spec(Cosine, to=0.01),
        ema_images=60_000.0,
    )
