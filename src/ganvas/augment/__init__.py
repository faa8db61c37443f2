"""What the discriminator is allowed to see; every augmentation is differentiable, twice if need be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..config import Spec
from ..errors import UsageError
from ..game import Progress


class Augment(nn.Module):
    """Nothing at all, and what every augmentation can do."""

    progress = Progress()

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to the same."""
        return images

    def follow(self, progress: Progress) -> None:
        """Hear where the run stands, before the images of a step are seen."""
        self.progress = progress

    def observe(self, real_logits: Tensor) -> None:
        """Hear how the real images of this step were scored."""

    def stats(self) -> dict[str, Tensor]:
        """What is worth logging."""
        return {}

    def draw(self, make: Callable[..., Tensor], images: Tensor, *shape: int) -> Tensor:
        """Random numbers for each image from `make` (torch.rand, torch.randn): (N, *shape), float32.

        Drawn alike on every process for the whole batch, of which each keeps its part.
        """
        return self.progress.mine(make(len(images) * self.progress.world, *shape, device=images.device))


class Chain(Augment):
    """Several augmentations, one after the other."""

    def __init__(self, parts: Sequence[Spec]):
        super().__init__()
        for part in parts:
            if not issubclass(part.target, Augment):
                raise UsageError(
                    f"{part.target.__name__} is not something the discriminator can look through"
                    " (changes to the data are given as --augment or transforms)."
                )
        self.parts = nn.ModuleList(part.build() for part in parts)

    def forward(self, images: Tensor) -> Tensor:
        for part in self.parts:
            images = part(images)
        return images

    def follow(self, progress: Progress) -> None:
        for part in self.parts:
            part.follow(progress)  # type: ignore[operator]

    def observe(self, real_logits: Tensor) -> None:
        for part in self.parts:
            part.observe(real_logits)  # type: ignore[operator]

    def stats(self) -> dict[str, Tensor]:
        return {name: value for part in self.parts for name, value in part.stats().items()}  # type: ignore[operator]


def check_images(images: Tensor, who: str) -> None:
    """Raise `UsageError` for images of one pixel, which stand for points."""
    if images.shape[2] * images.shape[3] == 1:
        raise UsageError(f"{who} changes images, and these data are points; instance_noise works for them.")


def on_colours(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change all channels but transparency."""
    if images.shape[1] != 4:
        return change(images)
    return torch.cat([change(images[:, :3]), images[:, 3:]], 1)


def column(numbers: Tensor) -> Tensor:
    """One number an image, to be used on images: (N,) -> (N, 1, 1, 1)."""
    return numbers.view(-1, 1, 1, 1)


def shifted(images: Tensor, down: Tensor, right: Tensor, outside: str) -> Tensor:
    """Each image moved by whole pixels, (N,) int64 each; what comes in is `zero` or a `reflection` of what is there."""
    for dim, steps in ((2, down), (3, right)):
        size = images.shape[dim]
        index = torch.arange(size, device=images.device) - steps[:, None]  # (N, size): where each pixel comes from
        inside = (index >= 0) & (index < size)
        if outside == "reflection":  # about the edge pixels' centres
            index = (size - 1) - ((size - 1) - index.abs()).abs()
        shape = [len(images), 1, 1, 1]
        shape[dim] = size
        images = images.gather(dim, index.clamp(0, size - 1).view(shape).expand_as(images))
        if outside == "zero":
            images = images * inside.view(shape)
    return images
