"""Small text encoders, which need no vocabulary and read every language."""

import zlib
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
        self.reads = "the bytes of a caption in UTF-8 plus one, zeros at its end"
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


class WordEncoder(nn.Module):
    """Text encoder: N captions to (N, size), the mean vector of their words, pairs of words and parts of words.

    As fastText (Joulin et al. 2017, section 2; Bojanowski et al. 2017, section 3.2): captions with a word in common are
    near from the first step on, so that it learns from few captions, and words that were never seen have their parts.
    The vector of a part is found by a hash of it, so that two parts may have one.  A caption's vector does not depend
    on the other captions of the batch.
    """

    def __init__(
        self,
        *,
        size: int = 128,  # size of a caption's vector
        vectors: int = 8192,  # of all parts
        part: int = 4,  # characters of a part of a word
        length: int = 200,  # parts that are read; the rest of a longer caption is ignored
    ):
        super().__init__()
        self.part, self.length = part, length
        self.reads = f"the hashes of the parts of a caption (WordEncoder.tokens, {vectors} of them), zeros at its end"
        self.embed = nn.Embedding(vectors + 1, size, padding_idx=0)

    def forward(self, captions: Sequence[str]) -> Tensor:
        return self.encode(self.tokens(captions).to(self.embed.weight.device))

    def encode(self, tokens: Tensor) -> Tensor:
        """The vectors (N, size) of tokens (N, L), as `tokens` gives them."""
        return self.embed(tokens).float().sum(1) / (tokens > 0).sum(1, keepdim=True)

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Hashes of the parts of captions, 1 to `vectors`, padded with zeros: (N, L) int64."""
        vectors = self.embed.num_embeddings - 1
        read = [[1 + zlib.crc32(part) % vectors for part in self.parts(text)][: self.length] for text in captions]
        longest = max(map(len, read), default=1)
        return torch.tensor([row + [0] * (longest - len(row)) for row in read], dtype=torch.int64)

    def parts(self, caption: str) -> list[bytes]:
        """Words between `<` and `>`, pairs of neighbours, substrings of words; lower case, in UTF-8.

        The empty caption is one part, too.
        """
        words = [f"<{word}>" for word in caption.lower().split()]
        pairs = [f"{a} {b}" for a, b in zip(words, words[1:])]
        inner = [word[k : k + self.part] for word in words for k in range(len(word) - self.part + 1)]
        return [text.encode(errors="replace") for text in [*words, *pairs, *inner] or [""]]
