"""CycleGAN's generator (Zhu et al. 2017): two downsamplings, residual blocks at the smaller size, two upsamplings."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ..game import ImageToImage
from .layers import Init, crop_center, initialise, pad_for_reflection, reflect_conv
from .norms import ImageNorm, has_shift, image_norm
from .strided_conv import UpsampleConv

HALVED = 2  # times


class Layer(nn.Module):
    """A convolution, a norm and ReLU."""

    def __init__(self, conv: nn.Module, norm: nn.Module):
        super().__init__()
        self.conv, self.norm = conv, norm

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.norm(self.conv(x)), inplace=True)


class Block(nn.Module):
    """Residual block of two 3x3 convolutions, no activation after the sum: (N, C, H, W) to the same shape."""

    def __init__(self, channels: int, norm: ImageNorm, dropout: float):
        super().__init__()
        self.conv1, self.conv2 = (reflect_conv(channels, channels, 3, bias=not has_shift(norm)) for _ in "12")
        self.norm1, self.norm2 = (image_norm(channels, norm) for _ in "12")
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.dropout(relu(self.norm1(self.conv1(x)), inplace=True))
        return x + self.norm2(self.conv2(h))


class Generator(ImageToImage):
    """CycleGAN's generator: images (N, source_channels, H, W) to (N, channels, H, W) in [-1, 1] (Zhu et al. 2017).

    Appendix 7.2, after Johnson et al. 2016: 9 blocks from 256 pixels on, 6 below.  Any size: padded to a multiple of 4
    by repeating the edge, and cropped.  `up=resize` is nearest upsampling and a 3x3 convolution, without checkerboards.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        source_channels: int = 0,
        width: int = 64,  # channels of the largest map; doubled with both halvings
        blocks: int = 9,  # residual blocks
        up: Literal["transposed", "resize"] = "transposed",  # upsampling of maps
        norm: ImageNorm = "instance",  # in evaluation, batch: statistics of each image; batch_running: of training
        dropout: float = 0.0,  # share of a map dropped inside the blocks in training
        init: Init = "normal",  # initialisation of the weights
    ):
        super().__init__()
        self.norm = norm
        bias, widths = not has_shift(norm), [width << k for k in range(HALVED + 1)]
        down = [nn.Conv2d(i, o, 3, 2, 1, bias=bias) for i, o in zip(widths, widths[1:])]
        back = list(zip(widths[::-1], widths[-2::-1]))
        doubling: list[nn.Module] = [nn.ConvTranspose2d(i, o, 3, 2, 1, 1, bias=bias) for i, o in back]
        if up == "resize":
            doubling = [UpsampleConv(i, o, bias=bias) for i, o in back]
        self.enter = Layer(reflect_conv(source_channels or channels, width, 7, bias), image_norm(width, norm))
        self.downs = nn.Sequential(*(Layer(conv, image_norm(o, norm)) for conv, o in zip(down, widths[1:])))
        self.blocks = nn.Sequential(*(Block(widths[-1], norm, dropout) for _ in range(blocks)))
        self.ups = nn.Sequential(*(Layer(conv, image_norm(o, norm)) for conv, (_, o) in zip(doubling, back)))
        self.leave = reflect_conv(width, channels, 7)
        initialise(self, init)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The encoder's maps that CUT compares: image, both halvings before their norm, 1st and middle block.

        Park et al. 2020 take layers 0, 4, 8, 12 and 16 of the same network: of 9 blocks, the 1st and the 5th.
        """
        maps = [pad_for_reflection(x)]
        h = self.enter(maps[0])
        for layer in self.downs:
            maps.append(layer.conv(h))  # type: ignore[operator]
            h = relu(layer.norm(maps[-1]))  # type: ignore[operator]
        middle = len(self.blocks) // 2
        for k in range(middle + 1):
            h = self.blocks[k](h)
            maps += [h] if k in (0, middle) else []
        return maps

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(pad_for_reflection(x))
        h = self.leave(self.ups(self.blocks(self.downs(h))))
        return crop_center(torch.tanh(h), (x.shape[2], x.shape[3]))
