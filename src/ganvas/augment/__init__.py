"""What the discriminator is allowed to see; every augmentation is differentiable."""

from __future__ import annotations

from torch import Tensor, nn


class Augment(nn.Module):
    """Nothing at all, and what every augmentation can do."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to the same."""
        return images

    def observe(self, real_logits: Tensor) -> None:
        """Hear how the real images of this step were scored."""
