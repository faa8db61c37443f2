"""Losses that change another loss."""

import math

from torch import Tensor

from ..config import Spec
from ..errors import UsageError
from ..game import Progress
from ..schedule import as_schedule
from .adversarial import Loss, NonSaturating


class Wrapper(Loss):
    """Base of wrappers: a loss with everything of the loss inside it."""

    def __init__(self, loss: Spec):
        super().__init__()
        self.loss: Loss = loss.build()
        self.relative, self.outputs = self.loss.relative, self.loss.outputs

    def follow(self, progress: Progress) -> None:
        self.loss.follow(progress)

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.loss.d(real, fake)

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.loss.g(fake, real)

    def to_scalar(self, logits: Tensor) -> Tensor:
        return self.loss.to_scalar(logits)

    def score(self, logits: Tensor) -> Tensor:
        return self.loss.score(logits)

    def stats(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return self.loss.stats(real, fake)


class Weighted(Wrapper):
    """Any loss times a weight for each player; 0 leaves a player with its penalties alone."""

    def __init__(
        self,
        *,
        loss: Spec = Spec(NonSaturating),  # the loss that is weighted
        d: float | Spec = 1.0,  # weight of the discriminator's term, or a schedule of it
        g: float | Spec = 1.0,  # weight of the generator's term, or a schedule of it
    ):
        super().__init__(loss)
        self.weights = as_schedule(d), as_schedule(g)
        self.fraction = 0.0

    def follow(self, progress: Progress) -> None:
        super().follow(progress)
        self.fraction = progress.fraction

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.weights[0](self.fraction) * super().d(real, fake)

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.weights[1](self.fraction) * super().g(fake, real)


class TopK(Wrapper):
    """Top-k training: the generator's loss of the fakes with the highest scores of a batch alone (Sinha et al. 2020).

    As in the paper their number falls by the same factor every epoch, from the whole batch to `share` of it, rounded
    up.  A relative loss compares them with the real images at their positions.
    """

    def __init__(
        self,
        *,
        loss: Spec = Spec(NonSaturating),  # the loss of both players
        share: float = 0.5,  # of the batch that the generator learns from at the end, more than 0 to 1
        until: float = 1.0,  # share of the run, more than 0 to 1, after which it stays there
    ):
        super().__init__(loss)
        if not (0 < share <= 1 and 0 < until <= 1):
            raise UsageError(f"share and until are more than 0 and at most 1, got {share:g} and {until:g}.")
        self.share, self.until = share, until
        self.top_share = 1.0

    def follow(self, progress: Progress) -> None:
        super().follow(progress)
        self.top_share = self.share ** min(progress.fraction / self.until, 1.0)

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The loss of the ceil(top_share * N) fakes with the highest scores."""
        best = self.score(fake.detach()).topk(math.ceil(self.top_share * len(fake))).indices
        return super().g(fake[best], real[best] if real is not None else None)
