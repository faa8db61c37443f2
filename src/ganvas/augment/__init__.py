"""Augmentations of everything the discriminator sees, differentiable twice (for gradient penalties)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..config import Spec
from ..errors import UsageError
from ..game import Progress


class Augment(nn.Module):
    """Base class of augmentations; by itself it changes nothing."""

    progress = Progress()

    def forward(self, images: Tensor) -> Tensor:
        """Augment images (N, C, H, W) in [-1, 1]; shape is kept."""
        return images

    def follow(self, progress: Progress) -> None:
        """Set the progress of the run; called before each step."""
        self.progress = progress

    def observe(self, real_logits: Tensor) -> None:
        """Take note of the logits of the real images of this step."""

    def stats(self) -> dict[str, Tensor]:
        """Statistics for the log, by name."""
        return {}

    def draw(self, make: Callable[..., Tensor], images: Tensor, *shape: int) -> Tensor:
        """Draw random numbers (N, *shape) float32 for the images with `make`, torch.rand or torch.randn.

        Every process draws the numbers of the whole batch and keeps its part.
        """
        return self.progress.mine(make(len(images) * self.progress.world, *shape, device=images.device))


class Chain(Augment):
    """Several augmentations, applied in order."""

    def __init__(self, parts: Sequence[Spec]):
        super().__init__()
        for part in parts:
            if not issubclass(part.target, Augment):
                raise UsageError(
                    f"{part.target.__name__} is no augmentation of what the discriminator sees"
                    " (transforms of the data are given as --augment or transforms)."
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
    """Raise `UsageError` for images of one pixel, which are points."""
    if images.shape[2] * images.shape[3] == 1:
        raise UsageError(f"{who} changes images, and these data are points; instance_noise works for them.")


def map_colours(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `change` to all channels but transparency."""
    if images.shape[1] != 4:
        return change(images)
    return torch.cat([change(images[:, :3]), images[:, 3:]], 1)


def per_image(numbers: Tensor) -> Tensor:
    """Reshape one number per image, (N,), to (N, 1, 1, 1)."""
    return numbers.view(-1, 1, 1, 1)


def shift(images: Tensor, down: Tensor, right: Tensor, outside: str) -> Tensor:
    """Shift each image by whole pixels, (N,) int64 down and right; `outside` is filled with `zero` or `reflection`."""
    for dim, steps in ((2, down), (3, right)):
        size = images.shape[dim]
        index = torch.arange(size, device=images.device) - steps[:, None]  # (N, size): source of each pixel
        inside = (index >= 0) & (index < size)
        if outside == "reflection":  # about the edge pixels' centres
            index = (size - 1) - ((size - 1) - index.abs()).abs()
        shape = [len(images), 1, 1, 1]
        shape[dim] = size
        images = images.gather(dim, index.clamp(0, size - 1).view(shape).expand_as(images))
        if outside == "zero":
            images = images * inside.view(shape)
    return images
