"""Metric of the use of synthetic images: the accuracy of one classifier with and without them."""

import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..data.dataset import Dataset
from ..errors import UsageError
from ..models.model import accuracy
from .classifiers import as_dataset, held_out_dataset, train_classifier
from .comparison import Comparison, Numbers, Positive, SideInput, Size, metric
from .inputs import Side

T_95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}  # Student's t
TEST = 5  # without other test images, every fifth labelled image is one


@metric(more=("gain", "both"), watch=())
def gain(
    c: Comparison,
    *,
    labels: int | None = None,  # labelled real images to train on; none: all
    held_out: SideInput | None = None,  # labelled real test images
    train_images: Positive = 20_000,  # length of each classifier's training
    repeats: Size = 3,  # trainings of each kind, with other seeds
    augment: str = "crop,rotate",  # the classic augmentation to compare with
) -> Numbers:
    """Test accuracy of a classifier trained on real images A, on synthetic images B, on both, and on A augmented.

    After Ravuri and Vinyals 2019 (`synthetic` alone is their classification accuracy score).  Every training sees as
    many images; in `both`, half of them are real.  The gain is that of `both` over `real`, with a 95 % interval over
    the repeats (Student's t of the differences).
    """
    if c.b is None:
        raise UsageError("gain compares real images A with synthetic images B: a run, or a folder of `synthesize`.")
    rows: dict[str, list[float]] = {"real": [], "synthetic": [], "both": [], "augmented": []}
    for k in range(repeats):
        real, test = split(c, labels, held_out, c.seed + k)
        sets = Sets(real, matching(synthetic_images(c.fake, k), real))
        for name, data, change in sets.trainings(augment):
            with tempfile.TemporaryDirectory() as folder:
                seeded = replace(c, seed=c.seed + k)
                rows[name].append(accuracy(train_classifier(data, seeded, train_images, folder, change), test))
    mean, low, high = interval([b - r for b, r in zip(rows["both"], rows["real"])])
    augmented = statistics.mean(rows["augmented"]) - statistics.mean(rows["real"])
    return {
        "gain": mean,
        **{"ci_low": low, "ci_high": high, "confidence": 0.95},
        **{name: statistics.mean(values) for name, values in rows.items()},
        "verdict": describe_gain(mean, low, high, augmented),
        "repeats": {name: ", ".join(f"{v:.4f}" for v in values) for name, values in rows.items()},
        **{"labelled": len(real), "train_images": train_images, "augment": augment},
        **{"test": describe_test(held_out, labels), "test_images": len(test)},
        **{"real_images": c.real.protocol, "fake": c.fake.protocol},
    }


@dataclass(frozen=True)
class Sets:
    """Labelled real and synthetic images with the same classes."""

    real: Dataset
    synthetic: Dataset

    def trainings(self, augment: str) -> list[tuple[str, Dataset, str]]:
        """The data and the augmentation of every training, by the name of its result."""
        both = join_equally(self.real, self.synthetic)
        plain = (("real", self.real), ("synthetic", self.synthetic), ("both", both))
        return [*((name, data, "") for name, data in plain), ("augmented", self.real, augment)]


def split(c: Comparison, labels: int | None, held_out: SideInput | None, seed: int) -> tuple[Dataset, Dataset]:
    """Labelled real images to train on, `labels` of them, and test images that are none of them.

    Without `held_out`, the images whose labels are not kept are tested on, or every fifth where all are.
    """
    data = as_dataset(c.real)
    assert data.labels is not None
    if held_out is None and labels is None:
        places = data.labelled
        return data.subset(places[np.arange(len(places)) % TEST > 0]), data.subset(places[::TEST])
    labelled = data.labelled if labels is None else data.keep_labels(labels, seed).labelled
    if held_out is not None:
        return data.subset(labelled), held_out_dataset(c, held_out)
    if not len(others := np.setdiff1d(data.labelled, labelled)):
        raise UsageError(f"--labels {labels} are all labels of {c.real.name}; give --held-out SOURCE to test on.")
    return data.subset(labelled), data.subset(others)


def synthetic_images(side: Side, repeat: int) -> Dataset:
    """Synthetic images: samples of a model from seeds of their own in every repeat, or those of a folder."""
    return as_dataset(side if side.model is None else replace(side, seed=side.seed + repeat * side.count))


def matching(synthetic: Dataset, real: Dataset) -> Dataset:
    """Synthetic images with the classes, in the order, and the bits of the real ones; other classes are refused."""
    assert synthetic.labels is not None
    index = {name: k for k, name in enumerate(real.class_names)}
    if missing := [name for name in synthetic.class_names if name not in index]:
        known = ", ".join(real.class_names)
        raise UsageError(f"The synthetic images have the class {missing[0]!r}, the real ones have {known}.")
    if synthetic.images.shape[1:] != real.images.shape[1:]:
        sizes = " and ".join("{1}x{0}x{2}".format(*d.images.shape[1:]) for d in (real, synthetic))
        raise UsageError(f"Real and synthetic images have different sizes ({sizes}); give --resolution.")
    renamed = np.array([index[name] for name in synthetic.class_names])
    labels = np.where(synthetic.labels < 0, -1, renamed[synthetic.labels])
    images = synthetic.images
    if real.images.dtype == np.uint16 and images.dtype == np.uint8:
        images = images.astype(np.uint16) * 257
    return Dataset(images, labels, real.class_names, name=synthetic.name)


def join_equally(real: Dataset, synthetic: Dataset) -> Dataset:
    """Both sets in one, the smaller one repeated to the size of the other, so that half of all images are real."""
    size = max(len(real), len(synthetic))
    rows = [np.resize(np.arange(len(data)), size) for data in (real, synthetic)]
    images = np.concatenate([np.asarray(data.images)[at] for data, at in zip((real, synthetic), rows)])
    labels = np.concatenate([np.asarray(data.labels)[at] for data, at in zip((real, synthetic), rows)])
    return Dataset(images, labels, real.class_names, name=f"{real.name} and {synthetic.name}")


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean of N differences with the ends of its 95 % interval by Student's t."""
    mean, count = statistics.mean(differences), len(differences)
    half = T_95.get(count - 1, 1.96 + 2.7 / max(count - 1, 1)) * statistics.stdev(differences) / math.sqrt(count)
    return mean, mean - half, mean + half


def describe_gain(mean: float, low: float, high: float, augmented: float) -> str:
    """A sentence on the gain: helps, hurts or no difference, and what augmentation gives."""
    word = "helps" if low > 0 else "hurts" if high < 0 else "no difference"
    change = f"{100 * mean:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    return f"{word}: {change}; augmentation alone gives {100 * augmented:+.1f}"


def describe_test(held_out: SideInput | None, labels: int | None) -> str:
    """The test images, and the warning that belongs to those which the generator may know."""
    if held_out is not None:
        return str(held_out)
    which = "every fifth image of A" if labels is None else "the images of A whose labels are not kept"
    return f"{which}; the generator may have been trained on them: --held-out SOURCE is stricter"
