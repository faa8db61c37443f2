"""Heads that add features of the whole batch, around any other head."""

import torch
from torch import Tensor, nn

from ..config import Spec
from ..errors import UsageError
from ..game import Scores
from .heads import Plain
from .layers import to_float32


class BatchFeatures(nn.Module):
    """Base of heads that append features of the batch and pass them to the head inside."""

    def __init__(self, head: Spec, features: int, classes: int, attributes: int):
        super().__init__()
        self.head = head.build(features=features, classes=classes, attributes=attributes)
        self.learns_fakes = self.head.learns_fakes

    def forward(self, h: Tensor, label: Tensor | None = None) -> Scores:
        """Features (N, F) of a batch of at least two images to scores; `UsageError` for a single image."""
        if len(h) < 2:
            raise UsageError(
                "Comparing the images of a batch needs at least two of them, and this discriminator was given one;"
                " take a larger batch (it is split over `accumulate` parts and processes)."
            )
        return self.head(torch.cat([h, self.compare(h).to(h.dtype)], 1), label)

    def loss(self, scores: Scores, label: Tensor) -> dict[str, Tensor]:
        """Terms that the head inside adds to either player's objective, by name."""
        return self.head.loss(scores, label)

    def compare(self, h: Tensor) -> Tensor:
        """Features (N, F) to appended features (N, A)."""
        raise NotImplementedError


class MinibatchDiscrimination(BatchFeatures):
    """Minibatch discrimination: features plus sums of similarity to other images (Salimans et al. 2016, section 3.2).

    M = h T; c_b(i, j) = exp(-|M_ib - M_jb|_1); o(i)_b is the sum of c_b(i, j) over the other images j.
    """

    def __init__(
        self,
        *,
        features: int,
        classes: int = 0,
        attributes: int = 0,
        kernels: int = 100,  # appended sums (B in the paper)
        dims: int = 5,  # numbers that one of them compares (C in the paper)
        head: Spec = Spec(Plain, bias=True),  # from features and sums to logits
    ):
        if kernels < 1 or dims < 1:
            raise UsageError(f"kernels and dims of minibatch discrimination are at least 1, got {kernels} and {dims}.")
        super().__init__(head, features + kernels, classes, attributes)
        # a parameter and not a layer: the network's initialisation and spectral norm would make all images alike
        self.tensor = nn.Parameter(torch.randn(features, kernels, dims) * features**-0.5)

    def compare(self, h: Tensor) -> Tensor:
        m = to_float32(h @ self.tensor.flatten(1).to(h.dtype)).unflatten(1, self.tensor.shape[1:])  # (N, B, C)
        # not cdist: it cannot be differentiated twice; one of C at a time, which takes half the time of all at once
        distance = sum(((a[:, None] - a[None]).abs() for a in m.unbind(2)), m.new_zeros(()))  # (N, N, B)
        return torch.exp(-distance).sum(1) - 1  # an image is exactly 1 like itself


class MinibatchStddev(BatchFeatures):
    """Minibatch stddev: features plus their mean standard deviation over a group (Karras et al. 2018, section 3).

    Groups have `group` images, or the next smaller number that divides the batch; a batch of a larger prime is one
    group.
    """

    def __init__(
        self,
        *,
        features: int,
        classes: int = 0,
        attributes: int = 0,
        group: int = 4,  # images of a group
        head: Spec = Spec(Plain, bias=True),  # from features and deviation to logits
    ):
        if group < 2:
            raise UsageError(f"group must be at least 2 images, got {group}.")
        super().__init__(head, features + 1, classes, attributes)
        self.group = group

    def compare(self, h: Tensor) -> Tensor:
        return deviation(h, self.group)


def deviation(h: Tensor, group: int) -> Tensor:
    """The standard deviation of features (N, F) in each group of at most so many images, averaged: (N, 1)."""
    n = len(h)
    size = next((g for g in range(min(group, n), 1, -1) if n % g == 0), n)
    groups = to_float32(h).reshape(size, n // size, -1)
    # the small constant keeps the root differentiable where a group is of one image
    spread = (groups.var(0, correction=0) + 1e-8).sqrt().mean(1, keepdim=True)  # (n / size, 1)
    return spread.repeat(size, 1)
