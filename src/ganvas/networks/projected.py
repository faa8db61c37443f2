"""Projected GAN's discriminator (Sauer et al. 2021): small discriminators on maps of a fixed feature network.

Maps of four scales go through fixed random projections: across channels (CCM, 1x1 convolutions) and across scales
(CSM, from the smallest map up: a random 3x3 convolution after bilinear upsampling).  Only the small discriminators
are trained.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate

from ..features import extractor
from ..game import BaseDiscriminator, Scores
from .fastgan import LAST, leaky
from .layers import Init, as_size, halvings
from .map_logits import MapLogits
from .norms import initialise_normalised, spectral

NetworkName = Literal["pocket", "vgg16", "vgg19", "inception"]
MAPS: dict[str, dict[str, tuple[int, int]]] = {  # four maps of each network: their channels and strides
    "pocket": {"relu1": (24, 1), "relu2": (48, 2), "relu3": (96, 4), "relu4": (192, 8)},
    "vgg16": {"relu2_2": (128, 2), "relu3_3": (256, 4), "relu4_3": (512, 8), "relu5_3": (512, 16)},
    "vgg19": {"relu2_2": (128, 2), "relu3_4": (256, 4), "relu4_4": (512, 8), "relu5_4": (512, 16)},
    "inception": {"64": (64, 4), "192": (192, 8), "768": (768, 16), "2048": (2048, 32)},
}


class FixedConv(nn.Module):
    """A convolution whose random weights are never trained: buffers, saved once with the state."""

    weight: Tensor

    def __init__(self, inputs: int, outputs: int, size: int):
        super().__init__()
        self.register_buffer("weight", nn.init.kaiming_normal_(torch.empty(outputs, inputs, size, size)))

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight.to(x.dtype), padding=self.weight.shape[2] // 2)


class RandomProjections(nn.Module):
    """Fixed random mixing of four maps across channels and scales (Sauer et al. 2021, section 3.2).

    Maps (N, C_k, h_k, w_k), largest first, to maps of w, w, 2w and 4w channels and twice the sides, as the authors'
    code; its 1x1 convolutions in the second mixing are the paper's 3x3 here.
    """

    def __init__(self, channels: list[int], width: int):
        super().__init__()
        mixed = [width << k for k in range(len(channels))]
        self.channels = [max(width, w // 2) for w in mixed]
        self.mix = nn.ModuleList(FixedConv(i, o, 1) for i, o in zip(channels, mixed))
        self.fuse = nn.ModuleList(FixedConv(i, o, 3) for i, o in zip(mixed, self.channels))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        mixed = [mix(h) for mix, h in zip(self.mix, maps)]
        fused: list[Tensor] = []
        for k in reversed(range(len(mixed))):  # from the smallest map up
            h = mixed[k] + fused[0] if fused else mixed[k]
            # the next map's size where there is one: sides of odd maps are not doubled exactly
            size = mixed[k - 1].shape[2:] if k else [2 * side for side in h.shape[2:]]
            fused.insert(0, self.fuse[k](interpolate(h, list(size), mode="bilinear", align_corners=True)))
        return fused


class MapDiscriminator(nn.Module):
    """Logits of a map: it is halved to 7 to 15 pixels a side, then one logit for each 4x4 window."""

    def __init__(self, channels: int, downs: int, max_width: int, classes: int, attributes: int):
        super().__init__()
        widths = [channels, *(max(max_width >> k, 1) for k in reversed(range(downs)))]
        parts: list[nn.Module] = []
        for inputs, outputs in zip(widths, widths[1:]):
            parts += [spectral(nn.Conv2d(inputs, outputs, 4, 2, 1)), nn.BatchNorm2d(outputs), leaky()]
        self.body = nn.Sequential(*parts)
        self.logits = MapLogits(widths[-1], classes=classes, attributes=attributes)

    def forward(self, x: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.logits(h, label), h


class Discriminator(BaseDiscriminator):
    """Projected GAN's discriminator: images (N, 1, 3 or 4, H, W) to `Scores` with logits of windows of four maps.

    Sauer et al. 2021.  The feature network gets grey images in three equal channels and transparent ones on white, so
    that it does not see what is under transparency.  `vgg16`, `vgg19` and `inception` need their file (`ganvas
    weights`); it is read with the first images, and the network is no part of the state: it never changes.  With
    labels the logits are projections.  A Frechet distance of a network that a generator was trained through is no
    measure of it.
    """

    trained_through = "network"  # the option that names a feature network which the generator learns to please

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
        network: NetworkName = "pocket",  # fixed feature network
        smallest: int = 0,  # pixels of the shorter side to which smaller images are enlarged; 0: the network's own
        width: int = 64,  # channels of the mixed maps: this, this, twice and 4 times from the largest map on
        max_width: int = 512,  # channels of a small discriminator's last map; half as many at double the size
        init: Init | None = None,  # initialisation of the small discriminators; none: PyTorch's
    ):
        super().__init__()
        self.network, self.hidden = network, []  # type: ignore[var-annotated]
        self.maps = list(MAPS[network])
        least = smallest or extractor.find_entry(network).size
        shorter = min(as_size(resolution))
        self.scale = max(least / shorter, 1.0)
        widths, strides = zip(*MAPS[network].values())
        self.project = RandomProjections(list(widths), width)
        self.parts = nn.ModuleList()
        for inputs, stride in zip(self.project.channels, strides):
            side = max(2 * int(shorter * self.scale) // stride, LAST - 1)
            downs = halvings((side, side), LAST - 1)
            self.parts.append(MapDiscriminator(inputs, downs, max_width, classes, attributes))
        initialise_normalised(self.parts, init)

    def stages(self) -> list[nn.Module]:
        """The parts that `freeze_d` counts: the small discriminators, that of the largest map first."""
        return list(self.parts)

    def look(self, x: Tensor) -> list[Tensor]:
        """The four maps of images, largest first, with the network loaded on first use."""
        if not self.hidden:
            with torch.random.fork_rng(devices=[]):  # it draws weights before it reads its own
                self.hidden.append(extractor.load_network(self.network).requires_grad_(False))  # no submodule in a list
        images = extractor.rgb(x)
        if self.scale > 1:
            size = [round(side * self.scale) for side in images.shape[2:]]
            images = interpolate(images, size, mode="bilinear", align_corners=False)
        maps = self.hidden[0].to(x.device).maps(images, self.maps)
        return [maps[name] for name in self.maps]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        maps = self.project(self.look(x))
        logits, ends = zip(*(part(h, label) for part, h in zip(self.parts, maps)))
        features = torch.cat([h.mean((2, 3)) for h in ends], 1)
        return Scores(torch.cat(logits, 2), features=(*ends, features))
