"""pix2pix's U-Net generator (Isola et al. 2017): an encoder and a decoder with skip connections."""

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from ..game import ImageToImage
from .layers import Init, as_size, crop_center, halvings, initialise, pad_to_multiple
from .norms import ImageNorm, has_shift, image_norm
from .strided_conv import DownConv, UpConv

DEEPEST = 8  # halvings of the published network for 256 pixels
FURTHER = 4  # doublings of the number of channels, at most


class Generator(ImageToImage):
    """pix2pix's U-Net: images (N, source_channels, H, W) to images (N, channels, H, W) in [-1, 1] (Isola et al. 2017).

    Section 6.1.1: 4x4 convolutions of stride 2 and their transposes; dropout, its only noise, in the upward layers of
    full width but the innermost.  Any size: padded by repeating the edge, and cropped.
    """

    def __init__(
        self,
        *,
        resolution: int | tuple[int, int],
        channels: int = 3,
        source_channels: int = 0,
        width: int = 64,  # channels of the first map; doubled with every halving up to 8 times as many
        depth: int = 0,  # halvings; 0: down to a single pixel, at most 8
        norm: ImageNorm = "batch",  # in evaluation, batch: statistics of each image; batch_running: of training
        dropout: float = 0.5,  # share of a map dropped in training
        init: Init = "normal",  # initialisation of the weights
    ):
        super().__init__()
        depth = depth or max(2, min(halvings(as_size(resolution), 1), DEEPEST))
        widths = [width * min(2**k, 2 ** (FURTHER - 1)) for k in range(depth)]
        outer = [source_channels or channels, *widths[:-1]]
        bias = not has_shift(norm)
        self.multiple, self.norm = 2**depth, norm
        self.downs = nn.ModuleList(DownConv(i, o, bias=bias) for i, o in zip(outer, widths))
        self.down_norms = nn.ModuleList(
            image_norm(o, norm if 0 < k < depth - 1 else "none") for k, o in enumerate(widths)
        )
        outputs = [channels, *widths[:-1]]
        doubled = [2 * w for w in widths[:-1]] + widths[-1:]
        self.ups = nn.ModuleList(UpConv(i, o, bias=bias or not k) for k, (i, o) in enumerate(zip(doubled, outputs)))
        self.up_norms = nn.ModuleList(image_norm(o, norm if k else "none") for k, o in enumerate(outputs))
        wide = [o == widths[k] == widths[-1] and 0 < k < depth - 1 for k, o in enumerate(outputs)]
        self.dropouts = nn.ModuleList(nn.Dropout(dropout) if w and dropout else nn.Identity() for w in wide)
        initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        size, h, across = x.shape[2:], pad_to_multiple(x, self.multiple), []
        for k, (down, norm) in enumerate(zip(self.downs, self.down_norms)):
            h = norm(down(leaky_relu(h, 0.2) if k else h))
            across.append(h)
        across.pop()
        for up, norm, dropout in zip(self.ups[::-1], self.up_norms[::-1], self.dropouts[::-1]):
            h = dropout(norm(up(relu(h))))
            h = torch.cat([across.pop(), h], 1) if across else h
        return crop_center(torch.tanh(h), (size[0], size[1]))
