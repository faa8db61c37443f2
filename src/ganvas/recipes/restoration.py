"""Restoration recipes: super-resolution, denoising, deblurring, colour, inpainting.

All learn from one folder of good images, which the degradation degrades, or from pairs (`source=DIR,target=DIR`).
`--set degradation.scale=2` sets another scale, `--resolution` other patches.  Perceptual terms use the embedded
features; with VGG-19's weight file, `--set terms.N.network=vgg19` takes those of the papers.
"""

from typing import Any

from torch.optim import Adam

from ..config import Recipe, Spec
from ..data.degrade.base import Chain
from ..data.degrade.camera import Bicubic, Jpeg, LensBlur, MotionBlur, SensorNoise
from ..data.degrade.damage import Grey, Holes
from ..data.degrade.second_order import SecondOrder
from ..data.degrade.weather import Haze
from ..data.transforms import Flip, Turn
from ..losses.adversarial import NonSaturating
from ..losses.perceptual import Perceptual
from ..losses.pixel import L1, MSE, Charbonnier
from ..losses.relativistic import RelativisticAverage
from ..losses.wrappers import Weighted
from ..networks import colorize_inpaint as wrappers
from ..networks import compact as compacts
from ..networks import patchgan as patch
from ..networks import realplksr as plksr
from ..networks import rrdb
from ..networks import span as spans
from ..networks import srresnet as residual
from ..networks import superres_discriminators as superres
from ..schedule import Cosine, Steps
from ..tasks.restoration import Restoration

POCKET_WEIGHT = 0.1  # of the perceptual term on embedded features, beside a pixel term of 1


def _pixels(generator: Spec, degradation: Spec, *, side: int = 128, lr: float = 2e-4, **more: Any) -> Recipe:
    """Image terms without discriminator, as BasicSR's PSNR models: Adam (0.9, 0.99), a rate along half a cosine."""
    terms = more.pop("terms", [Spec(L1)])
    settings = {"images": 4_000_000, "batch": 16, "lr_schedule": Spec(Cosine, to=1e-3), **more}
    return Recipe(
        task=Spec(Restoration, generator=generator, terms=terms),
        g_optimizer=Spec(Adam, lr=lr, betas=(0.9, 0.99)),
        degradation=degradation,
        patch=side,
        **{"transforms": [Spec(Flip), Spec(Turn)], **settings},
    )


def _with_discriminator(
    recipe: Recipe, discriminator: Spec, loss: Spec, *, lr: float = 1e-4, betas: tuple[float, float]
) -> Recipe:
    """A recipe with a discriminator and Adam for both players."""
    recipe.task = recipe.task.replace(discriminator=discriminator, loss=loss)
    recipe.g_optimizer = Spec(Adam, lr=lr, betas=betas)
    recipe.d_optimizer = Spec(Adam, lr=lr, betas=betas)
    return recipe


def srresnet() -> Recipe:
    """SRResNet: super-resolution by 4, squared error (Ledig et al. 2017, section 3.2)."""
    more: dict[str, Any] = {"images": 16_000_000, "lr_schedule": None, "terms": [Spec(MSE)]}
    recipe = _pixels(Spec(residual.SRResNet), Spec(Bicubic, scale=4), side=96, **more)
    recipe.g_optimizer = Spec(Adam, lr=1e-4)
    return recipe


def srgan() -> Recipe:
    """SRGAN: SRResNet with a discriminator; start from it: `--init-from` (Ledig et al. 2017, eq. 3).

    The rate falls to a tenth half-way.  The paper's content is `terms=[perceptual(network=vgg19,layers=[relu5_4],
    norm=l2,weight=0.00615)]`; a squared error is kept beside the embedded features, which are poorer.
    """
    terms = [Spec(MSE), Spec(Perceptual, weight=POCKET_WEIGHT)]
    more: dict[str, Any] = {"images": 3_200_000, "lr_schedule": Spec(Steps, at=[0.5], factor=0.1), "terms": terms}
    recipe = _pixels(Spec(residual.SRResNet), Spec(Bicubic, scale=4), side=96, **more)
    loss = Spec(Weighted, loss=Spec(NonSaturating), g=1e-3)
    return _with_discriminator(recipe, Spec(superres.VGGDiscriminator), loss, betas=(0.9, 0.999))


def esrgan_psnr() -> Recipe:
    """ESRGAN's network with L1 alone, from which `esrgan` starts (Wang et al. 2018, section 4.1)."""
    return _pixels(Spec(rrdb.RRDBNet), Spec(Bicubic, scale=4), images=16_000_000)


def esrgan() -> Recipe:
    """ESRGAN: relativistic and perceptual losses; start from `esrgan_psnr` (Wang et al. 2018, eq. 3).

    Its code halves both players' relativistic losses, and so do these weights.
    """
    terms = [Spec(L1, weight=0.01), Spec(Perceptual)]
    steps = Spec(Steps, at=[0.125, 0.25, 0.5, 0.75], factor=0.5)
    recipe = _pixels(Spec(rrdb.RRDBNet), Spec(Bicubic, scale=4), terms=terms, images=6_400_000, lr_schedule=steps)
    loss = Spec(Weighted, loss=Spec(RelativisticAverage), d=0.5, g=0.0025)
    return _with_discriminator(recipe, Spec(superres.VGGDiscriminator, kernel=4, hidden=100), loss, betas=(0.9, 0.99))


def real_esrgan() -> Recipe:
    """Real-ESRGAN: super-resolution of real photographs, by second-order degradation (Wang et al. 2021, section 4.1).

    The discriminator is a U-Net with a logit per pixel.  As published, start from a run without it (`--set
    discriminator=none`).
    """
    terms = [Spec(L1), Spec(Perceptual)]
    more: dict[str, Any] = {"images": 19_200_000, "batch": 48, "lr_schedule": None, "ema_images": 33_000.0}
    recipe = _pixels(Spec(rrdb.RRDBNet), Spec(SecondOrder, scale=4), side=256, terms=terms, **more)
    recipe.transforms = [Spec(Flip)]
    loss = Spec(Weighted, loss=Spec(NonSaturating), g=0.1)
    return _with_discriminator(recipe, Spec(superres.UNetDiscriminator), loss, betas=(0.9, 0.99))


def compact() -> Recipe:
    """A small, fast network with L1 alone, as the embedded models (network: Wang et al. 2021)."""
    network = Spec(compacts.Compact, init="kaiming")
    return _pixels(network, Spec(Bicubic, scale=4), lr=1e-3, images=2_000_000)


def span() -> Recipe:
    """SPAN: fast super-resolution by 4, L1 alone (Wan et al. 2024)."""
    steps = Spec(Steps, at=[0.2, 0.4, 0.6, 0.8], factor=0.5)
    more: dict[str, Any] = {"images": 64_000_000, "batch": 64, "lr_schedule": steps}
    return _pixels(Spec(spans.SPAN), Spec(Bicubic, scale=4), side=256, lr=5e-4, **more)


def realplksr() -> Recipe:
    """RealPLKSR with L1 alone; with a discriminator: `real_esrgan --set generator=realplksr` (Lee et al. 2024)."""
    steps = Spec(Steps, at=[0.22, 0.45, 0.67, 0.89], factor=0.5)
    more: dict[str, Any] = {"images": 28_800_000, "batch": 64, "lr_schedule": steps}
    return _pixels(Spec(plksr.RealPLKSR), Spec(Bicubic, scale=4), side=384, **more)


def denoise() -> Recipe:
    """Denoising: Gaussian and photon noise of any strength (blind, as Zhang et al. 2017)."""
    return _pixels(Spec(residual.MSRResNet), Spec(SensorNoise, sigma=(1.0, 50.0)), terms=[Spec(Charbonnier)])


def deblur() -> Recipe:
    """Deblurring: defocus and motion blur with a little noise."""
    parts = [Spec(LensBlur), Spec(MotionBlur), Spec(SensorNoise, sigma=(0.0, 3.0))]
    return _pixels(Spec(rrdb.RRDBNet, blocks=6), Spec(Chain, parts=parts), side=192, terms=[Spec(Charbonnier)])


def dejpeg() -> Recipe:
    """JPEG artefact removal: blocks, ringing, smeared colours (as Dong et al. 2015)."""
    return _pixels(Spec(residual.MSRResNet), Spec(Jpeg, quality=(10.0, 80.0)), terms=[Spec(Charbonnier)])


def dehaze() -> Recipe:
    """Dehazing: haze and fog (as Cai et al. 2016)."""
    return _pixels(Spec(rrdb.RRDBNet, blocks=6), Spec(Haze), side=192, terms=[Spec(Charbonnier)])


def _with_patches(recipe: Recipe) -> Recipe:
    """A recipe with pix2pix's patch discriminator and its balance of L1 (100 on [-1, 1]) to 1 (Isola et al. 2017)."""
    loss = Spec(Weighted, loss=Spec(NonSaturating), d=0.5, g=0.005)
    discriminator = Spec(patch.Discriminator, norm="instance", field=70)
    return _with_discriminator(recipe, discriminator, loss, lr=2e-4, betas=(0.5, 0.999))


def colorize() -> Recipe:
    """Colorization: Lab chroma of grey images, lightness unchanged (Zhang et al. 2016; loss: Isola et al. 2017)."""
    return _with_patches(_pixels(Spec(wrappers.Colorizer), Spec(Grey), transforms=[Spec(Flip)]))


def inpaint() -> Recipe:
    """Inpainting: free-form holes and boxes (Yu et al. 2019; loss: Isola et al. 2017)."""
    terms = [Spec(L1), Spec(Perceptual, weight=POCKET_WEIGHT)]
    return _with_patches(_pixels(Spec(wrappers.Inpainter), Spec(Holes), terms=terms, transforms=[Spec(Flip)]))


def face_sr() -> Recipe:
    """Face super-resolution by 4 from any quality; images are seen whole, as faces are cropped to one frame."""
    terms = [Spec(L1), Spec(Perceptual, weight=POCKET_WEIGHT)]
    recipe = _pixels(Spec(residual.MSRResNet), Spec(SecondOrder, scale=4), side=0, terms=terms)
    recipe.transforms = [Spec(Flip)]
    loss = Spec(Weighted, loss=Spec(NonSaturating), g=0.01)
    return _with_discriminator(recipe, Spec(superres.UNetDiscriminator), loss, betas=(0.9, 0.99))
