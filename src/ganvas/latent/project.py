"""Projection: the codes of a generator whose images are nearest to given ones, by gradient descent.

Karras et al. 2020, appendix D; Abdal et al. 2019.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ..errors import UsageError, did_you_mean
from ..game import Encodes
from ..imaging.decode import to_float, to_uint8
from ..metrics.psnr import psnr
from .codes import Codes
from .distance import PerceptualDistance, report_distance
from .noise import draw_noise, fixed_noise, noise_penalty, normalise_noise
from .spaces import LatentSpace, find_space, on_device

if TYPE_CHECKING:
    from ..models.model import Model

Loss = Literal["pixel", "pocket", "vgg16", "vgg19"]
LOSSES = ("pixel", "pocket", "vgg16", "vgg19")
CANDIDATES = 512  # random codes, of which the nearest are the starts
ROWS = 64  # codes that are optimised at once
SHARE = 0.05  # of the perceptual distance beside the mean squared error of pixels
PULL = 1e-4  # weight of the noise's own distribution
NOISE_WEIGHT = 1.0  # of the noise maps; see appendix D
RATE = 0.1  # of Adam, in standard deviations of the space
UP, DOWN = 0.05, 0.25  # shares of the steps in which the rate rises and falls
JITTER, JITTER_END = 0.05, 0.75  # noise on styles in standard deviations, and the share of the steps that have it
FRAMES = 48  # of a film

Progress = Callable[[int, Tensor], None]  # steps done, the images (N, C, H, W) of the best starts


@dataclass(frozen=True)
class ProjectOptions:
    """Options of a projection; raises `UsageError` for values out of range."""

    space: str | None = None  # latent space; none: the one with most numbers
    steps: int = 300
    loss: Loss = "pocket"  # beside the pixels: the maps of this network, or pixels alone
    starts: int = 4  # for each image: the nearest of random codes
    seed: int = 0  # of the random codes

    def __post_init__(self) -> None:
        for name, least, most in (("steps", 0, 100_000), ("starts", 1, 64), ("seed", 0, 2**63 - 1)):
            if not least <= getattr(self, name) <= most:
                raise UsageError(f"--{name} must be from {least} to {most}, got {getattr(self, name)}.")
        if self.loss not in LOSSES:
            near = did_you_mean(self.loss, LOSSES)
            raise UsageError(f"--loss is {', '.join(LOSSES)}, not {self.loss!r}.{near}")


@dataclass(frozen=True)
class Projection:
    """Projected images: their codes, drawn again, and the distances from the images they stand for."""

    codes: Codes
    images: Tensor  # (N, C, H, W), drawn from the codes
    psnr: list[float]  # dB, of images rounded to 8 bits
    lpips: list[float]
    distance: str  # the perceptual distance: network and weights
    random_lpips: list[float] = field(default_factory=list)  # of the best of five random codes, for comparison
    random_psnr: list[float] = field(default_factory=list)


class Resemblance:
    """The loss of a projection: mean squared error of pixels and a share of the perceptual distance, (N,)."""

    def __init__(self, targets: Tensor, loss: Loss):
        self.targets = targets
        self.perceptual = None if loss == "pixel" else PerceptualDistance(loss)
        with torch.no_grad():
            self.maps = self.perceptual.maps(targets) if self.perceptual else []

    def __call__(self, images: Tensor, rows: Tensor, *, pixels: bool = False) -> Tensor:
        """The losses of images (n, C, H, W) against the targets with these numbers, (n,); `pixels`: of pixels alone."""
        total = (images - self.targets[rows]).square().mean((1, 2, 3))
        if self.perceptual is None or pixels:
            return total
        return total + SHARE * self.perceptual.between(self.perceptual.maps(images), [m[rows] for m in self.maps])


def project(
    model: "Model",
    images: Tensor,
    options: ProjectOptions = ProjectOptions(),
    *,
    names: Sequence[str] = (),
    progress: Progress | None = None,
) -> Projection:
    """Project images (N, C, H, W) in [-1, 1], of the model's size and channels.

    Several starts for each image are the nearest of random codes, and the code of an encoder where the model has one;
    the best one at any step is kept.  Labels of a conditional generator are those of the start.
    """
    space = find_space(model, options.space)
    height, width = model.config["data"]["resolution"]
    expected = (int(model.config["data"]["channels"]), height, width)
    if images.ndim != 4 or tuple(images.shape[1:]) != expected or not len(images):
        shape = f"(N, {', '.join(map(str, expected))})"
        raise UsageError(f"This model draws images of shape {shape}, and those to project are {tuple(images.shape)}.")
    targets = images.to(model.policy.device)
    loss = Resemblance(targets, options.loss)
    codes, labels, rows = find_starts(space, targets, options)
    parts = []
    for k in range(0, len(images), each := max(1, ROWS // options.starts)):
        here = (rows >= k) & (rows < k + each)
        some = None if labels is None else labels[here]
        parts.append(Descent(space, loss, codes[here], some, rows[here], options.seed).run(options.steps, progress))
    values, *noise = (torch.cat(maps).cpu() for maps in zip(*(part.best for part in parts)))
    label = None if labels is None else torch.cat([part.labels for part in parts]).cpu()  # type: ignore[misc]
    history = f"projected in {options.steps} steps from {options.starts} starts, loss {options.loss}"
    result = Codes(space.name, values, model.fingerprint, history, label, tuple(noise), list(names))
    return measured(model, result, images, space, options.seed)


def find_starts(space: LatentSpace, targets: Tensor, options: ProjectOptions) -> tuple[Tensor, Tensor | None, Tensor]:
    """Codes, labels and the targets' numbers of all starts, those of one target beside each other."""
    seeds = range(options.seed, options.seed + CANDIDATES)
    codes, labels = space.of_seeds(seeds), space.labels(seeds)
    drawn = space.draw(codes, labels).to(targets.device).flatten(1)
    order = torch.cdist(targets.flatten(1), drawn).argsort(1)[:, : options.starts].flatten().cpu()
    rows = torch.arange(len(targets)).repeat_interleave(options.starts)
    codes, labels = codes[order], None if labels is None else labels[order]
    if isinstance(space.model.task, Encodes) and labels is None:
        with torch.inference_mode():
            z = space.model.task.encode(targets).float().cpu()
        codes = codes.clone()
        codes[:: options.starts] = space.encode(z)
    return codes, labels, rows


class Descent:
    """Gradient descent of several codes for each image, with the noise maps of a generator that has any.

    In the first half of the steps all starts approach the pixels; the nearest one then follows the whole loss.
    """

    def __init__(
        self, space: LatentSpace, loss: Resemblance, codes: Tensor, labels: Tensor | None, rows: Tensor, seed: int
    ):
        self.space, self.loss, self.rows = space, loss, rows.to(loss.targets.device)
        first, self.labels = on_device(space.model, codes, labels)
        noise = draw_noise(space.model.task.maker, len(codes), seed)
        self.moving = [first, *(maps.to(first.device) for maps in noise)]
        self.means = [torch.zeros_like(x) for x in self.moving]
        self.squares = [torch.zeros_like(x) for x in self.moving]
        self.source = torch.Generator().manual_seed(seed)
        self.scale = float(space.sample(CANDIDATES, 0).std(0).mean())  # the space's standard deviation
        self.lowest = torch.full((len(codes),), math.inf, device=first.device)
        self.best = self.moving

    def run(self, steps: int, progress: Progress | None = None) -> "Descent":
        """Take all steps; `best` is then the code and noise maps of every image."""
        for step in range(steps + 1):
            if step == steps // 2:
                self._narrow()
            done, last = step / max(steps, 1), step == steps
            gradients, losses, images = self._gradients(done, pixels=step < steps // 2, last=last)
            self._remember(losses)
            if progress and step >= steps // 2:
                progress(step, images.clamp(-1, 1).cpu())
            if not last:
                self._move(gradients, step + 1, RATE * ramp(done))
        return self

    def _gradients(self, done: float, *, pixels: bool, last: bool) -> tuple[list[Tensor], Tensor, Tensor]:
        """Gradients of codes and noise maps, the losses (n,) without regularisation, and the images."""
        points = [x.detach().requires_grad_(not last) for x in self.moving]
        codes, noise = points[0], points[1:]
        with torch.set_grad_enabled(not last), fixed_noise(self.space.model.task.maker, noise):
            images = self.space.draw_exactly(codes + self._jitter(codes, done), self.labels)
            losses = self.loss(images, self.rows, pixels=pixels)
            total = losses.sum()
            if self.space.space.encode is None:  # codes are noise, whose numbers have mean square 1
                total = total + PULL * (codes.square().mean(1) - 1).square().sum()
            if noise:
                total = total + NOISE_WEIGHT * noise_penalty(noise).sum()
        gradients = [] if last else list(torch.autograd.grad(total, points))
        return gradients, losses.detach(), images.detach()

    def _jitter(self, codes: Tensor, done: float) -> Tensor | float:
        """Noise on codes that are not noise themselves; it fades, and keeps early steps from a poor minimum."""
        left = 1 - done / JITTER_END
        if self.space.space.encode is None or left <= 0:
            return 0.0
        return torch.randn(codes.shape, generator=self.source).to(codes) * self.scale * JITTER * left**2

    def _move(self, gradients: list[Tensor], count: int, rate: float) -> None:
        """One step of Adam (Kingma and Ba 2015); noise maps are normalised afterwards."""
        for k, gradient in enumerate(gradients):
            self.means[k] = 0.9 * self.means[k] + 0.1 * gradient
            self.squares[k] = 0.999 * self.squares[k] + 0.001 * gradient.square()
            mean, square = self.means[k] / (1 - 0.9**count), self.squares[k] / (1 - 0.999**count)
            unit = 1.0 if k else self.scale
            self.moving[k] = self.moving[k] - rate * unit * mean / (square.sqrt() + 1e-8)
        self.moving = [self.moving[0], *normalise_noise(self.moving[1:])]

    def _remember(self, losses: Tensor) -> None:
        """Keep codes and noise maps where the loss is lower than before."""
        better = losses < self.lowest
        self.lowest = torch.where(better, losses, self.lowest)
        pairs = zip(self.moving, self.best)
        self.best = [torch.where(better.view(-1, *[1] * (new.ndim - 1)), new, old) for new, old in pairs]

    def _narrow(self) -> None:
        """Go on with the start of every image whose loss was the lowest."""
        each = int((self.rows == self.rows[0]).sum())
        first = torch.arange(0, len(self.lowest), each, device=self.lowest.device)
        rows = self.lowest.view(-1, each).argmin(1) + first
        self.moving = self.best = [x[rows] for x in self.best]
        self.means, self.squares = [x[rows] for x in self.means], [x[rows] for x in self.squares]
        self.labels = None if self.labels is None else self.labels[rows]
        self.rows, self.lowest = self.rows[rows], torch.full((len(rows),), math.inf, device=rows.device)


def ramp(done: float) -> float:
    """The rate at a share of the steps: up over the first twentieth, down along a cosine over the last quarter."""
    return min(done / UP + 0.05, 1.0) * (0.5 - 0.5 * math.cos(math.pi * min((1 - done) / DOWN, 1.0)))


def measured(model: "Model", codes: Codes, images: Tensor, space: LatentSpace, seed: int) -> Projection:
    """A projection with PSNR and perceptual distance, also of the best of five random codes for each image."""
    drawn = codes.draw(model)
    near, distance = report_distance(drawn, images)
    randoms = space.draw(space.sample(5, seed), space.labels(range(seed, seed + 5)))
    pairs = [torch.cat([one[None].expand_as(randoms)]) for one in images]
    far = [float(report_distance(randoms, p)[0].min()) for p in pairs]
    levels = [float(decibels(randoms, p).max()) for p in pairs]
    return Projection(codes, drawn, decibels(drawn, images).tolist(), near.tolist(), distance, far, levels)


def decibels(a: Tensor, b: Tensor) -> Tensor:
    """PSNR in dB of images (N, C, H, W) in [-1, 1], rounded to 8 bits, pair by pair: (N,)."""
    x, y = (127.5 * (to_float(to_uint8(images)) + 1) for images in (a, b))
    return psnr(x, y)
