"""Recipes that make images from noise: one function per named method, each returning a complete `Recipe`."""

from __future__ import annotations

from torch.optim import Adam

from ..config import Recipe, Spec
from ..losses.adversarial import NonSaturating
from ..losses.penalties import R1
from ..networks import dcgan as convolutional
from ..networks import mlp
from ..networks.heads import Plain
from ..schedule import Linear
from ..tasks.generation import Generation


def gan() -> Recipe:
    """The original fully connected GAN: maxout discriminator with dropout, rectifier generator, uniform noise.

    Goodfellow et al. 2014. Sizes are those of the published MNIST model; Adam replaces its hand-tuned momentum
    schedule, and the generator is paid -log D(G(z)) as section 3 of the paper advises.
    """
    adam = Spec(Adam, lr=2e-4, betas=(0.5, 0.999))
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(mlp.Generator),
            discriminator=Spec(mlp.Discriminator),
            loss=Spec(NonSaturating),
            prior="uniform",
        ),
        g_optimizer=adam,
        d_optimizer=adam.copy(),
        batch=100,
        images=3_000_000,
    )


def dcgan() -> Recipe:
    """Strided convolutions with batch norm: the GAN everybody starts from, exactly as published.

    Radford, Metz and Chintala 2015, with the noise of the authors' code (Gaussian).
    """
    adam = Spec(Adam, lr=2e-4, betas=(0.5, 0.999))
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(convolutional.Generator),
            discriminator=Spec(convolutional.Discriminator),
            loss=Spec(NonSaturating),
        ),
        g_optimizer=adam,
        d_optimizer=adam.copy(),
        images=1_000_000,
    )


def dcgan_small() -> Recipe:
    """A DCGAN that learns small pictures in a minute: half the width, R1 in place of the critic's batch norm.

    After Radford et al. 2015 and Mescheder et al. 2018; the penalty is lazy and Adam without momentum as in Karras
    et al. 2020, and the learning rate is high and falls to a tenth over the second half.
    """
    adam = Spec(Adam, lr=2e-3, betas=(0.0, 0.99))
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(convolutional.Generator, width=32),
            discriminator=Spec(convolutional.Discriminator, width=32, norm="none", head=Spec(Plain, bias=True)),
            loss=Spec(NonSaturating),
            penalties=[Spec(R1, gamma=0.5, every=8)],
        ),
        g_optimizer=adam,
        d_optimizer=adam.copy(),
        batch=32,
        images=60_000,
        lr_schedule=Spec(Linear, begin=0.5, to=0.1),
        ema_images=4_000.0,
    )
