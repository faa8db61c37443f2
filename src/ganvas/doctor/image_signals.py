"""Statistics of a few generated images beside a few real ones, cheap enough for training.

Distances are between images scaled down to at most 8x8 pixels: they see the content of an image and no fine detail.
Points are compared as they are.  Results are scalars on the device of their input: nothing waits for it.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 8  # pixels of the longer side of images that distances are measured on
ROUNDS = 10  # of Lloyd's algorithm
MISSING = 1 / 8  # a cluster is missing with less than this part of its share of samples
EXPECTED = 3.0  # samples that a cluster must be expected to have before it counts
NUMBERS = 1 << 14  # values sorted for a percentile, at most


def downscale(images: Tensor) -> Tensor:
    """Images (N, C, H, W) as rows (N, D), float32: averaged over areas, at most 8 pixels a side."""
    height, width = images.shape[2:]
    longer = max(height, width)
    size = (max(1, round(SIDE * height / longer)), max(1, round(SIDE * width / longer)))
    images = images.float() if longer <= SIDE else F.adaptive_avg_pool2d(images.float(), size)
    return images.flatten(1)


def distances_among(rows: Tensor) -> Tensor:
    """Euclidean distances (N, N) among rows (N, D), infinite from a row to itself."""
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.fill_diagonal_(torch.inf)


def mean_distance(rows: Tensor) -> Tensor:
    """The mean distance between two rows."""
    return F.pdist(rows).mean()


def nn_two_sample_accuracy(real: Tensor, fake: Tensor) -> Tensor:
    """The share of images whose nearest neighbour is of their own kind, real or generated.

    0.5 if both have the same distribution, 1 if they do not overlap: the leave-one-out accuracy of the classifier
    two-sample test with one neighbour (Lopez-Paz and Oquab 2017).
    """
    count = min(len(real), len(fake))
    is_real = torch.arange(2 * count, device=real.device) < count
    nearest = distances_among(torch.cat([real[:count], fake[:count]])).argmin(1)
    return (is_real[nearest] == is_real).float().mean()


def nearest_real_ratio(real: Tensor, fake: Tensor) -> Tensor:
    """The median distance of a sample to its nearest real image, over that of a real image to its nearest other one.

    About 1 for samples of the same distribution.
    """
    real_distance = distances_among(real).amin(1).median()
    return torch.cdist(fake, real).amin(1).median() / real_distance.clamp_min(1e-6)


class Clusters(NamedTuple):
    """Clusters of real images, to see which of them the generator leaves out."""

    centres: Tensor  # (K, D)
    shares: Tensor  # (K,): of the real images

    @classmethod
    def fit(cls, rows: Tensor, count: int) -> "Clusters":
        """k-means that starts at rows far from each other, so that it draws no random numbers."""
        starts = [rows[0]]
        distances = (rows - starts[0]).square().sum(1)
        for _ in range(count - 1):
            starts.append(rows[distances.argmax()])
            distances = torch.minimum(distances, (rows - starts[-1]).square().sum(1))
        centres = torch.stack(starts)
        for _ in range(ROUNDS):
            members = F.one_hot(torch.cdist(rows, centres).argmin(1), count).float()  # (N, K)
            sizes = members.sum(0)[:, None]
            centres = torch.where(sizes > 0, members.t() @ rows / sizes.clamp_min(1), centres)
        nearest = torch.cdist(rows, centres).argmin(1)
        return cls(centres, F.one_hot(nearest, count).float().mean(0))

    def missing_share(self, rows: Tensor) -> Tensor:
        """The share of real images in clusters with almost no samples (after the bins of Richardson and Weiss 2018).

        Clusters too small for so few samples do not count.
        """
        nearest = torch.cdist(rows, self.centres).argmin(1)
        shares = F.one_hot(nearest, len(self.centres)).float().mean(0)
        counted = (self.shares * len(rows) >= EXPECTED).float() * self.shares
        return (counted * (shares < MISSING * self.shares)).sum() / counted.sum().clamp_min(1e-6)


def saturated_share(images: Tensor) -> Tensor:
    """The share of values at the ends of [-1, 1]."""
    return (images.abs() > 0.99).float().mean()


def percentiles(images: Tensor) -> tuple[Tensor, Tensor]:
    """The 1st and 99th percentile of the values."""
    values = images.float().flatten()
    values = values[:: -(-len(values) // NUMBERS)]
    return tuple(values.quantile(torch.tensor([0.01, 0.99], device=values.device)))


def checkerboard_share(images: Tensor) -> Tensor:
    """The share of the images' variance in patterns that alternate from pixel to pixel, in rows, columns or both.

    The power of the three highest frequencies, which transposed convolutions are known for (Odena et al. 2016), over
    that of all but the mean.
    """
    height, width = (side // 2 * 2 for side in images.shape[2:])
    power = torch.fft.fft2(images[:, :, :height, :width].float()).abs().square().mean((0, 1))  # (H, W)
    h, w = height // 2, width // 2
    return (power[h, 0] + power[0, w] + power[h, w]) / (power.sum() - power[0, 0]).clamp_min(1e-12)


def label_contrast(rows: Tensor, label: Tensor, others: Tensor, other_label: Tensor) -> Tensor:
    """The mean squared distance to images of other classes minus that to images of the same class, over the former.

    `rows` (N, D) of class `label` (N,) against `others` of class `other_label`; 0 if classes look alike.
    """
    distances = torch.cdist(rows, others).square()
    same = (label[:, None] == other_label[None]).float()
    different = 1 - same
    if rows is others:
        same.fill_diagonal_(0)
    mean_same = (distances * same).sum() / same.sum().clamp_min(1)
    mean_different = (distances * different).sum() / different.sum().clamp_min(1)
    return (mean_different - mean_same) / mean_different.clamp_min(1e-12)
