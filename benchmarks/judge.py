"""A classifier as the judge of generated images: confidence, balance of the classes, Frechet distance of its features.

    python benchmarks/judge.py train MNIST runs/judge       trains it, and prints its accuracy on the test images
    python benchmarks/judge.py train CIFAR runs/judge_cifar --images 600000 --hold-out 5000       or on images held out
    python benchmarks/judge.py measure RUN ... --judge runs/judge

The distance is between the judge's features (the input of its last layer) of training images and of samples; no
generator of the gallery is trained through them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ganvas
from ganvas.api import open_source
from ganvas.data.batches import split_held_out
from ganvas.data.dataset import Dataset
from ganvas.metrics.frechet import Gaussian, frechet_distance
from ganvas.models.model import Model, accuracy
from ganvas.run import Run

SURE = 0.9  # confidence above which an image counts as recognised
REAL = 10_000  # training images that samples are compared with
SAMPLES = 2_000
PART = 500  # images at a time


def train(data: str, run: Path, images: int = 240_000, hold_out: int | None = None) -> None:
    """Train the judge, or go on; a judge that is trained is left as it is."""
    ganvas.train("classifier", data=data, outdir=run, images=images, hold_out=hold_out, resume=True)


def test_images(data: Path) -> str:
    """The test images beside the training images of MNIST's files."""
    return str(next(data.glob("t10k-images*")))


def held_out_accuracy(run: Path) -> float:
    """Share of the images that a judge held out which it names correctly."""
    config, model = Run(run).config(), ganvas.load(run)
    data = open_source(config["data"]["path"])
    kept, _ = split_held_out(len(data), config["data"]["held_out"], config["seed"])
    assert data.labels is not None
    seen = torch.cat([model.predict(to_float(data.images[part])).argmax(1) for part in np.array_split(kept, 10)])
    return float((seen.numpy() == data.labels[kept]).mean())


def to_float(pixels: np.ndarray) -> Tensor:
    """(N, H, W, C) uint8 to (N, C, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1


def some_images(data: Dataset) -> np.ndarray:
    """`REAL` images: the first, or evenly spaced ones where a data set is sorted by class."""
    assert data.images is not None
    assert data.labels is not None
    by_class = bool((np.diff(data.labels) >= 0).all())
    return data.images[np.linspace(0, len(data) - 1, REAL).round().astype(int)] if by_class else data.images[:REAL]


class Judge:
    """The classifier of a run, and the Gaussian of its features of real images."""

    def __init__(self, run: Path, data: str):
        self.model = ganvas.load(run, device="cpu", precision="fp32")
        self.classifier = self.model.task.generator.eval()
        self.classes = len(self.model.class_names)
        images = to_float(some_images(open_source(data)))
        self.real = Gaussian.of(self.look(part)[0] for part in images.split(PART))

    @torch.no_grad()
    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, F) and class probabilities (N, K) of images (N, C, H, W) in [-1, 1]."""
        features: list[Tensor] = []
        hook = self.classifier.dropout.register_forward_hook(lambda _, __, output: features.append(output))
        try:
            scores = self.classifier(images.clamp(-1, 1))
        finally:
            hook.remove()
        return features[0], scores.label_logits[:, : self.classes].softmax(1)

    def measure(self, parts: Iterator[Tensor], labels: Tensor | None = None) -> dict[str, Any]:
        """Figures of samples in parts (N, C, H, W); with `labels` (N,), the share that shows the class asked for."""
        features, shares = (torch.cat(x) for x in zip(*(self.look(part) for part in parts)))
        confidence, seen = shares.max(1)
        balance = torch.bincount(seen, minlength=self.classes) / len(seen)
        found = {
            "samples": len(seen),
            "sure": (confidence >= SURE).double().mean().item(),
            "least_class": balance.min().item(),
            "most_class": balance.max().item(),
            "fd_judge": float(frechet_distance(self.real, Gaussian.of(features))),
        }
        return found if labels is None else {**found, "as_asked": (seen == labels).double().mean().item()}


def samples(model: Model, count: int) -> tuple[Iterator[Tensor], Tensor | None]:
    """Samples of a model of seeds from 0 in parts, and their labels if it takes classes: each of them equally often."""
    form = model.abilities()["label"]
    classes = int(form["size"]) if form["kind"] == "class" else 0
    if not classes:
        return (model.sample(PART, seed=k) for k in range(0, count, PART)), None
    each = count // classes
    parts = (model.sample(each, seed=k * each, label=k) for k in range(classes))
    return parts, torch.arange(classes).repeat_interleave(each)


def main() -> None:
    """Train the judge, or print its figures of runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    learn = commands.add_parser("train")
    learn.add_argument("data", type=Path)
    learn.add_argument("run", type=Path)
    learn.add_argument("--images", type=int, default=240_000)
    learn.add_argument("--hold-out", type=int, help="images to test it on; without it MNIST's test images")
    look = commands.add_parser("measure")
    look.add_argument("runs", nargs="+", type=Path)
    look.add_argument("--judge", type=Path, required=True)
    look.add_argument("--data", help="training images; those of the judge by default")
    look.add_argument("--samples", type=int, default=SAMPLES)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.command == "train":
        train(str(asked.data), asked.run, asked.images, asked.hold_out)
        if asked.hold_out:
            share = held_out_accuracy(asked.run)
        else:
            share = accuracy(ganvas.load(asked.run), test_images(asked.data))
        print(json.dumps({"judge": str(asked.run), "test_accuracy": share}))
        return
    judge = Judge(asked.judge, asked.data or ganvas.load(asked.judge).config["data"]["path"])
    for run in asked.runs:
        print(json.dumps({"run": str(run), **judge.measure(*samples(ganvas.load(run), asked.samples))}))


if __name__ == "__main__":
    main()
