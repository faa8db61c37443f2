"""Self-description of a run: its config.json, with the machine it was trained on, and the model's README."""

import os
import platform
from contextlib import suppress
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
from .request import EVALUATION, MAY_CHANGE, TrainRequest


def describe_run(
    request: TrainRequest, recipe: Recipe, dataset: Dataset, facts: dict[str, Any], policy: Policy, group: Group
) -> dict[str, Any]:
    """Content of config.json, of a new run or of one that is resumed.

    Raises `UsageError` if the data of a run to be resumed have changed.
    """
    if not request.resume:
        return _config(request, recipe, dataset, facts, policy, group)
    config = Run(request.folder).config()
    if config["data"]["fingerprint"] != dataset.fingerprint:
        raise UsageError(
            f"The data have changed since {request.outdir} was started ({config['data']['source']});"
            " resume with the data it had, or start a new run."
        )
    return {**config, "recipe": recipe.to_dict(), **_session_options(request)}


def _session_options(request: TrainRequest) -> dict[str, Any]:
    """The part of config.json that may change when a run is resumed."""
    return {
        "heal": request.heal,
        "evaluation": _evaluation(request) if request.eval_images or request.eval_data else None,
        "options": {k: getattr(request, k) for k in MAY_CHANGE if k != "heal"},
    }


def _evaluation(request: TrainRequest) -> dict[str, Any]:
    """The options of the evaluation; pairs by their absolute paths, so that the run resumes from any folder."""
    pairs = None if request.eval_data is None else absolute_source(request.eval_data)
    options = {k: getattr(request, k) for k in EVALUATION} | {"eval_data": pairs}
    return {k: v for k, v in options.items() if k != "eval_data" or v is not None}


def _config(
    request: TrainRequest, recipe: Recipe, dataset: Dataset, facts: dict[str, Any], policy: Policy, group: Group
) -> dict[str, Any]:
    """Content of a new run's config.json: enough to train again."""
    return {
        "recipe_name": request.recipe if isinstance(request.recipe, str) else "custom",
        "preset": request.preset,
        "recipe": recipe.to_dict(),
        "data": {
            "source": dataset.name,
            "path": absolute_source(dataset.name),
            "asked_resolution": encode(request.size),
            "images": len(dataset),
            "fingerprint": dataset.fingerprint,
            "class_names": list(dataset.class_names),
            **{k: encode(v) for k, v in facts.items()},
            **({"mask": True} if dataset.mask else {}),
            "labels_kept": request.labels,
            "held_out": request.hold_out,
        },
        "seed": request.seed or 0,
        "init_from": None if request.init_from is None else os.path.abspath(request.init_from),
        "init_raw": request.init_raw,
        "precision": policy.precision,
        "hardware": hardware(policy.device, group.world),
        **_session_options(request),
        "versions": {"ganvas": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def model_card(config: dict[str, Any], dataset: Dataset, task: Task) -> str:
    """The model's README; `{images:,}` is filled in at every snapshot."""
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
    with suppress(AttributeError, ValueError, OSError):  # where the system does not say
        machine["memory"] = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    if processes > 1:
        machine["processes"] = processes
    return {**machine, "system": f"{platform.system()} {platform.release()}, {platform.machine()}"}


def _processor() -> str:
    """Name of the processor, from the operating system."""
    lines: list[str] = []
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "unknown"
