"""Energy-based recipes: the discriminator is an autoencoder, its error the energy."""

from torch.optim import Adam

from ..config import Recipe, Spec
from ..losses.energy import BoundaryEquilibrium, EnergyMargin
from ..losses.score_penalties import PullingAway
from ..networks import autoencoder
from ..networks import dcgan as convolutional
from ..schedule import Linear
from ..tasks.generation import Generation
from .optimizers import both


def ebgan() -> Recipe:
    """EBGAN: autoencoder energies with a margin, and the pulling-away term (Zhao et al. 2017).

    The energy here is the mean squared error of a pixel in [-1, 1], so the margin is too: 1, what an
    untrained autoencoder's is at most; the paper's margins of 5 to 80 belong to other scales.
    """
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(convolutional.Generator),
            discriminator=Spec(autoencoder.Autoencoder),
            loss=Spec(EnergyMargin, margin=1.0),
            g_penalties=[Spec(PullingAway)],
        ),
        **both(Spec(Adam, lr=2e-4, betas=(0.5, 0.999))),
        images=1_000_000,
    )


def began() -> Recipe:
    """BEGAN: autoencoder energies of real and fake images kept in proportion (Berthelot et al. 2017).

    The generator has the architecture of the discriminator's decoder.  Settings are the paper's: Adam at 1e-4, gamma
    0.5, uniform noise (of unit variance, as everywhere here), codes of 64 numbers; the rate falls along a line over
    the second half instead of by steps.
    """
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(autoencoder.Decoder),
            discriminator=Spec(autoencoder.Autoencoder, error="absolute", code=64, batch_norm=False),
            loss=Spec(BoundaryEquilibrium, gamma=0.5),
            prior="uniform",
        ),
        **both(Spec(Adam, lr=1e-4, betas=(0.5, 0.999))),
        batch=16,
        images=1_000_000,
        lr_schedule=Spec(Linear, begin=0.5, to=0.1),
    )
