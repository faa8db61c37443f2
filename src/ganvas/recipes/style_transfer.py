"""Style transfer recipes: one style trained into a network, and any style by AdaIN."""

from torch.optim import Adam

from ..config import Recipe, Spec
from ..data.transforms import Flip
from ..features.gram import Perception
from ..networks.overpainting import ResidualStyleDecoder, ResidualStyleNet
from ..schedule import Inverse
from ..tasks.adain import AnyStyle
from ..tasks.fast_style import OneStyle


def fast_style() -> Recipe:
    """Fast style transfer: a network trained for one style (Johnson et al. 2016).

    `--set style=IMAGE`.  Rate and batch as PyTorch's examples, and their network painting over the image; no
    discriminator.  Three maps of the embedded features compare; like the paper's, they leave out the deepest, which
    holds more content than style.  The published networks: `--set generator=transformer_net`, and `--set
    perception.network=vgg16 --set perception.style=[]`, with VGG's weight file.
    """
    return Recipe(
        task=Spec(
            OneStyle, generator=Spec(ResidualStyleNet), perception=Spec(Perception, style=["relu1", "relu2", "relu3"])
        ),
        g_optimizer=Spec(Adam, lr=1e-3),
        batch=4,
        images=160_000,
        transforms=[Spec(Flip)],
    )


def adain() -> Recipe:
    """AdaIN: style transfer to any style, trained on photographs and style images (Huang and Belongie 2017).

    Losses, rate (which falls as 1 / (1 + 5e-5 steps)) and batch as published, and no discriminator.  The statistics
    of three maps of the embedded features, not of the fourth of VGG, and of the colours are exchanged and painted over
    the image, at strengths from nothing to all.  The published decoder: `--set generator=adain_decoder --set
    least_alpha=1`.
    """
    return Recipe(
        task=Spec(
            AnyStyle,
            generator=Spec(ResidualStyleDecoder),
            perception=Spec(Perception, style=["relu1", "relu2", "relu3"]),
            least_alpha=0.0,
        ),
        g_optimizer=Spec(Adam, lr=1e-4),
        batch=8,
        images=1_280_000,
        lr_schedule=Spec(Inverse, falls=8.0),
        transforms=[Spec(Flip)],
    )
