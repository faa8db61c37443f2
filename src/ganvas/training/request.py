"""Arguments of one `train` call, as given, and the ranges of its numbers."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, get_type_hints

from ..config import Recipe, Spec, accepts, fitting, plain, type_name
from ..data.dataset import Dataset
from ..data.sources import parse_resolution
from ..errors import UsageError

LARGEST_SEED = 2**63 - 1


class TrainOptions(TypedDict, total=False):
    """Types of the keyword arguments of `ganvas.train`: the optional fields of `TrainRequest`."""

    images: int | None
    minutes: float | None
    seed: int | None
    batch: int | None
    resolution: str | int | tuple[int, int] | None
    device: str
    precision: str | None
    compile: str
    set: Sequence[str] | Mapping[str, Any]
    hold_out: int | None
    heal: bool
    labels: int | None
    augment: str
    init_from: str | os.PathLike[str] | None
    init_raw: bool
    freeze_d: int | None
    resume: bool
    snapshot_images: int | None
    eval_images: int | None
    eval_metric: str
    eval_samples: int
    stop_when: str | None
    patience: int | None
    workers: int
    tensorboard: bool
    cache: Path | None


@dataclass
class TrainRequest:
    """Arguments of one `train` call as given; `resolve_recipe` and `complete_from_run` check and complete them."""

    recipe: str | Recipe | None  # a name, a saved config.json, or a Recipe; None: that of the run to resume
    data: str | Dataset | None
    outdir: str | os.PathLike[str]
    images: int | None = None  # length of the run; None: the recipe's
    minutes: float | None = None  # time limit of this session
    seed: int | None = None
    batch: int | None = None
    resolution: str | int | tuple[int, int] | None = None  # None: the data's
    device: str = "auto"
    precision: str | None = None  # auto, fp32 or bf16
    compile: str = "auto"  # auto, on or off
    set: Sequence[str] | Mapping[str, Any] = ()  # options of the recipe: path=value
    hold_out: int | None = None  # images kept from training, so that the doctor sees memorisation
    heal: bool = False  # follow the doctor: back to a snapshot, and on with lower learning rates
    labels: int | None = None  # labels to keep, equally many of each class; the others are hidden
    augment: str = ""  # random changes to the data
    init_from: str | os.PathLike[str] | None = None  # a run or a model folder with the initial weights
    init_raw: bool = False  # its generator as trained instead of averaged
    freeze_d: int | None = None  # stages of the discriminator to freeze
    resume: bool = False
    snapshot_images: int | None = None  # images between snapshots
    eval_images: int | None = None  # images between evaluations; None: no evaluation
    eval_metric: str = "fd"
    eval_samples: int = 2000
    stop_when: str | None = None  # a goal, as fd<12
    patience: int | None = None  # evaluations without a better one until the end
    workers: int = 0  # processes that load data in advance
    tensorboard: bool = False
    cache: Path | None = None

    def __post_init__(self) -> None:
        """Make values of NumPy, PyTorch and pathlib plain; raises `UsageError` for a value of another type."""
        if not isinstance(self.data, (str, Dataset, os.PathLike, type(None))):
            self.data = Dataset(self.data)
        for name, annotation in get_type_hints(TrainRequest).items():
            value = fitting(annotation, getattr(self, name))
            if not accepts(annotation, value):
                raise UsageError(f"{name} must be {type_name(annotation)}, got {value!r}.")
            setattr(self, name, value)
        self.set = plain(dict(self.set)) if isinstance(self.set, Mapping) else self.set

    @property
    def size(self) -> tuple[int, int] | None:
        """Requested (height, width); None: as the data suggest."""
        return None if self.resolution is None else parse_resolution(self.resolution)


def check_numbers(request: TrainRequest) -> None:
    """Raise `UsageError` for a number outside its range."""
    for name, value, least, most in (
        ("--seed", request.seed, 0, LARGEST_SEED),
        ("--snapshot-images", request.snapshot_images, 1, math.inf),
        ("--eval-images", request.eval_images, 1, math.inf),
        ("--eval-samples", request.eval_samples, 2, math.inf),
        ("--patience", request.patience, 1, math.inf),
        ("--minutes", request.minutes, 0, math.inf),
        ("--workers", request.workers, 0, 1024),
        ("--hold-out", request.hold_out, 0, math.inf),
    ):
        if value is not None and not least <= value <= most:  # not-a-number is in no range
            range_ = f"at least {least}" if most == math.inf else f"from {least} to {most}"
            raise UsageError(f"{name} must be {range_}, got {value}.")
    for name, option in (("--stop-when", request.stop_when), ("--patience", request.patience)):
        if option is not None and request.eval_images is None and not request.resume:
            raise UsageError(f"{name} needs numbers to go by: give --eval-images N, the images between evaluations.")


def check_sizes(recipe: Recipe, images: int, world: int) -> None:
    """Raise `UsageError` for numbers that cannot work, before anything is written."""
    least = dict.fromkeys(("batch", "images", "d_steps", "g_steps", "accumulate"), 1)
    least |= dict.fromkeys(("ema_images", "ema_ramp", "d_warmup_images"), 0)
    for name, bound in least.items():
        if not isinstance(value := getattr(recipe, name), Spec) and not value >= bound:
            raise UsageError(f"{name} must be at least {bound}, got {value}.")
    if recipe.clip_norm is not None and not recipe.clip_norm > 0:
        raise UsageError(f"clip_norm must be more than 0, got {recipe.clip_norm}; none leaves gradients as they are.")
    if recipe.batch > images:
        raise UsageError(
            f"A batch of {recipe.batch} is larger than the data ({images} images);"
            f" take --batch {images} or less, or add images."
        )
    if recipe.batch % (parts := recipe.accumulate * world):
        raise UsageError(
            f"A batch of {recipe.batch} does not split into {recipe.accumulate} x {world} equal parts"
            f" (accumulate x processes); take a multiple of {parts}."
        )
