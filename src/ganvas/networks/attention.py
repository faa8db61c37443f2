"""Self-attention over the pixels of a map, as in SAGAN (Zhang et al. 2019)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d


class SelfAttention(nn.Module):
    """Self-attention over the pixels of a map: (N, C, H, W) to the same (Zhang et al. 2019).

    Equations 1-3 in the sizes of the authors' code: queries and keys of C/8 channels, values of C/2, keys and values
    from every 2x2 pixels' largest; no scaling of the logits; `gamma` begins at zero, so the map begins unchanged.
    """

    def __init__(self, channels: int):
        super().__init__()
        narrow, half = max(channels // 8, 1), max(channels // 2, 1)
        self.query = nn.Conv2d(channels, narrow, 1, bias=False)
        self.key = nn.Conv2d(channels, narrow, 1, bias=False)
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.out = nn.Conv2d(half, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        # ceil_mode: on a map of odd size the last pixels count too
        key = max_pool2d(self.key(x), 2, ceil_mode=True).flatten(2)  # (N, C/8, K)
        value = max_pool2d(self.value(x), 2, ceil_mode=True).flatten(2)  # (N, C/2, K)
        query = self.query(x).flatten(2).transpose(1, 2)  # (N, H W, C/8)
        # not scaled_dot_product_attention: its fast forms cannot be differentiated twice
        weights = torch.softmax(query @ key, -1)  # (N, H W, K)
        mean = value @ weights.to(value.dtype).transpose(1, 2)  # (N, C/2, H W)
        return x + (self.gamma * self.out(mean.unflatten(2, x.shape[2:]))).to(x.dtype)
