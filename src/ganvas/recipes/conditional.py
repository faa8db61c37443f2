"""Recipes whose images are asked for by label: each is an unconditional one with another head or input."""

from __future__ import annotations

from ..config import Recipe, Spec
from ..losses.adversarial import NonSaturating
from ..networks.heads import AuxiliaryClassifier, Projection
from . import generation
from . import residual as modern


def cgan() -> Recipe:
    """The label joined to the input of both players, on DCGAN's networks (Mirza and Osindero 2014).

    Labels may be classes or vectors of numbers; for points take `generator=mlp_generator` and
    `discriminator=mlp_discriminator(join=true)`.
    """
    recipe = generation.dcgan()
    critic = recipe.task.get("discriminator").replace(join=True)
    recipe.task = recipe.task.replace(discriminator=critic, conditional=True)
    return recipe


def acgan() -> Recipe:
    """A critic that also names the class, and both players paid for it, on DCGAN's networks (Odena et al. 2017).

    The critic has no batch norm, because batches of real and of generated images are normalised differently and what it
    learns of classes from the one does not hold for the other.
    """
    return with_labels(generation.on_dcgan(NonSaturating, norm="none"), Spec(AuxiliaryClassifier))


def projection() -> Recipe:
    """Conditional batch norm in the generator and a projection critic with spectral norm (Miyato and Koyama 2018)."""
    return with_labels(modern.sngan(), Spec(Projection))


def r3gan_conditional() -> Recipe:
    """R3GAN with the label beside the latent and an inner product in the critic (Huang et al. 2024)."""
    return with_labels(modern.r3gan(), Spec(Projection))


def with_labels(recipe: Recipe, head: Spec) -> Recipe:
    """A recipe that is asked by label and judged by this head; its generator takes the label as it knows how."""
    critic = recipe.task.get("discriminator").replace(head=head)
    recipe.task = recipe.task.replace(discriminator=critic, conditional=True)
    return recipe
