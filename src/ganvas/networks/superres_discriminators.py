"""Discriminators of super-resolution: a VGG network with one logit a crop, a U-Net with one a pixel."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Spec
from ..game import BaseDiscriminator, Head, Scores
from .heads import Plain
from .layers import Init, as_size, check_size, halvings, initialise, stages_of
from .norms import spectral


class VGGDiscriminator(BaseDiscriminator):
    """SRGAN's discriminator: crops (N, channels, H, W) to `Scores` (Ledig et al. 2017, figure 4).

    Pairs of convolutions, the second of stride 2, until the shorter side of the map is under 8 pixels: four pairs for
    the paper's crops of 96.  ESRGAN's (Wang et al. 2018) is the same with `kernel=4, hidden=100`.
    """

    head: Head

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        width: int = 64,  # channels of the first maps; doubled with every halving
        max_width: int = 512,  # no map has more channels than this
        kernel: Literal[3, 4] = 3,  # side of the strided convolutions' kernels
        hidden: int = 1024,  # units of the fully connected layer
        norm: Literal["batch", "spectral", "none"] = "batch",  # after every convolution but the first, or of weights
        init: Init | None = None,  # initialisation of the weights; none: PyTorch's default, as published
        head: Spec = Spec(Plain, bias=True),  # last layers: features to `Scores`
    ):
        super().__init__()
        size = as_size(resolution)
        check_size(size, "SRGAN's discriminator needs crops")
        layers: list[nn.Module] = []
        inputs = channels
        for k in range(halvings(size)):
            outputs = min(width << k, max_width)
            for stride in (1, 2):
                normed = norm == "batch" and bool(layers)
                side = kernel if stride == 2 else 3
                layers.append(nn.Conv2d(inputs, outputs, side, stride, 1, bias=not normed))
                layers += [nn.BatchNorm2d(outputs)] if normed else []
                layers.append(nn.LeakyReLU(0.2, inplace=True))
                inputs = outputs
            size = tuple((side - kernel + 2) // 2 + 1 for side in size)  # type: ignore[assignment]
        self.body = nn.Sequential(*layers)
        self.hidden = nn.Sequential(nn.Linear(inputs * size[0] * size[1], hidden), nn.LeakyReLU(0.2, inplace=True))
        self.head = head.build(features=hidden)
        initialise(self, init)
        if norm == "spectral":
            spectral(self)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: a convolution and what follows it."""
        return stages_of(self.body)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        h = self.hidden(self.body(x).flatten(1))  # (N, hidden)
        return self.head(h, label)


class UNetDiscriminator(BaseDiscriminator):
    """Real-ESRGAN's U-Net discriminator: images of any size to `Scores` with a logit a pixel (Wang et al. 2021, 3.4).

    Images (N, channels, H, W) to `Scores` with logits (N, 1, H, W).  A U-Net with three halvings and skips that are
    added; every convolution but the first and the last has spectral norm and no bias.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        width: int = 64,  # channels of the first map; doubled with every halving
        skip: bool = True,  # add the encoder's maps to the decoder's
        init: Init | None = None,  # initialisation of the weights; none: as published
    ):
        super().__init__()
        w, self.skip = width, skip
        self.conv0 = nn.Conv2d(channels, w, 3, padding=1)
        down = nn.ModuleList(nn.Conv2d(w << k, w << k + 1, 4, 2, 1, bias=False) for k in range(3))
        self.down = spectral(initialise(down, init))
        up = nn.ModuleList(nn.Conv2d(w << k + 1, w << k, 3, padding=1, bias=False) for k in (2, 1, 0))
        self.up = spectral(initialise(up, init))
        after = nn.ModuleList(nn.Conv2d(w, w, 3, padding=1, bias=False) for _ in range(2))
        self.after = spectral(initialise(after, init))
        self.conv9 = nn.Conv2d(w, 1, 3, padding=1)
        initialise(self.conv0, init)
        initialise(self.conv9, init)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: the encoder's convolutions."""
        return [self.conv0, *self.down]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        check_size((x.shape[2], x.shape[3]), "The U-Net discriminator needs images")
        maps = [F.leaky_relu(self.conv0(x), 0.2)]  # (N, width, H, W)
        for conv in self.down:
            maps.append(F.leaky_relu(conv(maps[-1]), 0.2))
        features = h = maps.pop()  # (N, 8 width, H / 8, W / 8)
        for conv in self.up:
            before = maps.pop()
            h = F.interpolate(h, size=before.shape[2:], mode="bilinear", align_corners=False)
            h = F.leaky_relu(conv(h), 0.2)
            h = h + before if self.skip else h
        for conv in self.after:
            h = F.leaky_relu(conv(h), 0.2)
        return Scores(self.conv9(h), features=(features, features.mean((2, 3))))
