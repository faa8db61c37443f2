"""Rejection of samples by a discriminator: densities from scores, and the share of samples that is accepted."""

from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = 1e-6  # of Azadi et al., for the largest ratio itself
STEPS = 100  # of the bisection


def log_ratio(real: Tensor, fake: Tensor) -> tuple[float, float]:
    """Slope and offset with which a score s becomes log p_real / p_fake: logistic regression of (N,) on (M,) scores.

    Scores of any loss are so brought to the logit of a discriminator trained with cross-entropy.  Both sets weigh the
    same.  A slope below 0, of a discriminator that scores fakes higher, is set to 0.
    """
    from sklearn.linear_model import LogisticRegression

    scores = torch.cat([real, fake]).double()
    centre, scale = float(scores.mean()), float(scores.std()) or 1.0
    target = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))])
    fit = LogisticRegression(C=1e4, class_weight="balanced", max_iter=1000)
    fit.fit(((scores - centre) / scale)[:, None].numpy(), target.numpy())
    slope = max(float(fit.coef_[0, 0]) / scale, 0.0)
    return slope, float(fit.intercept_[0]) - slope * centre


@dataclass(frozen=True)
class Rejection:
    """Discriminator rejection sampling (Azadi et al. 2019, eq. 7 and 8).

    `largest` is the largest log ratio that is expected, `gamma` moves the share that is accepted.
    """

    largest: float
    gamma: float

    def accept(self, ratio: Tensor) -> Tensor:
        """Probability of acceptance, float64, of samples by the log of p_real / p_fake; larger ones count as largest.

        With gamma = 0 it is p_real / p_fake over its maximum, so that accepted samples follow p_real.
        """
        below = (ratio.double() - self.largest).clamp(max=0)
        return (below - torch.log1p(-torch.exp(below - EPSILON)) - self.gamma).sigmoid()


def fit_rejection(ratio: Tensor, keep: float) -> Rejection:
    """The rejection that accepts the share `keep` of samples with these log ratios (M,), found by bisection."""
    largest = float(ratio.max())
    low, high = -100.0, 100.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        more = float(Rejection(largest, middle).accept(ratio).mean()) > keep
        low, high = (middle, high) if more else (low, middle)
    return Rejection(largest, (low + high) / 2)
