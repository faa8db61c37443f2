"""What keeps a player honest, beyond winning.

A penalty is a function of a match: on the discriminator, of the one it has just judged; on the generator
(`g_penalties`), of the one it has just played.  It is a module, so whatever it remembers is saved with the run.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import Spec
from ..game import Match, Progress
from ..schedule import following


def input_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """Gradient of the summed logits with respect to each image, itself differentiable: (N, C, H, W)."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient


class Penalty(nn.Module):
    """What every penalty has."""

    relative = False  # in the generator's step: does it look at the real scores?

    def constrain(self, net: nn.Module) -> None:
        """Hear who is about to play, before it scores or makes anything: the place to project its weights."""

    def forward(self, match: Match, progress: Progress) -> Tensor | None:
        """The penalty as a scalar, or None in a step in which it rests."""
        raise NotImplementedError


class R1(Penalty):
    """gamma/2 E|grad D(x)|^2 at real images (Mescheder et al. 2018, eq. 9), every so many steps, scaled to match.

    Lazy evaluation is StyleGAN2's (Karras et al. 2020, section 3.1).
    """

    def __init__(
        self,
        *,
        gamma: float | Spec = 10.0,  # weight, or a schedule of it
        every: int = 1,  # steps from one evaluation to the next
    ):
        super().__init__()
        self.gamma, self.every = following(gamma), every

    def forward(self, match: Match, progress: Progress) -> Tensor | None:
        """The penalty as a scalar, or None in the steps between."""
        if progress.step % self.every:
            return None
        images = match.real.detach().requires_grad_()
        norm = input_gradient(match.judge(images).logits, images).flatten(1).square().sum(1)
        return self.every * self.gamma(progress.fraction) / 2 * norm.mean()
