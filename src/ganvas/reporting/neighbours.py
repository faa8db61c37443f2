"""What the samples may have been learnt by heart from: the training images nearest to random ones of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data.batches import divided, once
from ..data.dataset import Dataset
from ..data.sources import open_source
from ..errors import UserError
from ..features.extractor import Features
from ..imaging.decode import to_float, to_uint8
from ..imaging.grid import to_pil
from ..metrics.prdc import distances
from ..models.model import load
from .html import Safe, image_tag, joined, tag
from .read import Record, whole
from .samples import packed, spread

SHOWN = 12  # samples
NEAREST = 3  # training images a sample
FIRST_SEED = 1_000_000  # far from the seeds that people look at while they choose a model
COMPARED = 256  # samples, and real images, whose distances are summed up
SEARCHED = 50_000  # training images looked at, at most
PART = 512  # images at once
LONGEST = 128  # pixels a side of what is shown


class Nothing(UserError):
    """Why there are no neighbours to show."""


@dataclass(frozen=True)
class Found:
    """Training images near samples, and how near that is."""

    samples: Tensor  # (SHOWN, C, H, W) in [-1, 1]
    near: np.ndarray  # (SHOWN, NEAREST) places in the data
    distance: Tensor  # (SHOWN, NEAREST)
    typical: float  # median distance of a sample to its nearest training image
    real: float  # the same of real images: held out, or to their nearest other one
    searched: int  # training images looked at
    training: int  # training images in all
    held_out: bool  # `real` is of images held out


def neighbours(record: Record, device: str = "auto", searched: int = SEARCHED) -> tuple[Found, Dataset]:
    """The training images nearest to random samples through the embedded features, and the data they are in.

    Raises `UserError` with the reason where there are none to find.
    """
    if record.points:
        raise Nothing("Points in the plane have no images to compare.")
    model = load(record.run.path, device=device, precision="fp32")
    if model.task.translates or not model.task.draws_images:
        raise Nothing("This model makes its images of other images, or none, so there are no random samples.")
    samples = to_float(to_uint8(model.sample(COMPARED, seed=FIRST_SEED)))
    dataset = _data(record)
    return _found(samples, dataset, record, Features("pocket", device=model.policy.device), searched), dataset


def _data(record: Record) -> Dataset:
    """The data as the run had them; raises `Nothing` if they are not there, or not the same."""
    d = record.data
    source, asked = d.get("path") or d.get("source"), d.get("asked_resolution")
    if not isinstance(source, str) or not source:
        raise Nothing("The data were handed over in Python, so they cannot be read again.")
    size = (int(asked[0]), int(asked[1])) if isinstance(asked, list) and len(asked) == 2 else None
    try:
        dataset = open_source(source, resolution=size, patch=record.recipe.patch if record.recipe else 0)
    except UserError as problem:
        raise Nothing(f"The training data cannot be read again: {problem}") from None
    if whole(d.get("labels_kept")):
        dataset = dataset.keep_labels(whole(d["labels_kept"]), whole(record.config.get("seed")))
    if dataset.fingerprint != d.get("fingerprint"):
        raise Nothing(f"The data have changed since the run was started ({source}).")
    return dataset


@torch.inference_mode()
def _found(samples: Tensor, dataset: Dataset, record: Record, network: Features, searched: int) -> Found:
    seed, held_out = whole(record.config.get("seed")), whole(record.data.get("held_out"))
    aside, kept = divided(len(dataset), held_out, seed)
    chosen = kept[spread(len(kept), searched)]
    training = looked(network, dataset, chosen)
    apart = torch.cat(list(distances(network(samples), training)))  # (COMPARED, searched)
    near = apart[:SHOWN].topk(min(NEAREST, len(chosen)), dim=1, largest=False)
    if len(aside):
        real = torch.cat(list(distances(looked(network, dataset, aside[:COMPARED]), training))).amin(1)
    else:
        some = training[spread(len(training), COMPARED)]
        real = torch.cat(list(distances(some, training))).kthvalue(min(2, len(training)), dim=1).values
    return Found(
        samples[:SHOWN],
        chosen[near.indices.numpy()],
        near.values,
        float(apart.amin(1).median()),
        float(real.median()),
        len(chosen),
        len(kept),
        bool(len(aside)),
    )


def looked(network: Features, dataset: Dataset, places: np.ndarray) -> Tensor:
    """Features of these images of the data, (N, D), a part of them in memory at a time."""
    parts = []
    for start in range(0, len(places), PART):
        part = dataset.subset(places[start : start + PART])
        parts += [network(batch["image"]) for batch in once(part, PART)]
    return torch.cat(parts)


def section(records: Sequence[Record], device: str = "auto", searched: int = SEARCHED) -> tuple[Safe, list[str]]:
    """The neighbours of every run, or a sentence why there are none; those sentences also by themselves."""
    parts, notes = [], []
    for k, record in enumerate(records):
        if len(records) > 1:
            parts.append(tag("h3", tag("i", class_=f"key c{k}"), record.name))
        try:
            with torch.random.fork_rng():
                found, dataset = neighbours(record, device, searched)
            parts += [_about(found), _grid(found, dataset)]
        except UserError as problem:
            notes.append(f"No nearest neighbours of {record.name}: {problem}")
            parts.append(tag("p", str(problem), class_="quiet"))
    return joined(parts), notes


def _about(found: Found) -> Safe:
    all_, some = f"all {found.training:,}", f"{found.searched:,} of the {found.training:,}"
    among = all_ if found.searched == found.training else some
    others = "an image held out lies" if found.held_out else "a training image lies, from its nearest other,"
    ratio = found.typical / found.real if found.real else 1.0
    verdict = (
        "Samples lie much nearer to training images than these do: look for copies."
        if ratio < 0.5
        else "Samples are not copies by this measure."
    )
    said = (
        f"{len(found.samples)} random samples (seeds {FIRST_SEED:,} on), each above its {NEAREST} nearest among {among}"
        f" training images, by the features of the embedded network. The median sample lies {found.typical:.3g} from"
        f" its nearest; {others} {found.real:.3g}. {verdict}"
    )
    return tag("p", said)


def _grid(found: Found, dataset: Dataset) -> Safe:
    cells = []
    for k, sample in enumerate(to_uint8(found.samples)):
        row = [
            tag("figure", _shown(dataset.images[place], _named(dataset, place)), tag("figcaption", f"{d:.2f}"))
            for place, d in zip(found.near[k], found.distance[k].tolist())
        ]
        first = _shown(sample, f"sample of seed {FIRST_SEED + k}")
        cells.append(tag("div", tag("div", first, class_="sample"), tag("div", *row, class_="near"), class_="cell"))
    return tag("div", *cells, class_="neighbours")


def _named(dataset: Dataset, place: int) -> str:
    known = dataset.labels is not None and dataset.labels[place] >= 0
    label = f", {dataset.class_names[int(dataset.labels[place])]}" if known and dataset.labels is not None else ""
    return f"training image {int(place)}{label}"


def _shown(pixels: np.ndarray, what: str) -> Safe:
    """(H, W, C) of 8 or 16 bits as a small image."""
    eight = pixels if pixels.dtype == np.uint8 else (np.asarray(pixels, np.uint32) >> 8).astype(np.uint8)
    image: Image.Image = to_pil(np.ascontiguousarray(eight))
    small = max(image.size) <= 64
    content, kind = packed(image, 0 if small else 85, LONGEST)
    return image_tag(content, kind, alt=what, title=what, class_="pixels" if small else None)
