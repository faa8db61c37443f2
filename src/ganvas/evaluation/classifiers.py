"""Metrics by a classifier that names the classes of whole images: GAN-train, GAN-test, accuracy."""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..data.dataset import Dataset
from ..data.sources import open_source
from ..errors import UsageError
from ..imaging.decode import to_uint8
from ..models.model import Model, load
from ..models.model import accuracy as accuracy_of
from ..training.session import train
from .comparison import Comparison, Numbers, Positive, SideInput, metric
from .inputs import Side

BATCH = 64  # of the recipe `classifier`; smaller data are one batch


@metric(more=("gan_train",))
def gan_train(
    c: Comparison,
    *,
    held_out: SideInput | None = None,  # labelled real images that the training never saw
    train_images: Positive = 100_000,  # length of the classifier's training
) -> Numbers:
    """GAN-train: accuracy on held-out real images of a classifier trained on samples of B (Shmelkov et al. 2018)."""
    test = held_out_dataset(c, held_out)
    with tempfile.TemporaryDirectory() as folder:
        classifier = train_classifier(as_dataset(c.fake), c, train_images, folder)
        score = accuracy_of(classifier, test)
    return {"gan_train": score, **training_protocol(train_images, c.fake), "test": str(held_out)}


@metric(more=("gan_test",))
def gan_test(
    c: Comparison,
    *,
    classifier: str | os.PathLike[str] | None = None,  # a run of `classifier`; none: one is trained on A
    train_images: Positive = 100_000,  # length of the classifier's training
) -> Numbers:
    """GAN-test: accuracy on samples of B of a classifier trained on the real images A (Shmelkov et al. 2018)."""
    samples = as_dataset(c.same_channels(c.fake, exact=True))
    if classifier is not None:
        score = accuracy_of(load(classifier, device=c.device), samples)
        return {"gan_test": score, "classifier": str(classifier), "fake": c.fake.protocol}
    with tempfile.TemporaryDirectory() as folder:
        score = accuracy_of(train_classifier(as_dataset(c.real), c, train_images, folder), samples)
    return {"gan_test": score, **training_protocol(train_images, c.real), "fake": c.fake.protocol}


@metric(more=("accuracy",), unused=("samples", "seed"))
def accuracy(c: Comparison) -> Numbers:
    """Share of the labelled images A that run B classifies correctly: a classifier, or a semi-supervised GAN."""
    if c.b is None or c.fake.model is None or c.real.dataset is None:
        raise UsageError(
            "This takes labelled images A and a run B that names classes: of the recipe classifier or semigan."
        )
    c.same_channels(c.fake, exact=True)
    return {"accuracy": accuracy_of(c.fake.model, c.real.dataset), "real": c.real.protocol, "model": c.fake.name}


def held_out_dataset(c: Comparison, held_out: SideInput | None) -> Dataset:
    """The held-out real images; raises `UsageError` if there are none."""
    if held_out is None or isinstance(held_out, Model):
        raise UsageError("GAN-train is measured on real images that nothing was trained on: --held-out SOURCE.")
    if isinstance(held_out, Dataset):
        return held_out
    height, width = c.real.resolution
    test = open_source(str(held_out), resolution=(height, width))
    c.same_channels(Side(test.name, len(test), dataset=test), exact=True)
    return test


def training_protocol(train_images: int, side: Side) -> Numbers:
    """The protocol of a classifier trained for this metric."""
    return {"classifier": "classifier recipe", "train_images": train_images, "training_set": side.protocol}


def train_classifier(data: Dataset, c: Comparison, train_images: int, folder: str, augment: str = "") -> Model:
    """A model of the recipe `classifier`, trained on these images, augmented if asked for."""
    options: dict[str, Any] = {"seed": c.seed, "device": c.device, "augment": augment}
    options |= {"batch": len(data)} if len(data) < BATCH else {}
    run = train("classifier", data=data, outdir=Path(folder) / "run", images=train_images, **options)
    return load(run.path, device=c.device)


def as_dataset(side: Side) -> Dataset:
    """Images of a side with their classes, in memory; raises `UsageError` for images without classes."""
    if not side.class_names:
        raise UsageError(f"{side.name} has no classes; give labelled images or a conditional model.")
    if side.dataset is not None:
        return side.dataset
    images, labels = [], []
    for part in side.parts():
        images.append(to_uint8(part["image"]))
        labels.append(part["label"].numpy())
    return Dataset(np.concatenate(images), np.concatenate(labels), tuple(side.class_names), name=side.name)
