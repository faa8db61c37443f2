"""What can be told cheaply from a few generated images beside a few real ones.

Distances are between images scaled down to at most 8x8 pixels, which see what an image is and no fine detail;
points are taken as they are.  Everything stays on the device: every result is a scalar there.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 8  # pixels of the longer side that distances are measured on
ROUNDS = 10  # of Lloyd's algorithm
LOST = 1 / 8  # a cluster with less than this part of its share is lost
EXPECTED = 3.0  # samples a cluster must be expected to have before it can be missed
NUMBERS = 1 << 14  # at most so many are sorted for a quantile


def scaled_down(images: Tensor) -> Tensor:
    """Images (N, C, H, W) as (N, D) float32: means over areas, at most 8 a side."""
    height, width = images.shape[2:]
    longer = max(height, width)
    size = (max(1, round(SIDE * height / longer)), max(1, round(SIDE * width / longer)))
    images = images.float() if longer <= SIDE else F.adaptive_avg_pool2d(images.float(), size)
    return images.flatten(1)


def between(rows: Tensor) -> Tensor:
    """Distances (N, N) among rows, infinite from a row to itself."""
    apart = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.fill_diagonal_(torch.inf)


def spread(rows: Tensor) -> Tensor:
    """The mean distance between two rows."""
    return F.pdist(rows).mean()


def told_apart(real: Tensor, fake: Tensor) -> Tensor:
    """How often the nearest neighbour of a sample is of its own kind: 0.5 where the two cannot be told apart, 1 where
    they have nothing in common.

    The leave-one-out accuracy of the classifier two-sample test with one neighbour (Lopez-Paz and Oquab 2017).
    """
    count = min(len(real), len(fake))
    kind = torch.arange(2 * count, device=real.device) < count
    nearest = between(torch.cat([real[:count], fake[:count]])).argmin(1)
    return (kind[nearest] == kind).float().mean()


def nearness(real: Tensor, fake: Tensor) -> Tensor:
    """How much farther fakes are from the nearest real image than real images from each other's: a ratio of
    medians, about 1 for samples of the same distribution.
    """
    own = between(real).amin(1).median()
    return torch.cdist(fake, real).amin(1).median() / own.clamp_min(1e-6)


class Clusters(NamedTuple):
    """Groups of alike real images: what a generator could leave out."""

    centres: Tensor  # (K, D)
    shares: Tensor  # (K,): of the real images

    @classmethod
    def of(cls, rows: Tensor, count: int) -> Clusters:
        """k-means, begun at points that are far from each other, so that nothing is drawn."""
        chosen = [rows[0]]
        apart = (rows - chosen[0]).square().sum(1)
        for _ in range(count - 1):
            chosen.append(rows[apart.argmax()])
            apart = torch.minimum(apart, (rows - chosen[-1]).square().sum(1))
        centres = torch.stack(chosen)
        for _ in range(ROUNDS):
            members = F.one_hot(torch.cdist(rows, centres).argmin(1), count).float()  # (N, K)
            sizes = members.sum(0)[:, None]
            centres = torch.where(sizes > 0, members.t() @ rows / sizes.clamp_min(1), centres)
        nearest = torch.cdist(rows, centres).argmin(1)
        return cls(centres, F.one_hot(nearest, count).float().mean(0))

    def lost(self, rows: Tensor) -> Tensor:
        """The share of real images whose group the generator leaves out, of the groups that are large enough to be
        missed; after the bins of Richardson and Weiss 2018.
        """
        nearest = torch.cdist(rows, self.centres).argmin(1)
        found = F.one_hot(nearest, len(self.centres)).float().mean(0)
        counted = (self.shares * len(rows) >= EXPECTED).float() * self.shares
        return (counted * (found < LOST * self.shares)).sum() / counted.sum().clamp_min(1e-6)


def saturated(images: Tensor) -> Tensor:
    """The share of values at the ends of [-1, 1]."""
    return (images.abs() > 0.99).float().mean()


def ends(images: Tensor) -> tuple[Tensor, Tensor]:
    """Between what values all but two in a hundred numbers lie."""
    values = images.float().flatten()
    values = values[:: -(-len(values) // NUMBERS)]
    return tuple(values.quantile(torch.tensor([0.01, 0.99], device=values.device)))


def checkerboard(images: Tensor) -> Tensor:
    """The share of the images' variance in patterns that alternate from pixel to pixel, in rows, columns or both.

    The power of the three highest frequencies, which transposed convolutions are known for (Odena et al. 2016), over
    that of all but the mean.
    """
    height, width = (side // 2 * 2 for side in images.shape[2:])
    power = torch.fft.fft2(images[:, :, :height, :width].float()).abs().square().mean((0, 1))  # (H, W)
    h, w = height // 2, width // 2
    return (power[h, 0] + power[0, w] + power[h, w]) / (power.sum() - power[0, 0]).clamp_min(1e-12)


def label_contrast(rows: Tensor, label: Tensor, others: Tensor, theirs: Tensor) -> Tensor:
    """How much nearer images of the same class are than of different ones: squared distances, over their mean.

    `rows` (N, D) of class `label` (N,) against `others` of class `theirs`; 0 where labels say nothing about images.
    """
    apart = torch.cdist(rows, others).square()
    same = (label[:, None] == theirs[None]).float()
    if rows is others:
        same.fill_diagonal_(0)
        different = 1 - same - torch.eye(len(same), device=same.device)
    else:
        different = 1 - same
    mean_same = (apart * same).sum() / same.sum().clamp_min(1)
    mean_different = (apart * different).sum() / different.sum().clamp_min(1)
    return (mean_different - mean_same) / mean_different.clamp_min(1e-12)
