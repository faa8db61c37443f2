"""Convolutions in groups whose second derivatives are single operations.

PyTorch differentiates a grouped convolution twice by a loop over its groups, which for a depthwise one is a convolution
a channel.  As in `strided_conv`, three bilinear maps that are each other's derivatives:

    convolve(x, w)    the convolution              (N, I, H, W) x (O, I / G, k, k) -> (N, O, h, w)
    transpose(g, w)   its gradient by the input    (N, O, h, w) x (O, I / G, k, k) -> (N, I, H, W)
    weight(x, g)      its gradient by the weight   (N, I, H, W) x (N, O, h, w) -> (O, I / G, k, k)
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import conv2d, conv_transpose2d
from torch.nn.grad import conv2d_weight


@dataclass(frozen=True)
class Geometry:
    """Stride, padding and groups of a convolution, and the sizes that output shapes leave open."""

    stride: int
    padding: int
    groups: int
    size: tuple[int, int] = (0, 0)  # of the larger map
    kernel: tuple[int, ...] = ()  # shape of the weight


class Convolve(Function):
    """The convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.geometry = replace(geometry, size=(x.shape[2], x.shape[3]), kernel=tuple(w.shape))
        return conv2d(x, w, stride=geometry.stride, padding=geometry.padding, groups=geometry.groups)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, w = ctx.saved_tensors
        need_x, need_w, _ = ctx.needs_input_grad
        by_x = Transpose.apply(g, w, ctx.geometry) if need_x else None
        return by_x, (Weight.apply(x, g, ctx.geometry) if need_w else None), None


class Transpose(Function):
    """The gradient with respect to the input."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, w: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(g, w)
        ctx.geometry = replace(geometry, kernel=tuple(w.shape))
        least = [(side - 1) * geometry.stride - 2 * geometry.padding + k for side, k in zip(g.shape[2:], w.shape[2:])]
        extra = [side - reached for side, reached in zip(geometry.size, least)]
        return conv_transpose2d(
            g, w, stride=geometry.stride, padding=geometry.padding, output_padding=extra, groups=geometry.groups
        )

    @staticmethod
    def backward(ctx: Any, gx: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        g, w = ctx.saved_tensors
        need_g, need_w, _ = ctx.needs_input_grad
        by_g = Convolve.apply(gx, w, ctx.geometry) if need_g else None
        return by_g, (Weight.apply(gx, g, ctx.geometry) if need_w else None), None


class Weight(Function):
    """The gradient with respect to the weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, g)
        ctx.geometry = replace(geometry, size=(x.shape[2], x.shape[3]))
        return conv2d_weight(
            x, geometry.kernel, g, stride=geometry.stride, padding=geometry.padding, groups=geometry.groups
        )

    @staticmethod
    def backward(ctx: Any, gw: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, g = ctx.saved_tensors
        need_x, need_g, _ = ctx.needs_input_grad
        by_x = Transpose.apply(g, gw, ctx.geometry) if need_x else None
        return by_x, (Convolve.apply(x, gw, ctx.geometry) if need_g else None), None


def operands(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the dtype of the surrounding autocast."""
    dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
    return x.to(dtype), weight.to(dtype)


def convolve(x: Tensor, weight: Tensor, *, stride: int = 1, padding: int = 0, groups: int = 1) -> Tensor:
    """The convolution (N, I, H, W) -> (N, O, h, w)."""
    y: Tensor = Convolve.apply(*operands(x, weight), Geometry(stride, padding, groups))
    return y


def transpose(
    g: Tensor, weight: Tensor, size: tuple[int, int], *, stride: int = 1, padding: int = 0, groups: int = 1
) -> Tensor:
    """The transposed convolution (N, O, h, w) -> (N, I, H, W), of a given size (H, W)."""
    x: Tensor = Transpose.apply(*operands(g, weight), Geometry(stride, padding, groups, size))
    return x


class GroupedConv(nn.Conv2d):
    """A convolution of stride 1 in groups that keeps the size of the map: (N, I, h, w) -> (N, O, h, w)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int):
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        y = convolve(x, self.weight, padding=self.kernel_size[0] // 2, groups=self.groups)
        return y + self.bias.to(y.dtype)[:, None, None]
