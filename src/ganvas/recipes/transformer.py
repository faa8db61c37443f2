"""Recipes on plain transformers: GAT with the supervision of CAT."""

from torch.optim import AdamW

from ..config import Recipe, Spec
from ..losses.gradient_penalties import R1, R2
from ..losses.relativistic import RelativisticPairing
from ..networks import gat
from ..tasks.scale_wise import ScaleWise
from .optimizers import both


def gat_small() -> Recipe:
    """GAT-S: transformers as generator and discriminator, judged at every size (Hyun et al. 2026).

    The sizes, optimiser and penalties of the authors' code, on images instead of an autoencoder's latents: relativistic
    pairing loss with approximate R1 and R2, a learning rate of 2e-4 at width 768 and inverse to it. Its stages are
    judged each at its own size and drawn towards the last one (CAT), not through noise; without the alignment to
    DINOv2 and without augmentation.
    """
    penalty = {"gamma": 0.1, "approximate": True}
    return Recipe(
        task=Spec(
            ScaleWise,
            generator=Spec(gat.Generator),
            discriminator=Spec(gat.Discriminator),
            loss=Spec(RelativisticPairing),
            penalties=[Spec(R1, **penalty), Spec(R2, **penalty)],
        ),
        **both(Spec(AdamW, lr=2e-4, betas=(0.0, 0.99), weight_decay=0.0)),
        batch=512,
        images=77_000_000,
        clip_norm=1.0,
        ema_images=355_000.0,
    )


def gat_small_conditional() -> Recipe:
    """Conditional GAT-S: the label beside the noise, and projected in the discriminator, as published."""
    recipe = gat_small()
    recipe.task = recipe.task.replace(conditional=True)
    return recipe
