"""Translation between labelled domains by one generator (StarGAN)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from ..config import Spec
from ..errors import UsageError
from ..game import Draw, Objective, Probe, Progress
from .base import Adversary
from .label_translation import LabelTranslation
from .translation import side_by_side

STRIPS = 8  # most domains in the sample grid


class MultiDomain(LabelTranslation):
    """Translation to any of several labelled domains by one generator (Choi et al. 2018, eq. 5-6).

    Targets are the labels of other images of the batch.  The discriminator's head adds the classification terms: of
    real images for the discriminator, of fake ones for the generator.
    """

    discriminator: Adversary

    def __init__(
        self,
        *,
        generator: Spec,  # network from an image and a domain to an image
        discriminator: Spec,  # network from images to logits and the logits of domains
        loss: Spec,  # adversarial loss of both players
        penalties: list[Spec] = [],  # penalties of the discriminator
        augment: list[Spec] = [],  # augmentations of everything the discriminator sees
        classification: float = 1.0,  # weight of the classification terms of both players
        reconstruction: float = 10.0,  # weight of the cycle: the translation back against the source
        resolution: tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
    ):
        super().__init__()
        if classes == 1 or not (classes or attributes):
            number = "a single one" if classes else "no labels"
            raise UsageError(
                f"This recipe translates between domains, and the data have {number}; put the images of each domain"
                " into a sub-folder of its own, or name labels in a metadata.jsonl."
            )
        self.classes, self.attributes = classes, attributes
        facts: dict[str, Any] = {"resolution": resolution, "channels": channels}
        facts |= {"classes": classes, "attributes": attributes}
        self.generator = generator.build(**facts)
        self.discriminator = Adversary(discriminator, loss, penalties, augment, **facts)
        self.classification, self.reconstruction = classification, reconstruction
        self.needs = frozenset({"image", "label"})

    def d_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        real, label = batch["image"], batch["label"]
        with torch.no_grad():
            target = self._targets(label)
            fake = self.generator(real, target)
        objective = self.discriminator.d_loss(real, fake, progress, label, target)[0]
        return Objective(self._weighed(objective.terms), objective.stats)

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        real, label = batch["image"], batch["label"]
        target = self._targets(label)
        fake = self.generator(real, target)
        terms, _ = self.discriminator.g_loss(Draw(fake, target), real, progress, label)
        back = self.generator(fake, label)
        return Objective({**self._weighed(terms), "cycle": self.reconstruction * l1_loss(back.float(), real)})

    def _targets(self, label: Tensor) -> Tensor:
        """A domain for every image: those of the batch, shuffled."""
        return label[torch.randperm(len(label), device=label.device)]

    def _weighed(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        return {k: self.classification * v if k.startswith("class") else v for k, v in terms.items()}

    def probe(self, batch: dict[str, Any]) -> Probe:
        """Images, and their neighbours in the batch translated to their domains."""
        real, label, score = batch["image"], batch["label"], self.discriminator.score
        fake = self.generator(real.roll(1, 0), label)
        return Probe(real, fake, score(real, label), score(fake, label))

    def panel(self, inputs: dict[str, Any]) -> Tensor:
        """An image, and what it becomes in each domain."""
        images, label = inputs["image"], inputs["label"]
        every = [torch.full_like(label, k) for k in range(min(self.classes, STRIPS))] or [label]
        return side_by_side(images, *(self.translate(images, k) for k in every)).clamp(-1, 1)
