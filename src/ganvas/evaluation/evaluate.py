"""Measures by name: `evaluate("fd", A, B)`, and those that ask or train a classifier."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ..api import train
from ..data.dataset import Dataset
from ..data.sources import open_source
from ..errors import UsageError, did_you_mean
from ..files import explain_failure, read_json
from ..imaging.decode import to_uint8
from ..metrics.statistics import save_statistics
from ..models.folder import model_folder
from ..models.model import Model, accuracy, load
from ..run import Run
from .comparison import Numbers, Options, Question, Where
from .inputs import Side
from .measures import MEASURES


def evaluate(metric: str, a: Where, b: Where | None = None, **options: Any) -> Numbers:
    """Measure B against A: the number by the metric's name, and beside it the protocol it was measured by.

    `metric` is one of `ganvas list metrics`; A (the real images) and B are folders, archives, sources, statistics,
    runs, a `Dataset` or a `Model`; `options` are those of `Options`.  Raises `UsageError` for what cannot be measured.
    """
    if metric not in METRICS:
        there = f"There are: {', '.join(METRICS)}."
        raise UsageError(f"There is no metric {metric!r}.{did_you_mean(metric, METRICS)} {there}")
    known = [f.name for f in fields(Options)]
    if unknown := [k for k in options if k not in known]:
        raise UsageError(f"There is no option {unknown[0]!r}.{did_you_mean(unknown[0], known)}")
    asked = Options(**options)
    if asked.bf16 and metric not in ROUNDED:
        raise UsageError(f"--bf16 is for {' and '.join(ROUNDED)}, whose bias it measures and says; not for {metric}.")
    return METRICS[metric](Question(a, b, asked))


def statistics_of(a: Where, output: Path, **options: Any) -> Numbers:
    """Write mean and covariance of A's features to an .npz; returns what they were made by."""
    ask = Question(a, None, Options(**options))
    if ask.real.file is not None:
        raise UsageError(f"{ask.real.name} holds statistics already; give the images.")
    found = ask.real.gaussian(ask.network, ask.options.cache)
    said = {**ask.network.protocol, "images": found.count}
    with explain_failure(output):
        save_statistics(output, found, ask.network.stamp)
    return {"output": str(output), **said}


def noted(metric: str, a: Where, b: Where | None, found: Numbers) -> None:
    """Keep a number with the run it is about, in RUN/evaluation.jsonl."""
    for side in (b, a):
        model = None if side is None else model_folder(Path(str(side)).resolve())
        if model is not None and (run := Run(model.parent)).exists():
            images = read_json(model / "config.json").get("images", 0)
            return run.append_evaluation({"metric": metric, "trained_images": images, **found})


def gan_train(ask: Question) -> Numbers:
    """How well a classifier trained on the samples of B names held-out real images (Shmelkov et al. 2018)."""
    test = real_test(ask)
    with tempfile.TemporaryDirectory() as folder:
        judge = classifier(as_dataset(ask.fake), ask, folder)
        return {"gan_train": accuracy(judge, test), **trained_on(ask, ask.fake), "test": str(ask.options.held_out)}


def gan_test(ask: Question) -> Numbers:
    """How well a classifier trained on the real images A names the samples of B (Shmelkov et al. 2018)."""
    samples = as_dataset(ask.fake)
    if ask.options.classifier is not None:
        judge = load(ask.options.classifier, device=ask.options.device)
        return {"gan_test": accuracy(judge, samples), "classifier": str(ask.options.classifier), "fake": ask.fake.said}
    with tempfile.TemporaryDirectory() as folder:
        judge = classifier(as_dataset(ask.real), ask, folder)
        return {"gan_test": accuracy(judge, samples), **trained_on(ask, ask.real), "fake": ask.fake.said}


def names(ask: Question) -> Numbers:
    """How many of the labelled images A the run B names rightly: a classifier, or a semi-supervised GAN."""
    if ask.b is None or ask.fake.model is None or ask.real.dataset is None:
        raise UsageError("This takes labelled images A and a run B that names classes.")
    return {"accuracy": accuracy(ask.fake.model, ask.real.dataset), "real": ask.real.said, "model": ask.fake.name}


ROUNDED = ("fd", "fid")
TRAINED: dict[str, Callable[[Question], Numbers]] = {"gan_train": gan_train, "gan_test": gan_test, "accuracy": names}
METRICS = {**MEASURES, **TRAINED}


def real_test(ask: Question) -> Dataset | str:
    """The held-out real images; raises `UsageError` if there are none."""
    held_out = ask.options.held_out
    if held_out is None or isinstance(held_out, Model):
        raise UsageError("GAN-train is measured on real images that nothing was trained on: --held-out SOURCE.")
    if isinstance(held_out, Dataset):
        return held_out
    height, width = ask.real.resolution
    test = open_source(str(held_out), resolution=(height, width))
    if test.facts.channels != ask.real.channels:
        counts = f"{ask.real.name} has {ask.real.channels} channel(s) and {test.name} {test.facts.channels}"
        raise UsageError(f"{counts}; they cannot be compared.")
    return test


def trained_on(ask: Question, side: Side) -> Numbers:
    """How the classifier came to be."""
    return {"classifier": "classifier recipe", "train_images": ask.options.train_images, "trained_on": side.said}


def classifier(data: Dataset, ask: Question, folder: str) -> Model:
    """The project's own small classifier, trained on these images."""
    o = ask.options
    place = Path(folder) / "run"
    run = train("classifier", data=data, outdir=place, images=o.train_images, seed=o.seed, device=o.device)
    return load(run.path, device=o.device)


def as_dataset(side: Side) -> Dataset:
    """Images of a side with their classes, in memory; raises `UsageError` for images without."""
    if not side.class_names:
        raise UsageError(f"{side.name} has no classes; this measure needs labelled images or a conditional model.")
    if side.dataset is not None:
        return side.dataset
    images, labels = [], []
    for part in side.parts():
        images.append(to_uint8(part["image"]))
        labels.append(part["label"].numpy())
    return Dataset(np.concatenate(images), np.concatenate(labels), tuple(side.class_names), name=side.name)
