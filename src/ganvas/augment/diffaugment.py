"""DiffAugment (Zhao et al. 2020): simple random changes to real and fake images alike, at every look."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..policy import wide
from . import Augment, check_images, column, on_colours, shifted

Change = Literal["color", "translation", "cutout"]


class DiffAugment(Augment):
    """Random colours, shifts and holes in all that the discriminator sees (Zhao et al. 2020).

    Brightness by U(-0.5, 0.5), saturation times U(0, 2), contrast times U(0.5, 1.5); shifts of whole pixels up to an
    eighth of a side, with zeros coming in; a hole of zeros with sides of half the image's, centred anywhere in it.
    Transparency keeps its values under colour, but moves and has holes like the rest.
    """

    def __init__(
        self,
        *,
        policy: list[Change] = ["color", "translation", "cutout"],  # noqa: B006  what is done, in this order
        shift: float = 0.125,  # largest translation, in sides of the image
        hole: float = 0.5,  # side of the hole, in sides of the image
    ):
        super().__init__()
        self.policy = tuple(policy)
        self.shift, self.hole = shift, hole

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, "DiffAugment")
        for name in self.policy:
            images = getattr(self, name)(images)
        return images

    def color(self, images: Tensor) -> Tensor:
        """Brightness, saturation, contrast, in this order."""
        brightness, saturation, contrast = self.draw(torch.rand, images, 3).unbind(1)

        def change(x: Tensor) -> Tensor:
            x = x + column(brightness - 0.5)
            grey = x.mean(1, keepdim=True)
            x = grey + column(2 * saturation) * (x - grey)
            mean = x.mean((1, 2, 3), keepdim=True)
            return mean + column(contrast + 0.5) * (x - mean)

        return on_colours(wide(images), change)

    def translation(self, images: Tensor) -> Tensor:
        """Each image moved by whole pixels, evenly distributed."""
        most = [round(side * self.shift) for side in images.shape[2:]]
        drawn = self.draw(torch.rand, images, 2).unbind(1)
        down, right = ((u * (2 * m + 1)).long() - m for u, m in zip(drawn, most))
        return shifted(images, down, right, outside="zero")

    def cutout(self, images: Tensor) -> Tensor:
        """A rectangle of zeros in each image, cut off where it leaves it."""
        covered = []
        for side, drawn in zip(images.shape[2:], self.draw(torch.rand, images, 2).unbind(1)):
            size = int(side * self.hole + 0.5)
            first = (drawn * (side + 1 - size % 2)).long() - size // 2  # the centre is evenly distributed
            place = torch.arange(side, device=images.device) - first[:, None]  # (N, side)
            covered.append((place >= 0) & (place < size))
        rows, columns = covered
        return images * ~(rows[:, None, :, None] & columns[:, None, None, :])
