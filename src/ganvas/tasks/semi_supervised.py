"""Semi-supervised classification: the discriminator of a GAN is also a classifier."""

import copy
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..config import Spec
from ..errors import UsageError
from ..game import Objective, Progress
from .base import penalty_terms
from .classification import accuracy, check_classifies
from .generation import Generation


class SemiSupervised(Generation):
    """A GAN whose discriminator is also a classifier, from few labels and many images (Salimans et al. 2016).

    Section 5: the logit of K class logits l is log sum exp l, and the labelled images of a batch add their cross
    entropy.  Section 3.1: the generator minimises the distance of the means of the discriminator's features over a
    batch (in absolute value, as in the authors' code).

    `generator` holds `images` and `classifier`, a copy of the discriminator: so its average is saved, which the
    authors tested.
    """

    example = "images = model.sample(16, seed=0)  # (16, C, H, W) in [-1, 1]\nclasses = model.classify(images)  # (16,)"
    decides = frozenset({"conditional", "fakes", "pool", "attributes", "unlabelled"})

    def __init__(
        self,
        *,
        discriminator: Spec,  # network from images to class logits: its head is `classes`
        prior: Literal["normal", "uniform"] = "uniform",  # distribution of the noise
        supervised: float = 1.0,  # weight of the cross entropy of labelled images
        unsupervised: float = 0.5,  # weight of the adversarial loss
        resolution: tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        **base: Any,
    ):
        if not classes:
            raise UsageError(
                "This recipe learns classes, but the data have none; put some images into one sub-folder a class and"
                " the others into a sub-folder called unlabelled, or name words or whole numbers as labels in a"
                " metadata.csv."
            )
        super().__init__(
            discriminator=discriminator.replace(classes=classes),
            prior=prior,
            resolution=resolution,
            channels=channels,
            **base,
        )
        classifier = copy.deepcopy(check_classifies(self.discriminator.net, channels, resolution)).requires_grad_(False)
        self.generator = nn.ModuleDict({"images": self.generator, "classifier": classifier})
        self.supervised, self.unsupervised = supervised, unsupervised
        self.needs = frozenset({"image", "labelled"})

    @property
    def maker(self) -> Any:
        return self.generator["images"]  # type: ignore[index]

    def d_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        objective, label = super().d_loss(batch, progress), batch["labelled_label"]
        objective.terms["adversarial"] = self.unsupervised * objective.terms["adversarial"]
        logits = self.discriminator.discriminate(batch["labelled_image"]).label_logits
        assert logits is not None
        objective.terms["class"] = self.supervised * cross_entropy(logits, label)
        objective.stats["accuracy"] = accuracy(logits, label)
        return objective

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        self._copy_discriminator()
        draw = self.take_fakes(batch, lambda: self.constrain_and_draw(batch["image"], progress))
        with torch.no_grad():
            reference = self.discriminator.discriminate(batch["image"])
        scores = self.discriminator.discriminate(draw.image)
        match = self.discriminator.match(batch["image"], draw.image, reference, scores, None, None)
        match.draw, match.net = draw, self.maker
        real, fake = (s.features[-1].float().mean(0) for s in (reference, scores))
        terms = {"feature_matching": (fake - real).abs().mean()}
        return Objective(terms | penalty_terms(self.g_penalties, match, progress, terms))

    def logits(self, images: Tensor) -> Tensor:
        return self.generator["classifier"](images).label_logits  # type: ignore[index]

    @torch.no_grad()
    def _copy_discriminator(self) -> None:
        """Copy the discriminator into the classifier, which the trainer averages with the generator."""
        classifier, net = self.generator["classifier"], self.discriminator.net  # type: ignore[index]
        torch._foreach_copy_(list(classifier.parameters()), list(net.parameters()))
        for a, b in zip(classifier.buffers(), net.buffers()):
            a.copy_(b)
