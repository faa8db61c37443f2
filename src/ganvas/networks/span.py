"""SPAN, a fast network of plain convolutions and attention without weights (Wan et al. 2024).

Names of weights are those of its published files.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..game import ImageToImage
from .layers import Init, initialise, to_float32
from .superres_base import from_unit, to_unit, upsampling_steps

MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K's colours, in [0, 1]
RANGE = 255.0  # the published network subtracts the mean and works in [-255, 255]
BLOCKS = 6


class Conv3XC(nn.Module):
    """A 3x3 convolution as the sum of a 1x1 one and a chain 1x1, 3x3, 1x1 that is `gain` times as wide.

    All branches are linear, so they are one convolution (figure 4 of the paper), which is what is computed, with
    gradients to every branch.  Published files also hold it, as `eval_conv`: here a buffer, written for other tools.
    """

    def __init__(self, inputs: int, outputs: int, gain: int = 2):
        super().__init__()
        self.sk = nn.Conv2d(inputs, outputs, 1)
        wide_in, wide_out = inputs * gain, outputs * gain
        self.conv = nn.Sequential(nn.Conv2d(inputs, wide_in, 1), nn.Conv2d(wide_in, wide_out, 3))
        self.conv.append(nn.Conv2d(wide_out, outputs, 1))
        self.eval_conv = nn.Module()
        self.eval_conv.register_buffer("weight", torch.zeros(outputs, inputs, 3, 3))
        self.eval_conv.register_buffer("bias", torch.zeros(outputs))

    def merged(self) -> tuple[Tensor, Tensor]:
        """Weight (outputs, inputs, 3, 3) and bias of the convolution that equals all branches."""
        (first, first_bias), (middle, middle_bias), (last, last_bias), (direct, direct_bias) = (
            (to_float32(layer.weight), to_float32(layer.bias)) for layer in (*self.conv, self.sk)
        )
        narrow, outputs, inputs = last[:, :, 0, 0], len(last), first.shape[1]  # (outputs, wide_out)
        taps = middle.permute(0, 2, 3, 1).flatten(0, 2) @ first[:, :, 0, 0]  # (9 wide_out, inputs)
        maps = (narrow @ taps.view(len(middle), -1)).view(outputs, 3, 3, inputs).permute(0, 3, 1, 2)
        inner = middle.sum((2, 3)) @ first_bias + middle_bias  # a constant is the same at every tap
        return maps + F.pad(direct, (1, 1, 1, 1)), narrow @ inner + last_bias + direct_bias

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            weight, bias = self.merged()
        return F.conv2d(x, weight.to(x.dtype), bias.to(x.dtype), padding=1)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        with torch.no_grad():
            self.eval_conv.weight, self.eval_conv.bias = self.merged()
        super()._save_to_state_dict(destination, prefix, keep_vars)


class SPAB(nn.Module):
    """Three convolutions whose result, shifted to be odd, is its own attention: maps to maps (section 3.2)."""

    def __init__(self, width: int):
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = (Conv3XC(width, width) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The block's maps and those after the first convolution and its activation, as in the published code."""
        first = F.silu(self.c1_r(x))
        last = self.c3_r(F.silu(self.c2_r(first)))
        return (last + x) * (torch.sigmoid(last) - 0.5), first


class SPAN(ImageToImage):
    """Swift parameter-free attention network: images (N, channels, H, W) to (N, channels, scale H, scale W).

    After Wan et al. 2024; 426,288 weights at x4 with 48 channels once the branches are merged, as published.  It works
    in [0, 1] inside.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        scale: int = 4,  # side of the output as a multiple of the input: 1, 2, 3, 4 or 8
        width: int = 48,  # channels of every map; the larger published network has 52
        norm: bool = False,  # subtract the mean colour and work in levels, as the published files; RGB only
        init: Init | None = None,  # initialisation of the weights; none: PyTorch's default
    ):
        super().__init__()
        upsampling_steps(scale)  # refuses others
        if norm and channels != 3:
            raise UsageError(f"norm subtracts a mean colour of three channels, and these images have {channels}.")
        self.scale, self.norm = scale, norm
        if not norm:
            self.register_buffer("no_norm", torch.zeros(1))  # by which published files say so
        self.conv_1 = Conv3XC(channels, width)
        for k in range(1, BLOCKS + 1):
            self.add_module(f"block_{k}", SPAB(width))
        self.conv_cat = nn.Conv2d(4 * width, width, 1)
        self.conv_2 = Conv3XC(width, width)
        self.upsampler = nn.Sequential(nn.Conv2d(width, channels * scale**2, 3, padding=1), nn.PixelShuffle(scale))
        initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        x = to_unit(x)
        if self.norm:
            x = (x - x.new_tensor(MEAN).view(3, 1, 1)) * RANGE
        h = first = to_float32(self.conv_1(x))
        maps = []
        for k in range(1, BLOCKS + 1):
            h, inner = self.get_submodule(f"block_{k}")(h)
            maps.append((h, inner))
        h = self.conv_cat(torch.cat([first, self.conv_2(h), maps[0][0], maps[-1][1]], 1))
        return from_unit(self.upsampler(h))
