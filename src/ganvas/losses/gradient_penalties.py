"""What keeps a player honest, beyond winning; here: penalties on the gradient of the verdict by the image.

A penalty is a function of a match: on the discriminator, of the one it has just judged; on the generator
(`g_penalties`), of the one it has just played.  It is a module, so whatever it remembers is saved with the run.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ..config import Spec
from ..errors import UsageError
from ..game import Match, Progress
from ..policy import wide
from ..schedule import following


def input_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """Gradient of the summed logits with respect to each image, itself differentiable: (N, C, H, W)."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient


class Penalty(nn.Module):
    """What every penalty has."""

    relative = False  # in the generator's step: does it look at the real scores?
    player: Literal["either", "discriminator", "generator"] = "either"  # whom it means anything for

    def constrain(self, net: nn.Module) -> None:
        """Hear who is about to play, before it scores or makes anything: the place to project its weights."""

    def forward(self, match: Match, progress: Progress) -> Tensor | None:
        """The penalty as a scalar, or None in a step in which it rests."""
        raise NotImplementedError


class OnGradient(Penalty):
    """A price on the gradient of D at some images, asked for every so many steps and scaled to match.

    Lazy evaluation is StyleGAN2's (Karras et al. 2020, section 3.1).
    """

    player = "discriminator"

    def __init__(self, weight: float | Spec, every: int):
        super().__init__()
        if every < 1:
            raise UsageError(f"A penalty is evaluated every so many steps, at least 1, not {every}.")
        self.weight, self.every = following(weight), every

    def places(self, match: Match, progress: Progress) -> tuple[Tensor, Tensor | None]:
        """The images at which the gradient is taken, and their labels (None: those of the real images)."""
        raise NotImplementedError

    def price(self, gradient: Tensor) -> Tensor:
        """What a gradient (N, C * H * W) costs, unweighted: (N,)."""
        raise NotImplementedError

    def forward(self, match: Match, progress: Progress) -> Tensor | None:
        """The penalty as a scalar, or None in the steps between."""
        if progress.step % self.every:
            return None
        images, label = self.places(match, progress)
        images = wide(images).detach().requires_grad_()
        gradient = input_gradient(match.to_scalar(match.discriminate(images, label).logits), images)
        return self.every * self.weight(progress.fraction) * self.price(gradient.flatten(1)).mean()


class R1(OnGradient):
    """gamma/2 E|grad D(x)|^2 at real images (Mescheder et al. 2018, eq. 9), every so many steps, scaled to match."""

    def __init__(
        self,
        *,
        gamma: float | Spec = 10.0,  # weight, or a schedule of it
        every: int = 1,  # steps from one evaluation to the next
    ):
        super().__init__(gamma, every)

    def places(self, match: Match, progress: Progress) -> tuple[Tensor, Tensor | None]:
        return match.real, match.label

    def price(self, gradient: Tensor) -> Tensor:
        return gradient.square().sum(1) / 2


class R2(R1):
    """R1 at the fake images: gamma/2 E|grad D(G(z))|^2 (Mescheder et al. 2018, eq. 10)."""

    def places(self, match: Match, progress: Progress) -> tuple[Tensor, Tensor | None]:
        return match.fake, match.fake_label


class GradientPenalty(OnGradient):
    """WGAN-GP: (|grad D| - 1)^2 on lines between real and fake images (Gulrajani et al. 2017, eq. 3).

    One place on its line and one norm for each sample.  `centre=0` is the zero-centred penalty of Thanh-Tung et al.
    2019; `one_sided` that of Gulrajani's appendix, which leaves gradients below the centre alone.
    """

    def __init__(
        self,
        *,
        weight: float | Spec = 10.0,  # the paper's lambda, or a schedule of it
        centre: float = 1.0,  # the norm that costs nothing
        one_sided: bool = False,  # only norms above the centre cost
        every: int = 1,  # steps from one evaluation to the next
    ):
        super().__init__(weight, every)
        self.centre, self.one_sided = centre, one_sided

    def places(self, match: Match, progress: Progress) -> tuple[Tensor, Tensor | None]:
        real, fake = wide(match.real), wide(match.fake)
        return fake + per_image(progress, real) * (real - fake), match.label

    def price(self, gradient: Tensor) -> Tensor:
        beyond = torch.linalg.vector_norm(gradient, dim=1) - self.centre
        return (beyond.relu() if self.one_sided else beyond).square()


class DRAGAN(GradientPenalty):
    """(|grad D| - 1)^2 around the real images (Kodali et al. 2017).

    The places are those of the authors' code, x + a * 0.5 * std(x) * u with a from U(0, 1) for an image and u from
    U(0, 1) for each of its numbers and the standard deviation of the whole batch, not the paper's Gaussian cloud.
    The gradient is that of the logit.
    """

    def __init__(
        self,
        *,
        weight: float | Spec = 10.0,  # the paper's lambda, or a schedule of it
        spread: float = 0.5,  # how far from the images, in standard deviations of the data
        centre: float = 1.0,  # the norm that costs nothing
        one_sided: bool = False,  # only norms above the centre cost
        every: int = 1,  # steps from one evaluation to the next
    ):
        super().__init__(weight=weight, centre=centre, one_sided=one_sided, every=every)
        self.spread = spread

    def places(self, match: Match, progress: Progress) -> tuple[Tensor, Tensor | None]:
        real = wide(match.real)
        noise = self.spread * real.std(correction=0) * per_image(progress, real, *real.shape[1:])
        return real + per_image(progress, real) * noise, match.label


def per_image(progress: Progress, images: Tensor, *shape: int) -> Tensor:
    """Numbers from U(0, 1) for each image, (N, *shape) or (N, 1, 1, 1), drawn alike for the whole batch."""
    shape = shape or (1,) * (images.ndim - 1)
    drawn = torch.rand(len(images) * progress.world, *shape, device=images.device, dtype=images.dtype)
    return progress.mine(drawn)
