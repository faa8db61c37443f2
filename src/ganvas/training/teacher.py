"""Distillation: the finished model whose images are a second target of a restoration."""

from typing import Any

from ..errors import UsageError
from ..models.resolve import resolve
from ..policy import Policy
from ..tasks.base import Task
from ..tasks.restoration import Restoration


def open_teacher(task: Task, facts: dict[str, Any], policy: Policy) -> None:
    """Load the teacher that a task names, if it names one; it is no part of the task's state.

    Raises `UsageError` for a teacher of another scale or other channels than the run.
    """
    if not isinstance(task, Restoration) or task.teacher is None:
        return
    scale, channels = facts["source_scale"], facts["source_channels"] or facts["channels"]
    model = resolve(task.teacher, verb="upscale" if scale > 1 else "restore")
    if (model.network.scale, model.channels) != (scale, channels):
        raise UsageError(
            f"The teacher {model.name} is for x{model.network.scale} and {model.channels} channels, and this run is for"
            f" x{scale} and {channels}; take another teacher, or --set degradation.scale={model.network.scale}."
        )
    network = policy.place(model.network.eval().requires_grad_(False))
    task.teach = lambda images: network(images)  # a function, so that the network is no submodule
