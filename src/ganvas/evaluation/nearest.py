"""Images of one side beside the images of the other that are nearest to them in the features of a network."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..metrics.prdc import nearest
from .comparison import Comparison, FeatureNetwork, SideInput, as_side
from .inputs import POINT

SEARCHED = 20_000  # images of a side, at most, evenly spaced


@dataclass(frozen=True)
class ImagePair:
    """An image of B, the image of A nearest to it, each (C, H, W) in [-1, 1], and their distance."""

    sample: Tensor
    neighbour: Tensor
    sample_index: int  # in B
    neighbour_index: int  # in A
    distance: float


@dataclass(frozen=True)
class NearestImages:
    """Pairs of nearest images: the nearest of all, the farthest of all, and how far they are in the middle."""

    nearest: list[ImagePair]
    farthest: list[ImagePair]
    median: float  # distance of an image of B to the nearest of A
    protocol: dict[str, object]


@torch.inference_mode()
def nearest_images(
    a: SideInput,
    b: SideInput,
    *,
    count: int = 8,
    samples: int = 1000,
    seed: int = 0,
    features: FeatureNetwork = "pocket",
    device: str = "auto",
) -> NearestImages:
    """The `count` images of B that lie nearest to an image of A, and the `count` that lie farthest from all of A.

    The sides are those of `evaluate`; of a side with more than 20,000 images that many are searched, evenly spaced.
    Raises `UsageError` for points, for statistics and for a `count` below 1.
    """
    if count < 1:
        raise UsageError(f"count is at least 1, got {count}.")
    c = Comparison(as_side(a), as_side(b), samples=samples, seed=seed, device=device)
    with torch.random.fork_rng(devices=[]):  # networks draw weights before they are given their own
        real, fake, network = c.real, c.fake, c.network(features, any=True)
        if POINT in (real.resolution, fake.resolution):
            raise UsageError("Points in the plane have no images to compare.")
        theirs, mine = spaced(real.count), spaced(fake.count)
        there, here = (torch.cat([*map(network, s.at(p))]) for s, p in ((real, theirs), (fake, mine)))
    distance, index = nearest(here, there)
    order = distance.argsort(stable=True)
    chosen = torch.cat([order[:count], order[count:].flip(0)[:count]]).tolist()
    mine, theirs = [mine[k] for k in chosen], [theirs[index[k]] for k in chosen]
    images = (torch.cat([*side.at(places)]) for side, places in ((fake, mine), (real, theirs)))
    pairs = [ImagePair(*parts) for parts in zip(*images, mine, theirs, distance[chosen].tolist())]
    protocol = {**c.protocol(network), "searched": min(real.count, SEARCHED)}
    return NearestImages(pairs[:count], pairs[count:], float(distance.median()), protocol)


def spaced(count: int) -> list[int]:
    """Indices of the images that are searched, all of them or evenly spaced ones."""
    return torch.linspace(0, count - 1, min(count, SEARCHED), dtype=torch.float64).round().long().tolist()
