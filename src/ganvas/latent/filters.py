"""Filters of generated images: by the discriminator, by a classifier, and against copies of training images."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..data.batches import iterate_once
from ..data.dataset import Dataset
from ..errors import UsageError
from ..metrics.rejection import fit_rejection, log_ratio
from ..models.model import Model
from ..tasks.base import Adversary

TRIAL = 1024  # images of each kind that the discriminator's scores are calibrated on
STREAM = 0xD15C  # random stream of the rejection
SIDE = 16  # pixels a side at which copies are searched
COPY = 1 / 3  # of the distance to the second nearest training image
BLOCK = 8192  # training images compared at once
DRAWN = 3_000_000_000  # first seed of the samples for calibration, far from those that are written, below 2^32


class Filter(Protocol):
    """A filter of images (N, C, H, W) in [-1, 1] drawn from seeds, all of one class or of none."""

    name: str

    def __call__(self, images: Tensor, seeds: Sequence[int], label: int | None) -> Tensor:
        """True for the images to keep: (N,)."""


class ByDiscriminator:
    """Discriminator rejection sampling (Azadi et al. 2019): the share `keep` is accepted, likelier ones more often.

    Scores are calibrated on real images and samples of the same classes (`metrics.rejection`); whether a sample is
    accepted follows from its seed.
    """

    name = "discriminator"

    def __init__(self, adversary: Adversary, model: Model, data: Dataset, keep: float):
        if not 0 < keep < 1:
            raise UsageError(f"--keep is a share between 0 and 1, got {keep:g}.")
        self.adversary, self.conditional = adversary, model.task.conditional
        part = data.subset(np.linspace(0, len(data) - 1, min(TRIAL, len(data))).round().astype(np.int64))
        real = torch.cat([self.scores(b["image"], b.get("label")) for b in iterate_once(part, 64)])
        drawn = [self._draw(model, range(DRAWN + k, DRAWN + k + 64)) for k in range(0, TRIAL, 64)]
        self.slope, self.offset = log_ratio(real, fake := torch.cat(drawn))
        self.rejection = fit_rejection(self.slope * fake + self.offset, keep)

    def _draw(self, model: Model, seeds: range) -> Tensor:
        if not self.conditional:
            return self.scores(model.sample_seeds(seeds), None)
        label = torch.tensor([seed % len(model.class_names) for seed in seeds])
        return self.scores(model.sample_seeds(seeds), label)

    @torch.inference_mode()
    def scores(self, images: Tensor, label: Tensor | None) -> Tensor:
        """The discriminator's scores of images, (N,) float64 on the CPU."""
        device = next(self.adversary.parameters()).device
        given = label.to(device) if self.conditional and label is not None else None
        return self.adversary.score(images.to(device), given).double().cpu()

    def __call__(self, images: Tensor, seeds: Sequence[int], label: int | None) -> Tensor:
        labels = None if label is None else torch.full((len(images),), label)
        chance = self.rejection.accept(self.slope * self.scores(images, labels) + self.offset)
        return torch.tensor([uniform(seed) for seed in seeds], dtype=torch.float64) < chance


class ByClassifier:
    """Agreement of a classifier: it names the class that was asked for.  Classes are matched by name."""

    name = "classifier"

    def __init__(self, classifier: Model, class_names: Sequence[str]):
        known = {name: k for k, name in enumerate(classifier.class_names)}
        if missing := [name for name in class_names if name not in known]:
            raise UsageError(f"The classifier does not know the class {missing[0]!r}: it has {', '.join(known)}.")
        self.classifier, self.index = classifier, [known[name] for name in class_names]

    def __call__(self, images: Tensor, seeds: Sequence[int], label: int | None) -> Tensor:
        assert label is not None
        return self.classifier.predict(images).argmax(1) == self.index[label]


class NoCopies:
    """Images that are no copies of training images.

    A copy is less than a third as far from its nearest training image as from the second nearest (Yoon et al. 2023), or
    equal to it; distances are between images averaged to at most 16x16 pixels, so that only the whole composition
    counts.  The training images are kept as bytes in that size.
    """

    name = "copies"

    def __init__(self, data: Dataset):
        self.training = np.concatenate([self.levels(batch["image"]) for batch in iterate_once(data, 256)])

    @staticmethod
    def small(images: Tensor) -> Tensor:
        """Images (N, C, H, W) averaged to at most 16x16 pixels: (N, C * h * w)."""
        height, width = images.shape[2:]
        return adaptive_avg_pool2d(images, (min(SIDE, height), min(SIDE, width))).flatten(1)

    def levels(self, images: Tensor) -> np.ndarray:
        """Small images as bytes."""
        return (self.small(images) * 127.5 + 127.5).round().to(torch.uint8).numpy()

    def nearest(self, images: Tensor) -> Tensor:
        """Squared distances, in levels, to the nearest and the second nearest training image: (N, 2) float64."""
        rows = torch.from_numpy(self.levels(images)).float()
        best, where = torch.full((len(rows), 2), torch.inf), torch.zeros(len(rows), 2, dtype=torch.long)
        for start in range(0, len(self.training), BLOCK):
            part = torch.from_numpy(self.training[start : start + BLOCK]).float()
            square = part.square().sum(1) - 2 * rows @ part.t()  # less the same number for every training image
            index = torch.arange(start, start + len(part)).expand(len(rows), -1)
            best, order = torch.cat([best, square], 1).topk(2, 1, largest=False)
            where = torch.cat([where, index], 1).gather(1, order)
        near = torch.from_numpy(self.training[where.numpy()].astype(np.float64))  # products in float32 are inexact
        return (near - rows[:, None].double()).square().sum(2)

    def __call__(self, images: Tensor, seeds: Sequence[int], label: int | None) -> Tensor:
        first, second = self.nearest(images).sort(1).values.unbind(1)
        return (first > 0) & (first >= COPY**2 * second)


def uniform(seed: int) -> float:
    """A number in [0, 1) that follows from a seed."""
    bits = np.random.Philox(key=np.array([seed, STREAM], np.uint64)).random_raw(1)
    return float(bits[0] >> np.uint64(11)) / (1 << 53)
