"""Self-description of a run: its config.json, with the machine it was trained on, and the model's README."""

import contextlib
import os
import platform
from pathlib import Path
from typing import Any

import torch

from ..config import Recipe, encode
from ..data.cache import cores
from ..data.dataset import Dataset
from ..data.sources import absolute_source
from ..errors import UsageError
from ..policy import Policy
from ..run import Run
from ..tasks.base import Task
from ..version import __version__
from .players import Group
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


def model_card(config: dict[str, Any], dataset: Dataset, task: Task) -> str:
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


def hardware(device: torch.device, processes: int = 1) -> dict[str, Any]:
    """Device, processor, cores, threads, memory and system, by their usual names."""
    machine: dict[str, Any] = {"device": device.type}
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        machine["device"] = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
    machine |= {"processor": _processor(), "cores": cores(), "threads": torch.get_num_threads()}
    with contextlib.suppress(AttributeError, ValueError, OSError):  # where the system does not say
        machine["memory"] = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    if processes > 1:
        machine["processes"] = processes
    return {**machine, "system": f"{platform.system()} {platform.release()}, {platform.machine()}"}


def _processor() -> str:
    """Name of the processor, from the operating system."""
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "unknown"
