"""Penalties on the discriminator's logits and features."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..config import Spec
from ..errors import UsageError
from ..game import Match, Progress, Scores, SharedBuffers
from ..policy import wide
from ..schedule import as_schedule
from .gradient_penalties import Penalty


class LeCam(Penalty, SharedBuffers):
    """LeCam: E(D(x) - a_F)^2 + E(D(G(z)) - a_R)^2 with moving averages a_R, a_F of the logits (Tseng et al. 2021).

    The averages are exponential, over the steps before; until `start` there is no penalty.  The authors' code counts
    only real logits above a_F and fake ones below a_R: `rectified`.
    """

    player = "discriminator"
    real: Tensor
    fake: Tensor
    known: Tensor

    def __init__(
        self,
        *,
        weight: float | Spec = 0.3,  # the paper's lambda, or a schedule of it
        decay: float = 0.99,  # share of the averages that stays from one discriminator step to the next
        start: int = 10_000,  # real images seen before the penalty begins
        rectified: bool = False,  # penalize only real logits above a_F and fake logits below a_R
    ):
        super().__init__()
        if not 0 <= decay < 1:
            raise UsageError(f"decay is a share from 0 to less than 1, got {decay:g}.")
        self.weight, self.decay, self.start, self.rectified = as_schedule(weight), decay, start, rectified
        for name in ("real", "fake", "known"):  # known: 0 until there has been a step
            self.register_buffer(name, torch.zeros(()))

    def forward(self, match: Match, progress: Progress) -> Tensor | None:
        assert match.real_scores is not None
        real, fake = (match.to_scalar(scores.logits) for scores in (match.real_scores, match.fake_scores))
        above, below = real - self.fake, self.real - fake
        if self.rectified:
            above, below = above.relu(), below.relu()
        value = self.known.clone() * (above.square().mean() + below.square().mean())
        waiting = progress.images < self.start
        self._remember(real, fake, 0.0 if waiting else self.decay)
        return None if waiting else self.weight(progress.fraction) * value

    @torch.no_grad()
    def _remember(self, real: Tensor, fake: Tensor, decay: float) -> None:
        keep = decay * self.known
        self.real.copy_(keep * self.real + (1 - keep) * real.mean())
        self.fake.copy_(keep * self.fake + (1 - keep) * fake.mean())
        self.known.fill_(1)


class Consistency(Penalty):
    """Balanced consistency: E(D(T(x)) - D(x))^2 of an augmentation T, at real and fake images (Zhao et al. 2020).

    The paper flips and shifts.  Both logits of a pair have a gradient.
    """

    player = "discriminator"

    def __init__(
        self,
        *,
        augment: Spec | None = None,  # the augmentation T, such as diffaugment(policy=['translation'])
        real_weight: float | Spec = 10.0,  # of the real images' term, or a schedule of it
        fake_weight: float | Spec = 10.0,  # of the fake images' term, or a schedule of it
    ):
        super().__init__()
        if augment is None:
            raise UsageError(
                "Missing augment: the augmentation that must not change the logits, for example"
                " consistency(augment=diffaugment(policy=['translation']))."
            )
        self.augment: Any = augment.build()
        self.real_weight, self.fake_weight = as_schedule(real_weight), as_schedule(fake_weight)

    def forward(self, match: Match, progress: Progress) -> Tensor:
        assert match.real_scores is not None
        if isinstance(self.augment, nn.Module):  # a transform of the data has nothing to follow
            self.augment.follow(progress)  # type: ignore[operator]
        sides = (
            (self.real_weight, match.real, match.label, match.real_scores),
            (self.fake_weight, match.fake, match.fake_label, match.fake_scores),
        )
        total = torch.zeros((), device=match.real.device)
        for weight, images, label, scores in sides:
            changed = match.discriminate(self.augment(wide(images)), label).logits
            total = total + weight(progress.fraction) * (changed - scores.logits).square().mean()
        return total


def last_features(scores: Scores | None, who: str) -> Tensor:
    """The discriminator's last features, (N, F); raises `UsageError` if it gives none."""
    if scores is None or not scores.features:
        raise UsageError(f"{who} compares the discriminator's features, and this discriminator gives none.")
    return wide(scores.features[-1])


class FeatureMatching(Penalty):
    """Feature matching: |E f(x) - E f(G(z))| of D's last features f (Salimans et al. 2016, section 3.1).

    `l2` is the paper's squared distance, `l1` the mean absolute difference of the authors' code.  As the generator's
    whole loss: beside `loss=weighted(loss=..., g=0.0)`.
    """

    player = "generator"
    relative = True

    def __init__(
        self,
        *,
        weight: float | Spec = 1.0,  # or a schedule of it
        norm: Literal["l1", "l2"] = "l1",  # mean absolute, or summed squared difference of the means
    ):
        super().__init__()
        self.weight, self.norm = as_schedule(weight), norm

    def forward(self, match: Match, progress: Progress) -> Tensor:
        real, fake = (last_features(s, "Feature matching") for s in (match.real_scores, match.fake_scores))
        difference = real.detach().mean(0) - fake.mean(0)  # (F,)
        distance = difference.abs().mean() if self.norm == "l1" else difference.square().sum()
        return self.weight(progress.fraction) * distance


class PullingAway(Penalty):
    """Pulling-away term: mean squared cosine between features of different fakes of a batch (Zhao et al. 2017).

    f_PT = 1 / (N (N - 1)) sum over i != j of cos(S_i, S_j)^2.  The paper's features are those of the encoder; here
    they are the discriminator's last ones.
    """

    player = "generator"

    def __init__(
        self,
        *,
        weight: float | Spec = 0.1,  # or a schedule of it
    ):
        super().__init__()
        self.weight = as_schedule(weight)

    def forward(self, match: Match, progress: Progress) -> Tensor:
        features = normalize(last_features(match.fake_scores, "Pulling-away"), dim=1)
        n = len(features)
        if n < 2:
            raise UsageError("Pulling-away compares the images of a batch, which must be at least two.")
        squares = (features @ features.t()).square()  # (N, N)
        return self.weight(progress.fraction) * (squares.sum() - squares.diagonal().sum()) / (n * (n - 1))
