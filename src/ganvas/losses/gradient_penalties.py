"""The base of penalties, and penalties on the gradient of the discriminator's output with respect to images.

A penalty is a function of the `Match` of the present step, added to the discriminator's loss (`penalties`) or to the
generator's (`g_penalties`).  It is a module: what it keeps between steps is in buffers and saved with the run.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..config import Spec
from ..errors import UsageError
from ..game import Match, Progress
from ..policy import wide
from ..schedule import as_schedule


class Penalty(nn.Module):
    """Base of penalties: terms that are added to the loss of one player."""

    relative = False  # in the generator's step it uses the scores of real images
    player: Literal["either", "discriminator", "generator"] = "either"  # the player whose loss it may be added to

    def constrain(self, net: nn.Module) -> None:
        """Project the weights of the player's network before its step, if the penalty is a constraint."""

    def forward(self, match: Match, progress: Progress) -> Tensor | None:
        """The weighted penalty as a scalar, or None in a step without it."""
        raise NotImplementedError


class OnGradient(Penalty):
    """Base of penalties on the gradient of D at images, computed every `every` steps and multiplied by it.

    Lazy evaluation is StyleGAN2's (Karras et al. 2020, section 3.1).
    """

    player = "discriminator"

    def __init__(self, weight: float | Spec, every: int):
        super().__init__()
        if every < 1:
            raise UsageError(f"every is a number of steps, at least 1, got {every}.")
        self.weight, self.every = as_schedule(weight), every

    def points(self, match: Match, progress: Progress) -> tuple[Tensor, Tensor | None]:
        """The images at which the gradient is taken, and their labels (None: those of the real images)."""
        raise NotImplementedError

    def penalize(self, gradient: Tensor) -> Tensor:
        """The unweighted penalty of gradients (N, C * H * W): (N,)."""
        raise NotImplementedError

    def forward(self, match: Match, progress: Progress) -> Tensor | None:
        """The weighted penalty as a scalar, or None in the steps between."""
        if progress.step % self.every:
            return None
        images, label = self.points(match, progress)
        images = wide(images).detach().requires_grad_()
        logits = match.to_scalar(match.discriminate(images, label).logits)
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        return self.every * self.weight(progress.fraction) * self.penalize(gradient.flatten(1)).mean()


class R1(OnGradient):
    """R1: gamma/2 E|grad D(x)|^2 at real images x (Mescheder et al. 2018, eq. 9)."""

    def __init__(
        self,
        *,
        gamma: float | Spec = 10.0,  # the paper's gamma, or a schedule of it
        every: int = 1,  # steps from one evaluation to the next
    ):
        super().__init__(gamma, every)

    def points(self, match: Match, progress: Progress) -> tuple[Tensor, Tensor | None]:
        return match.real, match.label

    def penalize(self, gradient: Tensor) -> Tensor:
        return gradient.square().sum(1) / 2


class R2(R1):
    """R2: gamma/2 E|grad D(G(z))|^2 at fake images (Mescheder et al. 2018, eq. 10)."""

    def points(self, match: Match, progress: Progress) -> tuple[Tensor, Tensor | None]:
        return match.fake, match.fake_label


class GradientPenalty(OnGradient):
    """WGAN-GP: lambda E(|grad D| - 1)^2 at random points between real and fake images (Gulrajani et al. 2017, eq. 3).

    One point and one norm for each pair.  `centre=0` is the zero-centred penalty of Thanh-Tung et al. 2019;
    `one_sided` that of Gulrajani's appendix, which leaves gradients below the centre alone.
    """

    def __init__(
        self,
        *,
        weight: float | Spec = 10.0,  # the paper's lambda, or a schedule of it
        centre: float = 1.0,  # the norm without penalty
        one_sided: bool = False,  # penalize only norms above the centre
        every: int = 1,  # steps from one evaluation to the next
    ):
        super().__init__(weight, every)
        self.centre, self.one_sided = centre, one_sided

    def points(self, match: Match, progress: Progress) -> tuple[Tensor, Tensor | None]:
        real, fake = wide(match.real), wide(match.fake)
        return fake + uniform_per_image(progress, real) * (real - fake), match.label

    def penalize(self, gradient: Tensor) -> Tensor:
        beyond = torch.linalg.vector_norm(gradient, dim=1) - self.centre
        return (beyond.relu() if self.one_sided else beyond).square()


class DRAGAN(GradientPenalty):
    """DRAGAN: lambda E(|grad D| - 1)^2 at noisy real images (Kodali et al. 2017).

    The noisy images are those of the authors' code, x + a * 0.5 * std(x) * u with a from U(0, 1) for an image and u
    from U(0, 1) for each of its numbers and the standard deviation of the whole batch, not the paper's Gaussian
    cloud.  The gradient is that of the logit.
    """

    def __init__(
        self,
        *,
        spread: float = 0.5,  # size of the noise, in standard deviations of the batch
        **base: Any,
    ):
        super().__init__(**base)
        self.spread = spread

    def points(self, match: Match, progress: Progress) -> tuple[Tensor, Tensor | None]:
        real = wide(match.real)
        noise = self.spread * real.std(correction=0) * uniform_per_image(progress, real, *real.shape[1:])
        return real + uniform_per_image(progress, real) * noise, match.label


def uniform_per_image(progress: Progress, images: Tensor, *shape: int) -> Tensor:
    """Numbers from U(0, 1) for each image, (N, *shape) or (N, 1, 1, 1), drawn alike for the whole batch."""
    shape = shape or (1,) * (images.ndim - 1)
    uniform = torch.rand(len(images) * progress.world, *shape, device=images.device, dtype=images.dtype)
    return progress.mine(uniform)
