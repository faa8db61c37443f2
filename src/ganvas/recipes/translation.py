"""Translation recipes: paired, unpaired, between labelled domains, to cartoons."""

from torch.optim import Adam

from ..config import Recipe, Spec
from ..data.transforms import Crop, Flip
from ..features.content import Content
from ..losses.adversarial import LeastSquares, NonSaturating, Wasserstein
from ..losses.gradient_penalties import GradientPenalty
from ..losses.pixel import Colour
from ..losses.wrappers import Weighted
from ..networks import cyclegan as translation
from ..networks import patchgan as patch
from ..networks import stargan as domains
from ..networks import unet
from ..schedule import Linear
from ..tasks.cartoon import Cartoon
from ..tasks.cut import CUT
from ..tasks.multidomain import MultiDomain
from ..tasks.paired import Paired
from ..tasks.unpaired import Unpaired
from .optimizers import both

JITTER = 15 / 256  # published: enlarged to 286 pixels and cut back to 256 at a random place


def _from_single_images(task: Spec, *, images: int) -> Recipe:
    """A recipe with the settings of pix2pix's code: batches of one, rates that fall to zero over the second half."""
    return Recipe(
        task=task,
        **both(Spec(Adam, lr=2e-4, betas=(0.5, 0.999))),
        batch=1,
        images=images,
        lr_schedule=Spec(Linear),
        transforms=[Spec(Flip), Spec(Crop, padding=JITTER)],
    )


def pix2pix() -> Recipe:
    """pix2pix: paired translation by a U-Net, L1 and a discriminator of 70-pixel patches (Isola et al. 2017).

    As the authors' code: batch norm by single images, the discriminator's loss halved, rates that fall to zero over
    the second half.
    """
    return _from_single_images(
        Spec(
            Paired,
            generator=Spec(unet.Generator),
            discriminator=Spec(patch.Discriminator),
            loss=Spec(Weighted, loss=Spec(NonSaturating), d=0.5),
        ),
        images=80_000,
    )


def cyclegan() -> Recipe:
    """CycleGAN: unpaired translation by two generators that invert each other (Zhu et al. 2017).

    As the authors' code: least squares, a pool of 50 past fakes, identity at half the cycle's weight.
    `--set generator.up=resize` leaves no checkerboard; `--set generator.blocks=6` is theirs for 128 pixels.
    """
    return _from_single_images(
        Spec(
            Unpaired,
            generator=Spec(translation.Generator),
            discriminator=Spec(patch.Discriminator, norm="instance"),
            loss=Spec(Weighted, loss=Spec(LeastSquares), g=2.0),  # theirs is not halved for the generator
        ),
        images=240_000,
    )


def cut() -> Recipe:
    """Unpaired translation one way, by contrast between patches instead of a cycle (Park et al. 2020).

    As the authors' code: least squares, no pool, rates that fall to zero over the second half; on CycleGAN's network,
    whose halvings are strided instead of antialiased.  FastCUT: `--set identity=0 --set contrast=10`.
    """
    return _from_single_images(
        Spec(
            CUT,
            generator=Spec(translation.Generator, init="xavier"),
            discriminator=Spec(patch.Discriminator, norm="instance"),
            loss=Spec(Weighted, loss=Spec(LeastSquares), g=2.0),  # theirs is not halved for the generator
            contrast=0.5,
            identity=0.5,  # the mean of both contrasts
        ),
        images=480_000,
    )


def stargan() -> Recipe:
    """StarGAN: translation between labelled domains by one generator (Choi et al. 2018).

    As the authors' code: five critic steps with a gradient penalty, rates that fall to zero over the second half.
    """
    return Recipe(
        task=Spec(
            MultiDomain,
            generator=Spec(domains.Generator),
            discriminator=Spec(domains.Discriminator),
            loss=Spec(Wasserstein),
            penalties=[Spec(GradientPenalty)],
        ),
        **both(Spec(Adam, lr=1e-4, betas=(0.5, 0.999))),
        batch=16,
        d_steps=5,
        images=3_200_000,
        lr_schedule=Spec(Linear),
        transforms=[Spec(Flip)],
    )


def cartoon() -> Recipe:
    """CartoonGAN: photographs to cartoons or another painting style, unpaired (Chen et al. 2018).

    On CycleGAN's residual network with 8 blocks, pixels repeated instead of transposed convolutions.  The content term
    compares the embedded features, which hardly hold colours, so AnimeGAN's colour loss is added; `--set
    content.network=vgg19 --set terms=[]` is the paper's, with VGG's weight file.
    """
    return Recipe(
        task=Spec(
            Cartoon,
            generator=Spec(translation.Generator, blocks=8, up="resize"),
            discriminator=Spec(patch.Discriminator, norm="instance", field=34),
            loss=Spec(NonSaturating),
            content=Spec(Content),
            terms=[Spec(Colour, weight=10.0)],
        ),
        **both(Spec(Adam, lr=2e-4, betas=(0.5, 0.999))),
        batch=8,
        images=400_000,
        transforms=[Spec(Flip)],
    )
