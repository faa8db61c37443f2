"""The metric `swd`: distance of patches of two sets of images, without a feature network."""

import torch
from torch import Tensor

from ..errors import UsageError
from ..metrics.sliced_wasserstein import (
    DIRECTIONS,
    PATCH,
    PATCHES,
    SCALE,
    normalized,
    patches,
    pyramid,
    sliced_distance,
)
from .comparison import Comparison, Numbers, check_count, metric
from .inputs import Side


@metric(less=("swd",), watch=("swd",))
def swd(c: Comparison) -> Numbers:
    """Sliced Wasserstein distance of patches of several sizes (Karras et al. 2018); no network looks."""
    c.same_channels(c.fake, exact=True)
    if c.real.resolution != c.fake.resolution or min(c.real.resolution) < PATCH:
        sizes = " and ".join(f"{side.resolution[1]}x{side.resolution[0]}" for side in (c.real, c.fake))
        raise UsageError(f"swd compares images of one size, at least 7x7, and these have {sizes}; give --resolution.")
    check_count(2, c.real, c.fake)
    count = min(c.real.count, c.fake.count)
    sides = [patches_by_level(side.first(count), c.seed) for side in (c.real, c.fake)]
    source = torch.Generator().manual_seed(c.seed)
    levels = [SCALE * sliced_distance(normalized(a), normalized(b), source) for a, b in zip(*sides)]
    by_level = {str(2**k): value for k, value in enumerate(levels)}  # by the factor of its reduction
    protocol = {"patches": count * PATCHES, "directions": DIRECTIONS, "seed": c.seed}
    sides_used = {"real": c.real.first(count).protocol, "fake": c.fake.first(count).protocol}
    return {"swd": sum(levels) / len(levels), "swd_by_reduction": by_level, **protocol, **sides_used}


def patches_by_level(side: Side, seed: int) -> list[Tensor]:
    """Random patches of all images of a side, by level of the pyramid: (M, C, 7, 7) each."""
    source, parts = torch.Generator().manual_seed(seed), []
    for part in side.parts():
        parts.append([patches(level, source) for level in pyramid(part["image"])])
    return [torch.cat(rows) for rows in zip(*parts)]
