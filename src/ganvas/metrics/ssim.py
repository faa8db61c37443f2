"""Structural similarity, at one scale and at several."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from ..errors import UsageError
from .psnr import Channel, crop_channel

SIZE, SIGMA = 11, 1.5  # of the Gaussian window (Wang et al. 2004)
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents of the scales (Wang et al. 2003)

ODD_SIDES = "edge repeated"  # where maps are halved, as in the authors' code; cut off in 0.1 before December 2026


def smooth(x: Tensor) -> Tensor:
    """Local means under the window, where it fits: (N, C, H, W) -> (N, C, H - 10, W - 10)."""
    channels, offsets = x.shape[1], torch.arange(SIZE, dtype=x.dtype, device=x.device) - SIZE // 2
    row = torch.exp(-offsets.square() / (2 * SIGMA**2))
    row = row / row.sum()
    down = conv2d(x, row.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return conv2d(down, row.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def maps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance times contrast-structure, and contrast-structure alone, by position (Wang et al. 2004, eq. 13)."""
    if min(a.shape[2:]) < SIZE:
        raise UsageError(
            f"SSIM looks through a window of {SIZE}x{SIZE}; these images are {a.shape[3]}x{a.shape[2]}; psnr has none."
        )
    mean_a, mean_b = smooth(a), smooth(b)
    var_a, var_b = smooth(a * a) - mean_a.square(), smooth(b * b) - mean_b.square()
    both = smooth(a * b) - mean_a * mean_b
    structure = (2 * both + C2) / (var_a + var_b + C2)
    return (2 * mean_a * mean_b + C1) / (mean_a.square() + mean_b.square() + C1) * structure, structure


def ssim(a: Tensor, b: Tensor, *, channel: Channel = "rgb", border: int = 0) -> Tensor:
    """Structural similarity of each two images (N, C, H, W) in [0, 255], the mean over places and channels: (N,).

    Wang et al. 2004: Gaussian window 11x11 of sigma 1.5 where it fits, K 0.01 and 0.03, in float64.
    """
    return maps(*crop_channel(a, b, channel, border))[0].flatten(1).mean(1)


def ms_ssim(a: Tensor, b: Tensor, *, channel: Channel = "rgb", border: int = 0, scales: int = 5) -> Tensor:
    """Structural similarity over five scales, each half of the one before: (N,) (Wang et al. 2003, eq. 7).

    Five scales need images of 176 pixels a side; fewer scales, with exponents scaled to the same sum, need less.
    """
    if not 1 <= scales <= len(SCALES):
        raise UsageError(f"MS-SSIM has 1 to {len(SCALES)} scales, not {scales}; give another --scales.")
    a, b = crop_channel(a, b, channel, border)
    least = SIZE * 2 ** (scales - 1)
    if min(a.shape[2:]) < least:
        fewer = "; take fewer (--scales)" if scales > 1 else ""
        raise UsageError(
            f"MS-SSIM over {scales} scales needs images of at least {least}x{least}, these are"
            f" {a.shape[3]}x{a.shape[2]}{fewer}."
        )
    value = torch.ones(len(a), dtype=a.dtype, device=a.device)
    powers = [power * sum(SCALES) / sum(SCALES[:scales]) for power in SCALES[:scales]]
    for k, power in enumerate(powers):
        whole, structure = (x.flatten(1).mean(1).clamp(min=0) for x in maps(a, b))
        last = k == scales - 1
        value = value * (whole if last else structure) ** power
        if not last:
            a, b = (avg_pool2d(x, 2, ceil_mode=True) for x in (a, b))  # an odd edge is repeated, as in their code
    return value


def draw_pairs(count: int, pairs: int = 1000, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random pairs of different images out of `count`: two vectors of indices, (pairs,) int64 each.

    Raises `UsageError` for fewer than two images.
    """
    if count < 2:
        raise UsageError(f"Diversity compares images with one another and needs two at least, got {count}.")
    source = torch.Generator().manual_seed(seed)
    first = torch.randint(count, (pairs,), generator=source)
    return first, (first + torch.randint(1, count, (pairs,), generator=source)) % count


def mean_dissimilarity(images: Tensor, first: Tensor, second: Tensor, *, scales: int = 5) -> float:
    """One minus the mean MS-SSIM of these pairs of the images."""
    values = [ms_ssim(images[i], images[j], scales=scales) for i, j in zip(first.split(64), second.split(64))]
    return 1 - torch.cat(values).mean().item()
