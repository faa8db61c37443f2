"""The doors of the package: train a recipe on data, load what came of it.

Here, and only here, recipes meet data, trainers meet run folders, and several processes meet each other.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from .config import Recipe, Spec, encode
from .data.batches import Batches
from .data.dataset import Dataset
from .data.degrade import Degradation
from .data.sources import absolute, open_source
from .doctor.signals import Signals
from .errors import UsageError, UserError
from .evaluation.during_training import Watch
from .models.model import Model as Model
from .models.model import accuracy as accuracy
from .models.model import load as load
from .policy import Policy
from .reporting import Report as Report
from .reporting import report as report
from .run import Run
from .tasks.base import Task
from .training import distributed
from .training.hardware import hardware
from .training.init_from import begin_from
from .training.loop import Event, Finished, Plan, Training
from .training.players import Group
from .training.rehearsal import rehearse
from .training.request import Request as Request
from .training.request import asked_resolution, check_numbers, continued, made_recipe
from .training.request import find_recipe as find_recipe
from .training.trainer import Trainer
from .version import __version__

EVALUATION = ("eval_images", "eval_metric", "eval_samples", "stop_when", "patience")

NEIGHBOURS_AFTER = 60.0  # seconds of training, after which a report looks for neighbours by itself
NEIGHBOURS_AMONG = 10_000  # training images, then: some seconds

Decoding = Callable[[int, int], None]  # images done, images in all
Device = Literal["auto", "cpu", "cuda", "mps"]


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
    seed, batch, resolution, device, precision, set, labels, augment, init_from, resume, snapshot_images, hold_out, ...
    `on_event` hears every `Event`.  Raises `UserError` with a sentence for whatever a person can mend.
    """
    session = prepare(Request(recipe, data, outdir, **options))
    try:
        for event in session.training:
            if on_event:
                on_event(event)
            if isinstance(event, Finished):
                session.report(event.reason)
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

    def report(self, reason: str = "done") -> Report | None:
        """Write RUN/report.html, if this process writes; one that cannot be written ends no training.

        Nearest neighbours are looked for where that takes little of the time that the training took, and where
        nobody waits for the process to end: `reason` is why training stopped.
        """
        if not self.training.writes:
            return None
        near = self.training.seconds >= NEIGHBOURS_AFTER and not reason.startswith("SIG")
        try:
            return report(self.run.path, neighbours=near, searched=NEIGHBOURS_AMONG, device=self.policy.device.type)
        except UserError as problem:
            self.told.append(str(problem))
            return None

    def last(self) -> dict[str, Any]:
        """The last line of the log."""
        log = self.run.log()
        return log[-1] if log else {}


def prepare(request: Request, progress: Decoding | None = None) -> Session:
    """Check everything a person asked for, open the data, and set up the run folder; trains nothing yet."""
    check_numbers(request)
    if request.resume:
        request = continued(request)
    else:
        Run(request.outdir).check_new()
    recipe = made_recipe(request)
    if request.data is None:
        raise UsageError("Training needs data: --data FOLDER, or digits, photos, ring, grid, swissroll.")
    policy = Policy.choose(request.device, request.precision or "auto", request.compile, recipe.images)
    group = (
        distributed.Processes(distributed.local_device(policy.device)) if distributed.launched_together() else Group()
    )
    try:
        dataset = _open_data(request, recipe, progress, group)
        if request.labels is not None:
            dataset = dataset.keep_labels(request.labels, request.seed or 0)
        policy = policy.suited(request.precision or "auto", dataset.facts.resolution)
        return _session(request, recipe, dataset, policy, group)
    except BaseException:
        group.close()
        raise


def _session(request: Request, recipe: Recipe, dataset: Dataset, policy: Policy, group: Group) -> Session:
    seed = request.seed or 0
    _check_sizes(recipe, len(dataset) - (request.hold_out or 0), group.world)
    torch.manual_seed(seed)  # the same weights on every process and in every run of this seed
    transforms = [spec.build() for spec in recipe.transforms]
    degradation: Degradation | None = recipe.degradation.build() if recipe.degradation else None
    task: Task = recipe.task.build(**_facts(dataset, recipe))
    batches = Batches(
        dataset,
        seed=seed,
        device=policy.device,
        transforms=transforms,
        workers=request.workers,
        needs=task.needs,
        hold_out=request.hold_out or 0,
        degradation=degradation,
    )
    task.examples = lambda places: batches.shown(places)  # a function, because copies of a task share it
    told: list[str] = []
    if request.init_from is not None and not request.resume:
        told = begin_from(task, request.init_from, raw=request.init_raw)
    if recipe.sync_batch_norm and group.world > 1:
        distributed.synchronise_batch_norm(task)
    if task.discriminator is not None and recipe.d_optimizer is None:
        raise UsageError("This task has a discriminator, so d_optimizer cannot be none.")
    rehearse(task, recipe, batches, policy, group)
    trainer = Trainer(task, recipe, batches, policy, group=group)
    watch = Watch(dataset, **watched(request), device=policy.device.type) if request.eval_images else None
    run, config = _folder(request, recipe, dataset, policy, group)
    plan = _plan(request, recipe, dataset, config, task)
    training = Training(run, trainer, plan, watch, Signals(batches, plan.log_images))
    if request.resume:
        told = training.resume()
    return Session(run, training, dataset, recipe, policy, told, batches, group)


def watched(request: Request) -> dict[str, Any]:
    """How to evaluate while training, as `Watch` takes it."""
    return {"every": request.eval_images, **{k.removeprefix("eval_"): getattr(request, k) for k in EVALUATION[1:]}}


def _open_data(request: Request, recipe: Recipe, progress: Decoding | None, group: Group) -> Dataset:
    """The data; of several processes the first prepares the cache and the others find it."""
    if isinstance(request.data, Dataset):
        return request.data
    if group.rank:
        group.wait()
    try:
        how: dict[str, Any] = {"resolution": asked_resolution(request), "patch": recipe.patch}
        return open_source(str(request.data), cache=request.cache, progress=progress, **how)
    finally:
        if not group.rank:
            group.wait()


def _check_sizes(recipe: Recipe, images: int, world: int) -> None:
    """Raise `UsageError` for numbers that cannot work, before anything is written."""
    for name in ("batch", "images", "d_steps", "g_steps", "accumulate"):
        if not isinstance(getattr(recipe, name), Spec) and getattr(recipe, name) < 1:
            raise UsageError(f"{name} must be at least 1, got {getattr(recipe, name)}.")
    if recipe.clip_norm is not None and not recipe.clip_norm > 0:
        raise UsageError(f"clip_norm must be more than 0, got {recipe.clip_norm}; none leaves gradients as they are.")
    for name in ("ema_images", "ema_ramp", "d_warmup_images"):
        if not isinstance(getattr(recipe, name), Spec) and not getattr(recipe, name) >= 0:
            raise UsageError(f"{name} must be at least 0, got {getattr(recipe, name)}.")
    if recipe.batch > images:
        raise UsageError(
            f"A batch of {recipe.batch} is larger than the data ({images} images);"
            f" take --batch {images} or less, or add images."
        )
    distributed.check_batch(recipe.batch, recipe.accumulate, world)


def _facts(dataset: Dataset, recipe: Recipe) -> dict[str, Any]:
    """What the networks are built for; sources are the data's own, or what the recipe's degradation makes."""
    facts, sources, scale = dataset.facts, dataset.facts.source_channels, dataset.facts.scale
    if recipe.degradation and not sources:
        degradation: Degradation = recipe.degradation.build()
        degradation.check(facts)
        sources, scale = degradation.channels(facts.channels), degradation.scale
    size = {"resolution": facts.resolution, "channels": facts.channels, "classes": facts.classes}
    labels = {"attributes": facts.attributes, "unlabelled": facts.unlabelled}
    return {**size, **labels, "source_channels": sources, "source_scale": scale}


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
        run, config = Run(request.outdir), _config(request, recipe, dataset, policy, group)

    def write() -> None:
        if not request.resume:
            Run.create(request.outdir)
        run.write_config(config)

    group.first(write)
    return run, config


def _config(request: Request, recipe: Recipe, dataset: Dataset, policy: Policy, group: Group) -> dict[str, Any]:
    """What config.json records: enough to do the run again."""
    facts = _facts(dataset, recipe)
    name = request.recipe if isinstance(request.recipe, str) else "custom"
    return {
        "recipe_name": name,
        "recipe": recipe.to_dict(),
        "data": {
            "source": dataset.name,
            "path": absolute(dataset.name),
            "asked_resolution": encode(asked_resolution(request)),
            "images": len(dataset),
            "fingerprint": dataset.fingerprint,
            "class_names": list(dataset.class_names),
            **{k: encode(v) for k, v in facts.items()},
            "labels_kept": request.labels,
            "held_out": request.hold_out,
        },
        "seed": request.seed or 0,
        "init_from": None if request.init_from is None else str(request.init_from),
        "init_raw": request.init_raw,
        "heal": request.heal,
        "precision": policy.precision,
        "hardware": hardware(policy.device, group.world),
        "evaluation": {k: getattr(request, k) for k in EVALUATION} if request.eval_images else None,
        "versions": {"ganvas": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _plan(request: Request, recipe: Recipe, dataset: Dataset, config: dict[str, Any], task: Task) -> Plan:
    """How often to log and to save: about 200 lines and 20 snapshots a run unless asked otherwise."""
    snapshot = request.snapshot_images or max(recipe.images // 20, recipe.batch)
    model = {"format": 1, "task": recipe.task.to_dict(), "data": config["data"], "ganvas": __version__}
    return Plan(
        log_images=min(max(recipe.images // 200, recipe.batch), snapshot),
        snapshot_images=snapshot,
        minutes=request.minutes,
        tensorboard=request.tensorboard,
        model_config=model,
        card=_card(config, dataset, task),
        seed=request.seed or 0,
        config=config,
        heal=request.heal,
    )


def _card(config: dict[str, Any], dataset: Dataset, task: Task) -> str:
    """The model's README; `{images}` is filled in at every snapshot."""
    height, width = dataset.facts.resolution
    kind = "image-to-image" if task.translates else "unconditional-image-generation"
    return (
        f"---\nlibrary_name: ganvas\npipeline_tag: {kind}\n---\n"
        f"# {config['recipe_name']} on {Path(config['data']['source']).name}\n\n"
        f"Trained with ganvas {__version__} ({config['precision']}, seed {config['seed']}) on {{images:,}} images drawn"
        f" from {len(dataset):,} of {width}x{height} pixels, {dataset.facts.channels} channel(s).\n\n"
        "```python\nimport ganvas\n\nmodel = ganvas.load(\"THIS FOLDER\")\n"
        f"{task.example}\n```\n"
    )  # fmt: skip
