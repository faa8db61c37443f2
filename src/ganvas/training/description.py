"""Self-description of a run: config.json, the intervals of its log and snapshots, and the model's README."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch

from ..config import Recipe, encode
from ..data.dataset import Dataset
from ..data.sources import absolute_source
from ..errors import UsageError
from ..policy import Policy
from ..run import Run
from ..tasks.base import Task
from ..version import __version__
from .hardware import hardware
from .players import Group
from .recorder import Plan
from .request import TrainRequest

EVALUATION = ("eval_images", "eval_metric", "eval_samples", "stop_when", "patience")


def open_folder(
    request: TrainRequest, recipe: Recipe, dataset: Dataset, facts: dict[str, Any], policy: Policy, group: Group
) -> tuple[Run, dict[str, Any]]:
    """The run folder with its config, new or to be resumed; only the first process writes.

    Raises `UsageError` if the data of a run to be resumed have changed.
    """
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
        run, config = Run(request.outdir), _config(request, recipe, dataset, facts, policy, group)

    def write() -> None:
        if not request.resume:
            Run.create(request.outdir)
        run.write_config(config)

    group.first(write)
    return run, config


def _config(
    request: TrainRequest, recipe: Recipe, dataset: Dataset, facts: dict[str, Any], policy: Policy, group: Group
) -> dict[str, Any]:
    """Content of config.json: enough to train again."""
    return {
        "recipe_name": request.recipe if isinstance(request.recipe, str) else "custom",
        "recipe": recipe.to_dict(),
        "data": {
            "source": dataset.name,
            "path": absolute_source(dataset.name),
            "asked_resolution": encode(request.size),
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


def make_plan(request: TrainRequest, recipe: Recipe, dataset: Dataset, config: dict[str, Any], task: Task) -> Plan:
    """Intervals of the log and of snapshots: about 200 lines and 20 snapshots a run unless requested otherwise."""
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
