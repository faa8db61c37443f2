"""DiffAugment (Zhao et al. 2020): simple random changes of real and generated images alike."""

from typing import Literal

import torch
from torch import Tensor

from ..policy import wide
from . import Augment, check_images, map_colours, per_image, shift

Change = Literal["color", "translation", "cutout"]


class DiffAugment(Augment):
    """Random colour changes, shifts and cutouts of everything the discriminator sees (Zhao et al. 2020).

    Brightness by U(-0.5, 0.5), saturation times U(0, 2), contrast times U(0.5, 1.5); shifts of whole pixels up to an
    eighth of a side, filled with zeros; a cutout of zeros with half the image's sides, centred anywhere in it.
    Transparency keeps its values under `color`; shifts and cutouts move it with the colours.
    """

    def __init__(
        self,
        *,
        policy: list[Change] = ["color", "translation", "cutout"],  # changes, in this order
        shift: float = 0.125,  # largest translation, in sides of the image
        hole: float = 0.5,  # side of the cutout, in sides of the image
    ):
        super().__init__()
        self.policy = tuple(policy)
        self.shift, self.hole = shift, hole

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, "DiffAugment")
        changes = {"color": self.color, "translation": self.translation, "cutout": self.cutout}
        for name in self.policy:
            images = changes[name](images)
        return images

    def color(self, images: Tensor) -> Tensor:
        """Change brightness, saturation and contrast, in this order."""
        brightness, saturation, contrast = self.draw(torch.rand, images, 3).unbind(1)

        def change(x: Tensor) -> Tensor:
            x = x + per_image(brightness - 0.5)
            grey = x.mean(1, keepdim=True)
            x = grey + per_image(2 * saturation) * (x - grey)
            mean = x.mean((1, 2, 3), keepdim=True)
            return mean + per_image(contrast + 0.5) * (x - mean)

        return map_colours(wide(images), change)

    def translation(self, images: Tensor) -> Tensor:
        """Shift each image by whole pixels, uniformly distributed."""
        most = [round(side * self.shift) for side in images.shape[2:]]
        drawn = self.draw(torch.rand, images, 2).unbind(1)
        down, right = ((u * (2 * m + 1)).long() - m for u, m in zip(drawn, most))
        return shift(images, down, right, outside="zero")

    def cutout(self, images: Tensor) -> Tensor:
        """Set a rectangle of each image to zero, clipped at the edges."""
        covered = []
        for side, drawn in zip(images.shape[2:], self.draw(torch.rand, images, 2).unbind(1)):
            size = int(side * self.hole + 0.5)
            first = (drawn * (side + 1 - size % 2)).long() - size // 2  # the centre is uniformly distributed
            place = torch.arange(side, device=images.device) - first[:, None]  # (N, side)
            covered.append((place >= 0) & (place < size))
        rows, columns = covered
        return images * ~(rows[:, None, :, None] & columns[:, None, None, :])
