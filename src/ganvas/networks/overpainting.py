"""Style transfer networks that add to their input: residuals that are zero at initialisation."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from ..errors import UsageError
from ..game import ImageToImage
from .adain import VGG_WIDTHS
from .layers import Init, crop_center, initialise, pad_for_reflection, reflect_conv
from .transformer_net import Block, Layer

STROKE = 0.1  # factor of the residual: at 1 the first steps would be large beside the colours


class ResidualStyleNet(ImageToImage):
    """Residual network of one style: images (N, 1 or 3, H, W) in [-1, 1] to stylized ones (after Johnson et al. 2016).

    Three changes let a training begin with all of the content, where theirs begins with grey and learns to copy first:
    the image is added at the end, in colours that are learnt; larger maps skip the smaller ones (as in a U-Net); the
    first layer has no instance norm, so that brightness is not lost.  Any size: grown by its edge, cropped.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        width: int = 32,  # channels of the largest map; doubled with both halvings
        blocks: int = 5,  # residual blocks
        init: Init | None = None,  # initialisation of the weights; none: as published
    ):
        super().__init__()
        self.ground = Colours(channels)
        self.first = Layer(channels, width, 5)
        self.inwards = nn.ModuleList(with_norm(Layer(k * width, 2 * k * width, 3, 2)) for k in (1, 2))
        self.blocks = nn.Sequential(*(Block(4 * width) for _ in range(blocks)))
        self.outwards = nn.ModuleList(with_norm(Layer(2 * k * width, k * width, 3, 1, 2)) for k in (2, 1))
        self.last = Layer(width, channels, 5)
        for part in (self.first, self.inwards, self.blocks, self.outwards):
            initialise(part, init)
        zero_weights(self.last.conv2d)

    def forward(self, x: Tensor) -> Tensor:
        h, skipped = relu(self.first(pad_for_reflection(x))), []
        for layer in self.inwards:
            skipped.append(h)
            h = layer(h)
        h = self.blocks(h)
        for layer in self.outwards:
            h = layer(h) + skipped.pop()
        return self.ground(x) + STROKE * crop_center(self.last(h), (x.shape[2], x.shape[3]))


def zero_weights(conv: nn.Conv2d) -> nn.Conv2d:
    """Set the weights of a convolution to zero; returns it."""
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def with_norm(layer: Layer) -> nn.Sequential:
    """A layer, instance norm and ReLU: without the norm units die at the blocks' learning rates."""
    return nn.Sequential(layer, nn.InstanceNorm2d(layer.conv2d.out_channels, affine=True), nn.ReLU())


class Colours(nn.Module):
    """A learnt linear map of an image's channels: (N, C, H, W) to the same.

    Its inputs are the channels and, with weights that begin at zero, the channels without their mean and deviation, by
    which a whole image can take the brightness and colours of the style.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.mix = nn.Conv2d(2 * channels, channels, 1)
        nn.init.zeros_(self.mix.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.mix.weight.copy_(torch.eye(channels, 2 * channels)[..., None, None])

    def forward(self, x: Tensor) -> Tensor:
        image: Tensor = self.mix(torch.cat([x, self.norm(x)], 1))
        return image


class ResidualStyleDecoder(nn.Module):
    """Residual AdaIN decoder: an image (N, channels, H, W) in [-1, 1] and its restyled maps to a stylized image.

    `adain.Decoder` must learn to invert the deepest map; this one adds to the image, whose colours have the style's
    statistics too.  Maps are from the largest to the deepest, each half the one before (rounded either way).
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        widths: Sequence[int] = VGG_WIDTHS,  # channels of the maps, from the largest to the deepest
        depth: int = 2,  # convolutions at each of these sizes
        init: Init | None = None,  # initialisation of the weights; none: as published
    ):
        super().__init__()
        if min(*widths, depth) < 1:
            raise UsageError(f"A decoder needs widths and a depth of at least 1, not {list(widths)} and {depth}.")
        self.stages = nn.ModuleList()  # the smallest first
        for k in reversed(range(len(widths))):
            inputs = widths[k] * (1 if k == len(widths) - 1 else 2) + (0 if k else channels)
            sizes = [inputs, *[widths[k]] * (depth - 1), widths[max(k - 1, 0)]]
            # LeakyReLU: its units cannot die
            layers = [nn.Sequential(reflect_conv(i, o), nn.LeakyReLU(0.2)) for i, o in zip(sizes, sizes[1:])]
            self.stages.append(nn.Sequential(*layers))
        initialise(self.stages, init)
        self.last = zero_weights(reflect_conv(widths[0], channels))

    def forward(self, *maps: Tensor) -> Tensor:
        image, *rest = maps
        rest[0] = torch.cat([rest[0], image], 1)  # the last stage sees the image that it adds to
        h = self.stages[0](rest.pop())
        for stage, beside in zip(list(self.stages)[1:], reversed(rest)):
            h = stage(torch.cat([interpolate(h, size=beside.shape[2:]), beside], 1))
        return image + STROKE * self.last(h)
