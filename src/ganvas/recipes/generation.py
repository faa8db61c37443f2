"""Recipes that make images from noise: one function per named method, each returning a complete `Recipe`.

Here the classics: fully connected, DCGAN, and the losses and penalties that were tried on it.
"""

from __future__ import annotations

from torch.optim import Adam, RMSprop

from ..config import Recipe, Spec
from ..losses.adversarial import Hinge, LeastSquares, NonSaturating, Wasserstein
from ..losses.gradient_penalties import DRAGAN, R1, GradientPenalty
from ..losses.realness import Realness
from ..losses.weight_penalties import WeightClipping
from ..networks import dcgan as convolutional
from ..networks import mlp, resnet
from ..networks.heads import Plain
from ..schedule import Linear, LongStarts
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
    """A DCGAN that learns small images in a minute: half the width, R1 in place of the critic's batch norm.

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


def lsgan() -> Recipe:
    """Least squares in place of the logistic loss, on DCGAN's networks (Mao et al. 2017).

    The learning rate is that of its smaller experiments; the targets are 0 for fakes and 1 for real images.
    """
    return on_dcgan(LeastSquares)


def hinge() -> Recipe:
    """The margin loss of geometric GAN on DCGAN's networks, the critic without batch norm (Lim and Ye 2017)."""
    return on_dcgan(Hinge, norm="none")


def dragan() -> Recipe:
    """Gradients of unit norm around the real images, on DCGAN's networks (Kodali et al. 2017).

    The critic has no batch norm: the penalty is on each image's own gradient.
    """
    return on_dcgan(NonSaturating, norm="none", penalties=[Spec(DRAGAN)])


def realness() -> Recipe:
    """RealnessGAN: a discriminator that gives 51 outcomes of realness instead of one, on DCGAN's (Xiangli et al. 2020).

    The authors' CelebA settings, with spectral norm in the discriminator; without the noise that their code adds to
    its outputs.
    """
    recipe = on_dcgan(Realness, norm="spectral")
    recipe.batch, recipe.images = 32, 5_000_000
    return recipe


def on_dcgan(loss: type, *, norm: str = "batch", penalties: list[Spec] | None = None) -> Recipe:
    """DCGAN with another loss and other penalties."""
    recipe = dcgan()
    critic = recipe.task.get("discriminator").replace(norm=norm)
    recipe.task = recipe.task.replace(loss=Spec(loss), discriminator=critic, penalties=penalties or [])
    return recipe


def wgan() -> Recipe:
    """Wasserstein distance by clipped weights, RMSprop, and a critic that is trained long (Arjovsky et al. 2017).

    As the authors' code: weights clipped at 0.01 before each critic step; 5 of these a step, 100 in the first 25 and
    every 500th.
    """
    rmsprop = Spec(RMSprop, lr=5e-5)
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(convolutional.Generator),
            discriminator=Spec(convolutional.Discriminator),
            loss=Spec(Wasserstein),
            penalties=[Spec(WeightClipping)],
        ),
        g_optimizer=rmsprop,
        d_optimizer=rmsprop.copy(),
        d_steps=Spec(LongStarts),
        images=5_000_000,
    )


def wgan_gp() -> Recipe:
    """Wasserstein distance with a gradient penalty, on residual networks (Gulrajani et al. 2017).

    The published CIFAR settings: five critic steps, twice as many fakes in the generator's, rates that fall to zero;
    without the noise of less than a step of 8 bits that its code adds to the data.
    `--set generator=dcgan_generator --set "discriminator=dcgan_discriminator(norm='none')"` takes DCGAN's bodies.
    """
    adam = Spec(Adam, lr=2e-4, betas=(0.0, 0.9))
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(resnet.Generator, width=128),
            discriminator=Spec(resnet.Discriminator, spectral=False, pooling="mean"),
            loss=Spec(Wasserstein),
            penalties=[Spec(GradientPenalty)],
            fakes=2,
        ),
        g_optimizer=adam,
        d_optimizer=adam.copy(),
        d_steps=5,
        images=5_000_000,
        lr_schedule=Spec(Linear, begin=0.0),
    )
