"""Noise to images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ..config import Spec, UsageError
from ..game import Draw, Objective, Progress
from .base import Adversary, Task


def uniform(*shape: int, **options: Any) -> Tensor:
    """Uniform noise of unit variance: U(-sqrt 3, sqrt 3)."""
    return (2 * torch.rand(*shape, **options) - 1) * 3**0.5


PRIORS: dict[str, Callable[..., Tensor]] = {"normal": torch.randn, "uniform": uniform}


class Generation(Task):
    """One generator, one discriminator, one kind of image."""

    needs = frozenset({"image"})
    discriminator: Adversary

    def __init__(
        self,
        *,
        generator: Spec,  # noise to images
        discriminator: Spec,  # images to verdicts
        loss: Spec,  # what the two are paid
        penalties: list[Spec] = [],  # noqa: B006  what keeps the discriminator honest
        prior: Literal["normal", "uniform"] = "normal",  # distribution of the noise
        resolution: tuple[int, int],
        channels: int = 3,
    ):
        super().__init__()
        facts = {"resolution": resolution, "channels": channels, "classes": 0}
        self.generator = generator.build(**facts)
        self.discriminator = Adversary(discriminator.build(**facts), loss, penalties)
        self.prior = prior

    def d_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        real = batch["image"]
        with torch.set_grad_enabled(progress.paired):
            draw = self.draw(real, progress)
        if progress.paired:  # as in DCGAN's code: the generator is paid for the fakes that were just judged
            batch["draw"] = draw
        return self.discriminator.d_loss(real, draw.image, progress)[0]

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        real = batch["image"]
        draw = batch.pop("draw", None) or self.draw(real, progress)
        return Objective({"adversarial": self.discriminator.g_loss(draw.image, real)[0]})

    def draw(self, like: Tensor, progress: Progress) -> Draw:
        """As many fakes as there are images in `like`, on its device."""
        whole = PRIORS[self.prior](len(like) * progress.world, self.generator.latent, device=like.device)
        z = progress.mine(whole)
        return Draw(self.generator(z), latent=z)

    def inputs(self, seeds: Sequence[int], label: int | None = None) -> dict[str, Any]:
        """One latent a seed, drawn on the CPU, so that a seed gives the same picture on every machine."""
        if label is not None:
            raise UsageError("This model was trained without labels, so it cannot be asked for one.")
        source = torch.Generator()
        draw = PRIORS[self.prior]
        return {"z": torch.stack([draw(self.generator.latent, generator=source.manual_seed(s)) for s in seeds])}

    def sample(self, inputs: dict[str, Any]) -> Tensor:
        return self.generator(inputs["z"])
