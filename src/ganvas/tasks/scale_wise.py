"""Generation by a generator whose intermediate images are judged too, each at its own size."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ..augment import Augment, Chain
from ..config import Spec
from ..errors import UsageError
from ..game import Draw, Objective, Probe, Progress
from ..networks.gat import pool
from .generation import Generation


class Alike(Augment):
    """Augmentation of the images of several stages by the random numbers of one: (N, stages C, H, W) to the same."""

    def __init__(self, chain: Chain, stages: int):
        super().__init__()
        self.chain, self.count = chain, stages

    def forward(self, images: Tensor) -> Tensor:
        if not self.chain.parts:
            return images
        devices = [images.device] if images.device.type == "cuda" else []
        *stages, last = images.chunk(self.count, 1)
        parts = []
        for stage in stages:
            with torch.random.fork_rng(devices):
                parts.append(self.chain(stage))
        return torch.cat([*parts, self.chain(last)], 1)

    def follow(self, progress: Progress) -> None:
        self.chain.follow(progress)

    def observe(self, real_logits: Tensor) -> None:
        self.chain.observe(real_logits)

    def stats(self) -> dict[str, Tensor]:
        return self.chain.stats()


class ScaleWise(Generation):
    """Generation of images whose intermediate stages are judged, each at its own size; by label if conditional.

    CAT (Hyun et al. 2026, arXiv 2605.26449) on GAT's networks: the discriminator has a logit for each stage, and the
    generator's stages are drawn towards its last one.
    """

    decides = frozenset({"pool"})

    def __init__(
        self,
        *,
        consistency: float = 1.0,  # weight of the mean squared difference of a stage from the last one, at its size
        generator: Spec,  # network from noise to images, with stages
        discriminator: Spec,  # network from the images of all stages to logits
        **base: Any,
    ):
        super().__init__(generator=generator, discriminator=discriminator, pool=0, **base)
        self.count, self.consistency = getattr(self.generator, "count", 0), consistency
        judged = len(getattr(self.discriminator.net, "factors", ()))
        if not self.count or self.count != judged:
            raise UsageError(
                f"This task judges every stage of the generator, and the generator has {self.count or 'no'} stages, the"
                f" discriminator {judged or 'none'}: give GAT's networks the same number of stages."
            )
        self.discriminator.augment = Alike(self.discriminator.augment, self.count)  # type: ignore[assignment]

    def real(self, batch: dict[str, Any]) -> Tensor:
        return batch["image"].repeat(1, self.count, 1, 1)

    def draw(self, like: Tensor, progress: Progress, label: Any = None) -> Draw:
        """As many fakes as there are images in `like`: all their stages as channels, (N, stages C, H, W)."""
        z = self.noise(like, progress)
        return Draw(self.maker.stages(z, label), label, z)

    def g_objective(self, draw: Draw, real: Tensor, label: Tensor | None, progress: Progress) -> Objective:
        objective = super().g_objective(draw, real, label, progress)
        if self.consistency:
            objective.terms["consistency"] = self.consistency * self.misalignment(draw.image.float())
        return objective

    def misalignment(self, stages: Tensor) -> Tensor:
        """The mean over the stages before the last of their squared difference from it, which has no gradient."""
        *others, last = stages.chunk(self.count, 1)
        factors = self.discriminator.net.factors
        errors = [mse_loss(pool(x, f), pool(last.detach(), f)) for x, f in zip(others, factors)]  # type: ignore[arg-type]
        return torch.stack(errors).mean() if errors else last.new_zeros(())

    def probe_draw(self, real: Tensor, draw: Draw, label: Tensor | None) -> Probe:
        probe = super().probe_draw(real, draw, label)
        return probe._replace(real=real.chunk(self.count, 1)[-1], fake=draw.image.chunk(self.count, 1)[-1])
