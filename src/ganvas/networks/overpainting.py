"""Networks that paint over an image, in one style or in any: what they add is nothing to begin with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from ..errors import UsageError
from ..game import ImageToImage
from .adain import VGG_WIDTHS, mirrored
from .layers import cropped, grown
from .transformer_net import LEAST, Block, Layer

STROKE = 0.1  # of what the last layer makes is added, or the first steps would be large beside the colours


class Overpainting(ImageToImage):
    """Images (N, 1 or 3, H, W) in [-1, 1] to painted ones of the same size, by adding to them.

    The halvings and blocks of Johnson et al. 2016, with three changes that let a training begin with all of the content
    and a small loss, where theirs begins with grey and learns to copy first: the image itself is added at the end, in
    colours that are learnt; larger maps skip the smaller ones (as in a U-Net); the first layer has no instance norm, so
    that what follows it can tell how bright a place is.  Any size: grown by its edge, cropped.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        width: int = 32,  # channels of the largest map; doubled with both halvings
        blocks: int = 5,  # residual blocks
    ):
        super().__init__()
        self.ground = Colours(channels)
        self.first = Layer(channels, width, 5)
        self.inwards = nn.ModuleList(normalised(Layer(k * width, 2 * k * width, 3, 2)) for k in (1, 2))
        self.blocks = nn.Sequential(*(Block(4 * width) for _ in range(blocks)))
        self.outwards = nn.ModuleList(normalised(Layer(2 * k * width, k * width, 3, 1, 2)) for k in (2, 1))
        self.last = Layer(width, channels, 5)
        silenced(self.last.conv2d)

    def forward(self, x: Tensor) -> Tensor:
        h, skipped = relu(self.first(grown(x, 4 if min(x.shape[2:]) >= LEAST else 8))), []
        for layer in self.inwards:
            skipped.append(h)
            h = layer(h)
        h = self.blocks(h)
        for layer in self.outwards:
            h = layer(h) + skipped.pop()
        return self.ground(x) + STROKE * cropped(self.last(h), (x.shape[2], x.shape[3]))


def silenced(conv: nn.Conv2d) -> nn.Conv2d:
    """A convolution that makes nothing until it has learnt."""
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def normalised(layer: Layer) -> nn.Sequential:
    """A layer, instance norm and ReLU: without the norm units die at the rates that suit the blocks."""
    return nn.Sequential(layer, nn.InstanceNorm2d(layer.conv2d.out_channels, affine=True), nn.ReLU())


class Colours(nn.Module):
    """An image (N, C, H, W) in other colours: a linear change, learnt, of its channels.

    They are taken as they are and, to begin with at nothing, without the image's own mean and deviation, by which the
    whole of an image can be made as bright and as coloured as the style.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.mix = nn.Conv2d(2 * channels, channels, 1)
        nn.init.zeros_(self.mix.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.mix.weight.copy_(torch.eye(channels, 2 * channels)[..., None, None])

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.mix(torch.cat([x, self.norm(x)], 1))
        return made


class OverpaintingDecoder(nn.Module):
    """An image (N, channels, H, W) in [-1, 1] and its maps, given a style's statistics, to an image like the first.

    Where `adain.Decoder` makes an image from the deepest map alone and must learn to invert it, this adds to the
    image, whose colours were given the style's as well, and every map goes in at its own size.  Maps are from the
    largest to the deepest, each half the size of the one before it (rounded either way).
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        widths: Sequence[int] = VGG_WIDTHS,  # of the maps from the largest to the deepest
        depth: int = 2,  # convolutions at each of these sizes
    ):
        super().__init__()
        if min(*widths, depth) < 1:
            raise UsageError(f"A decoder needs widths and a depth of at least 1, not {list(widths)} and {depth}.")
        self.stages = nn.ModuleList()  # the smallest first
        for k in reversed(range(len(widths))):
            inputs = widths[k] * (1 if k == len(widths) - 1 else 2) + (0 if k else channels)
            sizes = [inputs, *[widths[k]] * (depth - 1), widths[max(k - 1, 0)]]
            self.stages.append(nn.Sequential(*(painting(i, o) for i, o in zip(sizes, sizes[1:]))))
        self.last = silenced(mirrored(widths[0], channels))

    def forward(self, *maps: Tensor) -> Tensor:
        image, *rest = maps
        rest[0] = torch.cat([rest[0], image], 1)  # so that the last stage knows what it adds to
        h = self.stages[0](rest.pop())
        for stage, beside in zip(list(self.stages)[1:], reversed(rest)):
            h = stage(torch.cat([interpolate(h, size=beside.shape[2:]), beside], 1))
        return image + STROKE * self.last(h)


def painting(inputs: int, outputs: int) -> nn.Sequential:
    """A convolution and a leaky rectifier, whose units cannot die."""
    return nn.Sequential(mirrored(inputs, outputs), nn.LeakyReLU(0.2))
