"""The Inception score: whether each image is plainly of one class, and all classes occur."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config import UserError


@dataclass(frozen=True)
class Score:
    """Mean and standard deviation over the splits."""

    mean: float
    std: float
    splits: int


class InceptionScore:
    """Inception score of images whose class logits arrive in batches: Salimans et al. 2016.

    exp(E KL(p(y|x) || p(y))) in each of `splits` random parts of equal size.  `count` images will come; which part
    each belongs to follows from the seed, so neither the batch size nor the order of classes in a folder matters.
    Raises `UserError` for fewer images than splits.
    """

    def __init__(self, count: int, *, splits: int = 10, seed: int = 0):
        if splits < 1 or count < splits:
            raise UserError(f"The Inception score in {splits} splits needs at least {splits} images, there are {count}.")
        part = np.arange(count) * splits // count
        order = np.random.Generator(np.random.Philox(seed)).permutation(count)
        self.part = torch.from_numpy(part[order])  # (count,): the split of each image
        self.splits, self.seen = splits, 0
        self._sum: Tensor | None = None  # (splits, K): of p(y|x)
        self._negentropy = torch.zeros(splits, dtype=torch.float64)

    def update(self, logits: Tensor) -> None:
        """Add the logits (N, K) of the next images."""
        log_p = logits.detach().double().cpu().log_softmax(1)
        if not torch.isfinite(log_p.sum()):
            raise UserError("Some images have class logits that are not finite numbers.")
        part = self.part[self.seen : self.seen + len(log_p)]
        if len(part) < len(log_p):
            raise ValueError("more images came than were announced")
        self.seen += len(log_p)
        p = log_p.exp()
        if self._sum is None:
            self._sum = torch.zeros(self.splits, p.shape[1], dtype=torch.float64)
        self._sum.index_add_(0, part, p)
        self._negentropy.index_add_(0, part, (p * log_p).sum(1))

    def score(self) -> Score:
        """The score of everything that came."""
        if self._sum is None or self.seen < len(self.part):
            raise ValueError(f"{self.seen} of {len(self.part)} images came")
        counts = torch.bincount(self.part, minlength=self.splits)
        marginal = self._sum / counts[:, None]
        entropy = -torch.special.xlogy(marginal, marginal).sum(1)
        scores = (self._negentropy / counts + entropy).exp()
        return Score(float(scores.mean()), float(scores.std(correction=0)), self.splits)


def inception_score(logits: Tensor, *, splits: int = 10, seed: int = 0) -> Score:
    """Inception score of class logits (N, K) that are all there: Salimans et al. 2016."""
    score = InceptionScore(len(logits), splits=splits, seed=seed)
    score.update(logits)
    return score.score()
