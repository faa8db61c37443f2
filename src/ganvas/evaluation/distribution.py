"""Measures of how alike two sets of images are: through features, by classes, by pairs of samples."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..data.dataset import Dataset
from ..data.toy import modes as centres
from ..errors import UsageError
from ..imaging.decode import to_uint8
from ..metrics import frechet, prdc
from ..metrics import kid as kernel
from ..metrics.frechet import Gaussian, frechet_distance
from ..metrics.inception_score import inception_score
from ..metrics.modes import class_coverage, coverage
from ..metrics.ssim import SIZE, couples, unlikeness
from ..models.model import Model, load
from ..policy import has_fast_bf16
from .comparison import Numbers, Question, enough
from .inputs import Side

ROUNDING_IMAGES = 1000  # images a side that bf16's bias is measured on


def fd(ask: Question) -> Numbers:
    """Frechet distance of features; through `inception` it is FID (Heusel et al. 2017)."""
    o = ask.options
    enough(2, ask.real, ask.fake)
    real = ask.real.gaussian(ask.network, o.cache)
    if not (o.bootstrap or o.unlimited or o.by_class):
        found: Numbers = {"fd": frechet_distance(real, ask.fake.gaussian(ask.network, o.cache))}
        return {**found, **rounding(ask), **small_sample(ask), **ask.said}
    fake = torch.cat(list(ask.fake.features(ask.network)))
    found = {"fd": frechet_distance(real, Gaussian.of(fake))}
    if o.bootstrap:
        kept = torch.cat(list(ask.real.features(ask.network)))
        interval = frechet.bootstrap(kept, fake, repeats=o.bootstrap, seed=o.seed)
        found |= {"low": interval.low, "high": interval.high, "confidence": 0.95, "bootstrap": o.bootstrap}
    if o.unlimited:
        found["fd_infinity"] = frechet.unlimited(real, fake, seed=o.seed)
    if o.by_class:
        found |= by_class(ask, fake)
    return {**found, **rounding(ask), **small_sample(ask), **ask.said}


def fid(ask: Question) -> Numbers:
    """Frechet Inception distance: `fd` through the network it was published with (Heusel et al. 2017)."""
    found = fd(Question(ask.a, ask.b, replace(ask.options, features="inception")))
    return {"fid": found.pop("fd"), **found}


def rounding(ask: Question) -> Numbers:
    """What bfloat16 features add to the distance, measured on the first images of both sides; nothing in float32."""
    if not ask.options.bf16:
        return {}
    sides = [side.first(ROUNDING_IMAGES) for side in (ask.real, ask.fake)]
    rounded, exact = (
        frechet_distance(*(Gaussian.of(side.features(network)) for side in sides))
        for network in (ask.network, ask.network.exact())
    )
    slow = {} if has_fast_bf16(ask.network.device) else {"note": "this device is no faster in bf16 than in float32"}
    return {"bf16_bias": rounded - exact, "bf16_bias_images": min(side.count for side in sides), **slow}


def small_sample(ask: Question) -> Numbers:
    """A warning where there are fewer images than features: the distance is then mostly bias."""
    least, width = min(s.count for s in (ask.real, ask.fake)), ask.network.width
    if not width or not 0 < least < width:
        return {}
    return {"warning": f"{least} images are fewer than the {width} features; compare only at equal numbers"}


def by_class(ask: Question, fake: Tensor) -> Numbers:
    """The Frechet distance within each class, and their mean (intra-FID of Miyato and Koyama 2018)."""
    names, ours, theirs = ask.real.class_names, ask.real.labels, ask.fake.labels
    if not names or ours is None or theirs is None or ask.fake.class_names != names:
        raise UsageError("Distances by class need both sides labelled with the same classes, or a conditional model.")
    real, found = torch.cat(list(ask.real.features(ask.network))), {}
    for k, name in enumerate(names):
        mine, its = real[ours == k], fake[theirs == k]
        if min(len(mine), len(its)) < 2:
            raise UsageError(f"The class {name} has {len(mine)} real and {len(its)} other images; it needs two each.")
        found[name] = frechet_distance(Gaussian.of(mine), Gaussian.of(its))
    return {"fd_by_class": found, "intra_fd": sum(found.values()) / len(found)}


def kid(ask: Question) -> Numbers:
    """Kernel distance of features, unbiased, over subsets (Binkowski et al. 2018)."""
    o = ask.options
    enough(o.size, ask.real, ask.fake)
    found = kernel.kernel_distance(*ask.both(), subsets=o.subsets, size=o.size, seed=o.seed)
    return {"kid": found.value, "deviation": found.deviation, "subsets": o.subsets, "subset_size": o.size, **ask.said}


def inception_scores(ask: Question) -> Numbers:
    """How sure a classifier is of each sample and how many classes it sees in all (Salimans et al. 2016)."""
    side, o = ask.only, ask.options
    enough(o.splits, side)
    logits = torch.cat(list(side.features(ask.network, ask.network.logits)))
    found = inception_score(logits, splits=o.splits)
    said = {"splits": o.splits, **ask.network.protocol, "fake": side.said}
    return {"is": found.value, "deviation": found.deviation, **said}


def neighbourhoods(ask: Question) -> Numbers:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020)."""
    k = ask.options.k
    enough(k + 1, ask.real, ask.fake)
    found = prdc.neighbourhoods(*ask.both(), k=k)
    return {**found.__dict__, "k": k, **ask.said}


def memorisation(ask: Question) -> Numbers:
    """Whether samples copy the training images A: how often they are nearer to them than held-out images are."""
    other = ask.held_out("Memorisation needs images that the training never saw: --held-out SOURCE.")
    training, samples = ask.both()
    held_out = torch.cat(list(other.features(ask.network)))
    found = prdc.memorisation(samples, training, held_out)
    near = found.distance.argsort()[:16]
    pairs = [
        {"sample": int(k), "training": int(found.neighbour[k]), "distance": float(found.distance[k])} for k in near
    ]
    return {"memorisation": found.share, "expected": 0.5, "nearest": pairs, "held_out": other.said, **ask.said}


def variety(ask: Question) -> Numbers:
    """One minus the mean MS-SSIM of random pairs of samples (after Odena et al. 2017); grows with variety."""
    side = ask.only
    pairs = couples(side.count, seed=ask.options.seed)
    scales = next((n for n in range(5, 0, -1) if min(side.resolution) >= SIZE * 2 ** (n - 1)), 1)
    value = unlikeness(*chosen(side, *pairs), scales=scales)
    return {"diversity": value, "pairs": len(pairs[0]), "scales": scales, "seed": ask.options.seed, "fake": side.said}


def chosen(side: Side, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The images that are in some pair, in [0, 255] and 8 bits, and the pairs among them.

    No others are kept, whatever their number.
    """
    wanted, places = torch.cat([first, second]).unique(return_inverse=True)
    kept, start = [], 0
    for part in side.parts():
        images = part["image"]
        mine = wanted[(wanted >= start) & (wanted < start + len(images))] - start
        kept.append(torch.from_numpy(to_uint8(images[mine])).permute(0, 3, 1, 2))
        start += len(images)
    return torch.cat(kept), places[: len(first)], places[len(first) :]


def modes(ask: Question) -> Numbers:
    """Modes found and the reverse KL: of ring and grid by distance, of images by a classifier."""
    known = ask.a.name if isinstance(ask.a, Dataset) else str(ask.a)
    if known in ("ring", "grid"):
        points = ask.fake.images().flatten(1).double().numpy()
        return {**coverage(points, *centres(known)).to_dict(), "within": "3 sigma", "fake": ask.fake.said}
    if ask.options.classifier is None:
        raise UsageError("Modes of images are counted by a classifier of theirs: --classifier RUN.")
    judge, side = load(ask.options.classifier, device=ask.options.device), ask.only
    own, classes = int(judge.config["data"]["channels"]), len(judge.class_names)
    looks = side.channels if own == 1 else 1  # grey images over each other, as in stacked MNIST, are named one by one
    found = torch.cat([_mode(judge, part["image"], looks) for part in side.parts()])
    counted = class_coverage(found.numpy(), classes**looks)
    return {**counted.to_dict(), "classifier": str(ask.options.classifier), "fake": side.said}


def _mode(judge: Model, images: Tensor, looks: int) -> Tensor:
    """One number for the classes of all channels: (N,)."""
    named = [judge.classify(part) for part in images.chunk(looks, 1)]
    place = torch.zeros_like(named[0])
    for label in named:
        place = place * len(judge.class_names) + label
    return place
