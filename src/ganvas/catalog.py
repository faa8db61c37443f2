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
from .config import Recipe, address
from .data.sources import SOURCES, Source
from .data.transforms import TRANSFORMS
from .losses import adversarial, penalties
from .networks import autoencoder, classifier, codes, dcgan, heads, mlp, noisy
from .networks import text as captions
from .recipes import further, generation
from .tasks.classify import Classification
from .tasks.generation import Generation
from .tasks.infogan import InfoGAN
from .tasks.semi import SemiSupervised
from .tasks.text import TextGeneration

RECIPES: dict[str, Callable[[], Recipe]] = {
    "gan": generation.gan,
    "dcgan": generation.dcgan,
    "dcgan_small": generation.dcgan_small,
    "infogan": further.infogan,
    "textgan": further.textgan,
    "semigan": further.semigan,
    "classifier": further.classifier,
}

LOSSES: dict[str, type] = {
    "non_saturating": adversarial.NonSaturating,
    "minimax": adversarial.Minimax,
    "least_squares": adversarial.LeastSquares,
    "wasserstein": adversarial.Wasserstein,
    "hinge": adversarial.Hinge,
}

PENALTIES: dict[str, type] = {"r1": penalties.R1}

HEADS: dict[str, type] = {
    "plain": heads.Plain,
    "projection": heads.Projection,
    "auxiliary_classifier": heads.AuxiliaryClassifier,
    "joint": heads.Joint,
    "info": codes.InfoHead,
    "classes": codes.Classes,
}

NETWORKS: dict[str, type] = {
    "dcgan_generator": dcgan.Generator,
    "dcgan_discriminator": dcgan.Discriminator,
    "mlp_generator": mlp.Generator,
    "mlp_discriminator": mlp.Discriminator,
    "noisy_generator": noisy.Generator,
    "noisy_dense": noisy.Dense,
    "noisy_convolutional": noisy.Convolutional,
    "autoencoder": autoencoder.Autoencoder,
    "autoencoder_generator": autoencoder.Decoder,
    "small_classifier": classifier.Classifier,
    "byte_encoder": captions.ByteEncoder,
}

AUGMENT: dict[str, type] = dict(TRANSFORMS)

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
    "long_starts": schedule.LongStarts,
}

TASKS: dict[str, type] = {
    "generation": Generation,
    "infogan_task": InfoGAN,
    "text_generation": TextGeneration,
    "semi_supervised": SemiSupervised,
    "classification": Classification,
}

SHELVES: dict[str, Mapping[str, Any]] = {
    "recipes": RECIPES,
    "data": SOURCES,
    "losses": LOSSES,
    "penalties": PENALTIES,
    "heads": HEADS,
    "networks": NETWORKS,
    "augment": AUGMENT,
    "optimizers": OPTIMIZERS,
    "schedules": SCHEDULES,
}

COMPONENTS: dict[str, type] = {
    **LOSSES,
    **PENALTIES,
    **HEADS,
    **NETWORKS,
    **AUGMENT,
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
