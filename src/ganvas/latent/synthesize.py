"""`synthesize`: a folder of generated images for training classifiers, filtered by what the options name."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..config import Recipe
from ..data.cache import file_digest
from ..data.dataset import CHANNEL_NAMES, Dataset
from ..data.sources import open_source
from ..errors import UsageError, UserError
from ..evaluation.discriminator import load_adversary
from ..evaluation.run_data import open_run_data
from ..imaging.provenance import GENERATED
from ..models.cards import embedded_card
from ..models.folder import model_folder, weights_of
from ..models.model import Model, load
from ..paths import path_text, user_path, user_place
from ..run import Run
from .filters import ByClassifier, ByDiscriminator, Filter, NoCopies
from .synthesis import Part, Synthesis

PathName = str | os.PathLike[str]
Progress = Callable[[int, int], None]


def synthesize(
    run: PathName,
    output: PathName,
    *,
    count: int | None = None,
    per_class: int | None = None,
    label: str | None = None,
    seed: int = 0,
    trunc: float = 1.0,
    keep: float | None = None,
    classifier: PathName | None = None,
    data: str | None = None,
    copies: bool = False,
    resume: bool = False,
    provenance: bool = True,
    device: str = "auto",
    progress: Progress = lambda done, total: None,
    write: Callable[[Synthesis, Sequence[Part], Progress], dict[str, Any]] = Synthesis.write_all,
) -> dict[str, Any]:
    """Write generated images into one sub-folder a class; returns their number and how many samples were refused.

    `count` images in all, or `per_class` of every class, drawn from `seed` on.  `keep` is the share that the run's
    discriminator accepts (Azadi et al. 2019); `classifier` is a run that has to name the class asked for.  Copies of
    images of `data` (by default, the run's training data) are refused unless `copies`.  `label` is the condition where
    labels are no classes.  `provenance`: each says that a model made it.  Raises `UserError` if none is accepted.
    """
    model = load(run, device=device)
    options: dict[str, Any] = {"condition": model.read_label(label), "source_type": GENERATED if provenance else None}
    work = Synthesis(model, user_place(output, "--output"), seed=seed, trunc=trunc, **options)
    work.check()
    parts = work.parts(count, per_class)
    real, notice = (None, "") if copies and keep is None else find_data(run, model, data, needed=keep is not None)
    with torch.random.fork_rng(devices=[]):  # networks draw weights before they are given their own
        work.filters = [*build_filters(run, model, real, keep, classifier, copies, device)]
    settings = {"seed": seed, "trunc": trunc, "keep": keep, "copies": copies, "label": label, "model": _digest(run)}
    settings |= {"classifier": _digest(classifier), "data": real.fingerprint if real else None}
    work.begin(settings, resume)
    result = {"output": path_text(work.output), "classes": {part.name: part.count for part in parts if part.name}}
    checked = {"copies_refused": any(one.name == "copies" for one in work.filters), "notice": notice}
    return result | checked | write(work, parts, progress)


def find_data(run: PathName, model: Model, data: str | None, needed: bool) -> tuple[Dataset | None, str]:
    """The training data of a model, and a sentence if there are none although copies of them are to be refused.

    Raises `UsageError` if they are `needed`.
    """
    try:
        if data is not None:
            (height, width), channels = model.config["data"]["resolution"], model.config["data"]["channels"]
            images = open_source(data, resolution=(height, width))
            if images.facts.channels != channels:
                drawn, given = (CHANNEL_NAMES.get(n, str(n)) for n in (channels, images.facts.channels))
                raise UsageError(f"--data {images.name} holds {given} images, and the model draws {drawn} ones.")
            return images, ""
        if not is_run(run):
            raise UserError("The model is no run, so its training data are not known.")
        config = Run(user_path(run)).config()
        return open_run_data(config, Recipe.from_dict(config["recipe"]).patch), ""
    except UsageError:
        raise
    except UserError as problem:
        reason = f"{problem} Give --data SOURCE"
        if needed:
            raise UsageError(f"--keep calibrates the discriminator on training images. {reason}.") from None
        return None, f"Copies of training images are not searched: {reason[0].lower()}{reason[1:]}."


def is_run(model: PathName) -> bool:
    """True for the folder of a run; a model folder has a config.json, too, but no training state."""
    return embedded_card(model) is None and bool(Run(user_path(model)).states())


def build_filters(
    run: PathName,
    model: Model,
    data: Dataset | None,
    keep: float | None,
    classifier: PathName | None,
    copies: bool,
    device: str,
) -> list[Filter]:
    """The filters that options name, the quickest first."""
    filters: list[Filter] = []
    if keep is not None:
        if not is_run(run):
            raise UsageError(f"--keep takes a run; {run} is a model without its discriminator.")
        assert data is not None
        filters.append(ByDiscriminator(load_adversary(str(run), device), model, data, keep))
    if classifier is not None:
        if not model.task.conditional or not model.class_names:
            raise UsageError("--classifier checks the class that was asked for, and this model has no classes.")
        filters.append(ByClassifier(load(classifier, device=device), model.class_names))
    if data is not None and not copies:
        filters.append(NoCopies(data))
    return filters


def _digest(model: PathName | None) -> str | None:
    """Hash of a model's weights; None without one."""
    if model is None:
        return None
    card = embedded_card(model)
    path = card.locate() if card else user_path(model)
    folder = model_folder(path) or path
    return file_digest(weights_of(folder) if folder.is_dir() else folder)
