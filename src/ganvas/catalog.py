"""Everything that can be asked for by name, on one page.

A new variant is a class or a function in its own file and one line here; the command line, the tests and the
documentation tables follow.  Only what is listed here may be named by a saved config.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

from . import schedule
from .augment import ada, diffaugment
from .augment import instance_noise as noise
from .config import Recipe, address
from .data.degrade import DEGRADATIONS
from .data.sources import SOURCES, Source
from .data.transforms import TRANSFORMS
from .features import content
from .features import gram as painted
from .losses import (
    adversarial,
    energy,
    path_length,
    perceptual,
    relativistic,
)
from .losses import (
    gradient_penalties as penalties,
)
from .losses import (
    pixel as fidelity,
)
from .losses import (
    score_penalties as verdicts,
)
from .losses import (
    weight_penalties as weights,
)
from .losses import (
    wrappers as wrapped,
)
from .networks import (
    adain,
    autoencoder,
    biggan,
    classifier,
    compact,
    dcgan,
    heads,
    mlp,
    overpainting,
    r3gan,
    resnet,
    rrdb,
    srresnet,
    stargan,
    stylegan2,
    transformer_net,
    unet,
)
from .networks import (
    class_and_code_heads as codes,
)
from .networks import (
    colorize_inpaint as lost,
)
from .networks import (
    cyclegan as translation,
)
from .networks import (
    minibatch_heads as minibatch,
)
from .networks import (
    patchgan as patch,
)
from .networks import (
    semigan as noisy,
)
from .networks import (
    superres_discriminators as critics,
)
from .networks import text_encoder as captions
from .recipes import (
    codes_text_classes as further,
)
from .recipes import (
    conditional,
    generation,
    points,
    restoration,
)
from .recipes import energy as energies
from .recipes import (
    residual as modern,
)
from .recipes import (
    style_transfer as painting,
)
from .recipes import (
    stylegan2 as styles,
)
from .recipes import translation as translations
from .tasks.adain import AnyStyle
from .tasks.cartoon import Cartoon
from .tasks.classification import Classification
from .tasks.fast_style import OneStyle
from .tasks.generation import Generation
from .tasks.infogan import InfoGAN
from .tasks.multidomain import MultiDomain
from .tasks.paired import Paired
from .tasks.restoration import Restoration
from .tasks.semi_supervised import SemiSupervised
from .tasks.text_to_image import TextGeneration
from .tasks.unpaired import Unpaired

RECIPES: dict[str, Callable[[], Recipe]] = {
    "gan": generation.gan,
    "dcgan": generation.dcgan,
    "dcgan_small": generation.dcgan_small,
    "lsgan": generation.lsgan,
    "hinge": generation.hinge,
    "dragan": generation.dragan,
    "wgan": generation.wgan,
    "wgan_gp": generation.wgan_gp,
    "sngan": modern.sngan,
    "sagan": modern.sagan,
    "biggan": modern.biggan,
    "r3gan": modern.r3gan,
    "stylegan2": styles.stylegan2,
    "ebgan": energies.ebgan,
    "began": energies.began,
    "cgan": conditional.cgan,
    "acgan": conditional.acgan,
    "projection": conditional.projection,
    "r3gan_conditional": conditional.r3gan_conditional,
    "stylegan2_conditional": styles.stylegan2_conditional,
    "gan_points": points.gan_points,
    "wgan_gp_points": points.wgan_gp_points,
    "sngan_points": points.sngan_points,
    "minibatch_points": points.minibatch_points,
    "r3gan_points": points.r3gan_points,
    "infogan": further.infogan,
    "textgan": further.textgan,
    "semigan": further.semigan,
    "classifier": further.classifier,
    "pix2pix": translations.pix2pix,
    "cyclegan": translations.cyclegan,
    "stargan": translations.stargan,
    "cartoon": translations.cartoon,
    "fast_style": painting.fast_style,
    "adain": painting.adain,
    "srresnet": restoration.srresnet,
    "srgan": restoration.srgan,
    "esrgan_psnr": restoration.esrgan_psnr,
    "esrgan": restoration.esrgan,
    "real_esrgan": restoration.real_esrgan,
    "compact": restoration.compact,
    "denoise": restoration.denoise,
    "deblur": restoration.deblur,
    "dejpeg": restoration.dejpeg,
    "dehaze": restoration.dehaze,
    "colorize": restoration.colorize,
    "inpaint": restoration.inpaint,
    "face_sr": restoration.face_sr,
}

LOSSES: dict[str, type] = {
    "non_saturating": adversarial.NonSaturating,
    "minimax": adversarial.Minimax,
    "least_squares": adversarial.LeastSquares,
    "wasserstein": adversarial.Wasserstein,
    "hinge": adversarial.Hinge,
    "relativistic_pairing": relativistic.RelativisticPairing,
    "relativistic_average": relativistic.RelativisticAverage,
    "energy_margin": energy.EnergyMargin,
    "boundary_equilibrium": energy.BoundaryEquilibrium,
    "top_k": wrapped.TopK,
    "weighted": wrapped.Weighted,
}

TERMS: dict[str, type] = {
    "l1": fidelity.L1,
    "mse": fidelity.MSE,
    "charbonnier": fidelity.Charbonnier,
    "perceptual": perceptual.Perceptual,
    "total_variation": fidelity.TotalVariation,
    "ldl": fidelity.LDL,
    "colour": fidelity.Colour,
}

PENALTIES: dict[str, type] = {
    "r1": penalties.R1,
    "r2": penalties.R2,
    "gradient_penalty": penalties.GradientPenalty,
    "dragan": penalties.DRAGAN,
    "lecam": verdicts.LeCam,
    "consistency": verdicts.Consistency,
    "feature_matching": verdicts.FeatureMatching,
    "pulling_away": verdicts.PullingAway,
    "path_length": path_length.PathLength,
    "weight_clipping": weights.WeightClipping,
    "orthogonal": weights.OrthogonalRegularisation,
    "historical_averaging": weights.HistoricalAveraging,
}

HEADS: dict[str, type] = {
    "plain": heads.Plain,
    "projection": heads.Projection,
    "auxiliary_classifier": heads.AuxiliaryClassifier,
    "joint": heads.Joint,
    "minibatch_discrimination": minibatch.MinibatchDiscrimination,
    "minibatch_stddev": minibatch.MinibatchStddev,
    "info": codes.InfoHead,
    "classes": codes.Classes,
}

NETWORKS: dict[str, type] = {
    "dcgan_generator": dcgan.Generator,
    "dcgan_discriminator": dcgan.Discriminator,
    "mlp_generator": mlp.Generator,
    "mlp_discriminator": mlp.Discriminator,
    "mlp_leaky_discriminator": mlp.LeakyDiscriminator,
    "resnet_generator": resnet.Generator,
    "resnet_discriminator": resnet.Discriminator,
    "biggan_generator": biggan.Generator,
    "biggan_discriminator": biggan.Discriminator,
    "r3gan_generator": r3gan.Generator,
    "r3gan_discriminator": r3gan.Discriminator,
    "stylegan2_generator": stylegan2.Generator,
    "stylegan2_discriminator": stylegan2.Discriminator,
    "noisy_generator": noisy.Generator,
    "noisy_dense": noisy.Dense,
    "noisy_convolutional": noisy.Convolutional,
    "autoencoder": autoencoder.Autoencoder,
    "autoencoder_generator": autoencoder.Decoder,
    "small_classifier": classifier.Classifier,
    "byte_encoder": captions.ByteEncoder,
    "srresnet": srresnet.SRResNet,
    "msrresnet": srresnet.MSRResNet,
    "rrdb": rrdb.RRDBNet,
    "compact": compact.Compact,
    "vgg_discriminator": critics.VGGDiscriminator,
    "unet_discriminator": critics.UNetDiscriminator,
    "unet_generator": unet.Generator,
    "translation_generator": translation.Generator,
    "patch_discriminator": patch.Discriminator,
    "stargan_generator": stargan.Generator,
    "stargan_discriminator": stargan.Discriminator,
    "colouriser": lost.Colouriser,
    "inpainter": lost.Inpainter,
    "content": content.Content,
    "transformer_net": transformer_net.TransformerNet,
    "overpainting_net": overpainting.Overpainting,
    "adain_decoder": adain.Decoder,
    "overpainting_decoder": overpainting.OverpaintingDecoder,
    "normalised_vgg": adain.NormalisedVGG,
    "perception": painted.Perception,
}

SIGHT: dict[str, type] = {  # what the discriminator looks through
    "diffaugment": diffaugment.DiffAugment,
    "ada": ada.ADA,
    "instance_noise": noise.InstanceNoise,
}

AUGMENT: dict[str, type] = {**TRANSFORMS, **SIGHT}

OPTIMIZERS: dict[str, type] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}

SCHEDULES: dict[str, type] = {
    "constant": schedule.Constant,
    "linear": schedule.Linear,
    "cosine": schedule.Cosine,
    "anneal": schedule.Anneal,
    "inverse": schedule.Inverse,
    "long_starts": schedule.LongStarts,
    "steps": schedule.Steps,
}

TASKS: dict[str, type] = {
    "generation": Generation,
    "infogan_task": InfoGAN,
    "text_generation": TextGeneration,
    "semi_supervised": SemiSupervised,
    "classification": Classification,
    "paired": Paired,
    "unpaired": Unpaired,
    "multi_domain": MultiDomain,
    "cartoon_task": Cartoon,
    "one_style": OneStyle,
    "any_style": AnyStyle,
    "restoration": Restoration,
}

SHELVES: dict[str, Mapping[str, Any]] = {
    "recipes": RECIPES,
    "data": SOURCES,
    "losses": LOSSES,
    "terms": TERMS,
    "penalties": PENALTIES,
    "heads": HEADS,
    "networks": NETWORKS,
    "augment": AUGMENT,
    "degradations": DEGRADATIONS,
    "optimizers": OPTIMIZERS,
    "schedules": SCHEDULES,
}

COMPONENTS: dict[str, type] = {
    **LOSSES,
    **TERMS,
    **PENALTIES,
    **HEADS,
    **NETWORKS,
    **AUGMENT,
    **DEGRADATIONS,
    **OPTIMIZERS,
    **SCHEDULES,
    **TASKS,
}

TRUSTED: dict[str, type] = {address(target): target for target in COMPONENTS.values()}

NAMES: dict[str, str] = {address(target): name for name, target in COMPONENTS.items()}


def sentence(thing: Any) -> str:
    """What an entry is, in one sentence without its citation; for what is not ours, its name."""
    if isinstance(thing, Source):
        return f"{thing.summary[0].upper()}{thing.summary[1:]}."
    if not thing.__module__.startswith("ganvas."):
        return f"PyTorch's {thing.__name__}."
    first = (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ").strip()
    return re.sub(r" \([^()]*(19|20)\d\d[^()]*\)", "", first)


def citation(thing: Any) -> str:
    """The paper that a docstring names first, as `Authors YEAR`, or nothing."""
    text = "" if isinstance(thing, Source) else " ".join((inspect.getdoc(thing) or "").split())
    found = re.search(r"(?!After|As|See)\b([A-Z][\w'-]+(?:,? (?:and )?[A-Z][\w'-]+)*(?: et al\.)? (?:19|20)\d\d)", text)
    return found[1] if found else ""
