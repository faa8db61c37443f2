"""Discovery of directions: SeFa, PCA, linear separators of labels, and differences of two sets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import UsageError
from .codes import Codes
from .directions import Direction, direction, measure_effects
from .spaces import LatentSpace, find_space

if TYPE_CHECKING:
    from ..models.model import Model

SIDE = 32  # pixels a side at most of the images that PCA sees
RIDGE = 1e-3  # share of the mean variance added to the covariance of a separator


def discover(
    model: "Model",
    source: str = "sefa",
    *,
    space: str | None = None,
    count: int = 10,
    samples: int = 4000,
    classifier: "Model | None" = None,
    classes: Sequence[str] = (),
    seed: int = 0,
) -> list[Direction]:
    """Directions of a generator by `sefa`, `pca` or `labels`, the one with the largest effect first.

    `labels` takes the classes that a `classifier` finds in the images, else the labels of a conditional generator;
    `classes` are two of them, or none for each against the others.  Raises `UsageError` for an unknown source, and
    where the generator or the classifier cannot give it.
    """
    if not 1 <= count <= 1000 or samples < 2:
        raise UsageError(f"--count is from 1 to 1000 and --samples at least 2, got {count} and {samples}.")
    if source != "labels" and (classifier is not None or classes):
        raise UsageError(f"--classifier and --classes go with --from labels, not with {source}.")
    place = _space_for(model, source, space, classifier)
    codes = place.sample(samples, seed)
    if source == "sefa":
        rows = sefa(place, codes, count)
    elif source == "pca":
        rows = pca(place, codes, count, seed)
    elif source == "labels":
        labels, names = classes_of(place, codes, classifier, seed)
        rows = separators(place, codes, labels, names, classes)[:count]
    else:
        raise UsageError(f"--from is sefa, pca, labels, or two files of codes as A,B; got {source!r}.")
    return measure_effects(rows, place)


def _space_for(model: "Model", source: str, name: str | None, classifier: "Model | None") -> LatentSpace:
    """The space of that name, else the usual one: styles where there are any, `y` for labels that are conditions."""
    spaces = model.spaces()
    if name is None and source == "labels" and classifier is None:
        return find_space(model, None, next((s for s in ("y", "w") if s in spaces), "z"))
    styles = next((s for s, space in spaces.items() if space.space.layered), "z")
    return find_space(model, name, styles)


def sefa_names(model: "Model", count: int) -> list[str]:
    """The names of the directions that `sefa` gives; none for a generator whose weights it cannot read."""
    space = _space_for(model, "sefa", None, None)
    return [f"sefa{k}" for k in range(min(count, space.size))] if space.space.weights else []


def sefa(space: LatentSpace, codes: Tensor, count: int) -> list[Direction]:
    """Directions that change the first layers' outputs most: eigenvectors of A^T A (Shen and Zhou 2021, equation 4).

    A are the weights of the layers that read a code.
    """
    if space.space.weights is None:
        raise UsageError(
            f"SeFa needs the weights that read a code, and {space.name} has none to itself; take --from pca."
        )
    matrix = torch.cat([weight.detach().double().cpu() for weight in space.space.weights()])
    values, vectors = torch.linalg.eigh(matrix.t() @ matrix)
    order = values.argsort(descending=True)[:count]
    share = (values / values.sum()).tolist()
    source = f"sefa of {len(matrix)} weights"
    return [
        direction(space, f"sefa{k}", signed(vectors[:, j]), source, codes, {"share": round(share[j], 5)})
        for k, j in enumerate(order.tolist())
    ]


def pca(space: LatentSpace, codes: Tensor, count: int, seed: int) -> list[Direction]:
    """Principal components (Harkonen et al. 2020): of the codes, or of noise by the images it gives.

    Noise has no components of its own, so those of the images are regressed onto it (section 3.2 there; the images
    stand in for the first layer, so that every generator has them).
    """
    if space.space.encode is not None:
        centred = codes.double() - codes.double().mean(0)
        _, values, vectors = torch.linalg.svd(centred, full_matrices=False)
        source = f"pca of {len(codes)} codes"
    else:
        drawn = space.draw_batches(codes, space.labels(range(seed, seed + len(codes))))
        images = torch.cat([_small(batch) for batch in drawn]).double()
        images = images - images.mean(0)
        _, values, vectors = torch.linalg.svd(images, full_matrices=False)
        scores = images @ vectors[:count].t()
        vectors = torch.linalg.lstsq(scores, codes.double()).solution
        source = f"pca of {len(codes)} images"
    share = (values.square() / values.square().sum()).tolist()
    return [
        direction(space, f"pca{k}", signed(vectors[k]), source, codes, {"share": round(share[k], 5)})
        for k in range(min(count, len(vectors)))
    ]


def _small(images: Tensor) -> Tensor:
    factor = max(1, -(-max(images.shape[2:]) // SIDE))
    return torch.nn.functional.avg_pool2d(images, factor, ceil_mode=True).flatten(1)


def signed(vector: Tensor) -> Tensor:
    """The vector whose largest number is positive: eigenvectors have no sign of their own."""
    return vector * vector[vector.abs().argmax()].sign()


def classes_of(space: LatentSpace, codes: Tensor, classifier: "Model | None", seed: int) -> tuple[Tensor, list[str]]:
    """The class of every code (N,), and the names: by a classifier of its image, else the generator's condition."""
    model, seeds = space.model, range(seed, seed + len(codes))
    labels = space.labels(seeds)
    if classifier is not None:
        facts: list[Any] = [(m.config["data"]["channels"], m.config["data"]["resolution"]) for m in (model, classifier)]
        if facts[0] != facts[1]:
            (a, (h, w)), (b, (y, x)) = facts
            raise UsageError(f"The classifier takes {b} channel(s) of {x}x{y} and the model draws {a} of {w}x{h}.")
        parts = [classifier.predict(images).argmax(1) for images in space.draw_batches(codes, labels)]
        return torch.cat(parts), classifier.class_names
    if labels is None or labels.is_floating_point():
        raise UsageError("This generator has no classes; give --classifier, a run that names the classes of images.")
    names = model.class_names or [str(k) for k in range(int(labels.max()) + 1)]
    return labels, names


def separators(
    space: LatentSpace, codes: Tensor, labels: Tensor, names: list[str], classes: Sequence[str]
) -> list[Direction]:
    """Normals of linear separators (as InterFaceGAN, Shen et al. 2020): of two classes, or of each from the others.

    The separator is Fisher's discriminant: the inverse covariance within classes times the difference of their means;
    of noise, whose covariance is the identity, that difference alone.
    """
    if classes:
        if unknown := [name for name in classes if name not in names]:
            raise UsageError(f"There is no class {unknown[0]!r}; there are {', '.join(names)}.")
        if len(classes) != 2:
            raise UsageError(f"--classes takes two classes as 3,8, got {len(classes)}.")
        a, b = (labels == names.index(name) for name in classes)
        pairs = [("-".join(classes), a, b)]
    else:
        pairs = [(name, labels == k, labels != k) for k, name in enumerate(names)]
    rows = []
    for name, a, b in pairs:
        few = min(int(a.sum()), int(b.sum()))
        if few < 2 and classes:
            raise UsageError(f"Only {few} of {len(codes)} codes are of one of the classes {name}; give more --samples.")
        if few >= 2:
            vector, accuracy = separator(codes[a], codes[b], noise=space.space.encode is None)
            facts = {"accuracy": round(accuracy, 4), "codes": [int(a.sum()), int(b.sum())]}
            rows.append(direction(space, f"labels_{name}", vector, f"separator of {len(codes)} codes", codes, facts))
    if not rows:
        raise UsageError("All codes are of one class, so that nothing separates them; give more --samples.")
    return rows


def separator(a: Tensor, b: Tensor, *, noise: bool = False) -> tuple[Tensor, float]:
    """Fisher's discriminant from codes b to codes a, (D,), and the share of both that it separates."""
    a, b = a.double(), b.double()
    mean_a, mean_b = a.mean(0), b.mean(0)
    within = torch.cat([a - mean_a, b - mean_b])
    covariance = within.t() @ within / len(within)
    covariance += RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=covariance.dtype)
    vector = mean_a - mean_b if noise else torch.linalg.solve(covariance, mean_a - mean_b)
    middle = (mean_a + mean_b) @ vector / 2
    right = ((a @ vector > middle).double().mean() + (b @ vector < middle).double().mean()) / 2
    return vector, float(right)


def difference(model: "Model", a: Codes, b: Codes, name: str = "a-b", samples: int = 1000) -> Direction:
    """The mean of codes A minus the mean of codes B (Radford et al. 2015, section 6.3.2)."""
    space, other = a.check(model), b.check(model)
    if space.name != other.name:
        raise UsageError(f"The codes are of the spaces {space.name} and {other.name}; take equal ones.")
    vector = a.values.mean(0) - b.values.mean(0)
    if not vector.any():
        raise UsageError("Both sets of codes have the same mean, so there is no direction between them.")
    source = f"mean of {len(a)} codes minus mean of {len(b)}"
    return measure_effects([direction(space, name, vector, source, space.sample(samples))], space)[0]
