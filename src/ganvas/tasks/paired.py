"""Translation learnt from aligned pairs (pix2pix)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from ..config import Spec
from ..game import Draw, Objective, Probe, Progress
from .base import Adversary
from .translation import Translation


class Paired(Translation):
    """Paired translation: L1 to the target, and a discriminator of pairs (Isola et al. 2017).

    The discriminator sees the source beside the image, in the channels (eq. 1); its augmentations do so, too.
    """

    discriminator: Adversary

    def __init__(
        self,
        *,
        generator: Spec,  # network from sources to images
        discriminator: Spec,  # network from a source and an image, as channels, to logits
        loss: Spec,  # adversarial loss of both players
        penalties: list[Spec] = [],  # penalties of the discriminator
        augment: list[Spec] = [],  # augmentations of every pair that the discriminator sees
        pixel: float = 100.0,  # weight of the L1 distance to the target
        pool: int = 0,  # size of the pool of past fakes that the discriminator also sees; 0: none
        resolution: tuple[int, int],
        channels: int = 3,
        source_channels: int = 0,
    ):
        super().__init__()
        sources = source_channels or channels
        self.generator = generator.build(resolution=resolution, channels=channels, source_channels=sources)
        facts: dict[str, Any] = {"resolution": resolution, "channels": channels + sources}
        self.discriminator = Adversary(discriminator, loss, penalties, augment, pool, **facts)
        self.pixel = pixel

    def d_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        source, target = batch["source"], batch["image"]
        fake = self.make_fakes(batch, progress.share_fakes, lambda: self.generator(source))
        return self.discriminator.d_loss(pair(source, target), pair(source, fake), progress)[0]

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        source, target = batch["source"], batch["image"]
        fake = self.take_fakes(batch, lambda: self.generator(source))
        terms, _ = self.discriminator.g_loss(Draw(pair(source, fake)), pair(source, target), progress)
        return Objective({**terms, "pixel": self.pixel * l1_loss(fake.float(), target)})

    def probe(self, batch: dict[str, Any]) -> Probe:
        source, target, score = batch["source"], batch["image"], self.discriminator.score
        fake = self.generator(source)
        return Probe(target, fake, score(pair(source, target)), score(pair(source, fake)))


def pair(source: Tensor, image: Tensor) -> Tensor:
    """Both as channels: (N, C, H, W) and (N, D, H, W) to (N, C + D, H, W)."""
    return torch.cat([source, image.to(source.dtype)], 1)
