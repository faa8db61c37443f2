"""Arguments of one `train` call, as given, and the ranges of its numbers."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, get_type_hints

from ..config import Recipe, Spec, accepts, fitting, plain, type_name
from ..data.dataset import Dataset
from ..data.parquet import is_rows, open_datasets
from ..data.sources import parse_resolution
from ..errors import UsageError
from ..paths import as_address, local_folder, user_path

LARGEST_SEED = 2**63 - 1


DEFAULTS: dict[str, Any] = {"device": "auto", "compile": "auto", "heal": False, "init_raw": False, "workers": 0}
DEFAULTS |= {"eval_samples": 2000}
EVALUATION = ("eval_images", "eval_data", "eval_metric", "eval_samples", "stop_when", "patience")
MAY_CHANGE = ("snapshot_images", "heal", "log", "workers", "device", "compile")  # as EVALUATION, on resuming


class TrainOptions(TypedDict, total=False):
    """Types of the keyword arguments of `ganvas.train`: the optional fields of `TrainRequest`."""

    images: int | None
    minutes: float | None
    seed: int | None
    batch: int | None
    preset: str | None
    resolution: str | int | tuple[int, int] | None
    device: str | None
    precision: str | None
    compile: str | None
    set: Sequence[str] | Mapping[str, Any]
    hold_out: int | None
    heal: bool | None
    labels: int | None
    augment: str
    init_from: str | os.PathLike[str] | None
    init_raw: bool | None
    freeze_d: int | None
    resume: bool
    snapshot_images: int | None
    eval_images: int | None
    eval_data: str | None
    eval_metric: str | None
    eval_samples: int | None
    stop_when: str | None
    patience: int | None
    workers: int | None
    log: str | None
    cache: Path | None


@dataclass
class TrainRequest:
    """Arguments of one `train` call as given; None is the run's own value on resuming, or that of `DEFAULTS`."""

    recipe: str | Recipe | None  # a name, a saved config.json, or a Recipe; None: that of the run to resume
    data: str | Dataset | None
    outdir: str | os.PathLike[str]
    images: int | None = None  # length of the run; None: the recipe's
    minutes: float | None = None  # time limit of this session
    seed: int | None = None
    batch: int | None = None
    preset: str | None = None  # tiny, small, paper, or auto: tiny without a GPU; None: paper
    resolution: str | int | tuple[int, int] | None = None  # None: the data's
    device: str | None = None  # auto, cpu, cuda or mps
    precision: str | None = None  # auto, fp32 or bf16
    compile: str | None = None  # auto, on or off
    set: Sequence[str] | Mapping[str, Any] = ()  # options of the recipe: path=value
    hold_out: int | None = None  # images kept from training, so that the doctor sees memorisation
    heal: bool | None = None  # follow the doctor: back to a snapshot, and on with lower learning rates
    labels: int | None = None  # labels to keep, equally many of each class; the others are hidden
    augment: str = ""  # random changes to the data
    init_from: str | os.PathLike[str] | None = None  # a run or a model folder with the initial weights
    init_raw: bool | None = None  # its generator as trained instead of averaged
    freeze_d: int | None = None  # stages of the discriminator to freeze
    resume: bool = False  # continue the run in outdir if there is one
    snapshot_images: int | None = None  # images between snapshots
    eval_images: int | None = None  # images between evaluations; None: none, or of pairs, by their cost
    eval_data: str | None = None  # held-out pairs: source=DIR,target=DIR or AB:DIR; None: the training data
    eval_metric: str | None = None  # None: psnr of pairs, otherwise fd
    eval_samples: int | None = None
    stop_when: str | None = None  # a goal, as fd<12; "none" drops that of a run to resume
    patience: int | None = None  # evaluations without a better one until the end
    workers: int | None = None  # processes that load data in advance
    log: str | None = None  # other logs beside log.jsonl: tensorboard,wandb,mlflow,trackio; none drops those of the run
    cache: Path | None = None

    def __post_init__(self) -> None:
        """Make values of NumPy, PyTorch and pathlib plain; raises `UsageError` for other types, and for addresses."""
        if not isinstance(self.data, (str, Dataset, os.PathLike, type(None))):
            rows = is_rows(self.data)
            self.data = open_datasets(self.data, self.size, self.cache) if rows else Dataset(self.data)
        for name, annotation in get_type_hints(TrainRequest).items():
            value = fitting(annotation, getattr(self, name))
            if not accepts(annotation, value):
                raise UsageError(f"{name} must be {type_name(annotation)}, got {value!r}.")
            setattr(self, name, value)
        self.set = plain(dict(self.set)) if isinstance(self.set, Mapping) else self.set
        for name in ("outdir", "init_from", "cache"):
            if (path := getattr(self, name)) is not None and (name != "outdir" or self.address is None):
                setattr(self, name, user_path(path, f"--{name.replace('_', '-')}"))
        self.outdir = self.address or self.outdir

    @property
    def address(self) -> str | None:
        """Address at which the run is mirrored, as s3://bucket/run; None for a run in a folder."""
        address = as_address(self.outdir)
        return None if address is None or address.startswith("file:") else address

    @property
    def folder(self) -> Path:
        """Folder of the run: `outdir`, or where a run is written that is mirrored at an address."""
        return local_folder(self.address, self.cache) if self.address else Path(self.outdir)

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


def with_defaults(request: TrainRequest) -> TrainRequest:
    """Fill in `DEFAULTS`; raises `UsageError` for an option that would have no effect without another."""
    evaluated = request.eval_images is not None or request.eval_data is not None
    for effective, names, way_out in (
        (evaluated, EVALUATION[2:], "--eval-images N, the images between evaluations, or --eval-data"),
        (request.init_from is not None, ("init_raw",), "--init-from RUN"),
    ):
        for name in names:
            if not effective and getattr(request, name) not in (None, False, "none"):
                raise UsageError(f"--{name.replace('_', '-')} has no effect by itself: give {way_out}.")
    goal = None if request.stop_when == "none" else request.stop_when
    logs = None if request.log in ("none", "") else request.log
    defaults = {**DEFAULTS, "eval_metric": "fd" if request.eval_data is None else "psnr"}
    missing = {name: value for name, value in defaults.items() if getattr(request, name) is None}
    return replace(request, **missing, stop_when=goal, log=logs)


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
