"""Plain transformer blocks over the patches of an image, as GAT's (Hyun et al. 2026): root-mean-square norm, rotary
position embedding, a gated perceptron.

Nothing here needs more than a second derivative of ordinary operations, so that gradient penalties can be computed.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, rms_norm, silu

THETA = 10_000.0  # base of the frequencies (Vaswani et al. 2017)


def rms(x: Tensor) -> Tensor:
    """Rows divided by their root mean square."""
    return rms_norm(x, x.shape[-1:], eps=1e-6)


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last dimension with a learnt scale (Zhang and Sennrich 2019)."""

    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return rms(x) * self.weight.to(x.dtype)


def grid(height: int, width: int) -> Tensor:
    """Rows and columns of the patches of a grid in reading order: (height width, 2)."""
    return torch.cartesian_prod(torch.arange(height), torch.arange(width)).float()


def waves(places: Tensor, size: int) -> Tensor:
    """Fixed position embedding (T, size) of places (T, 2): sines and cosines of columns, then of rows (DiT's)."""
    count = size // 4
    rates = THETA ** -(torch.arange(count) / max(count, 1))
    parts = []
    for axis in (1, 0):
        angles = places[:, axis, None] * rates
        parts += [angles.sin(), angles.cos()]
    return pad(torch.cat(parts, 1), (0, size - 4 * count))


def rotation(places: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines (T, size / 2) that turn pairs of numbers of a head by the row, then others by the column."""
    count = size // 4  # pairs of each axis
    rates = THETA ** -(torch.arange(count) / max(count, 1))
    angles = torch.cat([places[:, axis, None] * rates for axis in (0, 1)], 1)
    angles = pad(angles, (0, size // 2 - 2 * count))
    return angles.cos(), angles.sin()


def turn(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary embedding of (..., T, size): number k and k + size / 2 are turned as a pair (Su et al. 2021)."""
    one, two = x.chunk(2, -1)
    cosine, sine = cosine.to(x.dtype), sine.to(x.dtype)
    return torch.cat([one * cosine - two * sine, two * cosine + one * sine], -1)


class Attention(nn.Module):
    """Self-attention of tokens (N, T, C) with normalised, rotated queries and keys, within each of some segments.

    softmax(q k' / sqrt(C / heads)) v (Vaswani et al. 2017, eq. 1); tokens of different segments do not see each other.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm, self.k_norm = RMSNorm(width // heads), RMSNorm(width // heads)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, segments: list[int]) -> Tensor:
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1))  # (N, T, 3, heads, size)
        scales = torch.stack([self.q_norm.weight, self.k_norm.weight])[:, None].to(qkv.dtype)
        qk = (rms(qkv[:, :, :2]) * scales).permute(2, 0, 3, 1, 4)  # (2, N, heads, T, size)
        q, k = turn(qk, cosine, sine)
        v, scale = qkv[:, :, 2].transpose(1, 2), 1 / math.sqrt(q.shape[3])
        parts = [
            # not scaled_dot_product_attention: its fast forms cannot be differentiated twice
            torch.softmax(scale * a @ b.transpose(2, 3), -1).to(c.dtype) @ c
            for a, b, c in zip(*(t.split(segments, 2) for t in (q, k, v)))
        ]
        return self.out(torch.cat(parts, 2).transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    """A gated perceptron of each token, SiLU(x A) * (x B) through a third layer (Shazeer 2020)."""

    def __init__(self, width: int, ratio: float):
        super().__init__()
        hidden = max(int(2 / 3 * int(width * ratio)), 1)  # of as many weights as two layers of `ratio` times the width
        self.gates = nn.Linear(width, 2 * hidden)
        self.out = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.gates(x).chunk(2, 2)
        return self.out(silu(gate) * value)
