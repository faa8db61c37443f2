"""What the discriminator is allowed to see; every augmentation is differentiable."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..config import Spec
from ..game import Progress


class Augment(nn.Module):
    """Nothing at all, and what every augmentation can do."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to the same."""
        return images

    def follow(self, progress: Progress) -> None:
        """Hear where the run stands, before the images of a step are seen."""

    def observe(self, real_logits: Tensor) -> None:
        """Hear how the real images of this step were scored."""


class Chain(Augment):
    """Several augmentations, one after the other."""

    def __init__(self, parts: Sequence[Spec]):
        super().__init__()
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
