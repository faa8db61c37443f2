"""Style transfer by optimizing the image itself: its feature maps match the content, its Gram matrices the style.

Gatys et al. 2016, "Image style transfer using convolutional neural networks".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from ..errors import UsageError, did_you_mean
from ..features.gram import Perception, StyleFeatures, mix_styles, total_variation
from ..imaging.resize import resize
from .optimizers import OPTIMIZERS

LARGE = 384  # shorter side from which on an image is optimized at half the size first
FIRST = 0.6  # share of the remaining iterations at each size but the last

Progress = Callable[[int, Tensor], None]  # iterations done, the image (1, C, H, W) after them


@dataclass(frozen=True)
class GatysOptions:
    """Options of style transfer by optimization; raises `UsageError` for values out of range."""

    content_weight: float = 1.0
    style_weight: float = 100.0
    smoothness: float = 0.1  # weight of the total variation
    iterations: int = 300
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    begin: Literal["content", "noise"] = "content"  # initial image
    style_scale: float = 1.0  # longer side of the style images, as a multiple of the content's
    one_size: bool = False  # all iterations at the full size, however large
    seed: int = 0  # of the noise

    def __post_init__(self) -> None:
        for name in ("content_weight", "style_weight", "smoothness"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"{name} must be a number of at least 0, got {getattr(self, name)}.")
        if not 1 <= self.iterations <= 1_000_000:
            raise UsageError(f"iterations must be from 1 to 1,000,000, got {self.iterations}.")
        if not 0.05 <= self.style_scale <= 20:
            raise UsageError(f"style_scale must be from 0.05 to 20, got {self.style_scale}.")
        for name, choices in (("optimizer", tuple(OPTIMIZERS)), ("begin", ("content", "noise"))):
            if getattr(self, name) not in choices:
                near = did_you_mean(str(getattr(self, name)), choices)
                raise UsageError(f"{name} must be {' or '.join(choices)}, got {getattr(self, name)!r}.{near}")


@dataclass
class Result:
    """Optimized image with its final losses."""

    image: Tensor  # (1, C, H, W) in [-1, 1]
    content: float  # losses, unweighted
    style: float
    total: float
    iterations: list[int] = field(default_factory=list)  # at each size


def optimize_image(
    content: Tensor,
    styles: Sequence[Tensor],
    perception: Perception,
    options: GatysOptions = GatysOptions(),
    *,
    shares: Sequence[float] = (),
    progress: Progress | None = None,
) -> Result:
    """Optimize an image (1, C, H, W) in [-1, 1] for its content and styles (1, C, h, w), weighted by `shares`.

    A large image is optimized at half the size first, where strokes can be longer and cost a quarter; the difference
    from the content is then enlarged and added to the content, which keeps its details.  Raises `UsageError` for a
    style smaller than the receptive field of the network.
    """
    for k, style in enumerate(styles, 1):
        perception.check(style, f"Style {k}" if len(styles) > 1 else "The style")
    counts = plan_iterations(options, content)
    change, done = None, 0
    for k, count in enumerate(counts, 1 - len(counts)):
        small = resize_by(content, 2.0**k)
        images = [resize_style(style, content, options.style_scale * 2.0**k, perception) for style in styles]
        with torch.no_grad():
            target = mix_styles([perception(p) for p in images], shares or [1.0] * len(images))
            target = StyleFeatures(perception(small).content, target.style)
        if change is None:
            start = initial_image(small, options)
        else:
            start = small + resize(change, (small.shape[2], small.shape[3]))
        image = _optimize(start, target, perception, options, count, done, progress)
        change, done = image - small, done + count
    with torch.no_grad():
        total, parts = objective(image, target, perception, options)
    if not torch.isfinite(total):
        raise UsageError("The image is no longer finite; give smaller weights.")
    return Result(image.clamp(-1, 1), float(parts[0]), float(parts[1]), float(total), counts)


def plan_iterations(options: GatysOptions, content: Tensor) -> list[int]:
    """Distribute the iterations over the sizes, the smallest first."""
    shorter, left, counts = min(content.shape[2:]), options.iterations, list[int]()
    while not options.one_size and shorter > LARGE * 2 ** len(counts) and left > 1:
        counts.append(max(1, round(FIRST * left)))
        left -= counts[-1]
    return [*counts, left] if left else counts


def initial_image(content: Tensor, options: GatysOptions) -> Tensor:
    """Image before the first iteration: the content or seeded noise."""
    if options.begin == "content":
        return content.clone()
    source = torch.Generator().manual_seed(options.seed)
    return (0.3 * torch.randn(content.shape, generator=source)).to(content)


def resize_by(image: Tensor, factor: float) -> Tensor:
    """Resize an image by a factor, to at least one pixel a side."""
    if factor == 1:
        return image
    return resize(image, (max(1, round(image.shape[2] * factor)), max(1, round(image.shape[3] * factor))))


def resize_style(style: Tensor, content: Tensor, scale: float, perception: Perception) -> Tensor:
    """Shrink a style to a longer side of `scale` times the content's, but not below the receptive field of the network.

    It is never enlarged: that would only blur its strokes.
    """
    least = max(perception.reach[name] for name in perception.style)
    factor = scale * max(content.shape[2:]) / max(style.shape[2:])
    return resize_by(style, min(1.0, max(factor, least / min(style.shape[2:]))))


def objective(
    x: Tensor, target: StyleFeatures, perception: Perception, options: GatysOptions
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Total loss (Gatys et al. 2016, eq. 7, with total variation), and its content and style losses, unweighted."""
    features = perception(x)
    content, style = perception.content_loss(features, target), perception.style_loss(features, target)
    total = options.content_weight * content + options.style_weight * style
    return (total + options.smoothness * total_variation(x) if options.smoothness else total), (content, style)


def _optimize(
    image: Tensor,
    target: StyleFeatures,
    perception: Perception,
    options: GatysOptions,
    count: int,
    done: int,
    progress: Progress | None,
) -> Tensor:
    """Run `count` iterations at one size, after `done` at smaller ones."""
    optimizer = OPTIMIZERS[options.optimizer]()
    for k in range(1, count + 1):
        image.requires_grad_()
        total, _ = objective(image, target, perception, options)
        (gradient,) = torch.autograd.grad(total, image)
        image = image.detach() + optimizer.update(gradient)
        if progress:
            progress(done + k, image)
    return image.detach()
