"""Autoencoder discriminators, whose reconstruction error is the energy of an image: EBGAN's and BEGAN's."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..game import BaseDiscriminator, Scores
from .label_inputs import LabelledGenerator
from .layers import Init, as_size, check_size, crop_center, halvings, initialise, pad_evenly, stages_of
from .strided_conv import DownConv, UpConv


def plan(resolution: tuple[int, int], depth: int, width: int, max_width: int) -> tuple[list[int], tuple[int, int]]:
    """Channels of the maps from the image inwards, and the innermost map's (height, width), rounded up."""
    check_size(resolution, "An autoencoder needs images")
    stages = min(depth, halvings(resolution)) if depth else halvings(resolution)
    height, wide = (-(-side // 2**stages) for side in resolution)
    return [min(width << k, max_width) for k in range(stages)], (height, wide)


class Bias(nn.Module):
    """A learnt bias for each channel, which `UpConv` lacks."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias[:, None, None].to(x.dtype)


def build_decoder(widths: list[int], channels: int, batch_norm: bool) -> nn.Sequential:
    """Layers from the innermost map to an image before its tanh, each doubling the size."""
    layers: list[nn.Module] = []
    for wide, narrow in zip(reversed(widths), reversed(widths[:-1])):
        layers += [UpConv(wide, narrow), nn.BatchNorm2d(narrow) if batch_norm else Bias(narrow), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, UpConv(widths[0], channels), Bias(channels))


class Decoder(LabelledGenerator):
    """BEGAN's generator: noise (N, latent) to images (N, channels, H, W) in [-1, 1] (Berthelot et al. 2017).

    The architecture of its discriminator's decoder, with strided convolutions instead of 3x3 ones between upsamplings.
    """

    def __init__(
        self,
        *,
        latent: int = 64,  # size of the noise
        width: int = 64,  # channels of the last hidden map; doubled with every halving
        max_width: int = 512,  # no map has more channels than this
        depth: int = 3,  # doublings, at most as many as the image allows
        batch_norm: bool = False,  # after every layer but the last
        init: Init = "kaiming",  # initialisation of the weights
        **base: Any,
    ):
        super().__init__(latent=latent, **base)
        widths, self.base = plan(self.resolution, depth, width, max_width)
        self.project = nn.Linear(self.inputs, widths[-1] * self.base[0] * self.base[1])
        self.body = build_decoder(widths, self.channels, batch_norm)
        initialise(self, init)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        h = self.project(self.join(z, label)).view(z.shape[0], *self.base, -1).permute(0, 3, 1, 2)  # (N, C, h, w)
        return crop_center(torch.tanh(self.body(h)), self.resolution)


class Autoencoder(BaseDiscriminator):
    """Autoencoder discriminator: images (N, channels, H, W) to `Scores` whose logits are reconstruction errors.

    Zhao et al. 2017 (EBGAN: squared error, a code that is a map, batch norm) and Berthelot et al. 2017 (BEGAN: absolute
    error, `code=64`, no batch norm).  The error is a mean over pixels and channels, (N, 1) float32: low for real
    images, for which other discriminators' logits are high.  `features` is the code alone, (N, F).
    """

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        error: Literal["squared", "absolute"] = "squared",  # error of a pixel
        code: int = 0,  # size of a fully connected code; 0: the innermost map itself
        width: int = 64,  # channels of the first map; doubled with every halving
        max_width: int = 512,  # no map has more channels than this
        depth: int = 3,  # halvings, at most as many as the image allows
        batch_norm: bool = True,  # after every layer but the first and the last
        init: Init = "kaiming",  # initialisation of the weights
    ):
        super().__init__()
        self.resolution, self.error = as_size(resolution), error
        widths, self.base = plan(self.resolution, depth, width, max_width)
        layers: list[nn.Module] = []
        for k, (i, o) in enumerate(zip([channels, *widths], widths)):
            norm = [nn.BatchNorm2d(o)] if batch_norm and k else []
            layers += [DownConv(i, o, bias=not norm), *norm, nn.LeakyReLU(0.2)]
        self.encoder = nn.Sequential(*layers)
        inner = widths[-1] * self.base[0] * self.base[1]
        self.squeeze = nn.Linear(inner, code) if code else nn.Identity()
        self.stretch = nn.Linear(code, inner) if code else nn.Identity()
        self.decoder = build_decoder(widths, channels, batch_norm)
        initialise(self, init)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: the encoder's convolutions and what follows them."""
        return stages_of(self.encoder)

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The reconstructed images and their codes (N, F)."""
        h = self.encoder(self._padded(x)).permute(0, 2, 3, 1)  # (N, h, w, C)
        code = self.squeeze(h.flatten(1))
        inner = self.stretch(code).view(h.shape).permute(0, 3, 1, 2)
        return crop_center(torch.tanh(self.decoder(inner)), self.resolution), code

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        reconstruction, code = self.reconstruct(x)
        gap = reconstruction.float() - x.float()
        error = gap.square() if self.error == "squared" else gap.abs()
        return Scores(error.flatten(1).mean(1, keepdim=True), features=(code,))

    def _padded(self, x: Tensor) -> Tensor:
        """Images replicate-padded evenly to a size that every stage halves exactly."""
        halved = 2 ** len(self.stages())
        return pad_evenly(x, [side * halved - have for side, have in zip(self.base, x.shape[2:])])
