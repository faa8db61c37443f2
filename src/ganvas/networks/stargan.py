"""StarGAN's networks: one generator for many domains, and a discriminator that classifies them (Choi et al. 2018)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from ..errors import UsageError
from ..game import BaseDiscriminator, Head, Scores
from .cyclegan import Layer
from .layers import Init, as_size, crop_center, halvings, initialise, pad_to_multiple
from .strided_conv import DownConv, UpConv

DEEPEST = 6  # halvings of the published discriminator for 128 pixels


def domain_channels(label: Tensor, classes: int) -> Tensor:
    """The generator's label: one-hot classes (N, classes) float32, or attributes (N, D) unchanged."""
    return one_hot(label, classes).float() if classes else label


def instance_norm(channels: int) -> nn.Module:
    """Instance norm with weights, as in StarGAN's files."""
    return nn.InstanceNorm2d(channels, affine=True)


class Block(nn.Module):
    """Residual block of two 3x3 convolutions: (N, C, H, W) to the same shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = Layer(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), instance_norm(channels))
        self.conv, self.norm = nn.Conv2d(channels, channels, 3, 1, 1, bias=False), instance_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv(self.first(x)))


class Generator(nn.Module):
    """StarGAN's generator: images (N, C, H, W) and target domains to images (N, C, H, W) in [-1, 1] (Choi et al. 2018).

    Table 4 of the paper; the label enters as one constant channel for each domain.  Any size: padded to a multiple
    of 4 by repeating the edge, and cropped.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
        width: int = 64,  # channels of the largest map; doubled with both halvings
        blocks: int = 6,  # residual blocks
        init: Init | None = None,  # initialisation of the weights; none: PyTorch's default, as published
    ):
        super().__init__()
        self.classes = classes
        widths = [width, 2 * width, 4 * width]
        inputs = channels + (classes or attributes)
        self.enter = Layer(nn.Conv2d(inputs, width, 7, 1, 3, bias=False), instance_norm(width))
        self.downs = nn.Sequential(*(Layer(DownConv(i, o), instance_norm(o)) for i, o in zip(widths, widths[1:])))
        self.blocks = nn.Sequential(*(Block(widths[-1]) for _ in range(blocks)))
        self.ups = nn.Sequential(*(Layer(UpConv(i, o), instance_norm(o)) for i, o in zip(widths[::-1], widths[-2::-1])))
        self.leave = nn.Conv2d(width, channels, 7, 1, 3, bias=False)
        initialise(self, init)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        whole = pad_to_multiple(x, 4)
        domains = domain_channels(label, self.classes).to(x.dtype)[:, :, None, None]
        h = self.enter(torch.cat([whole, domains.expand(-1, -1, *whole.shape[2:])], 1))
        h = self.leave(self.ups(self.blocks(self.downs(h))))
        return crop_center(torch.tanh(h), (x.shape[2], x.shape[3]))


class DomainLoss(nn.Module):
    """Domain classification loss: cross entropy for classes, the sum of binary ones for attributes.

    The discriminator minimises it for real images alone (Choi et al. 2018, eq. 2-3).
    """

    learns_fakes = False

    def __init__(self, classes: int):
        super().__init__()
        self.classes = classes

    def loss(self, scores: Scores, label: Tensor) -> dict[str, Tensor]:
        """The classification term for `label`, (N,) int64 or (N, D) float32."""
        assert scores.label_logits is not None
        if self.classes:
            return {"class": cross_entropy(scores.label_logits, label)}
        total = binary_cross_entropy_with_logits(scores.label_logits, label, reduction="sum")
        return {"class": total / len(label)}


class Discriminator(BaseDiscriminator):
    """StarGAN's discriminator: images (N, channels, H, W) to `Scores` with logits of patches and of domains.

    Choi et al. 2018, table 5: 4x4 convolutions of stride 2 without norms, as many as the image allows.
    """

    head: Head

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
        width: int = 64,  # channels of the first map; doubled with every halving
        depth: int = DEEPEST,  # halvings, at most as many as the image allows
        init: Init | None = None,  # initialisation of the weights; none: PyTorch's default, as published
    ):
        super().__init__()
        if not classes and not attributes:
            raise UsageError("StarGAN's discriminator classifies domains, but the data have no labels.")
        size = as_size(resolution)
        depth = min(depth, halvings(size, 1))
        widths = [width << k for k in range(depth)]
        self.body = nn.Sequential()
        for i, o in zip([channels, *widths], widths):
            self.body.extend([DownConv(i, o, bias=True), nn.LeakyReLU(0.01)])
        self.score = nn.Conv2d(widths[-1], 1, 3, 1, 1, bias=False)
        last = (size[0] >> depth, size[1] >> depth)
        self.classify = nn.Conv2d(widths[-1], classes or attributes, last, bias=False)
        self.head = DomainLoss(classes)
        initialise(self, init)

    def stages(self) -> Sequence[nn.Module]:
        """The parts that `freeze_d` counts, from the image on: the convolutions and what follows them."""
        return [self.body[k : k + 2] for k in range(0, len(self.body), 2)]

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        h = self.body(x)
        return Scores(self.score(h), self.classify(h).flatten(1).float(), (h.mean((2, 3)),))
