"""Recipes on residual networks: SNGAN, SAGAN, BigGAN, R3GAN.

Networks are sized for small images on a CPU; `width` and other options make them the published ones.
"""

from torch.optim import Adam

from ..augment.ada import ADA
from ..config import Recipe, Spec
from ..losses.adversarial import Hinge
from ..losses.gradient_penalties import R1, R2
from ..losses.relativistic import RelativisticPairing
from ..losses.weight_penalties import OrthogonalRegularisation
from ..networks import biggan as big
from ..networks import r3gan as r3
from ..networks import resnet
from ..networks.heads import Projection
from ..schedule import Anneal, Cosine, Linear
from ..tasks.generation import Generation
from .optimizers import both


def sngan() -> Recipe:
    """SNGAN: spectral norm in the discriminator, hinge loss, residual networks (Miyato et al. 2018).

    The published CIFAR settings: five discriminator steps, twice as many fakes in the generator's, rates that fall to
    zero.
    """
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(resnet.Generator, width=256),
            discriminator=Spec(resnet.Discriminator, spectral=True),
            loss=Spec(Hinge),
            fakes=2,
        ),
        **both(Spec(Adam, lr=2e-4, betas=(0.0, 0.9))),
        d_steps=5,
        images=5_000_000,
        lr_schedule=Spec(Linear, begin=0.0),
    )


def sagan() -> Recipe:
    """SAGAN: self-attention and spectral norm in both networks (Zhang et al. 2019).

    The discriminator's learning rate is four times the generator's.  With labels (`--set conditional=true --set
    discriminator.head=projection`) the generator's batch norm is conditional and the discriminator projects, as
    published.
    """
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(resnet.Generator, spectral=True, attention=16),
            discriminator=Spec(resnet.Discriminator, spectral=True, attention=16),
            loss=Spec(Hinge),
        ),
        g_optimizer=Spec(Adam, lr=1e-4, betas=(0.0, 0.9)),
        d_optimizer=Spec(Adam, lr=4e-4, betas=(0.0, 0.9)),
        images=2_000_000,
    )


def biggan() -> Recipe:
    """BigGAN, small: conditional, latents at every stage, orthogonal regularisation (Brock et al. 2019).

    The learning rates are those of its CIFAR configuration.
    """
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(big.Generator),
            discriminator=Spec(big.Discriminator, head=Spec(Projection)),
            loss=Spec(Hinge),
            g_penalties=[Spec(OrthogonalRegularisation)],
            conditional=True,
        ),
        **both(Spec(Adam, lr=2e-4, betas=(0.0, 0.999))),
        d_steps=2,
        images=2_000_000,
        ema_images=50_000.0,
    )


def r3gan() -> Recipe:
    """R3GAN: relativistic pairing loss with R1 and R2, on modern residual networks (Huang et al. 2024).

    No normalisation, Adam without momentum; learning rate, second beta, penalties, average and augmentation follow
    cosines over the run. The penalties' weight belongs to the size of the images: 0.05 to 0.5 at 32 pixels, 2 at 64,
    150 at 256.
    """
    gamma = Spec(Anneal, start=0.5, end=0.05)
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(r3.Generator),
            discriminator=Spec(r3.Discriminator),
            loss=Spec(RelativisticPairing),
            penalties=[Spec(R1, gamma=gamma), Spec(R2, gamma=gamma.copy())],
            augment=[Spec(ADA, p=Spec(Anneal, start=0.0, end=0.3))],
        ),
        **both(Spec(Adam, lr=2e-4, betas=(0.0, 0.9), eps=1e-8)),
        images=2_000_000,
        lr_schedule=Spec(Cosine, to=0.25),
        beta2=Spec(Anneal, start=0.9, end=0.99),
        ema_images=Spec(Anneal, start=0.0, end=50_000.0),
    )
