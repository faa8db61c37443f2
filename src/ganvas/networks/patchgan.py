"""PatchGAN: a discriminator of patches (Isola et al. 2017)."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from ..game import BaseDiscriminator, Scores
from .layers import Init, as_size, halvings, initialise
from .norms import ImageNorm, has_shift, image_norm

HALVINGS = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}  # by receptive field
LEAST = 3  # pixels that the last halved map must keep for the two convolutions after it


def receptive_field(layers: Iterable[nn.Module]) -> int:
    """Side of the receptive field of the last map in pixels, from the convolutions' kernels and strides."""
    field = 1
    for layer in reversed([m for m in layers if isinstance(m, nn.Conv2d)]):
        field = (field - 1) * layer.stride[0] + layer.kernel_size[0]
    return field


class Discriminator(BaseDiscriminator):
    """PatchGAN discriminator: images (N, channels, H, W) to `Scores` with a logit per patch, (N, 1, h, w).

    Isola et al. 2017, section 6.1.2: 4x4 convolutions, some of stride 2 and two of stride 1; a receptive field of one
    pixel is two 1x1 convolutions.  Small images get fewer halvings, and so smaller patches.
    """

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        field: Literal[1, 16, 34, 70, 142, 286] = 70,  # side of a patch, in pixels
        width: int = 64,  # channels of the first map; doubled with every layer up to 8 times as many
        norm: ImageNorm = "batch",  # after every layer but the first and the last
        init: Init = "normal",  # initialisation of the weights
    ):
        super().__init__()
        downs = min(HALVINGS[field], max(1, halvings(as_size(resolution), LEAST)))
        widths = [width * min(2**k, 8) for k in range(downs + 1)] if downs else [width, 2 * width]
        self.body = nn.Sequential()
        for k, (i, o) in enumerate(zip([channels, *widths], widths)):
            size, stride, padding = (4, 2 if k < downs else 1, 1) if downs else (1, 1, 0)
            normed = norm if k else "none"
            conv = nn.Conv2d(i, o, size, stride, padding, bias=not has_shift(normed))
            self.body.extend([conv, image_norm(o, normed), nn.LeakyReLU(0.2)])
        size, padding = (4, 1) if downs else (1, 0)
        self.score = nn.Conv2d(widths[-1], 1, size, 1, padding, bias=bool(downs) or not has_shift(norm))
        initialise(self, init)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: the convolutions and what follows them."""
        return [self.body[k : k + 3] for k in range(0, len(self.body), 3)]

    @property
    def receptive_field(self) -> int:
        """Side of the patch that each logit depends on, in pixels."""
        return receptive_field([*self.body, self.score])

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        h = self.body(x)
        return Scores(self.score(h), features=(h, torch.mean(h, (2, 3))))
