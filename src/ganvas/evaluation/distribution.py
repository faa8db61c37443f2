"""Metrics between two sets of images: through features, by classes, by pairs of samples."""

import os

import torch
from torch import Tensor

from ..data.dataset import Dataset
from ..data.toy import MIXTURES
from ..data.toy import modes as toy_modes
from ..errors import UsageError
from ..features.extractor import Features, Resizer
from ..imaging.decode import to_uint8
from ..metrics import frechet
from ..metrics.frechet import Gaussian, frechet_distance
from ..metrics.inception_score import inception_score as score_of_logits
from ..metrics.kid import kernel_distance
from ..metrics.modes import class_coverage, coverage
from ..metrics.prdc import memorisation as rank_memorisation
from ..metrics.prdc import precision_recall
from ..metrics.ssim import ODD_SIDES, SIZE, draw_pairs, mean_dissimilarity
from ..models.model import Model, load
from ..policy import has_fast_bf16
from .comparison import Comparison, FeatureNetwork, Natural, Numbers, Positive, SideInput, Size, check_count, metric
from .inputs import Side

ROUNDING_IMAGES = 1000  # images per side that the bias of bf16 is measured on


@metric(less=("fd", "fd_infinity", "intra_fd"), watch=("fd",), tables=("fd_by_class",))
def fd(
    c: Comparison,
    *,
    features: FeatureNetwork = "pocket",  # the network, by name or as a module
    resizer: Resizer = "own",  # own: as the network's authors; clean: antialiased
    bf16: bool = False,  # features in bfloat16
    bootstrap: Natural = 0,  # resampled sets for the 95 % interval; 0: no interval
    infinity: bool = False,  # also extrapolate to infinitely many samples
    by_class: bool = False,  # also within each class
) -> Numbers:
    """Frechet distance of features; through `inception` it is FID (Heusel et al. 2017)."""
    check_count(2, c.real, c.fake)
    network = c.network(features, resizer=resizer, bf16=bf16)
    real = c.real.gaussian(network, c.cache)
    if not (bootstrap or infinity or by_class):
        numbers: Numbers = {"fd": frechet_distance(real, c.fake.gaussian(network, c.cache))}
        return {**numbers, **bf16_bias(c, network), **small_sample(c, network), **c.protocol(network)}
    fake = torch.cat(list(c.fake.features(network)))
    numbers = {"fd": frechet_distance(real, Gaussian.of(fake))}
    if bootstrap:
        rows = torch.cat(list(c.real.features(network)))
        interval = frechet.bootstrap(rows, fake, repeats=bootstrap, seed=c.seed)
        numbers |= {"ci_low": interval.low, "ci_high": interval.high, "confidence": 0.95, "bootstrap": bootstrap}
    if infinity:
        numbers["fd_infinity"] = frechet.extrapolate(real, fake, seed=c.seed)
    if by_class:
        numbers |= fd_within_classes(c, network, fake)
    return {**numbers, **bf16_bias(c, network), **small_sample(c, network), **c.protocol(network)}


@metric(less=("fid", "fd_infinity", "intra_fd"), watch=("fid",), tables=("fd_by_class",))
def fid(
    c: Comparison,
    *,
    resizer: Resizer = "own",  # own: bilinear as in the public port; clean: antialiased
    bf16: bool = False,  # features in bfloat16
    bootstrap: Natural = 0,  # resampled sets for the 95 % interval; 0: no interval
    infinity: bool = False,  # also extrapolate to infinitely many samples
    by_class: bool = False,  # also within each class
) -> Numbers:
    """Frechet Inception distance: `fd` through the network it was published with (Heusel et al. 2017)."""
    options = {"resizer": resizer, "bf16": bf16, "bootstrap": bootstrap, "infinity": infinity, "by_class": by_class}
    numbers = fd(c, features="inception", **options)
    return {"fid": numbers.pop("fd"), **numbers}


def bf16_bias(c: Comparison, network: Features) -> Numbers:
    """Bias of the distance by bfloat16 features, on the first images of both sides; nothing in float32."""
    if not network.bf16:
        return {}
    sides = [side.first(ROUNDING_IMAGES) for side in (c.real, c.fake)]
    rounded, exact = (
        frechet_distance(*(Gaussian.of(side.features(net)) for side in sides)) for net in (network, network.exact())
    )
    slow = {} if has_fast_bf16(network.device) else {"note": "this device is no faster in bf16 than in float32"}
    return {"bf16_bias": rounded - exact, "bf16_bias_images": min(side.count for side in sides), **slow}


def small_sample(c: Comparison, network: Features) -> Numbers:
    """A warning if there are fewer images than features: the distance is then mostly bias."""
    least, width = min(side.count for side in (c.real, c.fake)), network.width
    if not width or not 0 < least < width:
        return {}
    return {"warning": f"{least} images are fewer than the {width} features; compare only at equal numbers"}


def fd_within_classes(c: Comparison, network: Features, fake: Tensor) -> Numbers:
    """The Frechet distance within each class, and their mean (intra-FID of Miyato and Koyama 2018)."""
    names, real_labels, fake_labels = c.real.class_names, c.real.labels, c.fake.labels
    if not names or real_labels is None or fake_labels is None or c.fake.class_names != names:
        raise UsageError(
            f"--by-class needs both sides labelled with the same classes, or a conditional model; {c.real.name} has"
            f" {len(names)} classes and {c.fake.name} {len(c.fake.class_names)}."
        )
    real, distances = torch.cat(list(c.real.features(network))), {}
    for k, name in enumerate(names):
        x, y = real[real_labels == k], fake[fake_labels == k]
        if min(len(x), len(y)) < 2:
            raise UsageError(
                f"The class {name} has {len(x)} real and {len(y)} other images; --by-class needs two each."
            )
        distances[name] = frechet_distance(Gaussian.of(x), Gaussian.of(y))
    return {"fd_by_class": distances, "intra_fd": sum(distances.values()) / len(distances)}


@metric(less=("kid",), watch=("kid",))
def kid(
    c: Comparison,
    *,
    features: FeatureNetwork = "pocket",  # the network, by name or as a module
    resizer: Resizer = "own",  # own: as the network's authors; clean: antialiased
    subsets: Positive = 100,
    size: Size = 1000,  # images in a subset
) -> Numbers:
    """Kernel distance of features, unbiased, over subsets (Binkowski et al. 2018)."""
    check_count(size, c.real, c.fake, option="--size")
    network = c.network(features, resizer=resizer)
    result = kernel_distance(*c.features(network), subsets=subsets, size=size, seed=c.seed)
    return {"kid": result.value, "std": result.std, "subsets": subsets, "subset_size": size, **c.protocol(network)}


@metric("is", revision=2, more=("is",), watch=("is",))
def inception_score(
    c: Comparison,
    *,
    features: FeatureNetwork = "pocket",  # the classifier, by name or as a module
    resizer: Resizer = "own",  # own: as the network's authors; clean: antialiased
    splits: Positive = 10,
) -> Numbers:
    """Inception score: exp of the mean KL divergence of p(y|x) from p(y) of a classifier (Salimans et al. 2016)."""
    side, network = c.only, c.network(features, resizer=resizer)
    check_count(splits, side, option="--splits")
    result = score_of_logits(torch.cat(list(side.features(network, network.logits))), splits=splits)
    bias = {"logits": "without bias"} if network.name == "inception" else {}  # with it in 0.1 before December 2026
    return {"is": result.value, "std": result.std, "splits": splits, **network.protocol, **bias, "fake": side.protocol}


@metric(
    revision=2,
    more=("coverage", "precision", "recall", "density"),
    watch=("coverage", "precision", "recall", "density"),
)
def prdc(
    c: Comparison,
    *,
    features: FeatureNetwork = "pocket",  # the network, by name or as a module
    resizer: Resizer = "own",  # own: as the network's authors; clean: antialiased
    k: Positive = 5,  # nearest neighbours
) -> Numbers:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020)."""
    check_count(k + 1, c.real, c.fake, option="--k", extra=1)
    network = c.network(features, resizer=resizer)
    numbers = precision_recall(*c.features(network), k=k).__dict__
    return {**numbers, "k": k, "ties": "inside for precision and recall alone", **c.protocol(network)}


@metric(less=("memorisation",), tables=("nearest",))
def memorisation(
    c: Comparison,
    *,
    features: FeatureNetwork = "pocket",  # the network, by name or as a module
    resizer: Resizer = "own",  # own: as the network's authors; clean: antialiased
    held_out: SideInput | None = None,  # images that the training never saw
) -> Numbers:
    """Share of pairs in which a sample is nearer to the training images A than a held-out image (Meehan et al. 2020).

    0.5: as near as new images are; 1: copies.
    """
    refusal = "Memorisation needs images that the training never saw: --held-out SOURCE."
    unseen, network = c.held_out(held_out, refusal), c.network(features, resizer=resizer, any=True)
    training, samples = c.features(network)
    result = rank_memorisation(samples, training, torch.cat(list(unseen.features(network))))
    nearest = [
        {"sample": int(k), "training": int(result.neighbour[k]), "distance": float(result.distance[k])}
        for k in result.distance.argsort()[:16]
    ]
    protocol = {"held_out": unseen.protocol, **c.protocol(network)}
    return {"memorisation": result.share, "expected": 0.5, "nearest": nearest, **protocol}


@metric(revision=2, more=("diversity",), watch=("diversity",))
def diversity(c: Comparison) -> Numbers:
    """One minus the mean MS-SSIM of random pairs of samples (after Odena et al. 2017); grows with variety."""
    side = c.only
    pairs = draw_pairs(side.count, seed=c.seed)
    scales = next((n for n in range(5, 0, -1) if min(side.resolution) >= SIZE * 2 ** (n - 1)), 1)
    value = mean_dissimilarity(*images_in_pairs(side, *pairs), scales=scales)
    return {
        "diversity": value,
        "pairs": len(pairs[0]),
        "scales": scales,
        "seed": c.seed,
        "odd_sides": ODD_SIDES,
        "fake": side.protocol,
    }


def images_in_pairs(side: Side, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The images that are in some pair, as uint8 (N, C, H, W), and the pairs as indices into them.

    Memory does not grow with the number of other images.
    """
    indices, places = torch.cat([first, second]).unique(return_inverse=True)
    images, start = [], 0
    for part in side.parts():
        batch = part["image"]
        inside = indices[(indices >= start) & (indices < start + len(batch))] - start
        images.append(torch.from_numpy(to_uint8(batch[inside])).permute(0, 3, 1, 2))
        start += len(batch)
    return torch.cat(images), places[: len(first)], places[len(first) :]


@metric(less=("reverse_kl",), more=("modes", "high_quality"), watch=("reverse_kl", "modes", "high_quality"))
def modes(
    c: Comparison,
    *,
    classifier: str | os.PathLike[str] | None = None,  # a run that names the classes; not for ring and grid
) -> Numbers:
    """Modes covered and the reverse KL: of ring and grid by distance, of images by a classifier."""
    source = c.a.name if isinstance(c.a, Dataset) else str(c.a)
    if source in MIXTURES:
        points = c.fake.images().flatten(1).double().numpy()
        return {**coverage(points, *toy_modes(source)).to_dict(), "mode_radius": "3 sigma", "fake": c.fake.protocol}
    if classifier is None:
        raise UsageError("Modes of images are counted by a classifier of theirs: --classifier RUN.")
    model, side = load(classifier, device=c.device), c.only
    own, classes = int(model.config["data"]["channels"]), len(model.class_names)
    # grey images stacked as channels, as in stacked MNIST, are read one by one
    looks = side.channels if own == 1 else 1
    labels = torch.cat([joint_class(model, part["image"], looks) for part in side.parts()])
    result = class_coverage(labels.numpy(), classes**looks)
    return {**result.to_dict(), "classifier": str(classifier), "fake": side.protocol}


def joint_class(classifier: Model, images: Tensor, looks: int) -> Tensor:
    """One class number for all channels of an image, each channel being a digit of it: (N,) int64."""
    labels = [classifier.predict(part).argmax(1) for part in images.chunk(looks, 1)]
    number = torch.zeros_like(labels[0])
    for label in labels:
        number = number * len(classifier.class_names) + label
    return number
