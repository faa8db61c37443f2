"""The inception score: sharpness and variety of the classes that a classifier sees in samples."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .frechet import check_features


@dataclass(frozen=True)
class Score:
    """Mean and standard deviation over splits or subsets."""

    value: float
    std: float

    @classmethod
    def of(cls, parts: list[Tensor]) -> "Score":
        """Score of the values () of all parts."""
        values = torch.stack(parts)
        return cls(values.mean().item(), values.std(correction=0).item())


def inception_score(logits: Tensor, *, splits: int = 10, seed: int | None = None) -> Score:
    """exp of the mean KL(p(y|x) || p(y)) of class logits (N, K), in each split (Salimans et al. 2016).

    Splits follow the order of the samples, or one drawn from `seed`; their sizes differ by one at most.  Raises
    `UsageError` for fewer samples than splits.
    """
    logits = check_features(logits, splits, "the samples")
    if seed is not None:
        logits = logits[torch.randperm(len(logits), generator=torch.Generator().manual_seed(seed))]
    scores, logs = [], logits.log_softmax(1)
    for part in (logs[k * len(logs) // splits : (k + 1) * len(logs) // splits] for k in range(splits)):
        marginal = part.logsumexp(0) - math.log(len(part))
        scores.append((part.exp() * (part - marginal)).sum(1).mean().exp())
    return Score.of(scores)
