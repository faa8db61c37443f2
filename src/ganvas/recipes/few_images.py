"""Recipes that learn from few images or in little time: FastGAN, Projected GAN."""

from torch.optim import Adam

from ..augment.diffaugment import DiffAugment
from ..config import Recipe, Spec
from ..losses.adversarial import Hinge
from ..networks import fastgan as fast
from ..networks import projected as through_maps
from ..tasks.generation import Generation
from .optimizers import both


def fastgan() -> Recipe:
    """FastGAN: skip-layer excitation, a discriminator that decodes its own maps; for 100 images on (Liu et al. 2021).

    The settings of the authors' code, without noise on the margin of the hinge loss; the reconstruction is compared by
    absolute error.  With labels (`--set conditional=true`) both networks are conditional.
    """
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(fast.Generator),
            discriminator=Spec(fast.Discriminator),
            loss=Spec(Hinge),
            augment=[Spec(DiffAugment, policy=["color", "translation"])],
        ),
        **both(Spec(Adam, lr=2e-4, betas=(0.5, 0.999))),
        batch=8,
        images=800_000,
        ema_images=5_500.0,
    )


def projected() -> Recipe:
    """Projected GAN: small discriminators on maps of a fixed feature network, FastGAN's generator (Sauer et al. 2021).

    The settings of the authors' code; the embedded network `pocket` stands for their EfficientNet. `--set
    discriminator.network=vgg16` takes another. Measure it through a network that it was not trained through.
    """
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(fast.Generator, width=128, convolutions="double", sphere=True, tanh=False),
            discriminator=Spec(through_maps.Discriminator),
            loss=Spec(Hinge),
            augment=[Spec(DiffAugment, hole=0.2)],
        ),
        **both(Spec(Adam, lr=2e-4, betas=(0.0, 0.99))),
        images=1_000_000,
        ema_images=20_000.0,
        ema_ramp=0.05,
    )


def projected_conditional() -> Recipe:
    """Conditional Projected GAN: labels in every batch norm of the generator and every logit (Sauer et al. 2021)."""
    recipe = projected()
    recipe.task = recipe.task.replace(conditional=True)
    return recipe
