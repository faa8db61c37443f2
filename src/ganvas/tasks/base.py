"""How one batch becomes two losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..augment import Augment
from ..config import Spec
from ..game import Match, Objective, Progress, Scores
from ..policy import full_precision


class Task(nn.Module):
    """Owns the networks and says what they minimise.

    A task never touches optimisers, devices, files, steps of the loop or logging: the trainer does, the same
    way for every task.  `needs` names the entries it expects in a batch.
    """

    needs: frozenset[str] = frozenset()
    generator: nn.Module  # whatever the second player trains
    discriminator: nn.Module | None  # whatever the first player trains, if there is one

    def __init__(self) -> None:
        super().__init__()
        self.discriminator = None  # not a class attribute: that would hide the submodule of the same name

    def d_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        """What the discriminator minimises on a batch; leaves the generator's weights without gradient."""
        raise NotImplementedError(f"{type(self).__name__} has no discriminator")

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        """What the generator minimises on a batch."""
        raise NotImplementedError(f"{type(self).__name__} must say what its generator minimises")

    def inputs(self, seeds: Sequence[int], label: int | None = None) -> dict[str, Any]:
        """What to sample from: one entry a seed, the same on every machine."""
        raise NotImplementedError(f"{type(self).__name__} must say what it samples from")

    def sample(self, inputs: dict[str, Any]) -> Tensor:
        """Pictures (N, C, H, W) in [-1, 1] from `inputs`."""
        raise NotImplementedError(f"{type(self).__name__} must say how it samples")

    def adversarial(self) -> Iterator[nn.Module]:
        """The networks of the adversarial pass, which may be compiled; penalties go around them."""
        yield self.generator
        yield from (part.net for part in self.modules() if isinstance(part, Adversary))


class Adversary(nn.Module):
    """One discriminator with its loss, penalties and augmentation: the half every GAN shares."""

    def __init__(
        self,
        discriminator: nn.Module,
        loss: Spec,
        penalties: Sequence[Spec] = (),
        augment: Spec | None = None,
    ):
        super().__init__()
        self.net, self.loss = discriminator, loss.build()
        self.penalties = nn.ModuleList(p.build() for p in penalties)
        self.augment = augment.build() if augment else Augment()

    def judge(self, images: Tensor, label: Tensor | None = None) -> Scores:
        """The verdict on images as the discriminator is allowed to see them, in float32 logits."""
        scores = self.net(self.augment(images), label)
        return scores._replace(logits=scores.logits.float())

    def judge_exactly(self, images: Tensor, label: Tensor | None = None) -> Scores:
        """`judge` in float32 and outside any compiled graph (AOTAutograd refuses double backward)."""
        with full_precision(images.device):
            return self.net.forward(self.augment(images.float()), label)

    def d_loss(
        self,
        real: Tensor,
        fake: Tensor,
        progress: Progress,
        label: Tensor | None = None,
        fake_label: Tensor | None = None,
    ) -> tuple[Objective, Match]:
        """The discriminator's objective on a batch of each kind, and the match it came from."""
        fake = fake.detach()
        real_scores, fake_scores = self.judge(real, label), self.judge(fake, fake_label)
        match = Match(real, fake, real_scores, fake_scores, lambda x: self.judge_exactly(x, label))
        terms = {"adversarial": self.loss.d(real_scores.logits, fake_scores.logits)}
        for k, penalty in enumerate(self.penalties):
            with full_precision(real.device):
                value = penalty(match, progress)
            if value is not None:  # a lazy penalty rests in the steps between
                terms[f"{type(penalty).__name__.lower()}_{k}"] = value
        real_logits, fake_logits = real_scores.logits.detach(), fake_scores.logits.detach()
        self.augment.observe(real_logits)
        stats = {"real": real_logits.mean(), "fake": fake_logits.mean()}
        return Objective(terms, stats), match

    def g_loss(
        self,
        fake: Tensor,
        real: Tensor,
        label: Tensor | None = None,
        fake_label: Tensor | None = None,
    ) -> tuple[Tensor, Scores]:
        """What the generator pays for its fakes, and how they were scored."""
        scores = self.judge(fake, fake_label)
        if not self.loss.relative:
            return self.loss.g(scores.logits), scores
        with torch.no_grad():  # the real logits are a reference here; nothing of the generator's hangs on them
            reference = self.judge(real, label).logits
        return self.loss.g(scores.logits, reference), scores
