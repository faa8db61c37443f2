"""Recipes of the first GAN, DCGAN, and of losses and penalties on DCGAN's networks."""

from torch.optim import Adam, RMSprop

from ..config import Recipe, Spec
from ..losses.adversarial import Hinge, LeastSquares, NonSaturating, Wasserstein
from ..losses.gradient_penalties import DRAGAN, R1, GradientPenalty
from ..losses.realness import Realness
from ..losses.weight_penalties import WeightClipping
from ..networks import dcgan as convolutional
from ..networks import keras_dcgan as keras_networks
from ..networks import mlp, resnet
from ..networks.heads import Plain
from ..schedule import Linear, LongStarts
from ..tasks.generation import Generation
from .optimizers import both


def gan() -> Recipe:
    """The first GAN: fully connected, maxout discriminator with dropout, ReLU generator, uniform noise.

    Goodfellow et al. 2014. Sizes are those of the published MNIST model; Adam replaces its hand-tuned momentum
    schedule, and the generator's loss is -log D(G(z)), as section 3 of the paper advises.
    """
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(mlp.Generator),
            discriminator=Spec(mlp.Discriminator),
            loss=Spec(NonSaturating),
            prior="uniform",
        ),
        **both(Spec(Adam, lr=2e-4, betas=(0.5, 0.999))),
        batch=100,
        images=3_000_000,
    )


def dcgan() -> Recipe:
    """DCGAN: strided convolutions with batch norm, as published.

    Radford, Metz and Chintala 2015, with the noise of the authors' code (Gaussian).
    """
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(convolutional.Generator),
            discriminator=Spec(convolutional.Discriminator),
            loss=Spec(NonSaturating),
        ),
        **both(Spec(Adam, lr=2e-4, betas=(0.5, 0.999))),
        images=1_000_000,
    )


def dcgan_small() -> Recipe:
    """A small DCGAN that trains in minutes on small images: half the width, R1, no batch norm in the discriminator.

    After Radford et al. 2015 and Mescheder et al. 2018; the penalty is lazy and Adam without momentum as in Karras
    et al. 2020, and the learning rate is high and falls to a tenth over the second half.
    """
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(convolutional.Generator, width=32),
            discriminator=Spec(convolutional.Discriminator, width=32, norm="none", head=Spec(Plain, bias=True)),
            loss=Spec(NonSaturating),
            penalties=[Spec(R1, gamma=0.5, every=8)],
        ),
        **both(Spec(Adam, lr=2e-3, betas=(0.0, 0.99))),
        batch=32,
        images=60_000,
        lr_schedule=Spec(Linear, begin=0.5, to=0.1),
        ema_images=4_000.0,
    )


def keras_dcgan() -> Recipe:
    """The DCGAN of TensorFlow's lesson, its networks and its settings: 5x5 convolutions, LeakyReLU, dropout.

    tensorflow.org, "Deep Convolutional Generative Adversarial Network": 50 epochs of MNIST; Radford et al. 2015.
    """
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(keras_networks.Generator),
            discriminator=Spec(keras_networks.Discriminator),
            loss=Spec(NonSaturating),
        ),
        **both(Spec(Adam, lr=1e-4, eps=1e-7)),
        batch=256,
        images=3_000_000,
    )


def lsgan() -> Recipe:
    """LSGAN: least squares loss on DCGAN's networks (Mao et al. 2017).

    The learning rate is that of its smaller experiments; the targets are 0 for fakes and 1 for real images.
    """
    return on_dcgan(LeastSquares)


def hinge() -> Recipe:
    """Hinge loss on DCGAN's networks, the discriminator without batch norm (Lim and Ye 2017)."""
    return on_dcgan(Hinge, norm="none")


def dragan() -> Recipe:
    """DRAGAN: gradient penalty near real images, on DCGAN's networks (Kodali et al. 2017).

    The discriminator has no batch norm: the penalty is on each image's own gradient.
    """
    return on_dcgan(NonSaturating, norm="none", penalties=[Spec(DRAGAN)])


def realness() -> Recipe:
    """RealnessGAN: the discriminator gives a distribution over 51 outcomes, on DCGAN's networks (Xiangli et al. 2020).

    The authors' CelebA settings, with spectral norm in the discriminator; without the noise that their code adds to
    its outputs.
    """
    recipe = on_dcgan(Realness, norm="spectral")
    recipe.batch, recipe.images = 32, 5_000_000
    return recipe


def on_dcgan(loss: type, *, norm: str = "batch", penalties: list[Spec] | None = None) -> Recipe:
    """DCGAN with the given loss, norm of the discriminator and penalties."""
    recipe = dcgan()
    discriminator = recipe.task.get("discriminator").replace(norm=norm)
    recipe.task = recipe.task.replace(loss=Spec(loss), discriminator=discriminator, penalties=penalties or [])
    return recipe


def wgan() -> Recipe:
    """WGAN: Wasserstein loss with weight clipping, RMSprop and five critic steps (Arjovsky et al. 2017).

    As the authors' code: weights clipped at 0.01 before each critic step; 5 of these a step, 100 in the first 25 and
    every 500th.
    """
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(convolutional.Generator),
            discriminator=Spec(convolutional.Discriminator),
            loss=Spec(Wasserstein),
            penalties=[Spec(WeightClipping)],
        ),
        **both(Spec(RMSprop, lr=5e-5)),
        d_steps=Spec(LongStarts),
        images=5_000_000,
    )


def wgan_gp() -> Recipe:
    """WGAN-GP: Wasserstein loss with a gradient penalty, on residual networks (Gulrajani et al. 2017).

    The published CIFAR settings: five critic steps, twice as many fakes in the generator's, rates that fall to zero;
    without the noise of less than a step of 8 bits that its code adds to the data.
    `--set generator=dcgan_generator --set "discriminator=dcgan_discriminator(norm='none')"` takes DCGAN's bodies.
    """
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(resnet.Generator, width=128),
            discriminator=Spec(resnet.Discriminator, spectral=False, pooling="mean"),
            loss=Spec(Wasserstein),
            penalties=[Spec(GradientPenalty)],
            fakes=2,
        ),
        **both(Spec(Adam, lr=2e-4, betas=(0.0, 0.9))),
        d_steps=5,
        images=5_000_000,
        lr_schedule=Spec(Linear, begin=0.0),
    )
