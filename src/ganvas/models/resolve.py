"""Resolve `--model` to a network from images to images: an embedded model, a run, a model folder, a weight file."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ..checkpoints.files import Unfit, read_raw
from ..errors import UsageError
from ..game import ImageToImage
from ..paths import shell_word, user_path
from .cards import PLAIN, embedded_card, no_model
from .extras import Foreign, Known, read_by_extra
from .foreign import build_network, read_checkpoint
from .hub import fetch, is_hub_name
from .onnx_file import read_onnx

if TYPE_CHECKING:
    from ..tasks.base import Task
    from .model import Model

OWN_LOADER = "ganvas"
COMMANDS = {  # of networks that do not enlarge, for messages
    **dict.fromkeys(("translation_generator", "unet_generator", "stargan_generator"), "translate --model"),
    **dict.fromkeys(("transformer_net", "adain_decoder"), "stylize --model"),
    **dict.fromkeys(("stylegan2_generator", "dcgan_generator", "dcgan_variant_generator"), "sample"),
    **dict.fromkeys(("keras_dcgan_generator", "mlp_generator"), "sample"),
}


class Unchanged(ImageToImage):
    """The identity: images as they are."""

    def forward(self, x: Tensor) -> Tensor:
        return x


@dataclass(frozen=True)
class ImageModel:
    """A network from images to images, with the channels of its input and its name."""

    network: ImageToImage  # in evaluation mode and frozen, float32: (N, channels, H, W) in [-1, 1] to images
    channels: int  # of its input images
    name: str
    architecture: str = ""  # of a weight file
    loader: str = OWN_LOADER  # what built the network: ganvas, or the package of an extra


def weight_file(model: Path | str) -> Path:
    """The file of an embedded model's name, or of a path; raises `UsageError` if there is none."""
    if card := embedded_card(model):
        return card.locate()
    if not (file := user_path(model, "The model")).exists():
        raise no_model(model)
    return file


def split_models(names: str) -> list[str]:
    """The names in `a,b`; a path with a comma that exists is one."""
    if "," not in names or os.path.exists(names):
        return [names]
    return [name for part in names.split(",") if (name := part.strip())]


def resolve(
    model: Path | str, *, scale: int | None = None, activation: str | None = None, verb: str = "upscale"
) -> ImageModel:
    """Load the network of an embedded model, a run, a model folder or a weight file; `bicubic` is the identity.

    `scale` and `activation` are what a weight file may leave open, `verb` the command for messages.  Raises
    `UsageError` if there is no such model or it does something else with images, `UserError` for a damaged or unknown
    file.
    """
    if str(model) == PLAIN:
        return ImageModel(Unchanged(), 3, PLAIN)
    if card := embedded_card(model):
        card.check(verb)
    path = card.locate() if card else fetch(str(model)) if is_hub_name(model) else user_path(model, "The model")
    if path.is_dir():
        return _resolve_folder(path, str(model), verb)
    if not path.exists():
        raise no_model(model, verb)
    if path.suffix.lower() == ".onnx":
        return _foreign(read_onnx(path), "onnxruntime", str(model), verb)
    try:
        checkpoint = read_checkpoint(path, scale=scale, activation=activation)
    except Unfit as problem:
        return _foreign(*read_by_extra(path, read_raw(path), problem), str(model), verb)
    network, title = build_network(checkpoint), checkpoint.title
    command = COMMANDS.get(checkpoint.network)
    way_out = f" Use `ganvas {command} {model}`." if command else ""
    if not isinstance(network, ImageToImage):
        raise UsageError(f"{model} ({title}) needs more than an image or gives none; it cannot be used here.{way_out}")
    if verb == "upscale" and command:
        raise UsageError(f"{model} ({title}) does not upscale.{way_out} `ganvas restore` takes it, too.")
    outputs = checkpoint.options["channels"]
    channels = checkpoint.options.get("source_channels") or outputs
    if outputs != channels:
        needs = f"{verb} is for networks from grey to grey or from RGB to RGB."
        raise UsageError(f"{model} ({title}) takes {channels} channel(s) and gives {outputs}; {needs}")
    return ImageModel(network, int(channels), str(model), title)


def _foreign(known: Known, loader: str, name: str, verb: str) -> ImageModel:
    """The model of a network that another package runs; raises `UsageError` for one that changes the channels."""
    if known.inputs != known.outputs:
        raise UsageError(
            f"{name} ({known.architecture}) takes {known.inputs} channel(s) and gives {known.outputs}; {verb} is for"
            " networks from grey to grey or from RGB to RGB."
        )
    return ImageModel(Foreign(known).eval().requires_grad_(False), known.inputs, name, known.architecture, loader)


def _resolve_folder(folder: Path, name: str, verb: str) -> ImageModel:
    """Load the network of a run or a model folder, which must be a restoration model; `name` is for messages."""
    from .model import load  # tasks and data, which weight files do without

    return as_image_model(load(folder, device="cpu", precision="fp32"), name, verb)


def as_image_model(model: "Model", name: str, verb: str) -> ImageModel:
    """The network of a loaded restoration model; raises `UsageError` for another kind, which `verb` does not take."""
    if not model.task.restores:
        raise wrong_kind(name, model.task, verb)
    assert isinstance(model.task.generator, ImageToImage)
    return ImageModel(model.task.generator.on_images().eval(), int(model.config["data"]["channels"]), name)


def kind_of(task: "Task") -> str:
    """The kind of a task's model: restoration, translation, classification or generation."""
    if task.translates:
        return "restoration" if task.restores else "translation"
    return "generation" if task.draws_images else "classification"


def wrong_kind(model: Path | str, task: "Task", verb: str) -> UsageError:
    """The error for a run of another kind than a command needs, with the command for that kind."""
    kind, way_out = kind_of(task), task.next_step.format(run=shell_word(model))
    if kind == "classification":
        way_out = "in Python: ganvas.load(RUN).classify(images)"
    purpose = {"restoration": "restores", "translation": "translates", "classification": "classifies"}
    does = f"{purpose[kind]} images" if kind in purpose else "generates from noise"
    return UsageError(f"{model} {does} and cannot {verb}; {way_out}.")
