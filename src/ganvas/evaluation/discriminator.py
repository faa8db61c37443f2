"""Metric of a run's discriminator on images it never saw: it may have learnt the data, or the training images."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..augment import Chain
from ..config import Recipe
from ..errors import UsageError
from ..policy import Policy
from ..run import Run, saved_facts
from ..tasks.base import Adversary, Task
from .comparison import Comparison, Numbers, SideInput, metric
from .inputs import Side


@metric(less=("training_above_held_out",))
def discriminator(
    c: Comparison,
    *,
    held_out: SideInput | None = None,  # images that the training never saw
) -> Numbers:
    """Share of pairs in which the discriminator of run B scores a held-out real image above a sample.

    Ties count half: it is the area under the ROC curve, which every loss has; 0.5 is chance.  A are the training
    images: a discriminator that scores them above the held-out ones has memorised them.
    """
    refusal = "This takes the training images A, a run B, and images it never saw: --held-out SOURCE."
    if c.b is None:
        raise UsageError(refusal)
    sides = {"training": c.real, "held_out": c.held_out(held_out, refusal), "samples": c.fake}
    for side in sides.values():
        c.same_channels(side, exact=True)
        if side.resolution != c.fake.resolution:
            (height, width), (h, w) = c.fake.resolution, side.resolution
            sizes = f"{side.name} has images of {w}x{h} and {c.fake.name} of {width}x{height}"
            raise UsageError(f"{sizes}; the same network cannot look at both: --resolution {width}x{height}.")
    adversary = load_adversary(str(c.b), c.device)
    scores = {name: score_images(adversary, side) for name, side in sides.items()}
    return {
        "discriminator": share_above(scores["held_out"], scores["samples"]),
        "training_above_samples": share_above(scores["training"], scores["samples"]),
        "training_above_held_out": share_above(scores["training"], scores["held_out"]),
        "expected": 0.5,
        **{name: side.protocol for name, side in sides.items()},
    }


def load_task(path: str) -> Task:
    """The task of a run with the newest weights of both players."""
    run = Run.open(path)
    config = run.config()
    if "recipe" not in config:
        raise UsageError(f"{run.path} is a model folder, which has no discriminator; give the run it is of.")
    task: Task = Recipe.from_dict(config["recipe"]).task.build(**saved_facts(config))
    task.load_state_dict(run.load_state()["trainer"]["task"])
    return task


def load_adversary(path: str, device: str) -> Adversary:
    """The newest discriminator of a run; `UsageError` for one that needs more than images, or none."""
    task = load_task(path)
    if not isinstance(task.discriminator, Adversary):
        raise UsageError(f"{Path(path)} has no discriminator; give a run that was trained with one.")
    if beside := task.scores_beside:
        raise UsageError(f"The discriminator of {Path(path)} scores images with their {beside}, not images alone.")
    task.discriminator.augment = Chain(())  # images are scored as they are
    return Policy.choose(device, "fp32").place(task.discriminator.eval())  # type: ignore[return-value]


@torch.inference_mode()
def score_images(adversary: Adversary, side: Side) -> Tensor:
    """Score of every image (N,), higher is more real whatever the loss; conditioned on its label if it has one."""
    device, scores = next(adversary.parameters()).device, []
    for part in side.parts():
        label: Any = part["label"].to(device) if side.class_names and "label" in part else None
        scores.append(adversary.score(part["image"].to(device), label).cpu())
    return torch.cat(scores)


def share_above(a: Tensor, b: Tensor) -> float:
    """The share of pairs in which a value of a is above one of b, ties half."""
    ordered = b.double().sort().values
    low, high = (torch.searchsorted(ordered, a.double(), right=right).double() for right in (False, True))
    return ((low + high) / 2).mean().item() / len(b)
