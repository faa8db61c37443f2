"""Heads: the last part of a discriminator, from features (and perhaps a label) to `Scores`.

A head is the whole of a conditioning method: its layers, and the terms that it adds to both objectives in `loss`.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ..errors import UsageError
from ..game import Scores
from .label_inputs import embedding


class Plain(nn.Module):
    """A linear layer from features to logits, without label; DCGAN's last convolution has no bias, either."""

    learns_fakes = True  # the discriminator minimises `loss` for fakes too, not for real images alone

    def __init__(
        self,
        *,
        features: int,
        classes: int = 0,
        attributes: int = 0,
        outputs: int = 1,
        bias: bool = False,  # add a constant to the logit
    ):
        super().__init__()
        self.score = nn.Linear(features, outputs, bias=bias)

    def forward(self, h: Tensor, label: Tensor | None = None) -> Scores:
        """Features (N, F) to scores."""
        return Scores(self.score(h), features=(h,))

    def loss(self, scores: Scores, label: Tensor) -> dict[str, Tensor]:
        """Terms that conditioning adds to either player's objective, by name."""
        return {}


class Projection(Plain):
    """Projection: a logit plus the inner product of features and label embedding (Miyato and Koyama 2018, eq. 3)."""

    def __init__(self, *, features: int, classes: int = 0, attributes: int = 0, outputs: int = 1, bias: bool = True):
        super().__init__(features=features, outputs=outputs, bias=bias)
        self.embed = embedding(classes, attributes, outputs * features)
        nn.init.xavier_uniform_(self.embed.weight)  # type: ignore[arg-type]

    def forward(self, h: Tensor, label: Tensor | None = None) -> Scores:
        embedded = self.embed(label).unflatten(1, (-1, h.shape[1]))  # (N, K, F)
        inner = (embedded * h[:, None]).sum(2)
        return Scores(self.score(h) + inner, features=(h,))


class Contrastive(Projection):
    """Projection with a contrastive term: an image's own label against those of the batch (Zhang et al. 2021, eq. 4).

    -log softmax of cos(features, label embedding) / temperature over the labels of the batch, at the image's own;
    labels equal to it are no other ones.  Feature and embedding are those of the projection, as in LAFITE (Zhou et al.
    2022).  The discriminator minimises the term for real images alone, the generator for fakes.
    """

    learns_fakes = False

    def __init__(
        self,
        *,
        features: int,
        classes: int = 0,
        attributes: int = 0,
        outputs: int = 1,
        bias: bool = True,
        temperature: float = 0.2,  # of the softmax; a smaller one separates labels that are nearly alike
        weight: float = 1.0,  # of the contrastive term
    ):
        super().__init__(features=features, classes=classes, attributes=attributes, outputs=outputs, bias=bias)
        if temperature <= 0:
            raise UsageError(f"temperature must be more than 0, got {temperature:g}.")
        self.temperature, self.weight = temperature, weight

    def loss(self, scores: Scores, label: Tensor) -> dict[str, Tensor]:
        h = scores.features[-1]
        embedded = self.embed(label).unflatten(1, (-1, h.shape[1])).mean(1)  # (N, F)
        cosines = normalize(h.float(), dim=1) @ normalize(embedded.float(), dim=1).t()  # (N, N): image, label
        rows = label if label.ndim > 1 else label[:, None]
        equal = (rows[:, None] == rows[None]).all(2) & ~torch.eye(len(h), dtype=torch.bool, device=h.device)
        logits = (cosines / self.temperature).masked_fill(equal, -torch.inf)
        return {"contrast": self.weight * cross_entropy(logits, torch.arange(len(h), device=h.device))}


class AuxiliaryClassifier(Plain):
    """Auxiliary classifier: class logits whose cross entropy both players minimise (Odena et al. 2017).

    The label logits go through one softmax, inside the cross entropy.  The discriminator learns the classes from real
    images alone: with the term of fakes too, as published (`fakes`), it soon recognises them by a private mark and the
    two agree on a code in which a 4 may look like a 0 (on MNIST, that happened to every class or to three of ten).
    """

    def __init__(
        self,
        *,
        features: int,
        classes: int = 0,
        outputs: int = 1,
        bias: bool = True,  # add a constant to the logit
        weight: float = 1.0,  # of the classification terms
        fakes: bool = False,  # the discriminator also minimises the term of fake images
    ):
        super().__init__(features=features, outputs=outputs, bias=bias)
        if not classes:
            raise UsageError(
                "An auxiliary classifier needs data with classes: words or whole numbers as labels, or sub-folders."
            )
        self.classify, self.weight, self.learns_fakes = nn.Linear(features, classes), weight, fakes

    def forward(self, h: Tensor, label: Tensor | None = None) -> Scores:
        return Scores(self.score(h), self.classify(h).float(), (h,))

    def loss(self, scores: Scores, label: Tensor) -> dict[str, Tensor]:
        assert scores.label_logits is not None
        return {"class": self.weight * cross_entropy(scores.label_logits, label)}


class Joint(nn.Module):
    """Concatenation: features and label embedding joined, through one hidden layer (Mirza and Osindero 2014)."""

    learns_fakes = True

    def __init__(
        self,
        *,
        features: int,
        classes: int = 0,
        attributes: int = 0,
        outputs: int = 1,
        size: int = 128,  # of the label embedding
        width: int = 512,  # units of the hidden layer
    ):
        super().__init__()
        self.embed = embedding(classes, attributes, size)
        self.hidden = nn.Sequential(nn.Linear(features + size, width), nn.LeakyReLU(0.2))
        self.score = nn.Linear(width, outputs)

    def forward(self, h: Tensor, label: Tensor | None = None) -> Scores:
        joined = torch.cat([h, self.embed(label).to(h.dtype)], 1)
        return Scores(self.score(self.hidden(joined)), features=(h,))

    def loss(self, scores: Scores, label: Tensor) -> dict[str, Tensor]:
        return {}
