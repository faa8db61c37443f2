"""Style transfer by changing the image itself until its maps show the content and its Gram matrices the style.

Gatys et al. 2016, "Image style transfer using convolutional neural networks".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from ..errors import UsageError, did_you_mean
from ..features.gram import Perception, Seen, mixed, total_variation
from ..imaging.resize import resize
from .optimizers import WAYS

LARGE = 384  # shorter side from which on an image is painted at half the size first
FIRST = 0.6  # share of the iterations that are left, at each size but the last

Told = Callable[[int, Tensor], None]  # iterations done, the image (1, C, H, W) as it is now
Begin = Literal["content", "noise"]
Optimizer = Literal["lbfgs", "adam"]


@dataclass(frozen=True)
class Painting:
    """How an image is painted; raises `UsageError` for what cannot be."""

    content_weight: float = 1.0
    style_weight: float = 100.0
    smoothness: float = 0.1  # weight of the total variation
    iterations: int = 300
    optimizer: Optimizer = "lbfgs"
    begin: Begin = "content"
    style_scale: float = 1.0  # longer side of the style's images, in those of the content
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
        for name, known in (("optimizer", tuple(WAYS)), ("begin", ("content", "noise"))):
            if getattr(self, name) not in known:
                near = did_you_mean(str(getattr(self, name)), known)
                raise UsageError(f"{name} is {' or '.join(known)}, not {getattr(self, name)!r}.{near}")


@dataclass
class Result:
    """An image and how far it came."""

    image: Tensor  # (1, C, H, W) in [-1, 1]
    content: float  # its losses, unweighted
    style: float
    total: float
    iterations: list[int] = field(default_factory=list)  # at each size


def paint(
    content: Tensor,
    styles: Sequence[Tensor],
    perception: Perception,
    painting: Painting | None = None,
    *,
    shares: Sequence[float] = (),
    tell: Told | None = None,
) -> Result:
    """An image (1, C, H, W) in [-1, 1] painted as the styles, each (1, C, h, w), are; `shares` weighs them.

    A large one is painted at half the size first, where strokes can be longer and cost a quarter; what changed there is
    then added to the content at twice the size, which keeps its details.  Raises `UsageError` for a style smaller than
    what the network looks at.
    """
    how = painting or Painting()
    for k, style in enumerate(styles, 1):
        perception.check(style, f"Style {k}" if len(styles) > 1 else "The style")
    counts = planned(how, content)
    change: Tensor | None = None
    done = 0
    for k, count in enumerate(counts, 1 - len(counts)):
        wanted = scaled(content, 2.0**k)
        images = [at_scale(style, content, how.style_scale * 2.0**k, perception) for style in styles]
        with torch.no_grad():
            target = mixed([perception(p) for p in images], shares or [1.0] * len(images))
            target = Seen(perception(wanted).content, target.style)
        start = begun(wanted, how) if change is None else wanted + resize(change, (wanted.shape[2], wanted.shape[3]))
        image = _stage(start, target, perception, how, count, done, tell)
        change, done = image - wanted, done + count
    with torch.no_grad():
        total, parts = judged(image, target, perception, how)
    if not torch.isfinite(total):
        raise UsageError("The image is no numbers any more; give weights that are not so large.")
    return Result(image.clamp(-1, 1), float(parts[0]), float(parts[1]), float(total), counts)


def planned(how: Painting, content: Tensor) -> list[int]:
    """Iterations at each size, the smallest first."""
    shorter, left, counts = min(content.shape[2:]), how.iterations, list[int]()
    while not how.one_size and shorter > LARGE * 2 ** len(counts) and left > 1:
        counts.append(max(1, round(FIRST * left)))
        left -= counts[-1]
    return [*counts, left] if left else counts


def begun(content: Tensor, how: Painting) -> Tensor:
    """What the first iteration changes."""
    if how.begin == "content":
        return content.clone()
    source = torch.Generator().manual_seed(how.seed)
    return (0.3 * torch.randn(content.shape, generator=source)).to(content)


def scaled(image: Tensor, factor: float) -> Tensor:
    """An image so many times as large, a pixel at least."""
    if factor == 1:
        return image
    return resize(image, (max(1, round(image.shape[2] * factor)), max(1, round(image.shape[3] * factor))))


def at_scale(style: Tensor, content: Tensor, scale: float, perception: Perception) -> Tensor:
    """A style whose longer side is so many times the content's, but no smaller than what the network looks at.

    It is never enlarged: that would only blur its strokes.
    """
    least = max(perception.reach[name] for name in perception.style)
    factor = scale * max(content.shape[2:]) / max(style.shape[2:])
    return scaled(style, min(1.0, max(factor, least / min(style.shape[2:]))))


def judged(x: Tensor, target: Seen, perception: Perception, how: Painting) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The objective (Gatys et al. 2016, eq. 7, with total variation), and its content and style."""
    seen = perception(x)
    content, style = perception.content_loss(seen, target), perception.style_loss(seen, target)
    total = how.content_weight * content + how.style_weight * style
    return (total + how.smoothness * total_variation(x) if how.smoothness else total), (content, style)


def _stage(
    image: Tensor, target: Seen, perception: Perception, how: Painting, count: int, done: int, tell: Told | None
) -> Tensor:
    """So many iterations at one size."""
    way = WAYS[how.optimizer]()
    for k in range(1, count + 1):
        image.requires_grad_()
        total, _ = judged(image, target, perception, how)
        (gradient,) = torch.autograd.grad(total, image)
        image = image.detach() + way.change(gradient)
        if tell:
            tell(done + k, image)
    return image.detach()
