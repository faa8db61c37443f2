"""Networks that take an image and give one, wherever they come from: embedded, a run, a weight file of any project."""

from __future__ import annotations

import copy
import inspect
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoints.files import Checkpoint, read
from ..errors import UsageError, did_you_mean
from ..policy import Policy
from ..run import telling
from ..tasks.translation import Translation
from .foreign import as_checkpoint, build, settled
from .model import load

EMBEDDED: dict[str, tuple[str, int, str]] = {  # name: file beside this module, how many times larger, what it is
    "compact-x2": ("compact_x2.safetensors", 2, "Compact x2, trained by the project on photographs."),
    "compact-x4": ("compact_x4.safetensors", 4, "Compact x4, trained by the project on photographs."),
}
PLAIN = "bicubic"  # no network: what the others are to be better than


@dataclass(frozen=True)
class Found:
    """A network from images to images and where it came from."""

    network: nn.Module  # in evaluation and frozen, float32: (N, channels, H, W) in [-1, 1] to images
    channels: int  # of the images that it takes
    name: str

    @property
    def scale(self) -> int:
        """How many times larger its images are."""
        return int(getattr(self.network, "scale", 1))

    @property
    def colours(self) -> bool:
        """Whether it gives colours to images that have none."""
        return bool(getattr(self.network, "colours", False))

    @property
    def masked(self) -> bool:
        """Whether it must be told where an image has holes."""
        return bool(getattr(self.network, "masked", False))


def embedded(outscale: float | None = None) -> str:
    """The embedded model for images to become so many times larger; None for the largest."""
    by_scale = sorted(EMBEDDED, key=lambda name: EMBEDDED[name][1])
    return next((n for n in by_scale if outscale is not None and outscale <= EMBEDDED[n][1]), by_scale[-1])


def embedded_file(name: str) -> Path:
    """Where the weights of an embedded model lie; raises `UsageError` if they are not installed."""
    file = Path(__file__).parent / EMBEDDED[name][0]
    if not file.is_file():
        raise UsageError(f"This installation lacks the embedded model {name}; give a weight file or a run as --model.")
    return file


def find(model: Path | str, *, scale: int | None = None, activation: str | None = None) -> Found:
    """The network of an embedded model's name, a run, a model folder, or a weight file; `bicubic` changes nothing.

    `scale` and `activation` settle what a weight file may leave open.  Raises `UsageError` if there is nothing of that
    name or if it does something else with images, `UserError` for a damaged or unknown file.
    """
    if str(model) == PLAIN:
        return Found(nn.Identity(), 3, PLAIN)
    if not Path(model).is_dir():
        found = checkpoint(model, scale=scale, activation=activation)
        network = build(found)
        if len(inspect.signature(network.forward).parameters) > 1:
            raise UsageError(f"{model} ({found.title}) needs more than an image, and cannot be used here.")
        channels = found.options.get("source_channels") or found.options["channels"]
        return Found(network, int(channels), str(model))
    loaded = load(model, device="cpu", precision="fp32")
    network = loaded.task.generator
    if loaded.task.translates and not loaded.task.restores:
        raise UsageError(f"{model} makes one kind of image of another; ganvas translate is for it.")
    if not hasattr(network, "scale"):
        kind = ("of another kind", "translate") if isinstance(loaded.task, Translation) else ("from noise", "sample")
        raise UsageError(f"{model} makes images {kind[0]}; ganvas {kind[1]} is for it.")
    applied: nn.Module = network.on_images() if hasattr(network, "on_images") else network  # type: ignore[operator]
    return Found(applied.eval(), int(loaded.config["data"]["channels"]), str(model))


def checkpoint(model: Path | str, *, scale: int | None = None, activation: str | None = None) -> Checkpoint:
    """The same as named tensors with what describes their network."""
    if str(model) in EMBEDDED:
        return read(embedded_file(str(model)))
    place = Path(model)
    if place.is_dir():
        return as_checkpoint(find(model).network)
    if not place.exists():
        there = [*EMBEDDED, PLAIN]
        near = did_you_mean(str(model), there)
        raise UsageError(f"There is no model {model}.{near} Give a run, a weight file, or one of {', '.join(there)}.")
    found = read(place, scale=scale, activation=activation)
    return settled(found) if "activation" in found.unsure else found


def interpolated(a: Checkpoint, b: Checkpoint, alpha: float) -> Checkpoint:
    """(1 - alpha) a + alpha b, tensor by tensor: network interpolation (Wang et al. 2018, section 3.4, equation 6).

    Raises `UsageError` if these are not two of one network.
    """
    if not 0 <= alpha <= 1:
        raise UsageError(f"--alpha must be from 0 (the first model) to 1 (the second), got {alpha}.")
    if (a.network, a.options) != (b.network, b.options):
        said = " and ".join(f"{c.network} ({', '.join(f'{k} {v}' for k, v in c.options.items())})" for c in (a, b))
        raise UsageError(f"Only weights of the same network can be interpolated, and these are {said}.")
    return replace(a, state={k: _between(v, b.state[k], alpha) for k, v in a.state.items()})


def _between(a: Tensor, b: Tensor, alpha: float) -> Tensor:
    return ((1 - alpha) * a.double() + alpha * b.double()).to(a.dtype) if a.is_floating_point() else a


def export_folder(model: Path, output: Path) -> list[str]:
    """Copy a run's model folder; returns its files.  Raises `UsageError` if there is none, or if the place is taken."""
    folder = next((f for f in (model / "model", model) if (f / "generator.safetensors").is_file()), None)
    if folder is None:
        raise UsageError(f"{model} holds no model; a folder is made of a run. Weights go into .pth or .safetensors.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output} exists already; give a folder that is new or empty.")
    with telling(output):
        shutil.copytree(folder, output, dirs_exist_ok=True)
    return sorted(str(f) for f in output.rglob("*") if f.is_file())


# --- as fast as the machine allows ----------------------------------------------------------------------------


def quick(network: nn.Module, policy: Policy) -> nn.Module:
    """The network where it will run, channels-last; for bf16 a copy whose convolutions are rounded once, not each time.

    It is to be called inside `policy.autocast()`; norms stay float32.
    """
    if not policy.bf16:
        return policy.place(network)
    made = copy.deepcopy(network)
    for layer in made.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.PReLU)):
            layer.to(torch.bfloat16)
    return policy.place(made)
