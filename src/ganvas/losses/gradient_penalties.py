"""The base of penalties, and penalties on the gradient of the discriminator's output with respect to images.

A penalty is a function of the `Match` of the present step, added to the discriminator's loss (`penalties`) or to the
generator's (`g_penalties`).  It is a module: what it keeps between steps is in buffers and saved with the run.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..config import Spec
from ..errors import UsageError
from ..game import Match, Progress, Scores
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
    """R1: gamma/2 E|grad D(x)|^2 at real images x (Mescheder et al. 2018, eq. 9).

    `approximate` replaces the squared gradient by ((D(x + s n) - D(x)) / s)^2 with n from N(0, I), whose expectation
    it is for small s: one pass more instead of a second differentiation (Lin et al. 2025, who do not divide by
    s^2, so that their weight of 100 at s = 0.01 is a gamma of 0.02; divided in Hyun et al. 2026).  n is added to the
    images as D saw them, after augmentation.  Raises `UsageError` for a discriminator that draws random numbers of its
    own.
    """

    def __init__(
        self,
        *,
        gamma: float | Spec = 10.0,  # the paper's gamma, or a schedule of it
        every: int = 1,  # steps from one evaluation to the next
        approximate: bool = False,  # finite differences along noise instead of the gradient
        sigma: float = 0.01,  # s: standard deviation of that noise, where values of images span 2
    ):
        super().__init__(gamma, every)
        if sigma <= 0:
            raise UsageError(f"sigma is the standard deviation of noise, above 0, got {sigma:g}.")
        self.approximate, self.sigma, self.checked = approximate, sigma, False

    def points(self, match: Match, progress: Progress) -> tuple[Tensor, Tensor | None]:
        return match.real, match.label

    def scores(self, match: Match) -> Scores | None:
        """The scores of the same images."""
        return match.real_scores

    def penalize(self, gradient: Tensor) -> Tensor:
        return gradient.square().sum(1) / 2

    def forward(self, match: Match, progress: Progress) -> Tensor | None:
        if not self.approximate or progress.step % self.every:
            return super().forward(match, progress)
        images, label = self.points(match, progress)
        known = self.scores(match)
        seen = images if known is None or known.input is None else known.input
        seen, label = wide(seen).detach(), match.label if label is None else label
        near = seen + self.sigma * normal_per_image(progress, seen)
        if known is not None and match.precise:
            here, there = known.logits, self._pass(match, near, label)
        else:  # the logits of bf16 are rounded by about as much as D changes
            both = self._pass(match, torch.cat([seen, near]), None if label is None else torch.cat([label, label]))
            here, there = both.chunk(2)
        slope = (match.to_scalar(there) - match.to_scalar(here)).flatten(1).sum(1) / self.sigma  # (N,)
        return self.every * self.weight(progress.fraction) * slope.square().mean() / 2

    def _pass(self, match: Match, images: Tensor, label: Tensor | None) -> Tensor:
        """Logits of images as they are; with the network's compiled graph, if there is one."""
        if self.checked:
            return self._net(match)(images, label).logits
        before = random_state(images.device)
        logits = self._net(match)(images, label).logits
        self.checked = True
        if not torch.equal(before, random_state(images.device)):
            raise UsageError(
                f"{type(self).__name__} with approximate=true compares two passes of the discriminator, and this one"
                " draws random numbers in each (dropout or noise); take approximate=false."
            )
        return logits

    @staticmethod
    def _net(match: Match) -> Callable[..., Scores]:
        return match.discriminate if match.net is None else match.net


class R2(R1):
    """R2: gamma/2 E|grad D(G(z))|^2 at fake images (Mescheder et al. 2018, eq. 10); `approximate` as in `R1`."""

    def points(self, match: Match, progress: Progress) -> tuple[Tensor, Tensor | None]:
        return match.fake, match.fake_label

    def scores(self, match: Match) -> Scores | None:
        return match.fake_scores


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


def normal_per_image(progress: Progress, images: Tensor) -> Tensor:
    """Numbers from N(0, 1) of the images' shape, drawn alike for the whole batch."""
    shape = (len(images) * progress.world, *images.shape[1:])
    return progress.mine(torch.randn(shape, device=images.device, dtype=images.dtype))


def random_state(device: torch.device) -> Tensor:
    """The state of the global generator of a device; of the CPU's for devices without one of their own."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
