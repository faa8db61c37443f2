"""Mixtures of the pairs of a batch: mixup, cutmix, cutblur, each the same in source and target."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from .dataset import Facts

PAIR = ("image", "source", "target")  # what is mixed of a batch
MIXED = 0x4D1  # beside the seed of a run


class PairMix:
    """Base of mixtures of pairs: a batch `image`, `source` and, with a degradation, `target`, in [-1, 1]."""

    def __init__(
        self,
        *,
        p: float = 0.5,  # share of images that are mixed
        alpha: float = 1.0,  # of the Beta distribution that the shares come from
    ):
        if not 0 <= p <= 1 or not alpha > 0:
            raise UsageError(f"A mixture takes p from 0 to 1 and alpha above 0, not {p:g} and {alpha:g}.")
        self.p, self.alpha = p, alpha

    def check(self, facts: Facts) -> None:
        """Any images can be mixed; `Batches` refuses data without sources."""

    def mix(self, images: dict[str, Tensor], random: np.random.Generator) -> dict[str, Tensor]:
        """Mix images (N, C, H, W) by name; sides of `source` divide those of the others."""
        order = random.permutation(len(images["image"]))
        mixed = {name: batch.clone() for name, batch in images.items()}
        for k, other in enumerate(order):
            if random.random() < self.p:
                share = float(random.beta(self.alpha, self.alpha))
                for name, part in self.one(images, k, int(other), share, random).items():
                    mixed[name][k] = part
        return mixed

    def one(
        self, images: dict[str, Tensor], k: int, other: int, share: float, random: np.random.Generator
    ) -> dict[str, Tensor]:
        """The mixture of image k with another; `share` is that of k."""
        raise NotImplementedError


class Mixup(PairMix):
    """Mixup: share x of one pair and 1 - x of another, x of Beta(alpha, alpha) (Zhang et al. 2018)."""

    def one(
        self, images: dict[str, Tensor], k: int, other: int, share: float, random: np.random.Generator
    ) -> dict[str, Tensor]:
        return {name: torch.lerp(batch[other], batch[k], share) for name, batch in images.items()}


class CutMix(PairMix):
    """CutMix: a box of another pair over a share 1 - x of the image, x of Beta(alpha, alpha) (Yun et al. 2019)."""

    def one(
        self, images: dict[str, Tensor], k: int, other: int, share: float, random: np.random.Generator
    ) -> dict[str, Tensor]:
        box = draw_box(images, (1 - share) ** 0.5, random)
        return {name: paste(batch[k], batch[other], scaled(box, images, batch)) for name, batch in images.items()}


class CutBlur(PairMix):
    """CutBlur: a box of the target in the source, or the source's box left in the target's place (Yoo et al. 2020).

    The target is averaged to the size of a smaller source.  The box takes a share x of the area, of Beta(alpha, alpha).
    """

    def one(
        self, images: dict[str, Tensor], k: int, other: int, share: float, random: np.random.Generator
    ) -> dict[str, Tensor]:
        source, target = images["source"][k], images.get("target", images["image"])[k]
        if source.shape[0] != target.shape[0]:
            raise UsageError(
                f"cutblur puts targets into sources, and these have {target.shape[0]} and {source.shape[0]} channels."
            )
        small = torch.nn.functional.adaptive_avg_pool2d(target, (source.shape[1], source.shape[2]))
        box = draw_box(images, share**0.5, random)
        inside = random.random() < 0.5
        return {"source": paste(source, small, box) if inside else paste(small, source, box)}


def mix_pairs(images: dict[str, Tensor], mixtures: Sequence[PairMix], seed: int, start: int) -> dict[str, Tensor]:
    """Mix the pairs of a batch by numbers that follow from its seed and position alone."""
    pairs = {name: batch for name, batch in images.items() if mixtures and name in PAIR}
    random = np.random.default_rng([seed, start, MIXED])
    for mixture in mixtures:
        pairs = mixture.mix(pairs, random)
    return {**images, **pairs}


Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels of the source


def draw_box(images: dict[str, Tensor], side: float, random: np.random.Generator) -> Box:
    """A box of that share of either side, at a random centre, cut off at the edges."""
    box = []
    for length in images["source"].shape[2:]:
        half, centre = side * length / 2, random.random() * length
        box.append((round(max(centre - half, 0)), round(min(centre + half, length))))
    return box[0][0], box[1][0], box[0][1], box[1][1]


def scaled(box: Box, images: dict[str, Tensor], batch: Tensor) -> Box:
    """A box of the source in the pixels of another batch."""
    scale = batch.shape[2] // images["source"].shape[2]
    top, left, bottom, right = (scale * place for place in box)
    return top, left, bottom, right


def paste(under: Tensor, over: Tensor, box: Box) -> Tensor:
    """One image (C, H, W) with a box of another."""
    top, left, bottom, right = box
    result = under.clone()
    result[:, top:bottom, left:right] = over[:, top:bottom, left:right]
    return result
