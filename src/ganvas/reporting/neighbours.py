"""Random samples beside the training images nearest to them, to see copies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data.batches import iterate_once, split_held_out
from ..data.dataset import Dataset
from ..errors import UserError
from ..evaluation.run_data import open_run_data
from ..features.extractor import Features
from ..imaging.decode import to_float, to_uint8
from ..imaging.grid import to_pil
from ..metrics.prdc import distances
from ..models.model import load
from .html import Child, Safe, image_tag, join, tag
from .read import Record, as_count
from .samples import compress, spaced_indices
from .tables import heading

SAMPLES = 12  # on the page
NEAREST = 3  # training images a sample
FIRST_SEED = 1_000_000  # far from the seeds that a model may have been chosen by
COMPARED = 256  # samples, and real images, for the median distances
SEARCHED = 50_000  # training images searched, at most
PART = 512  # images at once
LONGEST = 128  # pixels a side of the images on the page


class NoNeighbours(UserError):
    """The reason why a run has no neighbours to show."""


@dataclass(frozen=True)
class Neighbours:
    """Samples, the training images nearest to them, and their distances."""

    samples: Tensor  # (SAMPLES, C, H, W) in [-1, 1]
    near: np.ndarray  # (SAMPLES, NEAREST) indices in the data
    distance: Tensor  # (SAMPLES, NEAREST)
    typical: float  # median distance of a sample to its nearest training image
    real: float  # the same for held-out images, or from training images to their nearest other one
    searched: int  # training images searched
    training: int  # all training images
    held_out: bool  # `real` is about held-out images


def find_neighbours(record: Record, device: str = "auto", searched: int = SEARCHED) -> tuple[Neighbours, Dataset]:
    """The training images nearest to random samples in the embedded features, and the data that hold them.

    Raises `NoNeighbours`, or another `UserError`, with the reason if there are none.
    """
    if record.points:
        raise NoNeighbours("Points in the plane have no images to compare.")
    model = load(record.run.path, device=device, precision="fp32")
    if model.task.translates or not model.task.draws_images:
        raise NoNeighbours("This model does not generate images from noise, so there are no random samples.")
    samples = to_float(to_uint8(model.sample(COMPARED, seed=FIRST_SEED)))
    dataset = open_run_data(record.config, record.recipe.patch if record.recipe else 0)
    return _search(samples, dataset, record, Features("pocket", device=model.policy.device), searched), dataset


@torch.inference_mode()
def _search(samples: Tensor, dataset: Dataset, record: Record, network: Features, searched: int) -> Neighbours:
    seed, held_out = as_count(record.config.get("seed")), as_count(record.data.get("held_out"))
    aside, rest = split_held_out(len(dataset), held_out, seed)
    places = rest[spaced_indices(len(rest), searched)]
    training = extract_features(network, dataset, places)
    distance = torch.cat(list(distances(network(samples), training)))  # (COMPARED, searched)
    near = distance[:SAMPLES].topk(min(NEAREST, len(places)), dim=1, largest=False)
    if len(aside):
        real = torch.cat(list(distances(extract_features(network, dataset, aside[:COMPARED]), training))).amin(1)
    else:
        some = training[spaced_indices(len(training), COMPARED)]
        real = torch.cat(list(distances(some, training))).kthvalue(min(2, len(training)), dim=1).values
    return Neighbours(
        samples[:SAMPLES],
        places[near.indices.numpy()],
        near.values,
        float(distance.amin(1).median()),
        float(real.median()),
        len(places),
        len(rest),
        bool(len(aside)),
    )


def extract_features(network: Features, dataset: Dataset, places: np.ndarray) -> Tensor:
    """Features (N, D) of the images at these places in the data, read in parts."""
    parts = []
    for start in range(0, len(places), PART):
        part = dataset.subset(places[start : start + PART])
        parts += [network(batch["image"]) for batch in iterate_once(part, PART)]
    return torch.cat(parts)


def section(records: Sequence[Record], device: str = "auto", searched: int = SEARCHED) -> tuple[Safe, list[str]]:
    """The neighbours of every run or the reason why there are none, and a list of these reasons."""
    parts: list[Child] = []
    notes = []
    for k, record in enumerate(records):
        parts.append(heading(k, records))
        try:
            with torch.random.fork_rng():
                near, dataset = find_neighbours(record, device, searched)
            parts += [_summary(near), _grid(near, dataset)]
        except UserError as problem:
            notes.append(f"No nearest neighbours of {record.name}: {problem}")
            parts.append(tag("p", str(problem), class_="quiet"))
    return join(parts), notes


def _summary(near: Neighbours) -> Safe:
    every, some = f"all {near.training:,}", f"{near.searched:,} of the {near.training:,}"
    among = every if near.searched == near.training else some
    other = "a held-out image" if near.held_out else "a training image (to its nearest other one)"
    ratio = near.typical / near.real if near.real else 1.0
    conclusion = (
        "Samples are much nearer to training images than real images are: look for copies."
        if ratio < 0.5
        else "By this measure samples are not copies."
    )
    text = (
        f"{len(near.samples)} random samples (seeds from {FIRST_SEED:,} on), each above the {NEAREST} nearest among"
        f" {among} training images, by distance in the features of the embedded network. The median distance to the"
        f" nearest training image is {near.typical:.3g} for a sample and {near.real:.3g} for {other}. {conclusion}"
    )
    return tag("p", text)


def _grid(near: Neighbours, dataset: Dataset) -> Safe:
    cells = []
    for k, sample in enumerate(to_uint8(near.samples)):
        row = [
            tag("figure", _thumbnail(dataset.images[place], _caption(dataset, place)), tag("figcaption", f"{d:.2f}"))
            for place, d in zip(near.near[k], near.distance[k].tolist())
        ]
        first = _thumbnail(sample, f"sample of seed {FIRST_SEED + k}")
        cells.append(tag("div", tag("div", first, class_="sample"), tag("div", *row, class_="near"), class_="cell"))
    return tag("div", *cells, class_="neighbours")


def _caption(dataset: Dataset, place: int) -> str:
    labelled = dataset.labels is not None and dataset.labels[place] >= 0
    label = f", {dataset.class_names[int(dataset.labels[place])]}" if labelled and dataset.labels is not None else ""
    return f"training image {int(place)}{label}"


def _thumbnail(pixels: np.ndarray, caption: str) -> Safe:
    """Pixels (H, W, C) of 8 or 16 bits as a small image."""
    eight = pixels if pixels.dtype == np.uint8 else (np.asarray(pixels, np.uint32) >> 8).astype(np.uint8)
    image: Image.Image = to_pil(np.ascontiguousarray(eight))
    small = max(image.size) <= 64
    content, kind = compress(image, 0 if small else 85, LONGEST)
    return image_tag(content, kind, alt=caption, title=caption, class_="pixels" if small else None)
