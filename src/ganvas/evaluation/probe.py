"""Linear probe: what a linear classifier reads from frozen features, beside pixels and training from scratch."""

import tempfile
import warnings
from typing import Any

import numpy as np
import torch

from ..data.batches import iterate_once
from ..data.dataset import Dataset
from ..errors import UsageError
from ..models.model import accuracy
from .classifiers import train_classifier
from .comparison import Comparison
from .gain import interval
from .representation import Representation, open_representation

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the SVM's loss against its regularisation, chosen by cross-validation
FOLDS = 3
TESTED = 10_000  # test images, at most, evenly spaced


def probe(
    source: Any,
    *,
    of: str,
    labels: int = 1000,
    held_out: Any = None,
    repeats: int = 3,
    train_images: int = 20_000,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Test accuracy of a linear SVM on features of labelled images, on their pixels and on those of `pocket`.

    As in Radford et al. 2015, section 5: the features of `of` are frozen, an L2-SVM learns from `labels` labelled
    images, balanced over the classes, its strength chosen by three-fold cross-validation.  `scratch` is the recipe
    `classifier`, trained on the same images.  Means over `repeats` choices of labels, with 95 % intervals.  Tested on
    `held_out`, or on images of the source without a label.  Raises `UsageError` for a source without classes.
    """
    if repeats < 2:
        raise UsageError(f"--repeats must be at least 2 for an interval, got {repeats}.")
    network = open_representation(of, device=device)
    data = network.open(source)
    if data.labels is None:
        raise UsageError(f"{data.name} has no classes, and a probe is tested by them; give labelled images.")
    test = None if held_out is None else network.open(held_out)
    ways = {"probe": network} | ({} if of == "pocket" else {"pocket": open_representation("pocket", device=device)})
    scores: dict[str, list[float]] = {}
    for k in range(repeats):
        train, unseen = choose(data, test, labels, seed + k)
        for name, value in compare(ways, train, unseen, seed + k, train_images, device).items():
            scores.setdefault(name, []).append(value)
    results: dict[str, Any] = {}
    for name, values in scores.items():
        mean, low, high = interval(values)
        results |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    entries = {"features": network.features.name, "data": data.name, "labels": labels, "repeats": repeats}
    return {**results, **entries, "test": str(held_out or "images of the source without a label")}


def choose(data: Dataset, test: Dataset | None, labels: int, seed: int) -> tuple[Dataset, Dataset]:
    """Labelled images to train on, and test images: those given, or others of the data."""
    own = data.keep_labels(labels, seed).labelled
    if test is not None:
        check_classes(data, test)
        return data.subset(own), thin(test)
    others = np.setdiff1d(data.labelled, own)
    if not len(others):
        raise UsageError(f"--labels {labels} are all labels of {data.name}; give --held-out SOURCE to test on.")
    return data.subset(own), thin(data.subset(others))


def check_classes(data: Dataset, test: Dataset) -> None:
    """Raise `UsageError` unless test images have the classes of the data."""
    if test.labels is None or test.class_names != data.class_names:
        theirs = ", ".join(test.class_names) or "none"
        raise UsageError(
            f"The test images have the classes {theirs}; those of the data: {', '.join(data.class_names)}."
        )


def thin(data: Dataset) -> Dataset:
    """At most 10,000 labelled images, evenly spaced."""
    places = data.labelled
    return data.subset(places[np.linspace(0, len(places) - 1, min(TESTED, len(places))).round().astype(np.int64)])


def compare(
    ways: dict[str, Representation], train: Dataset, test: Dataset, seed: int, train_images: int, device: str
) -> dict[str, float]:
    """Test accuracy by each representation, by pixels, and of a classifier trained from scratch."""
    rows = {name: (way.all(train).numpy(), way.all(test).numpy()) for name, way in ways.items()}
    rows["pixels"] = pixels(train), pixels(test)
    assert train.labels is not None
    assert test.labels is not None
    scores = {name: linear_accuracy(a, train.labels, b, test.labels, seed) for name, (a, b) in rows.items()}
    c = Comparison(train, seed=seed, device=device)
    with tempfile.TemporaryDirectory() as folder:
        scores["scratch"] = accuracy(train_classifier(train, c, train_images, folder), test)
    return scores


def pixels(data: Dataset) -> np.ndarray:
    """Images as rows (N, C * H * W) in [-1, 1]."""
    return torch.cat([batch["image"].flatten(1) for batch in iterate_once(data, 256)]).numpy()


def linear_accuracy(train: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray, seed: int) -> float:
    """Test accuracy of an L2-SVM (one against the rest, squared hinge loss) on standardised features (N, D)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.svm import LinearSVC

    train, test = standardise(train, test)
    train, test = rotate(train, test)
    folds = min(FOLDS, int(np.bincount(labels)[np.unique(labels)].min()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if folds < 2:
            return float(LinearSVC(C=1e-2, random_state=seed).fit(train, labels).score(test, truth))
        split = StratifiedKFold(folds, shuffle=True, random_state=seed)
        search = GridSearchCV(LinearSVC(random_state=seed), {"C": STRENGTHS}, cv=split)
        return float(search.fit(train, labels).score(test, truth))


def standardise(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both with the mean of the training rows at 0 and their root mean square norm at 1."""
    mean = train.mean(0)
    deviation = np.maximum(train.std(0), 1e-6 + 1e-3 * train.std())
    scale = deviation * np.sqrt(train.shape[1])
    return (train - mean) / scale, (test - mean) / scale


def rotate(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in the space of the training rows, if that has fewer dimensions: an L2-SVM there is the same."""
    if train.shape[1] <= len(train):
        return train, test
    basis = np.linalg.qr(train.T.astype(np.float64))[0]
    return train @ basis, test @ basis
