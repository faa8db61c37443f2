"""The inputs and the output of a model as a graph: noise, labels and images as named tensors."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..game import ImageToImage
from ..models.model import Model
from ..tasks.stylization import Restyling
from ..tasks.text_to_image import TextGeneration
from .onnx import Signature

SIDE = 64  # least side of example images: networks take any size, and a map of one pixel is a special case
NOISE = {"normal": "standard normal", "uniform": "uniform in [-1, 1]"}
RANGE = "(N, C, H, W), RGB or grey, in [-1, 1]"


class Exported(nn.Module):
    """A function of tensors as a module that owns the task's networks; with `half` it computes in float16."""

    def __init__(self, task: nn.Module, call: Callable[..., Tensor], *, half: bool = False):
        super().__init__()
        self.task, self.call, self.half_precision = task, call, half
        if half:
            self.task.half()

    def forward(self, *tensors: Tensor) -> Tensor:
        if self.half_precision:
            tensors = tuple(t.half() if t.is_floating_point() else t for t in tensors)
        return self.call(*tensors).float()


def signature(model: Model) -> Signature:
    """The signature of a model: a generator, a translation or restoration network, or a classifier."""
    task: Any = model.task
    if not task.draws_images:
        image = torch.zeros(2, *image_shape(model)).uniform_(-1, 1)
        return Signature(task.logits, {"image": image}, "logits", {"image": RANGE, "logits": "(N, classes)"})
    if not task.translates:
        return _generator(model)
    if isinstance(task, Restyling):
        return _restyling(task, model)
    if task.restores:
        network: ImageToImage = task.generator.on_images()
        task.on_images = network
        channels = int(model.config["data"]["channels"]) + network.guide + network.masked
        return _translation(lambda x: network(x).clamp(-1, 1), model, channels)
    label = task.target_labels(2, 0) if task.needs_label else None
    channels = model.input_channels()
    if label is None:
        return _translation(lambda x: task.translate(x).clamp(-1, 1), model, channels)
    called = _translation(lambda x, target: task.translate(x, target).clamp(-1, 1), model, channels)
    called.inputs["label"] = label
    called.about["label"] = "(N, attributes), the target's attributes: 0 or 1"
    return called


def _generator(model: Model) -> Signature:
    """The signature of a generator, with the notes about it."""
    called = _from_noise(model)
    if any("fixed" in dict(part.named_buffers(recurse=False)) for part in model.task.generator.modules()):
        called.about["noise"] = "the maps of noise that the generator adds are those of the trained model: constants"
        called.notes.append("Noise    The maps of noise that the generator adds are constants of the file.")
    return called


def _from_noise(model: Model) -> Signature:
    """Noise, beside it a label, code or caption, to images."""
    task: Any = model.task
    given = task.inputs(range(2))
    prior = NOISE.get(getattr(task, "prior", "normal"), "")
    about = {"z": f"(N, {given['z'].shape[1]}), {prior}", "image": "(N, C, H, W) in [-1, 1]"}
    if isinstance(task, TextGeneration):
        encoder: Any = task.generator["text"]  # type: ignore[index]
        about["text"] = f"(N, L) int64: {encoder.reads}"
        inputs = {"z": given["z"], "text": encoder.tokens(["a caption", "another"])}
        call = lambda z, text: task.truncated(z, encoder.encode(text), 1.0)  # noqa: E731
        return Signature(call, inputs, "image", about, sequences=("text",))
    if "label" not in given:
        return Signature(lambda z: task.sample({"z": z}), {"z": given["z"]}, "image", about)
    kind = "class, (N,) int64" if given["label"].ndim == 1 else f"(N, {given['label'].shape[1]}) float32"
    about["label"] = kind
    inputs = {"z": given["z"], "label": given["label"].contiguous()}
    return Signature(lambda z, label: task.sample({"z": z, "label": label}), inputs, "image", about)


def _translation(call: Callable[..., Tensor], model: Model, channels: int) -> Signature:
    """Images to images."""
    size = [max(SIDE, side) for side in image_shape(model)[1:]]
    source = torch.zeros(2, channels, *size).uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    about = {"source": RANGE, "image": RANGE}
    if getattr(getattr(model.task, "on_images", None), "masked", False):
        about["source"] += "; the last channel is the mask: 1 in a hole, -1 elsewhere"
    return Signature(call, {"source": source}, "image", about, images=("source",))


def _restyling(task: Restyling, model: Model) -> Signature:
    """An image and an image of the style."""
    called = _translation(lambda x, style: task.stylize(x, [style]).clamp(-1, 1), model, model.input_channels())
    side = max(SIDE, task.smallest_style)
    style = torch.zeros(2, 3, side, side).uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    called.inputs["style"] = style[:, : called.inputs["source"].shape[1]]
    called.about["style"] = RANGE
    called.images = ("source", "style")
    return called


def image_shape(model: Model) -> tuple[int, int, int]:
    """Channels, height and width of an example image."""
    data = model.config["data"]
    height, width = data.get("resolution") or (SIDE, SIDE)
    return int(data["channels"]), int(height), int(width)
