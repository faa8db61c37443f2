"""The doors of the package: train a recipe on data, load what came of it.

Here, and only here, recipes meet data, trainers meet run folders, and several processes meet each other.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from . import catalog, distributed
from .config import Recipe, Spec, UsageError, did_you_mean, encode
from .data.batches import Batches
from .data.dataset import Dataset
from .data.sources import open_source, parse_resolution
from .data.transforms import parse_transforms
from .model import Model as Model
from .model import accuracy as accuracy
from .model import load as load
from .players import Group
from .policy import Policy, PrecisionName
from .run import Run, read_json
from .tasks.base import Task
from .trainer import Trainer
from .training import Event, Plan, Training
from .version import __version__

Progress = Callable[[int, int], None]
Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass
class Request:
    """What a person asked for, before anything is looked at."""

    recipe: str | Recipe | None  # a name, a saved config.json, or a Recipe; None: as the run to resume
    data: str | Dataset | None
    outdir: str | os.PathLike[str]
    images: int | None = None
    minutes: float | None = None
    seed: int | None = None
    batch: int | None = None
    resolution: str | int | tuple[int, int] | None = None
    device: str = "auto"
    precision: PrecisionName | None = None
    compile: Literal["auto", "on", "off"] = "auto"
    set: Sequence[str] | Mapping[str, Any] = ()
    labels: int | None = None
    augment: str = ""
    resume: bool = False
    snapshot_images: int | None = None
    workers: int = 0
    tensorboard: bool = False
    cache: Path | None = None


def train(
    recipe: str | Recipe | None = None,
    *,
    data: str | Dataset | None = None,
    outdir: str | os.PathLike[str],
    on_event: Callable[[Event], None] | None = None,
    **options: Any,
) -> Run:
    """Train a recipe on data until its images (or `minutes`) are over; returns the run.

    `recipe` is a name, a saved config.json or a `Recipe`; `options` are those of `Request`: images, minutes,
    seed, batch, resolution, device, precision, set, labels, augment, resume, snapshot_images, workers, tensorboard.
    `on_event` hears every `Event`.  Raises `UserError` with a sentence for whatever a person can mend.
    """
    session = prepare(Request(recipe, data, outdir, **options))
    try:
        for event in session.training:
            if on_event:
                on_event(event)
    finally:
        session.close()
    return session.run


@dataclass
class Session:
    """Everything one call of `train` works with; `close` it."""

    run: Run
    training: Training
    dataset: Dataset
    recipe: Recipe
    policy: Policy
    told: list[str]
    batches: Batches
    group: Group

    def close(self) -> None:
        self.batches.close()
        self.group.close()

    def last(self) -> dict[str, Any]:
        """The last line of the log."""
        log = self.run.log()
        return log[-1] if log else {}


def prepare(request: Request, progress: Progress | None = None) -> Session:
    """Check everything a person asked for, open the data, and set up the run folder; trains nothing yet."""
    if request.resume:
        request = _continued(request)
    recipe, dataset_facts = _recipe(request), _resolution(request)
    if request.data is None:
        raise UsageError("Training needs data: --data FOLDER, or digits, photos, ring, grid, swissroll.")
    policy = Policy.choose(request.device, request.precision or "auto", request.compile, recipe.images)
    group = (
        distributed.Processes(distributed.local_device(policy.device)) if distributed.launched_together() else Group()
    )
    try:
        dataset = _open_data(request, dataset_facts, progress, group)
        if request.labels is not None:
            dataset = dataset.keep_labels(request.labels, request.seed or 0)
        return _session(request, recipe, dataset, policy, group)
    except BaseException:
        group.close()
        raise


def _session(request: Request, recipe: Recipe, dataset: Dataset, policy: Policy, group: Group) -> Session:
    seed = request.seed or 0
    _check_sizes(request, recipe, dataset, group.world)
    torch.manual_seed(seed)  # the same weights on every process and in every run of this seed
    transforms = [spec.build() for spec in recipe.transforms]
    task: Task = recipe.task.build(**_facts(dataset))
    batches = Batches(
        dataset,
        seed=seed,
        device=policy.device,
        transforms=transforms,
        workers=request.workers,
        needs=task.needs,
    )
    if recipe.sync_batch_norm and group.world > 1:
        distributed.synchronise_batch_norm(task)
    trainer = Trainer(task, recipe, batches, policy, group=group)
    run, config = _folder(request, recipe, dataset, policy, group)
    training = Training(run, trainer, _plan(request, recipe, dataset, config, task.example))
    told = training.resume() if request.resume else []
    return Session(run, training, dataset, recipe, policy, told, batches, group)


def _recipe(request: Request) -> Recipe:
    """The recipe asked for, with every override applied."""
    recipe = find_recipe(request.recipe)
    changes = request.set.items() if isinstance(request.set, Mapping) else [_change(text) for text in request.set]
    for path, value in changes:
        recipe.set(path, value if isinstance(value, str) else repr(value), catalog.COMPONENTS)
    for name in ("batch", "images"):
        value = getattr(request, name)
        if value is not None:
            recipe.set(name, str(value), catalog.COMPONENTS)
    if request.augment:
        recipe.transforms = [Spec(catalog.AUGMENT[name], **given) for name, given in parse_transforms(request.augment)]
    return recipe


def find_recipe(wanted: str | Recipe | None) -> Recipe:
    """A fresh recipe by name or from a saved config.json; a `Recipe` is copied."""
    if isinstance(wanted, Recipe):
        return wanted.copy()
    if wanted is None:
        raise UsageError(f"Which recipe? One of: {', '.join(catalog.RECIPES)}.")
    if wanted in catalog.RECIPES:
        return catalog.RECIPES[wanted]()
    if wanted.endswith(".json") or os.sep in wanted:
        saved = read_json(Path(wanted))
        return Recipe.from_dict(saved.get("recipe", saved), catalog.TRUSTED)
    raise UsageError(
        f"There is no recipe {wanted!r}.{did_you_mean(wanted, catalog.RECIPES)}"
        f" There are: {', '.join(catalog.RECIPES)}."
    )


def _change(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise UsageError(f"--set takes path=value, for example generator.width=128; got {text!r}.")
    return path.strip(), value.strip()


def _resolution(request: Request) -> tuple[int, int] | None:
    return None if request.resolution is None else parse_resolution(request.resolution)


def _open_data(
    request: Request, resolution: tuple[int, int] | None, progress: Progress | None, group: Group
) -> Dataset:
    """The data; of several processes the first prepares the cache and the others find it."""
    if isinstance(request.data, Dataset):
        return request.data
    if group.rank:
        group.wait()
    try:
        return open_source(str(request.data), resolution=resolution, cache=request.cache, progress=progress)
    finally:
        if not group.rank:
            group.wait()


def _check_sizes(request: Request, recipe: Recipe, dataset: Dataset, world: int) -> None:
    """Raise `UsageError` for numbers that cannot work, before anything is written."""
    for name in ("batch", "images", "d_steps", "g_steps", "accumulate"):
        if getattr(recipe, name) < 1:
            raise UsageError(f"{name} must be at least 1, got {getattr(recipe, name)}.")
    for name, value, least in (
        ("--snapshot-images", request.snapshot_images, 1),
        ("--minutes", request.minutes, 0),
        ("--workers", request.workers, 0),
    ):
        if value is not None and value < least:
            raise UsageError(f"{name} must be at least {least}, got {value}.")
    if recipe.batch > len(dataset):
        raise UsageError(
            f"A batch of {recipe.batch} is larger than the data ({len(dataset)} images);"
            f" take --batch {len(dataset)} or less, or add images."
        )
    distributed.check_batch(recipe.batch, recipe.accumulate, world)


def _facts(dataset: Dataset) -> dict[str, Any]:
    facts = dataset.facts
    size = {"resolution": facts.resolution, "channels": facts.channels, "classes": facts.classes}
    return {**size, "attributes": facts.attributes, "unlabelled": facts.unlabelled}


def _folder(
    request: Request, recipe: Recipe, dataset: Dataset, policy: Policy, group: Group
) -> tuple[Run, dict[str, Any]]:
    """The run folder with its config; only the first process writes."""
    if request.resume:
        run = Run.open(request.outdir)
        config = run.config()
        if config["data"]["fingerprint"] != dataset.fingerprint:
            raise UsageError(
                f"The data have changed since {run.path} was started ({config['data']['source']});"
                " resume with the data it had, or start a new run."
            )
        config = {**config, "recipe": recipe.to_dict()}
    else:
        run, config = Run(request.outdir), _config(request, recipe, dataset, policy)
        if not group.rank:
            run = Run.create(request.outdir)
    if not group.rank:
        run.write_config(config)
    group.wait()
    return run, config


def _config(request: Request, recipe: Recipe, dataset: Dataset, policy: Policy) -> dict[str, Any]:
    """What config.json records: enough to do the run again."""
    facts = _facts(dataset)
    name = request.recipe if isinstance(request.recipe, str) else "custom"
    return {
        "recipe_name": name,
        "recipe": recipe.to_dict(),
        "data": {
            "source": dataset.name,
            "images": len(dataset),
            "fingerprint": dataset.fingerprint,
            "class_names": list(dataset.class_names),
            **{k: encode(v) for k, v in facts.items()},
            "labels_kept": request.labels,
        },
        "seed": request.seed or 0,
        "precision": policy.precision,
        "versions": {"ganvas": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _plan(request: Request, recipe: Recipe, dataset: Dataset, config: dict[str, Any], example: str) -> Plan:
    """How often to log and to save: about 200 lines and 20 snapshots a run unless asked otherwise."""
    snapshot = request.snapshot_images or max(recipe.images // 20, recipe.batch)
    model = {"format": 1, "task": recipe.task.to_dict(), "data": config["data"], "ganvas": __version__}
    return Plan(
        log_images=min(max(recipe.images // 200, recipe.batch), snapshot),
        snapshot_images=snapshot,
        minutes=request.minutes,
        tensorboard=request.tensorboard,
        model_config=model,
        card=_card(config, dataset, example),
        seed=request.seed or 0,
    )


def _card(config: dict[str, Any], dataset: Dataset, example: str) -> str:
    """The model's README; `{images}` is filled in at every snapshot."""
    height, width = dataset.facts.resolution
    return (
        "---\nlibrary_name: ganvas\npipeline_tag: unconditional-image-generation\n---\n"
        f"# {config['recipe_name']} on {Path(config['data']['source']).name}\n\n"
        f"Trained with ganvas {__version__} ({config['precision']}, seed {config['seed']}) on {{images:,}} images drawn"
        f" from {len(dataset):,} of {width}x{height} pixels, {dataset.facts.channels} channel(s).\n\n"
        "```python\nimport ganvas\n\nmodel = ganvas.load(\"THIS FOLDER\")\n"
        f"{example}\n```\n"
    )  # fmt: skip


def _continued(request: Request) -> Request:
    """A request to resume, completed from the run's own config; what contradicts it is refused."""
    config = Run.open(request.outdir).config()
    known = {"recipe_name", "recipe", "data", "seed", "precision"}
    if not known <= config.keys():
        raise UsageError(f"{request.outdir}/config.json was not written by ganvas train; it cannot be resumed.")
    asked: dict[str, Any] = {"seed": request.seed, "precision": request.precision, "batch": request.batch}
    saved = {"seed": config["seed"], "precision": config["precision"], "batch": config["recipe"].get("batch")}
    asked, saved = {**asked, "labels": request.labels}, {**saved, "labels": config["data"].get("labels_kept")}
    if isinstance(request.recipe, str) and not request.recipe.endswith(".json"):
        asked, saved = {**asked, "recipe": request.recipe}, {**saved, "recipe": config["recipe_name"]}
    if isinstance(request.data, str):
        asked, saved = {**asked, "data": request.data}, {**saved, "data": config["data"]["source"]}
    changed = [f"{k} {saved[k]} (asked: {v})" for k, v in asked.items() if v is not None and v != saved[k]]
    if request.set or request.augment:
        changed.append("its own options (asked: --set or --augment)")
    if changed:
        raise UsageError(
            f"{request.outdir} was started with {', '.join(changed)}; resume as it was, or start a new run."
        )
    return Request(
        _saved_recipe(request, config),
        request.data or config["data"]["source"],
        request.outdir,
        images=request.images,
        minutes=request.minutes,
        seed=config["seed"],
        resolution=_saved_resolution(config),
        device=request.device,
        precision=config["precision"],
        compile=request.compile,
        labels=saved["labels"],
        resume=True,
        snapshot_images=request.snapshot_images,
        workers=request.workers,
        tensorboard=request.tensorboard,
        cache=request.cache,
    )


def _saved_recipe(request: Request, config: dict[str, Any]) -> Recipe:
    """The recipe of a run; one with components of your own has to be handed over again, unchanged."""
    if not isinstance(request.recipe, Recipe):
        return Recipe.from_dict(config["recipe"], catalog.TRUSTED)
    if {**request.recipe.to_dict(), "images": 0} != {**config["recipe"], "images": 0}:
        raise UsageError(f"{request.outdir} was started with another recipe; resume as it was, or start a new run.")
    return request.recipe


def _saved_resolution(config: dict[str, Any]) -> tuple[int, int] | None:
    height, width = config["data"]["resolution"]
    return None if (height, width) == (1, 1) else (height, width)
