"""A trained model, wherever it came from: a run, a model folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from .. import catalog
from ..checkpoints.files import read as read_checkpoint
from ..config import Spec, address, decode
from ..data.batches import once
from ..data.dataset import Dataset
from ..data.sources import open_source
from ..errors import UsageError, UserError
from ..imaging.decode import to_channels, to_float, to_uint8
from ..imaging.grid import to_pil
from ..policy import Policy, PrecisionName
from ..run import read_json, read_weights
from ..tasks.base import Label, Task
from ..tasks.label_translation import AppliedTold
from ..tasks.translation import Applied, Translation
from .foreign import build, settled

BATCH = 64
FOREIGN = (".pth", ".pt", ".ckpt", ".tar", ".safetensors")  # suffixes of weight files
HALVES = {  # of two files that only work together
    "adain_decoder": "decodes maps, and needs what makes them: ganvas stylize with --encoder vgg_normalised.pth",
    "normalised_vgg": "makes maps, and needs what decodes them: ganvas stylize with --model decoder.pth",
}


class Model:
    """A generator ready to use: `model.sample(n)` gives images."""

    def __init__(self, task: Task, policy: Policy, config: dict[str, Any]):
        self.task, self.policy, self.config = task, policy, config

    @property
    def class_names(self) -> list[str]:
        return list(self.config["data"].get("class_names", []))

    def read_label(self, text: str | None) -> Label:
        """What a person asks for by `text`: a class by name or number, a vector, a caption; None for None."""
        return None if text is None else self.task.read_label(text, self.class_names)

    def logits(self, images: Tensor) -> Tensor:
        """What images (N, C, H, W) in [-1, 1] are taken for: (N, classes) float32, before any softmax.

        Raises `UsageError` for a model that names no classes, or was trained on images of another shape.
        """
        height, width = self.config["data"]["resolution"]
        expected = (self.config["data"]["channels"], height, width)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            shape = f"(N, {', '.join(map(str, expected))})"
            raise UsageError(f"This model takes images of shape {shape}, got {tuple(images.shape)}.")
        with torch.inference_mode(), self.policy.autocast():
            parts = [self.task.logits(part.to(self.policy.device)).float().cpu() for part in images.split(BATCH)]
        return torch.cat(parts)

    def classify(self, images: Tensor) -> Tensor:
        """The most likely class of each image, as (N,) int64 indices into `class_names`."""
        return self.logits(images).argmax(1)

    def __call__(self, images: Any, *, label: Label = None, back: bool = False, noise: int | None = None) -> Any:
        """Images changed by a model that translates: what kind goes in comes out, in any size.

        A PIL image, (N, C, H, W) float in [-1, 1], or (H, W, C) or (N, H, W, C) uint8.  `label` is the domain or the
        attributes that it is asked for, `back` the other way of a model that has two, and `noise` a seed with which
        dropout stays on, so that another seed gives another image (Isola et al. 2017, section 3.2).  Raises
        `UsageError` for a model that makes images of noise, or one that lacks what it is asked for.
        """
        if not self.task.translates:
            raise UsageError("This model makes images of noise: model.sample(n).")
        if isinstance(images, Tensor):
            return self.translated(images, label=label, back=back, noise=noise)
        array = upright_colours(images) if isinstance(images, Image.Image) else np.asarray(images)
        if array.dtype != np.uint8 or array.ndim not in (3, 4):
            raise UsageError(f"A model takes (H, W, C) or (N, H, W, C) uint8, got {array.dtype} {array.shape}.")
        whole = array if array.ndim == 4 else array[None]
        channels = self.takes(back)
        batch = to_float(np.stack([to_channels(image, channels) for image in whole]))
        made = to_uint8(self.translated(batch, label=label, back=back, noise=noise))
        made = made if array.ndim == 4 else made[0]
        return to_pil(made) if isinstance(images, Image.Image) else made

    def takes(self, back: bool = False) -> int:
        """Channels of the images that this model translates."""
        data = self.config["data"]
        return int((not back and data.get("source_channels")) or data["channels"])

    @torch.inference_mode()
    def translated(
        self, images: Tensor, *, label: Label = None, back: bool = False, noise: int | None = None
    ) -> Tensor:
        """(N, C, H, W) in [-1, 1] to images in [-1, 1], float32 on the CPU, one at a time: sizes may be large."""
        if images.ndim != 4 or images.shape[1] != self.takes(back):
            raise UsageError(f"This model takes images (N, {self.takes(back)}, H, W), got {tuple(images.shape)}.")
        assert isinstance(self.task, Translation)
        told = self.task.told(1, label)
        told = None if told is None else told.to(self.policy.device)
        made = []
        for image in images.split(1):
            with self.policy.autocast(), dropping(self.task.generator, noise):
                result = self.task.translate(image.float().to(self.policy.device), told, back=back)
            made.append(result.float().clamp(-1, 1).cpu())
        return torch.cat(made)

    def sample(self, n: int, *, seed: int = 0, label: Label = None) -> Tensor:
        """Images (n, C, H, W), float32 in [-1, 1], from the seeds `seed`, `seed + 1`, ...

        `label` is a class, a condition vector, a code or a caption, as the model was trained.  A seed gives the same
        image in every batch size.  Raises `UsageError` for a label the model lacks.
        """
        return self.sample_seeds(range(seed, seed + n), label=label)

    def sample_seeds(self, seeds: Sequence[int], *, label: Label = None, trunc: float = 1.0) -> Tensor:
        """One image a seed; `trunc` under 1 draws the noise nearer to its centre: less variety, fewer failures."""
        if not seeds:
            raise UsageError("There are no seeds to sample from.")
        parts = [self.task.inputs(seeds[k : k + BATCH], label) for k in range(0, len(seeds), BATCH)]
        return torch.cat([self.generate({**part, "trunc": trunc}) for part in parts])

    def walk(self, seeds: Sequence[int], *, steps: int = 24, label: Label = None) -> Tensor:
        """Images on the way from seed to seed and back to the first, `steps` between neighbours.

        The way is an arc of the noise's sphere (slerp), on which every point is as likely as a drawn one.
        """
        inputs = self.task.inputs([*seeds, seeds[0]], label)
        z, t = inputs["z"], torch.arange(steps) / steps
        path = torch.cat([slerp(a, b, t) for a, b in zip(z, z[1:])])
        frames = {k: _held(v[:-1], steps) for k, v in inputs.items()} | {"z": path}
        parts = ({k: v[i : i + BATCH] for k, v in frames.items()} for i in range(0, len(path), BATCH))
        return torch.cat([self.generate(part) for part in parts])

    @torch.inference_mode()
    def generate(self, inputs: dict[str, Any]) -> Tensor:
        """Images on the CPU from what the task samples from."""
        device = self.policy.device
        moved = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in inputs.items()}
        with self.policy.autocast():
            return self.task.sample(moved).float().cpu()


def _held(rows: Any, steps: int) -> Any:
    """Every row so many times in a row: of a tensor, or of a list."""
    if isinstance(rows, Tensor):
        return rows.repeat_interleave(steps, 0)
    return [row for row in rows for _ in range(steps)]


def accuracy(model: Model, data: Dataset | str) -> float:
    """The share of labelled images whose class a model names rightly; classes are compared by their names.

    `data` is a data set or what --data takes, which is opened in the model's resolution.
    Raises `UsageError` if the data have no labels or classes that the model does not know.
    """
    if isinstance(data, str):
        height, width = model.config["data"]["resolution"]
        data = open_source(data, resolution=None if (height, width) == (1, 1) else (height, width))
    known = {name: k for k, name in enumerate(model.class_names)}
    strange = [name for name in data.class_names if name not in known]
    if strange or not len(data.labelled) or not data.class_names:
        found = f"the classes {', '.join(strange[:3])}, which the model does not know" if strange else "no classes"
        raise UsageError(f"Accuracy needs images of the model's classes, and {data.name or 'the data'} have {found}.")
    places, right, count = torch.tensor([known[name] for name in data.class_names]), 0, 0
    for batch in once(data, BATCH):
        there = batch["label"] >= 0
        named = model.classify(batch["image"][there]) if there.any() else places[:0]
        right += int((named == places[batch["label"][there]]).sum())
        count += int(there.sum())
    return right / count


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Points (len(t), D) on the great arc from a to b, their length changing evenly (Shoemake 1985)."""
    t = t[:, None]
    angle = torch.acos(torch.clamp(torch.dot(a, b) / (a.norm() * b.norm()), -1, 1))
    if angle < 1e-4:
        return a + t * (b - a)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    precision: PrecisionName = "auto",
    trust: Sequence[type] = (),
) -> Model:
    """A model from a run, a model folder, or a weight file of another project, on any machine.

    Its config may name classes of the catalogue, and those of `trust`: your own components.
    Raises `UsageError` if there is none, `UserError` if its files are damaged or name what is not in the catalogue.
    """
    if Path(path).is_file() and Path(path).suffix in FOREIGN:
        return foreign(Path(path), device, precision)
    folder = _model_folder(Path(path))
    config = read_json(folder / "config.json")
    if config.get("format") != 1 or "task" not in config or "data" not in config:
        raise UserError(f"{folder / 'config.json'} does not describe a model of ganvas.")
    policy = Policy.choose(device, precision).suited(precision, _resolution(config))
    task = _build(config, folder, {**catalog.TRUSTED, **{address(c): c for c in trust}})
    weights = read_weights(folder / "generator.safetensors")
    try:
        task.generator.load_state_dict(weights)
    except RuntimeError as problem:
        raise UserError(
            f"The weights in {folder} do not fit its config: {str(problem).splitlines()[-1].strip()}"
        ) from None
    policy.place(task)
    return Model(task.eval().requires_grad_(False), policy, config)


def foreign(file: Path, device: str, precision: PrecisionName) -> Model:
    """A network from images to images that another project trained; raises `UserError` for what is none."""
    found = read_checkpoint(file)
    found = settled(found) if "activation" in found.unsure else found
    if found.network in HALVES:
        raise UsageError(f"{file} {HALVES[found.network]}.")
    policy = Policy.choose(device, precision)
    channels = found.options["channels"]
    data = {"channels": channels, "source_channels": found.options.get("source_channels", channels)}
    attributes = found.options.get("attributes")
    task: Task = AppliedTold(build(found), attributes) if attributes else Applied(build(found))
    policy.place(task)
    return Model(task.eval().requires_grad_(False), policy, {"data": {**data, "class_names": []}})


@contextmanager
def dropping(network: nn.Module, seed: int | None) -> Iterator[None]:
    """A network whose dropout draws from a seed meanwhile, and the global generators are left alone; None: it rests.

    Raises `UsageError` for a network without dropout.
    """
    drops = [m for m in network.modules() if isinstance(m, nn.Dropout)] if seed is not None else []
    if seed is None:
        yield
        return
    if not drops:
        raise UsageError("This model has no dropout, so it makes one image of each; leave the noise out.")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            for drop in drops:
                drop.train()
            yield
        finally:
            for drop in drops:
                drop.eval()


def upright_colours(image: Image.Image) -> np.ndarray:
    """An image as it is meant to be seen, (H, W, C) uint8 with C = 1, 3 or 4."""
    turned = ImageOps.exif_transpose(image)
    see_through = turned.mode in ("LA", "PA", "RGBA") or turned.has_transparency_data
    mode = "RGBA" if see_through else "L" if turned.mode in ("1", "L") else "RGB"
    return np.atleast_3d(np.asarray(turned.convert(mode)))


def _resolution(config: dict[str, Any]) -> list[int]:
    """Height and width, or what makes the builder refuse."""
    found = config["data"].get("resolution")
    return found if isinstance(found, list) and len(found) == 2 else [0, 0]


def _model_folder(path: Path) -> Path:
    for folder in (path / "model", path):
        if (folder / "generator.safetensors").is_file():
            return folder
    if (path / "config.json").is_file():
        raise UsageError(f"{path} holds no model yet; its first snapshot has not been taken.")
    raise UsageError(f"{path} {'holds no model' if path.exists() else 'does not exist'}; give a run or a model folder.")


def _build(config: dict[str, Any], folder: Path, trusted: Mapping[str, type]) -> Task:
    """The task of a saved model, its weights still random."""
    spec = decode(config["task"], trusted)
    known = ("resolution", "channels", "classes", "attributes", "source_channels", "source_scale")
    facts = {k: config["data"].get(k) for k in known}
    if not isinstance(spec, Spec) or not issubclass(spec.target, Task):
        raise UserError(f"{folder / 'config.json'} does not describe a model of ganvas.")
    try:
        task: Task = spec.build(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in facts.items() if v is not None}
        )
    except UserError:
        raise
    except Exception as problem:  # whatever a damaged or hostile config makes a constructor raise
        raise UserError(f"{folder / 'config.json'} cannot be built: {problem}.") from None
    task.discriminator = None  # it judged; it is not needed to make images
    return task
