"""StyleGAN2: styles from a mapping network modulate every convolution."""

from torch.optim import Adam

from ..config import Recipe, Spec
from ..losses.adversarial import NonSaturating
from ..losses.gradient_penalties import R1
from ..losses.path_length import PathLength
from ..networks import stylegan2 as style
from ..networks.heads import Projection
from ..tasks.generation import Generation
from .conditional import with_labels


def stylegan2() -> Recipe:
    """StyleGAN2: modulated convolutions, noise, lazy R1, path length and style mixing (Karras et al. 2020).

    R1's weight follows StyleGAN2-ADA's rule 0.0002 x pixels / batch, here for 32x32. Lazy penalties change Adam's
    settings as published: for R1 every 16 steps the rate is 16/17 and the betas are powers of 16/17.
    """
    return Recipe(
        task=Spec(
            Generation,
            generator=Spec(style.Generator),
            discriminator=Spec(style.Discriminator),
            loss=Spec(NonSaturating),
            penalties=[Spec(R1, gamma=0.0064, every=16)],
            g_penalties=[Spec(PathLength)],
        ),
        g_optimizer=Spec(Adam, lr=2.5e-3 * 4 / 5, betas=(0.0, 0.99 ** (4 / 5))),
        d_optimizer=Spec(Adam, lr=2.5e-3 * 16 / 17, betas=(0.0, 0.99 ** (16 / 17))),
        batch=32,
        images=2_000_000,
        ema_images=10_000.0,
        ema_ramp=0.05,
    )


def stylegan2_conditional() -> Recipe:
    """Conditional StyleGAN2: the label in the mapping network, a projection discriminator (Karras et al. 2020)."""
    return with_labels(stylegan2(), head=Spec(Projection))
