"""Recipes of InfoGAN, BiGAN, text to image, semi-supervised learning and classification."""

from torch.optim import Adam

from ..config import Recipe, Spec
from ..losses.adversarial import NonSaturating
from ..networks import dcgan as convolutional
from ..networks import dcgan_variants
from ..networks import semigan as noisy
from ..networks.class_and_code_heads import Classes, InfoHead
from ..networks.classifier import Classifier
from ..networks.encoder import Encoder
from ..networks.heads import Joint
from ..networks.text_encoder import ByteEncoder
from ..schedule import Cosine, Linear
from ..tasks.bigan import BiGAN
from ..tasks.classification import Classification
from ..tasks.infogan import InfoGAN
from ..tasks.semi_supervised import SemiSupervised
from ..tasks.text_to_image import TextGeneration
from .optimizers import both


def classifier() -> Recipe:
    """A small convolutional classifier: to count modes and to check labels of samples.

    Our own: batch norm, dropout, Adam whose rate falls along half a cosine, weights averaged over the last images.
    """
    return Recipe(
        task=Spec(Classification, classifier=Spec(Classifier)),
        g_optimizer=Spec(Adam, lr=2e-3),
        batch=64,
        images=240_000,
        lr_schedule=Spec(Cosine, to=0.01),
        ema_images=5_000.0,
    )


def infogan() -> Recipe:
    """InfoGAN: a ten-class code and two continuous codes learnt without labels, on DCGAN (Chen et al. 2016).

    With the authors' rates (1e-3 for the generator, 2e-4 for the discriminator), 62 numbers of
    uniform noise and weight 1 on both terms of the mutual information, and the widths and the fully connected layers of
    their MNIST networks on DCGAN's body.
    """
    return Recipe(
        task=Spec(
            InfoGAN,
            generator=Spec(dcgan_variants.Generator, latent=62, width=64, hidden=1024),
            discriminator=Spec(dcgan_variants.Discriminator, width=64, hidden=1024, head=Spec(InfoHead)),
            loss=Spec(NonSaturating),
        ),
        g_optimizer=Spec(Adam, lr=1e-3, betas=(0.5, 0.999)),
        d_optimizer=Spec(Adam, lr=2e-4, betas=(0.5, 0.999)),
        batch=128,
        images=640_000,
    )


def bigan() -> Recipe:
    """BiGAN: an encoder beside the generator, and a discriminator of images with their codes (Donahue et al. 2017).

    With the paper's 50 numbers of uniform noise, Adam and batches of 128, on DCGAN's networks; code and image meet in
    one hidden layer.  The encoder gives features and, in one pass, the code of an image (`ganvas project`).
    """
    return Recipe(
        task=Spec(
            BiGAN,
            generator=Spec(convolutional.Generator, latent=50),
            discriminator=Spec(convolutional.Discriminator, head=Spec(Joint)),
            encoder=Spec(Encoder),
            loss=Spec(NonSaturating),
            prior="uniform",
        ),
        **both(Spec(Adam, lr=2e-4, betas=(0.5, 0.999))),
        batch=128,
        images=2_000_000,
    )


def semigan() -> Recipe:
    """Semi-supervised GAN: a classifier from few labels, K + 1 classes and feature matching (Salimans et al. 2016).

    The authors' MNIST networks and rate (3e-3, falling to nothing over the last third).  Hide
    labels with --labels 100 to try it on data that has them all.
    """
    return Recipe(
        task=Spec(
            SemiSupervised,
            generator=Spec(noisy.Generator),
            discriminator=Spec(noisy.DenseDiscriminator, head=Spec(Classes)),
            loss=Spec(NonSaturating),
        ),
        **both(Spec(Adam, lr=3e-3, betas=(0.5, 0.999))),
        batch=100,
        images=3_000_000,
        lr_schedule=Spec(Linear, begin=2 / 3),
        ema_images=100_000.0,
    )


def textgan() -> Recipe:
    """Text to image: GAN-CLS with a byte-level text encoder in each network (Reed et al. 2016).

    The encoders are trained along instead of pretrained.
    """
    return Recipe(
        task=Spec(
            TextGeneration,
            generator=Spec(convolutional.Generator, label_size=128),
            discriminator=Spec(convolutional.Discriminator, head=Spec(Joint)),
            text=Spec(ByteEncoder),
            loss=Spec(NonSaturating),
        ),
        **both(Spec(Adam, lr=2e-4, betas=(0.5, 0.999))),
        images=2_000_000,
    )
