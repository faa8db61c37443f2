"""Heads with a second prediction: the code an image was generated from, or its class."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..errors import UsageError
from ..game import Scores
from .heads import Plain


class InfoHead(Plain):
    """InfoGAN's head: a second output predicts the generator's code c; both players minimise -log Q(c | x).

    Chen et al. 2016, eq. 5 with the variational bound of section 4.  -log Q(c | x) for a category
    is the cross entropy of one softmax and for a continuous code that of a Gaussian of standard deviation one.  A code
    is (N, sum of categories + continuous): one-hot vectors, then numbers.  Real images have none.
    """

    def __init__(
        self,
        *,
        features: int,
        outputs: int = 1,
        codes: tuple[list[int], int] | None = None,
        bias: bool = True,  # add a constant to the logit
        width: int = 128,  # units of the hidden layer between features and prediction
        weight: float = 1.0,  # of the categories' term
        continuous_weight: float = 1.0,  # of the continuous codes' term
    ):
        super().__init__(features=features, outputs=outputs, bias=bias)
        if codes is None:
            raise UsageError("The head `info` predicts InfoGAN's codes; it belongs to the recipe infogan.")
        self.sizes = [*codes[0], codes[1]]
        self.guess = nn.Sequential(nn.Linear(features, width), nn.LeakyReLU(0.2), nn.Linear(width, sum(self.sizes)))
        self.weight, self.continuous_weight = weight, continuous_weight

    def forward(self, h: Tensor, label: Tensor | None = None) -> Scores:
        return Scores(self.score(h), features=(h,), code=self.guess(h).float())

    def loss(self, scores: Scores, label: Tensor) -> dict[str, Tensor]:
        assert scores.code is not None
        *logits, mean = scores.code.split(self.sizes, 1)
        *categories, numbers = label.to(scores.code.dtype).split(self.sizes, 1)
        terms = {}
        if categories:
            errors = [cross_entropy(guess, truth) for guess, truth in zip(logits, categories)]
            terms["category"] = self.weight * sum(errors, torch.zeros_like(errors[0]))
        if self.sizes[-1]:
            square = (mean - numbers).square().sum(1).mean()
            constant = self.sizes[-1] * math.log(2 * math.pi)
            terms["continuous"] = self.continuous_weight * (square + constant) / 2
        return terms


class Classes(nn.Module):
    """Class logits l alone, whose log sum exp is the logit of real or fake.

    Salimans et al. 2016, section 5: K + 1 classes with the fake one's logit fixed at 0, so D(x) = Z / (Z + 1) with
    Z = sum exp l.  Without a generator, this is a classifier.
    """

    learns_fakes = True

    def __init__(
        self,
        *,
        features: int,
        classes: int = 0,
        weight: float = 1.0,  # of the classification terms of a conditional recipe
    ):
        super().__init__()
        if not classes:
            raise UsageError(
                "The head `classes` needs data with classes: words or whole numbers as labels, or sub-folders."
            )
        self.classify, self.weight = nn.Linear(features, classes), weight

    def forward(self, h: Tensor, label: Tensor | None = None) -> Scores:
        logits = self.classify(h).float()
        return Scores(logits.logsumexp(1, keepdim=True), logits, (h,))

    def loss(self, scores: Scores, label: Tensor) -> dict[str, Tensor]:
        assert scores.label_logits is not None
        return {"class": self.weight * cross_entropy(scores.label_logits, label)}
