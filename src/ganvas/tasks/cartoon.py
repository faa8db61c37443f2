"""Translation of photographs to cartoons or another painting style (CartoonGAN)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, max_pool2d

from ..config import Spec
from ..data.derived_sources import edges
from ..errors import UsageError
from ..game import Draw, Objective, Progress
from .base import Adversary, named_terms
from .translation import Translation

REACH = 5  # side in pixels of the blur and of what is near an edge


class Cartoon(Translation):
    """Unpaired translation of photographs to cartoons with clear edges (Chen et al. 2018, eq. 1-4).

    For the discriminator, cartoons (set `b`) are real; translated photographs (set `a`) and cartoons with smoothed
    edges are fake.  In the first part of the run the generator learns to keep the content alone, without discriminator.
    Published code of the field adds image terms, such as AnimeGAN's of colour; the paper has none.
    """

    source = "other"
    shows_target = False
    discriminator: Adversary

    def __init__(
        self,
        *,
        generator: Spec,  # network from photographs to images
        discriminator: Spec,  # network from images to logits
        loss: Spec,  # adversarial loss of both players
        content: Spec,  # network from images to the maps that the content term compares
        penalties: list[Spec] = [],  # penalties of the discriminator
        augment: list[Spec] = [],  # augmentations of everything the discriminator sees
        keep: float = 10.0,  # weight of the content term: L1 between maps of photograph and result
        terms: list[Spec] = [],  # image terms between photograph and result, such as colour
        warmup: float = 0.05,  # share of the run without discriminator, 0 to less than 1
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

    def d_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        painted = batch["image"]
        fake = self.make_fakes(batch, progress.share_fakes, lambda: self.generator(batch["other"]))
        fakes = torch.cat([fake.detach().to(painted.dtype), smooth_edges(painted)])
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


def smooth_edges(images: Tensor) -> Tensor:
    """Images (N, C, H, W) blurred at and near their edges (Chen et al. 2018, section 3.2.1)."""
    from kornia.filters import gaussian_blur2d

    soft = gaussian_blur2d(images, (REACH, REACH), (1.5, 1.5))
    near = max_pool2d(-edges(images), REACH, 1, REACH // 2) > 0
    return torch.where(near, soft, images)
