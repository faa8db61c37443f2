"""What keeps a player honest, beyond winning.

A penalty on the discriminator is a function of the match it has just judged; it is a module, so whatever it
remembers is saved with the run.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..game import Match, Progress


def input_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """Gradient of the summed logits with respect to each image, itself differentiable: (N, C, H, W)."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient


class R1(nn.Module):
    """gamma/2 E|grad D(x)|^2 at real images (Mescheder et al. 2018, eq. 9), every so many steps, scaled to match.

    Lazy evaluation is StyleGAN2's (Karras et al. 2020, section 3.1).
    """

    def __init__(
        self,
        *,
        gamma: float = 10.0,  # weight
        every: int = 1,  # steps from one evaluation to the next
    ):
        super().__init__()
        self.gamma, self.every = gamma, every

    def forward(self, match: Match, progress: Progress) -> Tensor | None:
        """The penalty as a scalar, or None in the steps between."""
        if progress.step % self.every:
            return None
        images = match.real.detach().requires_grad_()
        norm = input_gradient(match.judge(images).logits, images).flatten(1).square().sum(1)
        return self.every * self.gamma / 2 * norm.mean()
