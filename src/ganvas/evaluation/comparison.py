"""Comparison: two sides to measure.  Metric: a function of a comparison, whose options are its signature."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from ..config import accepts, fitting, type_name
from ..data.dataset import Dataset
from ..data.sources import parse_resolution
from ..errors import UsageError, did_you_mean
from ..features.extractor import NETWORKS, Features, Resizer
from ..models.model import Model
from ..policy import Policy
from .inputs import POINT, SAMPLES, Side, draws, open_side, trained_through

SideInput = str | os.PathLike[str] | Dataset | Model  # a path, a source, a run; data or a model in memory
Numbers = dict[str, Any]  # results by name, and the protocol they were measured by
Natural = Annotated[int, 0]  # a whole number and its smallest value
Positive = Annotated[int, 1]
Size = Annotated[int, 2]
FeatureNetwork = str | nn.Module


@dataclass
class Metric:
    """A function of a comparison with the facts about its results.

    Its options are those of the comparison and the keyword-only arguments of the function; others are refused.
    """

    function: Callable[..., Numbers]
    name: str
    less: tuple[str, ...] = ()  # results of which less is better
    more: tuple[str, ...] = ()  # results of which more is better
    watch: tuple[str, ...] = ()  # results available while training; the first decides the best snapshot
    tables: tuple[str, ...] = ()  # entries with one row per image or class
    unused: tuple[str, ...] = ()  # options of the comparison that the function does not read
    revision: int = 1  # grows where the same images get another number, so that a run keeps no best of the old one

    def __post_init__(self) -> None:
        self.sides: type[FilePairs] = next(iter(get_type_hints(self.function).values()))  # of the first argument
        options = keywords(self.sides) | keywords(self.function)
        self.options = {k: p for k, p in options.items() if k not in self.unused}

    def __call__(self, comparison: "FilePairs", **options: object) -> Numbers:
        return self.function(comparison, **options)

    def compare(self, a: SideInput, b: SideInput | None, options: Mapping[str, object]) -> Numbers:
        """Measure B against A; raises `UsageError` for options that this metric does not have."""
        options = check(self.name, self.options, options)
        sides = keywords(self.sides)
        comparison = self.sides(as_side(a), as_side(b), **{k: v for k, v in options.items() if k in sides})
        with torch.random.fork_rng(devices=[]):  # networks draw weights before they are given their own
            return self(comparison, **{k: v for k, v in options.items() if k not in sides})


def metric(name: str = "", revision: int = 1, **facts: tuple[str, ...]) -> Callable[[Callable[..., Numbers]], Metric]:
    """Decorator that makes a function a `Metric` of that name (by default the function's) with the `facts` named."""
    return lambda function: Metric(function, name or function.__name__, revision=revision, **facts)


def keywords(target: Callable[..., object]) -> dict[str, Parameter]:
    """The keyword-only parameters of a function or class, with resolved annotations."""
    hints = get_type_hints(target.__init__ if isinstance(target, type) else target, include_extras=True)  # type: ignore[misc]
    parameters = signature(target).parameters.items()
    return {k: p.replace(annotation=hints[k]) for k, p in parameters if p.kind is p.KEYWORD_ONLY}


def as_side(side: Any) -> Any:
    """A side in Python: images in arrays, tensors and lists as a data set, anything else as it is."""
    return side if isinstance(side, (str, os.PathLike, Dataset, Model, type(None))) else Dataset(side)


def check(name: str, known: Mapping[str, Parameter], options: Mapping[str, object]) -> dict[str, Any]:
    """Return the options in plain types.

    Raises `UsageError` for one that is not known, of another type, too small, or no known choice.
    """
    checked: dict[str, Any] = {}
    for option, value in options.items():
        flag = f"--{option.replace('_', '-')}"
        if option not in known:
            flags = ", ".join(f"--{k.replace('_', '-')}" for k in known if k != "cache")  # which is Python's alone
            raise UsageError(f"{name} has no option {flag}.{did_you_mean(option, known)} It has: {flags or 'none'}.")
        kind, least = known[option].annotation, None
        if get_origin(kind) is Annotated:
            kind, least = get_args(kind)
        if get_origin(kind) is Literal and value not in get_args(kind):
            near = did_you_mean(str(value), get_args(kind))
            raise UsageError(f"{flag} is {' or '.join(get_args(kind))}, not {value!r}.{near}")
        value = checked[option] = as_side(value) if option == "held_out" else fitting(kind, value)
        if not accepts(kind, value):
            raise UsageError(f"{flag} must be {type_name(kind)}, got {value!r}.")
        if least is not None and value < least:
            raise UsageError(f"{flag} must be at least {least}, got {value}.")
    return checked


@dataclass
class FilePairs:
    """Two folders of images, compared file by file."""

    a: SideInput
    b: SideInput | None = None


@dataclass
class ImagePairs(FilePairs):
    """Pairs of images in memory: (name, A, B), each (1, C, H, W) float64 in [0, 255]."""

    images: Iterable[tuple[str, Tensor, Tensor]] = ()


@dataclass
class Comparison(FilePairs):
    """Reference set A and evaluated set B; each is opened when it is first read."""

    samples: Positive = field(default=SAMPLES, kw_only=True)  # images drawn from a model
    seed: Natural = field(default=0, kw_only=True)  # of the first sample, and of random subsets
    resolution: str | int | tuple[int, int] | None = field(default=None, kw_only=True)  # none: as the images are
    device: str = field(default="auto", kw_only=True)
    cache: Path | None = field(default=None, kw_only=True)  # folder of prepared data; none: the user's
    networks: dict[object, Features] = field(default_factory=dict, init=False, repr=False)

    def beside(self, b: SideInput) -> "Comparison":
        """A copy with another B; feature networks stay loaded."""
        other = replace(self, b=b)
        other.networks = self.networks
        return other

    @cached_property
    def real(self) -> Side:
        """Side A, the reference images."""
        return self._open(self.a)

    @cached_property
    def fake(self) -> Side:
        """Side B; raises `UsageError` if there is none, or if `same_channels` refuses it."""
        if self.b is None:
            raise UsageError("This measure compares two sides; give A (the real images) and B.")
        return self.same_channels(self._model if draws(self.b) and self._model else self._open(self.b))

    @property
    def only(self) -> Side:
        """The one side that a metric needs: B, or A where there is no B."""
        return self._open(self.a) if self.b is None else self.fake

    @cached_property
    def _model(self) -> Side | None:
        """The side that a model draws; images of the other side are brought to its size."""
        return next((self._open(where) for where in (self.b, self.a) if where is not None and draws(where)), None)

    def held_out(self, where: SideInput | None, refusal: str) -> Side:
        """Images that the training never saw; raises `UsageError` with this sentence if none were given."""
        if where is None:
            raise UsageError(refusal)
        return self.same_channels(self._open(where))

    def same_channels(self, side: Side, *, exact: bool = False) -> Side:
        """Return this side; raises `UsageError` if its images have other channels than those of A.

        Grey is compared with RGB as three equal channels, unless `exact`: for a network that takes one kind.
        """
        channels = {self.real.channels, side.channels} - {0}
        if len(channels) > 1 and (exact or channels != {1, 3}):
            counts = f"{self.real.name} has {self.real.channels} channel(s) and {side.name} {side.channels}"
            raise UsageError(f"{counts}; save the images of one side with the channels of the other.")
        return side

    def _open(self, where: SideInput) -> Side:
        size = None if self.resolution is None else parse_resolution(self.resolution)
        if size is None and not draws(where) and self._model and self._model.resolution != POINT:
            size = self._model.resolution
        options = {"samples": self.samples, "seed": self.seed, "device": self.device, "cache": self.cache}
        return open_side(where, resolution=size, **options)  # type: ignore[arg-type]

    def network(
        self, features: FeatureNetwork, *, resizer: Resizer = "own", bf16: bool = False, any: bool = False
    ) -> Features:
        """The feature network of that name, or a module, on the comparison's device.

        Raises `UsageError` for the one that a model of the comparison was trained through, unless `any` will do.
        """
        if not any and isinstance(features, str):
            self._refuse_own(features)
        key = (features, resizer, bf16)
        if key not in self.networks:
            device = Policy.choose(self.device, "fp32").device
            self.networks[key] = Features(features, resizer=resizer, device=device, bf16=bf16)
        return self.networks[key]

    def _refuse_own(self, features: str) -> None:
        """Raise `UsageError` for features which the training of a model made similar: they say nothing about it."""
        if self._model is None or self._model.model is None:
            return
        config = self._model.model.config
        networks = trained_through(config.get("task") or config.get("recipe", {}).get("task"))
        if features in networks:
            others = [name for name in NETWORKS if name not in networks]
            raise UsageError(
                f"{self._model.name} was trained through the features of {features}, so they are no measure of it. Take"
                f" swd or diversity, which need no network, --features {' or '.join(others)} (ganvas weights fetch"
                " NAME), or gan_test with a classifier of the data."
            )

    def features(self, network: Features) -> tuple[Tensor, Tensor]:
        """Features of both sides: (N, D) and (M, D) float32."""
        real, fake = (torch.cat(list(side.features(network))) for side in (self.real, self.fake))
        return real, fake

    def protocol(self, network: Features) -> Numbers:
        """The protocol of a metric over features: the network, how images reach it, and both sides."""
        mixed = {self.real.channels, self.fake.channels} == {1, 3}
        note = {"channels": "grey as three equal channels of RGB"} if mixed else {}
        return {**network.protocol, **note, "real": self.real.protocol, "fake": self.fake.protocol}


def check_count(least: int, *sides: Side, option: str = "", extra: int = 0) -> None:
    """Raise `UsageError` for fewer images than a metric needs; statistics of an unknown count pass.

    `option` decides how many these are: its value and `extra`.
    """
    for side in sides:
        if side.count < least and (side.count or side.file is None):
            smaller = f"{option} {side.count - extra} or less, or " if option and side.count - extra > 1 else ""
            counts = f"This measure needs at least {least} images a side, and {side.name} has {side.count}"
            raise UsageError(f"{counts}; give {smaller}more images.")
