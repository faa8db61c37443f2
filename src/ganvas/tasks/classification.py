"""Classification: one network, no discriminator."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..config import Spec
from ..errors import UsageError
from ..game import BaseDiscriminator, Objective, Progress
from .base import Label, Task


class Classification(Task):
    """Classification of images; of partly labelled data the labelled images alone are used."""

    draws_images = False
    example = "classes = model.classify(images)  # (N,) from images (N, C, H, W) in [-1, 1]"

    def __init__(
        self,
        *,
        classifier: Spec,  # network from images to class logits: any discriminator whose head has them
        smoothing: float = 0.0,  # share of every label that goes to all classes alike (Szegedy et al. 2016)
        resolution: tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        unlabelled: int = 0,
    ):
        super().__init__()
        if not classes:
            raise UsageError(
                "This recipe learns classes, but the data have none; put the images into one sub-folder per"
                " class, or name words or whole numbers as labels in a metadata.csv."
            )
        if not 0 <= smoothing < 1:
            raise UsageError(f"smoothing is a share from 0 to less than 1, got {smoothing:g}.")
        facts = {"resolution": resolution, "channels": channels, "classes": classes}
        self.smoothing = smoothing
        self.generator = check_classifies(classifier.build(**facts), channels, resolution)
        self.needs = frozenset({"labelled"} if unlabelled else {"image", "label"})

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        prefix = "labelled_" if "labelled" in self.needs else ""
        logits, label = self.logits(batch[f"{prefix}image"]), batch[f"{prefix}label"]
        wrong = cross_entropy(logits, label, label_smoothing=self.smoothing)
        return Objective({"class": wrong}, {"accuracy": accuracy(logits, label)})

    def logits(self, images: Tensor) -> Tensor:
        return self.generator(images).label_logits

    def feature_network(self) -> BaseDiscriminator | None:
        return self.generator if isinstance(self.generator, BaseDiscriminator) else None

    def inputs(self, seeds: Sequence[int], label: Label = None) -> dict[str, Any]:
        raise UsageError("This model names the classes of images; it makes none. In Python: model.classify(images).")


def check_classifies(network: nn.Module, channels: int, resolution: tuple[int, int]) -> nn.Module:
    """The network itself; raises `UsageError` unless its scores have class logits."""
    mode = network.training
    with torch.no_grad():
        scores = network.eval()(torch.zeros(1, channels, *resolution))
    if scores.label_logits is None:
        raise UsageError(f"{type(network).__qualname__} has no class logits; give it head=classes.")
    return network.train(mode)


@torch.no_grad()
def accuracy(logits: Tensor, label: Tensor) -> Tensor:
    """The share of labels (N,) that the largest of the logits (N, classes) names."""
    return (logits.argmax(1) == label).float().mean()
