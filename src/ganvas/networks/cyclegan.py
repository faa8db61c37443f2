"""The residual network from images to images: a few halvings, many blocks at the smaller size, and back."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ..game import ImageToImage
from .layers import Init, cropped, grown, initialise
from .norms import ImageNorm, by_image
from .strided_conv import UpsampleConv

HALVED = 2  # times
LEAST = 5  # a side of fewer pixels is grown to 8, as reflecting needs two pixels after two halvings


class Layer(nn.Module):
    """A convolution, a norm and a rectifier."""

    def __init__(self, conv: nn.Module, norm: nn.Module):
        super().__init__()
        self.conv, self.norm = conv, norm

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.norm(self.conv(x)), inplace=True)


class Block(nn.Module):
    """Two 3x3 convolutions added to what they were given: (N, C, H, W) to the same; nothing after the sum."""

    def __init__(self, channels: int, norm: ImageNorm, dropout: float):
        super().__init__()
        self.conv1, self.conv2 = (reflecting(channels, channels, 3, bias=norm != "batch") for _ in "12")
        self.norm1, self.norm2 = (by_image(channels, norm) for _ in "12")
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.dropout(relu(self.norm1(self.conv1(x)), inplace=True))
        return x + self.norm2(self.conv2(h))


def reflecting(inputs: int, outputs: int, size: int, bias: bool = True) -> nn.Conv2d:
    """A convolution that sees the image mirrored beyond its edges."""
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, padding_mode="reflect", bias=bias)


class Generator(ImageToImage):
    """Images (N, source_channels, H, W) to images (N, channels, H, W) in [-1, 1] (Zhu et al. 2017, appendix 7.2).

    CycleGAN's network, after Johnson et al. 2016: 9 blocks from 256 pixels on, 6 below.  Any size: grown by its edge to
    a multiple of 4, and cropped.  `up=resize` repeats pixels before a 3x3 convolution, which leaves no checkerboard.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        source_channels: int = 0,
        width: int = 64,  # channels of the largest map; doubled with both halvings
        blocks: int = 9,  # residual blocks
        up: Literal["transposed", "resize"] = "transposed",  # how maps are doubled
        norm: ImageNorm = "instance",  # what follows the convolutions; by each image alone when in use
        dropout: float = 0.0,  # share of a map that is dropped inside the blocks while training
        init: Init = "normal",  # how the weights begin
    ):
        super().__init__()
        bias, widths = norm != "batch", [width << k for k in range(HALVED + 1)]
        down = [nn.Conv2d(i, o, 3, 2, 1, bias=bias) for i, o in zip(widths, widths[1:])]
        back = list(zip(widths[::-1], widths[-2::-1]))
        doubling: list[nn.Module] = [nn.ConvTranspose2d(i, o, 3, 2, 1, 1, bias=bias) for i, o in back]
        if up == "resize":
            doubling = [UpsampleConv(i, o, bias=bias) for i, o in back]
        self.enter = Layer(reflecting(source_channels or channels, width, 7, bias), by_image(width, norm))
        self.downs = nn.Sequential(*(Layer(conv, by_image(o, norm)) for conv, o in zip(down, widths[1:])))
        self.blocks = nn.Sequential(*(Block(widths[-1], norm, dropout) for _ in range(blocks)))
        self.ups = nn.Sequential(*(Layer(conv, by_image(o, norm)) for conv, (_, o) in zip(doubling, back)))
        self.leave = reflecting(width, channels, 7)
        initialise(self, init)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The encoder's maps that CUT compares: image, both halvings before their norm, 1st and middle block.

        Park et al. 2020 take layers 0, 4, 8, 12 and 16 of the same network: of 9 blocks, the 1st and the 5th.
        """
        x = grown(x, 4 if min(x.shape[2:]) >= LEAST else 8)
        h, maps = self.enter(x), [x]
        for layer in self.downs:
            maps.append(layer.conv(h))  # type: ignore[operator]
            h = relu(layer.norm(maps[-1]))  # type: ignore[operator]
        middle = len(self.blocks) // 2
        for k in range(middle + 1):
            h = self.blocks[k](h)
            maps += [h] if k in (0, middle) else []
        return maps

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(grown(x, 4 if min(x.shape[2:]) >= LEAST else 8))
        h = self.leave(self.ups(self.blocks(self.downs(h))))
        return cropped(torch.tanh(h), (x.shape[2], x.shape[3]))
