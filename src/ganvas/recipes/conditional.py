"""Class-conditional recipes: unconditional ones with a conditional head or input."""

from typing import Any

from ..config import Recipe, Spec
from ..losses.adversarial import NonSaturating
from ..networks.heads import AuxiliaryClassifier, Projection
from . import generation
from . import residual as modern


def cgan() -> Recipe:
    """cGAN: the label joined to the input of both networks, on DCGAN (Mirza and Osindero 2014).

    Labels may be classes or vectors of numbers; for points take `generator=mlp_generator` and
    `discriminator=mlp_discriminator(join=true)`.
    """
    return with_labels(generation.dcgan(), join=True)


def acgan() -> Recipe:
    """AC-GAN: an auxiliary classifier on DCGAN's discriminator (Odena et al. 2017).

    The discriminator has no batch norm, because batches of real and of generated images are normalised differently and
    what it learns of classes from the one does not hold for the other.
    """
    return with_labels(generation.on_dcgan(NonSaturating, norm="none"), head=Spec(AuxiliaryClassifier))


def projection() -> Recipe:
    """Projection GAN: projection discriminator with spectral norm, conditional batch norm (Miyato and Koyama 2018)."""
    return with_labels(modern.sngan(), head=Spec(Projection))


def r3gan_conditional() -> Recipe:
    """Conditional R3GAN: the label joined to the latent, a projection discriminator (Huang et al. 2024)."""
    return with_labels(modern.r3gan(), head=Spec(Projection))


def with_labels(recipe: Recipe, **options: Any) -> Recipe:
    """A conditional version of a recipe: its discriminator with these options, its generator with its label input."""
    discriminator = recipe.task.get("discriminator").replace(**options)
    recipe.task = recipe.task.replace(discriminator=discriminator, conditional=True)
    return recipe
