"""A small text encoder of bytes, which needs no vocabulary and reads every language."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .layers import Init, initialise


class ByteEncoder(nn.Module):
    """Text encoder: N captions to (N, size), from their UTF-8 bytes by three convolutions, mean and max pooling.

    A caption's vector does not depend on the other captions of the batch.  The empty caption has a vector, too.
    Our own; byte convolutions as in Zhang, Zhao and LeCun 2015.
    """

    def __init__(
        self,
        *,
        size: int = 128,  # size of a caption's vector
        width: int = 128,  # hidden channels
        length: int = 200,  # bytes that are read; the rest of a longer caption is ignored
        init: Init | None = None,  # initialisation of the weights; none: as published
    ):
        super().__init__()
        self.length = length
        self.embed = nn.Embedding(257, width, padding_idx=0)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(3))
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight)  # type: ignore[arg-type]
        self.output = nn.Linear(2 * width, size)
        initialise(self, init)

    def forward(self, captions: Sequence[str]) -> Tensor:
        return self.encode(self.tokens(captions).to(self.embed.weight.device))

    def encode(self, tokens: Tensor) -> Tensor:
        """The vectors (N, size) of tokens (N, L), as `tokens` gives them."""
        there = (tokens > 0)[:, None]  # (N, 1, L)
        h = self.embed(tokens).transpose(1, 2)  # (N, C, L)
        for layer in self.layers:
            h = torch.relu(layer(h)) * there  # zero beyond a caption's end
        mean = h.float().sum(2) / there.sum(2).clamp(min=1)
        return self.output(torch.cat([mean, h.float().amax(2)], 1)).float()

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Bytes plus one, padded with zeros: (N, L) int64."""
        read = [caption.encode(errors="replace")[: self.length] for caption in captions]
        longest = max(1, *map(len, read)) if read else 1
        return torch.tensor([[b + 1 for b in text] + [0] * (longest - len(text)) for text in read])
