"""What a run's discriminator thinks of images it never saw: whether it learnt the data or the training images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..augment import Chain
from ..config import Recipe
from ..errors import UsageError
from ..policy import Policy
from ..run import Run
from ..tasks.base import Adversary, Task
from .comparison import Numbers, Question
from .inputs import Side

FACTS = ("resolution", "channels", "classes", "attributes", "unlabelled")


def critic(ask: Question) -> Numbers:
    """How often the discriminator of the run B ranks held-out real images above its samples.

    Shares of pairs that are in order, ties half (the area under the ROC curve), so that every loss can be measured:
    0.5 is guessing.  A are the training images, the held-out ones the discriminator never saw; if it ranks its training
    images above those, it has learnt them by heart.
    """
    why = "This takes the training images A, a run B, and images it never saw: --held-out SOURCE."
    if ask.b is None:
        raise UsageError(why)
    sides = {"training": ask.real, "held_out": ask.held_out(why), "samples": ask.fake}
    for side in sides.values():
        if side.resolution != ask.fake.resolution:
            (height, width), (h, w) = ask.fake.resolution, side.resolution
            said = f"{side.name} has images of {w}x{h} and {ask.fake.name} of {width}x{height}"
            raise UsageError(f"{said}; the same network cannot look at both: --resolution {width}x{height}.")
    adversary = discriminator(str(ask.b), ask.options.device)
    scores = {name: scores_of(adversary, side) for name, side in sides.items()}
    return {
        "critic": above(scores["held_out"], scores["samples"]),
        "on_training": above(scores["training"], scores["samples"]),
        "memory": above(scores["training"], scores["held_out"]),
        "expected": 0.5,
        **{name: side.said for name, side in sides.items()},
    }


def discriminator(path: str, device: str) -> Adversary:
    """The newest discriminator of a run; raises `UsageError` for a run without one."""
    run = Run.open(path)
    config = run.config()
    recipe = Recipe.from_dict(config["recipe"])
    data = {k: config["data"].get(k) for k in FACTS}
    task: Task = recipe.task.build(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})
    task.load_state_dict(run.load_state()["trainer"]["task"])
    if not isinstance(task.discriminator, Adversary):
        raise UsageError(f"{Path(path)} has no discriminator to ask.")
    task.discriminator.augment = Chain(())  # images are scored as they are
    return Policy.choose(device, "fp32").place(task.discriminator.eval())  # type: ignore[return-value]


@torch.inference_mode()
def scores_of(adversary: Adversary, side: Side) -> Tensor:
    """Score of every image (N,), higher is more real whatever the loss; conditioned on its label if it has one."""
    device, scores = next(adversary.parameters()).device, []
    for part in side.parts():
        label: Any = part["label"].to(device) if side.class_names and "label" in part else None
        scores.append(adversary.score(part["image"].to(device), label).cpu())
    return torch.cat(scores)


def above(a: Tensor, b: Tensor) -> float:
    """The share of pairs in which a value of a is above one of b, ties half."""
    ordered = b.double().sort().values
    low, high = (torch.searchsorted(ordered, a.double(), right=right).double() for right in (False, True))
    return ((low + high) / 2).mean().item() / len(b)
