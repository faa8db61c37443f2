"""Pivotal tuning: the weights of a generator move until codes draw their images (Roich et al. 2021)."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..catalog import RECIPES, name_of
from ..config import Spec
from ..errors import UsageError
from ..export.pth import as_checkpoint
from ..run import Run
from ..training.init_from_file import inherit_options
from .codes import Codes
from .noise import fixed_noise
from .project import Loss, Resemblance
from .spaces import on_device

if TYPE_CHECKING:
    from ..models.model import Model

RATE = 1e-3  # of Adam
ROWS = 16  # images and random codes in a step
LOCAL = 0.1  # weight of the images that shall stay as they are
NEAR = 0.5  # share of the way from a code to a random one, where images shall stay
Progress = Callable[[int], None]  # steps done


def tune(
    model: "Model",
    codes: Codes,
    images: Tensor,
    *,
    steps: int = 300,
    loss: Loss = "pixel",
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple["Model", Codes]:
    """A copy of the model whose weights draw images (N, C, H, W) from their codes, and the codes, which are its own.

    Images between the codes and random ones are held to those of the model (section 3.3); batch norm keeps its
    statistics.
    """
    before = codes.check(model)
    changed = type(model)(deepcopy(model.task), model.policy, model.config)
    space = changed.spaces()[codes.space]
    weights = [p.requires_grad_(True) for p in changed.task.maker.parameters() if p.is_floating_point()]
    means, squares = [torch.zeros_like(p) for p in weights], [torch.zeros_like(p) for p in weights]
    resemblance, source = Resemblance(images.to(model.policy.device), loss), torch.Generator().manual_seed(seed)
    for step in range(1, steps + 1):
        rows = torch.randperm(len(codes), generator=source)[:ROWS]
        here = codes[rows.tolist()]
        far = space.of_seeds((torch.randint(1 << 62, (len(rows),), generator=source) % (1 << 32)).tolist())
        points = on_device(model, here.values.lerp(far, NEAR), here.label)
        with torch.no_grad():
            same = before.draw_exactly(*points)
        with fixed_noise(changed.task.maker, here.noise):
            drawn = space.draw_exactly(*on_device(model, here.values, here.label))
        total = resemblance(drawn, rows.to(drawn.device)).mean()
        total = total + LOCAL * (space.draw_exactly(*points) - same).square().mean()
        _adam(weights, torch.autograd.grad(total, weights, allow_unused=True), means, squares, step)
        if progress:
            progress(step)
    changed.task.requires_grad_(False)
    history = f"{codes.history}; the weights tuned in {steps} steps"
    return changed, replace(codes, model=changed.fingerprint, history=history)


@torch.no_grad()
def _adam(
    weights: list[Tensor], gradients: tuple[Tensor | None, ...], means: list[Tensor], squares: list[Tensor], count: int
) -> None:
    """One step of Adam (Kingma and Ba 2015), in place; weights without a gradient stay."""
    for w, g, mean, square in zip(weights, gradients, means, squares):
        if g is None:
            continue
        mean.mul_(0.9).add_(g, alpha=0.1)
        square.mul_(0.999).addcmul_(g, g, value=0.001)
        w.sub_(RATE * (mean / (1 - 0.9**count)) / ((square / (1 - 0.999**count)).sqrt() + 1e-8))


def folder_config(model: "Model") -> dict[str, Any]:
    """The config of a model folder; that of a published StyleGAN2, which has none, is the recipe's with its options.

    Raises `UsageError` for another file that has no config.
    """
    if "task" in model.config:
        return model.config
    checkpoint = as_checkpoint(model.task.generator)
    recipe = RECIPES["stylegan2_conditional" if getattr(model.task, "classes", 0) else "stylegan2"]()
    generator = recipe.task.kwargs["generator"]
    if not isinstance(generator, Spec) or checkpoint.network != name_of(generator.target):
        raise UsageError(
            "A tuned model is a model folder, and this weight file is of no recipe here; leave --tune out."
        )
    inherit_options(recipe, checkpoint, replace=True)
    return {"format": 1, "task": recipe.task.to_dict(), "data": model.config["data"]}


def save_tuned(model: "Model", codes: Codes, folder: Path) -> None:
    """Write a tuned model as a model folder: weights, config and a card."""
    names = ", ".join(codes.names[:5]) + (", ..." if len(codes) > 5 else "")
    card = (
        f"# A tuned generator\n\nThe weights were changed by `ganvas project --tune` (pivotal tuning, Roich et al."
        f" 2021) until the codes of {len(codes)} image(s) draw them: {names or 'unnamed'}. Away from these codes it"
        " draws what it drew before, or nearly so.\n"
    )
    folder.mkdir(parents=True, exist_ok=True)
    Run(folder).save_model(model.task.generator, folder_config(model), card, folder)
