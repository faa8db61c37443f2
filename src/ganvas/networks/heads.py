"""How a discriminator turns features (and perhaps a label) into a verdict.

A head is the whole of a conditioning method: its layers here, what it adds to both objectives in `loss`.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..game import Scores


class Plain(nn.Module):
    """One number an image, the label unused: a bias-free linear map, which is DCGAN's last convolution."""

    def __init__(
        self,
        *,
        features: int,
        classes: int = 0,
        bias: bool = False,  # add a constant to the logit
    ):
        super().__init__()
        self.score = nn.Linear(features, 1, bias=bias)

    def forward(self, h: Tensor, label: Tensor | None = None) -> Scores:
        return Scores(self.score(h))

    def loss(self, scores: Scores, label: Tensor | None) -> dict[str, Tensor]:
        """Terms that conditioning adds to either player's objective, by name."""
        return {}
