"""What a measure is asked: two sides and how to look at them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from ..data.dataset import Dataset
from ..data.sources import parse_resolution
from ..errors import UsageError, did_you_mean
from ..features.extractor import Features, Resizer
from ..metrics.psnr import Channel
from ..models.model import Model
from ..policy import Policy
from .inputs import POINT, SAMPLES, Side, draws, open_side

Where = str | os.PathLike[str] | Dataset | Model
Numbers = dict[str, Any]
LEAST = {
    **{"samples": 1, "seed": 0, "border": 0, "k": 1, "subsets": 1, "size": 2, "splits": 1, "scales": 1},
    **{"bootstrap": 0, "train_images": 1},
}


@dataclass
class Options:
    """How to measure; only what a measure says it uses changes it."""

    features: str | nn.Module = "pocket"  # the network to look through
    resizer: Resizer = "own"  # or `clean`: antialiased
    samples: int = SAMPLES  # drawn from a model
    seed: int = 0  # of the first sample, and of random subsets
    resolution: str | int | tuple[int, int] | None = None
    device: str = "auto"
    bf16: bool = False
    channel: Channel = "rgb"  # of psnr and ssim
    border: int = 0  # pixels cut off for psnr, ssim, lpips
    scales: int = 5  # of ms_ssim
    k: int = 5  # neighbours of prdc
    subsets: int = 100  # of kid
    size: int = 1000  # of a subset
    splits: int = 10  # of the inception score
    bootstrap: int = 0  # redrawn sets for fd's interval
    unlimited: bool = False  # fd of infinitely many samples as well
    by_class: bool = False  # fd of every class as well
    classifier: str | os.PathLike[str] | None = None  # a run that names classes, for modes
    held_out: Where | None = None  # images the training never saw, for memorisation, critic, gan_train
    train_images: int = 100_000  # drawn to train the classifier of gan_train and gan_test
    cache: Path | None = None

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise UsageError(f"--{name.replace('_', '-')} must be at least {least}, got {getattr(self, name)}.")
        for name, known in (("channel", get_args(Channel)), ("resizer", get_args(Resizer))):
            if (value := getattr(self, name)) not in known:
                raise UsageError(f"--{name} is {' or '.join(known)}, not {value!r}.{did_you_mean(str(value), known)}")


@dataclass
class Question:
    """A measure's two sides and options, opened once they are needed."""

    a: Where
    b: Where | None
    options: Options = field(default_factory=Options)

    @cached_property
    def real(self) -> Side:
        return self._open(self.a)

    @cached_property
    def fake(self) -> Side:
        if self.b is None:
            raise UsageError("This measure compares two sides; give A (the real images) and B.")
        return self._alike(self._drawn if draws(self.b) and self._drawn else self._open(self.b))

    @cached_property
    def _drawn(self) -> Side | None:
        """The side that a model draws, whose size the images of others take."""
        return next((self._open(where) for where in (self.b, self.a) if where is not None and draws(where)), None)

    def held_out(self, why: str) -> Side:
        """The images that the training never saw; `why` is the sentence of a measure that was given none."""
        if self.options.held_out is None:
            raise UsageError(why)
        return self._alike(self._open(self.options.held_out))

    def _alike(self, side: Side) -> Side:
        """The side itself; raises `UsageError` if its channels are others than those of A."""
        if self.real.channels and side.channels and self.real.channels != side.channels:
            raise UsageError(
                f"{self.real.name} has {self.real.channels} channel(s) and {side.name} {side.channels}; they cannot be"
                " compared."
            )
        return side

    @property
    def only(self) -> Side:
        """The side of a measure that needs one: B, or A where there is no B."""
        return self._open(self.a) if self.b is None else self.fake

    @cached_property
    def network(self) -> Features:
        policy = Policy.choose(self.options.device, "fp32")
        return Features(
            self.options.features, resizer=self.options.resizer, device=policy.device, bf16=self.options.bf16
        )

    def _open(self, where: Where) -> Side:
        o = self.options
        size = None if o.resolution is None else parse_resolution(o.resolution)
        if size is None and not draws(where) and self._drawn and self._drawn.resolution != POINT:
            size = self._drawn.resolution
        place = where if isinstance(where, Dataset | Model) else str(where)
        return open_side(place, samples=o.samples, seed=o.seed, resolution=size, device=o.device, cache=o.cache)

    def both(self) -> tuple[Tensor, Tensor]:
        """Features of both sides, kept: (N, D), (M, D) float32."""
        return tuple(torch.cat(list(side.features(self.network))) for side in (self.real, self.fake))  # type: ignore

    @property
    def said(self) -> Numbers:
        """The protocol of a measure through features."""
        return {**self.network.protocol, "real": self.real.said, "fake": self.fake.said}


def enough(least: int, *sides: Side) -> None:
    """Raise `UsageError` for fewer images than a measure needs; statistics of unknown count pass."""
    for side in sides:
        if side.count < least and (side.count or side.file is None):
            raise UsageError(f"This measure needs at least {least} images a side, and {side.name} has {side.count}.")
