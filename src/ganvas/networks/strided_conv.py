"""The 4x4 stride-2 convolution of GANs as matrix products, where the convolution library is slower.

Three bilinear maps, each the derivative of the other two, so that the set is closed under differentiation
(penalties that differentiate twice work through it):

    down(x, w)    the convolution              (N, I, 2h, 2w) x (O, I, 4, 4) -> (N, O, h, w)
    up(g, w)      its transpose                (N, O, h, w)  x (O, I, 4, 4) -> (N, I, 2h, 2w)
    weight(x, g)  its gradient by the weight   (N, I, 2h, 2w) x (N, O, h, w) -> (O, I, 4, 4)

Measured per layer and processor in benchmarks/README.md: oneDNN's weight gradient runs at half the rate of a
matrix product on maps of 16x16 and less; with AMX tiles its forward and data gradient do too.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from ..policy import has_amx
from .grouped_conv import operands

SMALL = 16  # longest side of the larger map, in pixels, up to which the matrix product wins


@cache
def _all_by_product() -> bool:
    return has_amx()


def windows(x: Tensor) -> Tensor:
    """Every 4x4 window, stride 2, of x padded by one: (N, I, 2h, 2w) -> (N h w, 16 I), in the order (ky, kx, i)."""
    n, channels, height, width = x.shape
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
    a, b, c, _ = padded.stride()
    view = padded.as_strided((n, height // 2, width // 2, 4, 4, channels), (a, 2 * b, 2 * c, b, c, 1))
    return view.reshape(-1, 16 * channels)


def overlap_add(columns: Tensor, n: int, h: int, w: int) -> Tensor:
    """The transpose of `windows`: (N h w, 16 I) -> (N, I, 2h, 2w), overlaps summed."""
    tiles = columns.view(n, h, w, 2, 2, 2, 2, -1)  # window row = 2 * (first) + (second), columns alike
    out = columns.new_zeros(n, h + 1, 2, w + 1, 2, tiles.shape[-1])
    for a in (0, 1):
        for b in (0, 1):
            out[:, a : a + h, :, b : b + w] += tiles[:, :, :, a, :, b].permute(0, 1, 3, 2, 4, 5)
    return out.view(n, 2 * h + 2, 2 * w + 2, -1)[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def rows(x: Tensor) -> Tensor:
    """(N, C, h, w) -> (N h w, C); free of copies for channels-last tensors."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def matrix(w: Tensor) -> Tensor:
    """(O, I, 4, 4) -> (O, 16 I), in the order of `windows`."""
    return w.permute(0, 2, 3, 1).reshape(len(w), -1)


class Down(Function):
    """The convolution; double backward through `Up` and `Weight`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        if not _all_by_product():
            return F.conv2d(x, w, stride=2, padding=1)
        n, _, h, wd = x.shape
        return (windows(x) @ matrix(w).t()).view(n, h // 2, wd // 2, -1).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, w = ctx.saved_tensors
        need_x, need_w = ctx.needs_input_grad
        return (Up.apply(g, w) if need_x else None), (Weight.apply(x, g) if need_w else None)


class Up(Function):
    """The transposed convolution; double backward through `Down` and `Weight`."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(g, w)
        if not _all_by_product():
            return F.conv_transpose2d(g, w, stride=2, padding=1)
        n, _, h, wd = g.shape
        return overlap_add(rows(g) @ matrix(w), n, h, wd)

    @staticmethod
    def backward(ctx: Any, gx: Tensor) -> tuple[Tensor | None, Tensor | None]:
        g, w = ctx.saved_tensors
        need_g, need_w = ctx.needs_input_grad
        return (Down.apply(gx, w) if need_g else None), (Weight.apply(gx, g) if need_w else None)


class Weight(Function):
    """The weight gradient; double backward through `Up` and `Down`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor) -> Tensor:
        ctx.save_for_backward(x, g)
        columns = rows(g).t() @ windows(x)  # (O, 16 I)
        return columns.view(g.shape[1], 4, 4, x.shape[1]).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gw: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, g = ctx.saved_tensors
        need_x, need_g = ctx.needs_input_grad
        return (Up.apply(g, gw) if need_x else None), (Down.apply(x, gw) if need_g else None)


def product_is_faster(x: Tensor, larger: tuple[int, int], channels: int, dtype: torch.dtype) -> bool:
    """True where the matrix product is faster: bf16 on a CPU, small even maps, enough channels to fill it."""
    even = larger[0] % 2 == 0 and larger[1] % 2 == 0
    return x.device.type == "cpu" and dtype == torch.bfloat16 and even and max(larger) <= SMALL and channels >= 64


def down(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The 4x4 convolution of stride 2, by the faster one: (N, I, H, W) x (O, I, 4, 4) -> (N, O, H // 2, W // 2)."""
    x, weight = operands(x, weight)
    bias = None if bias is None else bias.to(x.dtype)
    if not product_is_faster(x, (x.shape[2], x.shape[3]), x.shape[1], x.dtype):
        return F.conv2d(x, weight, bias, stride=2, padding=1)
    y: Tensor = Down.apply(x, weight)
    return y if bias is None else y + bias[:, None, None]


def up(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The transposed 4x4 convolution of stride 2, by the faster one: (N, O, h, w) x (O, I, 4, 4) -> (N, I, 2h, 2w)."""
    x, weight = operands(x, weight)
    bias = None if bias is None else bias.to(x.dtype)
    if not product_is_faster(x, (2 * x.shape[2], 2 * x.shape[3]), weight.shape[1], x.dtype):
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1)
    y: Tensor = Up.apply(x, weight)
    return y if bias is None else y + bias[:, None, None]


class DownConv(nn.Conv2d):
    """A 4x4 convolution of stride 2: (N, I, H, W) -> (N, O, H // 2, W // 2)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False):
        super().__init__(inputs, outputs, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return down(x, self.weight, self.bias)


class UpConv(nn.ConvTranspose2d):
    """A transposed 4x4 convolution of stride 2: (N, O, h, w) -> (N, I, 2h, 2w)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False):
        super().__init__(inputs, outputs, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return up(x, self.weight, self.bias)


def fold_pooling(weight: Tensor) -> Tensor:
    """The 4x4 kernel that equals a 3x3 one and a sum of 2x2 pixels: (O, I, 3, 3) -> (O, I, 4, 4)."""
    weight = F.pad(weight, (0, 1)) + F.pad(weight, (1, 0))
    return F.pad(weight, (0, 0, 0, 1)) + F.pad(weight, (0, 0, 1, 0))


class ConvPool(nn.Conv2d):
    """A 3x3 convolution and 2x2 mean pooling in one: (N, I, H, W) -> (N, O, H // 2, W // 2).

    Exactly the two in a row, in 4 multiplications for 9: measured half the time, derivatives included.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return down(x, fold_pooling(self.weight) / 4, self.bias)


class UpsampleConv(nn.Conv2d):
    """Nearest upsampling by 2 and a 3x3 convolution in one: (N, I, h, w) -> (N, O, 2h, 2w); see `ConvPool`."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return up(x, fold_pooling(self.weight.transpose(0, 1).flip(2, 3)), self.bias)
