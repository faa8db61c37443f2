"""A trained model, loaded from a run, a model folder or a weight file."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from ..catalog import name_of
from ..config import Spec, accepts, decode, plain
from ..data.batches import iterate_once
from ..data.dataset import CHANNEL_NAMES, Dataset
from ..data.sources import open_source
from ..errors import UsageError, UserError, did_you_mean
from ..game import BaseDiscriminator, StyleBased
from ..imaging.values import as_given, to_batch
from ..latent.codes import Codes, codes_of_seeds
from ..latent.directions import Direction, edit, mix
from ..latent.spaces import LatentSpace, fingerprint, spaces_of
from ..latent.walk import walk, walk_batches
from ..networks.label_inputs import LabelledGenerator
from ..paths import user_path
from ..policy import Policy, PrecisionName, RandomNumbers, seed_generators
from ..run import read_config, read_weights, saved_facts
from ..tasks.base import Label, Task
from ..tasks.generation import AppliedGeneration
from ..tasks.label_translation import AppliedLabelTranslation
from ..tasks.translation import Applied
from .cards import EMBEDDED, embedded_card
from .folder import model_folder, weights_of
from .foreign import build_network, read_checkpoint
from .hub import fetch, is_hub_name

if TYPE_CHECKING:
    from ..latent.project import Projection

BATCH = 64
HALVES = {  # networks of two files that only work together
    "adain_decoder": "decodes feature maps and needs an encoder: ganvas stylize with --encoder vgg_normalised.pth",
    "normalised_vgg": "encodes images and needs a decoder: ganvas stylize with --model decoder.pth",
}


class Model:
    """A generator ready to use: `model.sample(n)` gives images."""

    def __init__(self, task: Task, policy: Policy, config: dict[str, Any]):
        self.task, self.policy, self.config = task, policy, config

    @property
    def class_names(self) -> list[str]:
        return list(self.config["data"].get("class_names", []))

    def read_label(self, text: str | None) -> Label:
        """Parse a label: a class by name or number, a vector, a caption; None for None."""
        return None if text is None else self.task.read_label(text, self.class_names)

    def logits(self, images: Any) -> Tensor:
        """Class logits (N, classes), float32, of images: (N, C, H, W) in [-1, 1], or as `__call__` takes them.

        Raises `UsageError` for a model that names no classes, or was trained on images of another shape.
        """
        odd = isinstance(images, Tensor) and images.ndim != 4  # `predict` says the shape it takes
        return self.predict(images if odd else to_batch(images, int(self.config["data"]["channels"])))

    def predict(self, images: Tensor) -> Tensor:
        """Class logits of images (N, C, H, W) whose range is known."""
        height, width = self.config["data"]["resolution"]
        expected = (self.config["data"]["channels"], height, width)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            shape = f"(N, {', '.join(map(str, expected))})"
            raise UsageError(f"This model takes images of shape {shape}, got {tuple(images.shape)}.")
        with torch.inference_mode(), self.policy.autocast():
            parts = [self.task.logits(part.to(self.policy.device)).float().cpu() for part in images.split(BATCH)]
        return torch.cat(parts)

    def classify(self, images: Any) -> Tensor:
        """The most likely class of each image, as (N,) int64 indices into `class_names`."""
        return self.logits(images).argmax(1)

    def __call__(self, images: Any, *, label: Label = None, back: bool = False, noise: int | None = None) -> Any:
        """Translate images of any size; the result has the type of the input.

        A PIL image or a file, (N, C, H, W) float in [-1, 1], or (H, W), (H, W, C) or (N, H, W, C) uint8.  `label` is
        the target domain or attributes, `back` the inverse direction of a model that has both, and `noise` a seed with
        which dropout stays on, so that another seed gives another image (Isola et al. 2017, section 3.2).  Raises
        `UsageError` for a model that generates from noise, or one without the label, direction or dropout.
        """
        if not self.task.translates:
            use = "sample(n)" if self.task.draws_images else "classify(images)"
            raise UsageError(f"This model does not translate images; use model.{use}.")
        if not isinstance(images, Tensor) and not self._takes_stack(images):
            self.check_channels()
        batch = to_batch(images, self.input_channels(back))
        return as_given(self.apply(batch, label=label, back=back, noise=noise), images)

    def _takes_stack(self, images: Any) -> bool:
        """True for an array (..., H, W, C) of the model's channels, where these are not grey, RGB or RGBA."""
        array, inputs = isinstance(images, np.ndarray), self.input_channels()
        return array and images.ndim > 2 and images.shape[-1] == inputs and inputs not in CHANNEL_NAMES

    def input_channels(self, back: bool = False) -> int:
        """Channels of the images that this model translates."""
        data = self.config["data"]
        return int((not back and data.get("source_channels")) or data["channels"])

    def check_channels(self) -> None:
        """Raise `UsageError` unless the model makes images of images: of 1, 3 or 4 channels each."""
        inputs, outputs = self.input_channels(), int(self.config["data"]["channels"])
        if not {inputs, outputs} <= CHANNEL_NAMES.keys():
            kind = "; it predicts the colours of a grey image in L*a*b*" if (inputs, outputs) == (1, 2) else ""
            raise UsageError(
                f"This model takes {inputs} channel(s) and gives {outputs}{kind}. Images have 1 (grey), 3 (RGB) or 4"
                " (RGBA); stacks are given as -i STACK.npy or STACK.tif, in Python as an array or a tensor: model(x)."
            )

    def translate(self, images: Tensor, *, label: Label = None, back: bool = False, noise: int | None = None) -> Tensor:
        """Translate (N, C, H, W) in [-1, 1], one image at a time: sizes may be large; float32 on the CPU."""
        return self.apply(to_batch(images), label=label, back=back, noise=noise)

    @torch.inference_mode()
    def apply(self, images: Tensor, *, label: Label = None, back: bool = False, noise: int | None = None) -> Tensor:
        """Translate images (N, C, H, W) whose range is known."""
        channels = self.input_channels(back)
        if images.ndim != 4 or images.shape[1] != channels:
            raise UsageError(f"This model takes images (N, {channels}, H, W), got {tuple(images.shape)}.")
        target, noise = self.task.target_labels(1, plain(label)), plain(noise)
        target = None if target is None else target.to(self.policy.device)
        parts = []
        for image in images.split(1):
            with self.policy.autocast(), active_dropout(self.task.generator, noise):
                result = self.task.translate(image.float().to(self.policy.device), target, back=back)
            parts.append(result.float().clamp(-1, 1).cpu())
        return torch.cat(parts)

    def sample(self, n: int, *, seed: int = 0, label: Label = None) -> Tensor:
        """Generate images (n, C, H, W), float32 in [-1, 1], from the seeds `seed`, `seed + 1`, ...

        `label` is a class, a condition vector, a code or a caption, as the model was trained.  A seed gives the same
        image in every batch size.  Raises `UsageError` for a label the model lacks.
        """
        n, seed = plain(n), plain(seed)
        if not isinstance(n, int) or not isinstance(seed, int) or n < 1 or seed < 0:
            raise UsageError(f"sample(n, seed=S) takes a number of images and a first seed, got {n!r} and {seed!r}.")
        return self.sample_seeds(range(seed, seed + n), label=label)

    def abilities(self) -> dict[str, Any]:
        """The abilities of a generator: the kind of its label, class names, sizes; as JSON."""
        task = self.task
        height, width = _resolution(self.config)
        return {
            "task": name_of(type(task)),
            "label": task.label_form(),
            "classes": self.class_names,
            "width": width,
            "height": height,
            "channels": self.config["data"]["channels"],
            "images": self.config.get("images", 0),
        }

    def sample_seeds(self, seeds: Sequence[int], *, label: Label = None, trunc: float = 1.0) -> Tensor:
        """Generate one image a seed; `trunc` < 1 draws the noise nearer to its centre: less variety, fewer failures."""
        return torch.cat([*self.sample_batches(seeds, label=label, trunc=trunc)])

    def sample_batches(self, seeds: Sequence[int], *, label: Label = None, trunc: float = 1.0) -> Iterator[Tensor]:
        """Generate the images of `sample_seeds` a batch at a time, so that any number of them needs little memory."""
        seeds, label, trunc = check_seeds(seeds), plain(label), plain(trunc)
        for k in range(0, len(seeds), BATCH):
            yield self.generate({**self.task.inputs(seeds[k : k + BATCH], label), "trunc": trunc})

    def walk(self, seeds: Sequence[int], *, steps: int = 24, label: Label = None, **options: Any) -> Tensor:
        """Generate images on a closed path through the seeds: `ganvas.latent.walk.walk`, with its options."""
        return walk(self, check_seeds(seeds), steps=plain(steps), label=plain(label), **options)

    def walk_batches(
        self, seeds: Sequence[int], *, steps: int = 24, label: Label = None, **options: Any
    ) -> Iterator[Tensor]:
        """Generate the images of `walk` a batch at a time."""
        return walk_batches(self, check_seeds(seeds), steps=plain(steps), label=plain(label), **options)

    def codes(
        self, seeds: int | Sequence[int], *, space: str | None = None, label: Label = None, trunc: float = 1.0
    ) -> Codes:
        """The codes of seeds, or of the first `seeds` ones, in the noise or another space."""
        numbers = range(seeds) if isinstance(seeds, int) else seeds
        return codes_of_seeds(self, check_seeds(numbers), space=space, label=plain(label), trunc=trunc)

    def project(self, images: Any, **options: Any) -> "Projection":
        """The codes whose images are nearest to given ones of the model's size: `ganvas.latent.project.ProjectOptions`.

        Images are (N, C, H, W) in [-1, 1], or as `__call__` takes them; `progress` is called with the steps done and
        the images after them.
        """
        from ..latent.project import ProjectOptions, project  # features, which sampling does without

        channels, progress = int(self.config["data"]["channels"]), options.pop("progress", None)
        return project(self, to_batch(images, channels), ProjectOptions(**options), progress=progress)

    def directions(self, source: str = "sefa", **options: Any) -> list[Direction]:
        """Directions by `sefa`, `pca` or `labels`, the one with the largest effect first.

        The options are those of `ganvas.latent.discover.discover`.
        """
        from ..latent.discover import discover

        return discover(self, source, **options)

    def edit(
        self, codes: Codes | int | Sequence[int], steps: Sequence[tuple[Direction, float]], layers: Sequence[int] = ()
    ) -> Tensor:
        """Images of codes, or of seeds, moved along directions by steps in standard deviations."""
        return edit(self, self._as_codes(codes), steps, layers)[0]

    def mix(
        self,
        rows: Codes | int | Sequence[int],
        columns: Codes | int | Sequence[int],
        layers: Sequence[int] = (),
        *,
        space: str | None = None,
    ) -> Tensor:
        """Images (R, K, C, H, W) of the codes of rows with some layers of those of columns: `ganvas.latent.mix`."""
        return mix(self, self._as_codes(rows, space), self._as_codes(columns, space), layers)

    def _as_codes(self, given: Codes | int | Sequence[int], space: str | None = None) -> Codes:
        if isinstance(given, Codes):
            return given
        return self.codes([given] if isinstance(given, int) else given, space=space)

    def spaces(self) -> dict[str, LatentSpace]:
        """The latent spaces by name, from the noise `z` on; raises `UsageError` for a model that is no generator."""
        return spaces_of(self)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the generator's weights, by which codes and directions know their model."""
        return fingerprint(self.task.generator.state_dict())

    def save_pretrained(self, folder: str | os.PathLike[str], *, license: str = "unknown") -> list[str]:
        """Write the model as the Hugging Face Hub keeps it; `ganvas.export.hub.save_pretrained`."""
        from ..export.hub import save_pretrained

        return save_pretrained(self, Path(folder), license=license)

    @torch.inference_mode()
    def generate(self, inputs: dict[str, Any]) -> Tensor:
        """Generate images on the CPU from the task's `inputs`."""
        device = self.policy.device
        moved = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in inputs.items()}
        with self.policy.autocast():
            return self.task.sample(moved).float().cpu()


def check_seeds(seeds: Any) -> Sequence[int]:
    """Seeds from a sequence, an array or a tensor of whole numbers; raises `UsageError` for anything else or nothing.

    Seeds are from 0 to 2^32 - 1: torch's generator of the processor takes them modulo 2^32.
    """
    numbers = seeds if isinstance(seeds, range) else plain(seeds)
    if not isinstance(numbers, (range, list, tuple)) or not len(numbers):
        raise UsageError(f"There are no seeds to sample from: a list of whole numbers, got {seeds!r}.")
    for seed in (numbers[0], numbers[-1]) if isinstance(numbers, range) else numbers:
        if not accepts(int, seed) or not 0 <= seed < 1 << 32:
            raise UsageError(f"A seed is a whole number from 0 to 2^32 - 1, got {seed!r}.")
    return numbers


def accuracy(model: Model, data: Dataset | str | os.PathLike[str]) -> float:
    """Share of labelled images that a model classifies correctly; classes are matched by name.

    `data` is a data set or what --data takes, which is opened in the model's resolution.
    Raises `UsageError` if the data have no labels or classes that the model does not know.
    """
    if not isinstance(data, Dataset):
        height, width = model.config["data"]["resolution"]
        data = open_source(os.fspath(data), resolution=None if (height, width) == (1, 1) else (height, width))
    index = {name: k for k, name in enumerate(model.class_names)}
    unknown = [name for name in data.class_names if name not in index]
    if unknown or not len(data.labelled) or not data.class_names:
        classes = f"the classes {', '.join(unknown[:3])}, which the model does not know" if unknown else "no classes"
        raise UsageError(f"Accuracy needs images of the model's classes, and {data.name or 'the data'} have {classes}.")
    places, right, count = torch.tensor([index[name] for name in data.class_names]), 0, 0
    for batch in iterate_once(data, BATCH):
        labelled = batch["label"] >= 0
        predicted = model.predict(batch["image"][labelled]).argmax(1) if labelled.any() else places[:0]
        right += int((predicted == places[batch["label"][labelled]]).sum())
        count += int(labelled.sum())
    return right / count


def load(
    path: str | os.PathLike[str], *, device: str = "auto", precision: PrecisionName = "auto", trust: Sequence[type] = ()
) -> Model:
    """Load a model from a run, a model folder, a weight file of another project, or the name of an embedded one.

    A text `user/name` that is no path here is a model of the Hugging Face Hub (extra: `ganvas[hub]`).
    Its config may name classes of the catalogue, and those of `trust`: your own components.
    Raises `UsageError` if there is none, `UserError` if its files are damaged or name what is not in the catalogue.
    """
    card, device = embedded_card(path), plain(device)
    if is_hub_name(path):
        path = fetch(str(path))
    path = card.locate() if card else user_path(path, "The model")
    if path.is_file():
        return load_foreign(path, device, precision)
    folder = model_folder(path) or _refuse_folder(path)
    config = read_config(folder / "config.json")
    if config.get("format") != 1 or "task" not in config or "data" not in config:
        raise UserError(f"{folder / 'config.json'} does not describe a model of ganvas.")
    policy = Policy.choose(device, precision).for_resolution(_resolution(config), precision)
    with torch.random.fork_rng(devices=[]):  # the random weights are only places for those in the file
        task = _build(config, folder, tuple(trust))
    weights = read_weights(weights_of(folder))
    try:
        task.generator.load_state_dict(weights)
    except RuntimeError as problem:
        detail = str(problem).splitlines()[-1].strip()
        raise UserError(f"The weights in {folder} do not fit its config: {detail}") from None
    policy.place(task)
    return Model(task.eval().requires_grad_(False), policy, config)


def load_foreign(file: Path, device: str, precision: PrecisionName) -> Model:
    """Load an image-to-image network or a generator of another project; raises `UserError` for other files."""
    checkpoint = read_checkpoint(file)
    if checkpoint.network in HALVES:
        raise UsageError(f"{file} {HALVES[checkpoint.network]}.")
    policy, options, network = Policy.choose(device, precision), checkpoint.options, build_network(checkpoint)
    channels, attributes = options["channels"], options.get("attributes")
    data: dict[str, Any] = {"channels": channels, "class_names": []}
    if isinstance(network, BaseDiscriminator):
        raise UsageError(f"{file} is {checkpoint.title}; train --init-from takes it beside its generator.")
    if isinstance(network, (StyleBased, LabelledGenerator)):
        data |= {"resolution": list(options["resolution"]), "classes": options.get("classes", 0)}
        task: Task = AppliedGeneration(network, data["classes"], attributes or 0, prior=checkpoint.prior)
    else:
        data["source_channels"] = options.get("source_channels", channels)
        task = AppliedLabelTranslation(network, attributes) if attributes else Applied(network)
    policy.place(task)
    return Model(task.eval().requires_grad_(False), policy, {"data": data})


@contextmanager
def active_dropout(network: nn.Module, seed: int | None) -> Iterator[None]:
    """Turn a network's dropout on, drawing from a seed; the global generators stay as they are.  None: it stays off.

    Raises `UsageError` for a network without dropout.
    """
    if seed is None:
        yield
        return
    drops = [m for m in network.modules() if isinstance(m, nn.Dropout)]
    if not drops:
        raise UsageError("This model has no dropout, so it makes one image of each; leave the noise out.")
    device = next(network.parameters()).device
    with RandomNumbers(device):
        seed_generators(seed, device)
        try:
            for drop in drops:
                drop.train()
            yield
        finally:
            for drop in drops:
                drop.eval()


def _resolution(config: dict[str, Any]) -> list[int]:
    """Height and width; (0, 0), which the task refuses, if a damaged config has none."""
    size = config["data"].get("resolution")
    return size if isinstance(size, list) and len(size) == 2 else [0, 0]


def _refuse_folder(path: Path) -> NoReturn:
    """Raise `UsageError` for a path without a model."""
    if (path / "config.json").is_file():
        raise UsageError(f"{path} holds no model yet; its first snapshot has not been taken.")
    if path.exists():
        raise UsageError(f"{path} holds no model; give a run or a model folder.")
    near, names = did_you_mean(str(path), EMBEDDED), ", ".join(EMBEDDED)
    raise UsageError(f"{path} does not exist; give a run or a model folder, or an embedded model: {names}.{near}")


def _build(config: dict[str, Any], folder: Path, trust: tuple[type, ...]) -> Task:
    """Build the task of a saved model; its weights are still random."""
    spec = decode(config["task"], trust)
    if not isinstance(spec, Spec) or not issubclass(spec.target, Task):
        raise UserError(f"{folder / 'config.json'} does not describe a model of ganvas.")
    try:
        task: Task = spec.build(**saved_facts(config))
    except UserError:
        raise
    except Exception as problem:  # whatever a damaged or hostile config makes a constructor raise
        raise UserError(f"{folder / 'config.json'} cannot be built: {problem}.") from None
    task.discriminator = None  # only training needs it
    return task
