"""Gaussian noise on everything the discriminator sees."""

import torch
from torch import Tensor

from ..config import Spec
from ..errors import UsageError
from ..policy import wide
from ..schedule import Anneal, as_schedule
from . import Augment


class InstanceNoise(Augment):
    """Gaussian noise on real and generated images, annealed to zero (Arjovsky and Bottou 2017; Sønderby et al. 2017).

    Works for points, too.
    """

    def __init__(
        self,
        *,
        sigma: float | Spec = Spec(Anneal, start=0.1, end=0.0),  # standard deviation, or a schedule of it
    ):
        super().__init__()
        if isinstance(sigma, int | float) and sigma < 0:
            raise UsageError(f"sigma is a standard deviation, at least 0, got {sigma:g}.")
        self.sigma = as_schedule(sigma)

    def forward(self, images: Tensor) -> Tensor:
        sigma = self.sigma(self.progress.fraction)
        if not sigma:
            return images
        return wide(images) + sigma * self.draw(torch.randn, images, *images.shape[1:])
