"""Sliced Wasserstein distance of patches of a Laplacian pyramid (Karras et al. 2018, section 5): no network looks.

The smallest level shows whether large shapes are distributed alike, each larger one details half the size.
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

PATCH = 7  # pixels a side
PATCHES = 32  # of an image at each level; published with 128
SMALLEST = 16  # least side of the smallest level
DIRECTIONS = 256  # random directions, published with 512
PART = 64  # directions at a time
SCALE = 1000.0  # as published
FILTER = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def blur(images: Tensor) -> Tensor:
    """Images (N, C, H, W) through the 5x5 binomial filter; mirrored at the edges."""
    taps = torch.tensor(FILTER, dtype=images.dtype)
    channels = images.shape[1]
    weight = (taps[:, None] * taps).expand(channels, 1, 5, 5)
    return conv2d(pad(images, (2, 2, 2, 2), mode="reflect"), weight, groups=channels)


def enlarge(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images of twice the size, (H, W) or one pixel less: zeros between the pixels, filtered."""
    spread = images.new_zeros(*images.shape[:2], *size)
    spread[:, :, ::2, ::2] = images
    return blur(4 * spread)


def pyramid(images: Tensor) -> list[Tensor]:
    """The levels of images (N, C, H, W), the largest first: what halving loses, and the smallest as it is."""
    levels = [images]
    while min(levels[-1].shape[2:]) // 2 >= SMALLEST:
        levels.append(blur(levels[-1])[:, :, ::2, ::2])
    sizes = [tuple(level.shape[2:]) for level in levels]
    return [a - enlarge(b, size) for a, b, size in zip(levels, levels[1:], sizes)] + levels[-1:]  # type: ignore[arg-type]


def patches(level: Tensor, source: torch.Generator) -> Tensor:
    """Patches at random places of a level (N, C, H, W): (N PATCHES, C, 7, 7)."""
    count, (height, width) = len(level) * PATCHES, level.shape[2:]
    image = torch.arange(len(level)).repeat_interleave(PATCHES)
    top, left = (torch.randint(side - PATCH + 1, (count,), generator=source) for side in (height, width))
    span = torch.arange(PATCH)
    rows, columns = (top[:, None] + span)[:, :, None], (left[:, None] + span)[:, None, :]
    return level[image[:, None, None], :, rows, columns].permute(0, 3, 1, 2)


def normalized(rows: Tensor) -> Tensor:
    """Patches (M, C, 7, 7) of a set, each channel with mean 0 and deviation 1 over the set: (M, C 7 7)."""
    deviation, mean = torch.std_mean(rows, (0, 2, 3), correction=0, keepdim=True)
    return ((rows - mean) / deviation.clamp_min(1e-8)).flatten(1)


def sliced_distance(a: Tensor, b: Tensor, source: torch.Generator) -> float:
    """Mean over random directions of the Wasserstein-1 distance of two sets (M, D), projected."""
    total = 0.0
    for _ in range(DIRECTIONS // PART):
        directions = torch.randn(a.shape[1], PART, generator=source, dtype=torch.float32)
        directions = (directions / torch.linalg.vector_norm(directions, dim=0)).to(a.dtype)
        one, two = ((rows @ directions).sort(0).values for rows in (a, b))
        total += (one - two).abs().mean().item() * PART
    return total / DIRECTIONS
