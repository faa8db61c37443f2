"""Photographs to cartoons, or to any other painting style of which there is a folder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, max_pool2d

from ..config import Spec
from ..data.derived_sources import edges
from ..errors import UsageError
from ..game import Draw, Objective, Probe, Progress
from .base import Adversary, named_terms
from .translation import Translation, beside

REACH = 5  # pixels a side over which edges are smoothed


class Cartoon(Translation):
    """A photograph's content with clear edges and flat colours (Chen et al. 2018, eq. 1-4).

    The discriminator tells the painted pile (`b`) from translated photographs (`a`), and from itself with its edges
    smoothed.  In the first part of the run the generator only learns to keep the content, and the discriminator rests.
    Published code of the field adds terms to the content, such as AnimeGAN's of colour; the paper has none.
    """

    source = "other"
    discriminator: Adversary

    def __init__(
        self,
        *,
        generator: Spec,  # photographs to images
        discriminator: Spec,  # images to verdicts
        loss: Spec,  # what the two are paid
        content: Spec,  # images to the maps that are to stay as they are
        penalties: list[Spec] = [],  # what keeps the discriminator honest
        augment: list[Spec] = [],  # what both kinds of image go through before they are judged
        keep: float = 10.0,  # weight of the content's mean absolute change
        terms: list[Spec] = [],  # what else, as of the photograph, is to stay, such as colours
        warmup: float = 0.05,  # share of the run in which content and terms are all that counts
        resolution: tuple[int, int],
        channels: int = 3,
    ):
        super().__init__()
        facts: dict[str, Any] = {"resolution": resolution, "channels": channels}
        self.generator = generator.build(**facts)
        self.discriminator = Adversary(discriminator, loss, penalties, augment, **facts)
        self.content = content.build()
        self.terms = nn.ModuleList(term.build() for term in terms)
        if not 0 <= warmup < 1:
            raise UsageError(f"warmup is a share of the run, from 0 to less than 1, got {warmup:g}.")
        self.keep, self.warmup = keep, warmup
        self.needs = frozenset({"image", "other"})

    def d_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        painted = batch["image"]
        fake = self.make_fakes(batch, progress.share_fakes, lambda: self.generator(batch["other"]))
        fakes = torch.cat([fake.detach().to(painted.dtype), smoothed(painted)])
        objective = self.discriminator.d_loss(torch.cat([painted, painted]), fakes, progress)[0]
        return Objective({k: self._share(progress) * v for k, v in objective.terms.items()}, objective.stats)

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        photo = batch["other"]
        fake = self.take_fakes(batch, lambda: self.generator(photo))
        terms, _ = self.discriminator.g_loss(Draw(fake), batch["image"], progress)
        with torch.no_grad():
            expected = self.content(photo)
        terms = {k: self._share(progress) * v for k, v in terms.items()}
        terms["content"] = self.keep * l1_loss(self.content(fake).float(), expected.float())
        return Objective(terms | named_terms(self.terms, (term(fake, photo) for term in self.terms), terms))

    def _share(self, progress: Progress) -> float:
        return float(progress.fraction >= self.warmup)

    def probe(self, batch: dict[str, Any]) -> Probe:
        fake, score = self.generator(batch["other"]), self.discriminator.score
        return Probe(batch["image"], fake, score(batch["image"]), score(fake))

    def panel(self, inputs: dict[str, Any]) -> Tensor:
        """The photograph and what was made of it."""
        return beside(inputs["other"], self.sample(inputs))


def smoothed(images: Tensor) -> Tensor:
    """Images (N, C, H, W) whose edges, and what is near them, are soft (Chen et al. 2018, section 3.2.1)."""
    from kornia.filters import gaussian_blur2d

    soft = gaussian_blur2d(images, (REACH, REACH), (1.5, 1.5))
    near = max_pool2d(-edges(images), REACH, 1, REACH // 2) > 0
    return torch.where(near, soft, images)
