"""The latent spaces of a loaded model: codes of seeds, and images of codes."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import UsageError, did_you_mean
from ..game import Space, TruncatesNoise
from ..policy import full_precision
from ..tasks.base import Label

if TYPE_CHECKING:
    from ..models.model import Model

BATCH = 64


@dataclass(frozen=True)
class LatentSpace:
    """A latent space of a loaded model: its codes are (N, size), float32 on the CPU."""

    name: str
    model: "Model"
    space: Space  # the network's

    @property
    def size(self) -> int:
        """Numbers of a code."""
        return self.space.size

    @property
    def layers(self) -> int:
        """Layers that read parts of a code of their own, here or in `layered`; 0: the generator has none."""
        return len(self.layered.space.parts)

    @property
    def layered(self) -> "LatentSpace":
        """The space in which every layer has a code to itself: another one, or this one."""
        return self.model.spaces()[self.space.layered] if self.space.layered else self

    def labels(self, seeds: Sequence[int], label: Label = None) -> Tensor | None:
        """The labels of seeds as the generator takes them; None for an unconditional one."""
        with torch.inference_mode():
            condition = self.model.task.condition(_moved(self.model, self.model.task.inputs(seeds, label)))
        return None if condition is None else condition.cpu().clone()

    def sample(self, n: int, seed: int = 0, *, label: Label = None) -> Tensor:
        """Codes of the seeds `seed`, `seed + 1`, ... with that label, or with the label that each seed has."""
        return self.of_seeds(range(seed, seed + n), label)

    def of_seeds(self, seeds: Sequence[int], label: Label = None, trunc: float = 1.0) -> Tensor:
        """Codes of seeds; `trunc` < 1 moves them to the space's centre, or else the noise to its own."""
        z, labels = self.model.task.inputs(seeds, label)["z"], self.labels(seeds, label)
        if self.space.centre is None:
            maker = self.model.task.maker
            own = trunc != 1 and isinstance(maker, TruncatesNoise)
            return self.encode(maker.truncate(z, trunc) if own else z * trunc, labels)
        codes, centre = self.encode(z, labels), self.space.centre.float().cpu()
        return codes if trunc == 1 else centre + trunc * (codes - centre)

    def encode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Codes of noise (N, latent) and labels."""
        if self.space.encode is None:
            return z.float().cpu()
        with torch.inference_mode(), self.model.policy.autocast():
            codes = self.space.encode(*on_device(self.model, z, label))
        return codes.float().cpu().clone()

    def draw(self, codes: Tensor, label: Tensor | Label = None) -> Tensor:
        """Images (N, C, H, W), float32 in [-1, 1], of codes (N, size) and their labels, or one label for all."""
        return torch.cat([*self.draw_batches(codes, label)])

    def draw_batches(self, codes: Tensor, label: Tensor | Label = None) -> Iterator[Tensor]:
        """Draw the images of `draw` a batch at a time."""
        self.check(codes)
        labels = label if isinstance(label, Tensor) else self.labels(range(len(codes)), label)
        for k in range(0, len(codes), BATCH):
            part = None if labels is None else labels[k : k + BATCH]
            with torch.inference_mode(), self.model.policy.autocast():
                images = self.space.draw(*on_device(self.model, codes[k : k + BATCH], part))
            yield torch.as_tensor(images).clamp(-1, 1).float().cpu().clone()

    def draw_exactly(self, codes: Tensor, label: Tensor | None) -> Tensor:
        """Images of codes on the model's device, in float32, with gradients and not cut off at -1 and 1."""
        with full_precision(self.model.policy.device):
            return self.space.draw(codes, label).float()

    def spread(self, codes: Tensor) -> Tensor:
        """Codes (N, size) as codes of the `layered` space: each layer gets the same."""
        return codes.repeat(1, self.layers) if self.space.layered else codes

    def mask(self, layers: Sequence[int]) -> Tensor:
        """Ones where layers with these numbers read a code of the `layered` space, zeros elsewhere: (size,).

        Raises `UsageError` for a generator without layers, or without these.
        """
        parts = self.layered.space.parts
        if not parts:
            raise UsageError("This generator reads its code in one layer, so --layers does not apply; leave it out.")
        if unknown := [k for k in layers if not 0 <= k < len(parts)]:
            raise UsageError(f"This generator has the layers 0 to {len(parts) - 1}, and no layer {unknown[0]}.")
        return torch.cat([torch.full((n,), float(k in layers)) for k, n in enumerate(parts)])

    def check(self, codes: Tensor) -> None:
        """Raise `UsageError` unless codes are (N, size)."""
        if codes.ndim != 2 or codes.shape[1] != self.size:
            raise UsageError(
                f"A code in {self.name} is {self.size} numbers: (N, {self.size}), got {tuple(codes.shape)}."
            )

    def check_labels(self, label: Tensor) -> None:
        """Raise `UsageError` unless labels (N,) or (N, L) are of a form and a class that this generator takes."""
        own, form = self.labels(range(1)), self.model.task.label_form()
        alike = own is not None and label.dtype == own.dtype and label.shape[1:] == own.shape[1:]
        if not alike:
            raise UsageError("These codes have labels of another form than this generator takes.")
        if form["kind"] == "class" and not 0 <= int(label.min()) <= int(label.max()) < form["size"]:
            raise UsageError(f"The labels of these codes are not all of the classes 0 to {form['size'] - 1}.")


def spaces_of(model: "Model") -> dict[str, LatentSpace]:
    """The latent spaces of a model by name; raises `UsageError` for one that does not generate from noise."""
    spaces = model.task.spaces()
    if not spaces:
        does = "translates images" if model.task.translates else "classifies images"
        raise UsageError(f"This model {does}, so it has no latent space; give one that generates from noise.")
    return {name: LatentSpace(name, model, space) for name, space in spaces.items()}


def find_space(model: "Model", name: str | None, default: str = "") -> LatentSpace:
    """The space of that name; None for the default, or where that is empty for the space with most numbers.

    Raises `UsageError` for a name that the model does not have.
    """
    spaces = spaces_of(model)
    name = name or default or [*spaces][-1]
    if name not in spaces:
        near = did_you_mean(name, spaces)
        raise UsageError(f"This generator has no latent space {name!r}.{near} It has: {', '.join(spaces)}.")
    return spaces[name]


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """A hash of named tensors: 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def on_device(model: "Model", codes: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Codes and labels on a model's device."""
    device = model.policy.device
    return codes.to(device), None if label is None else label.to(device)


def _moved(model: "Model", inputs: dict[str, object]) -> dict[str, object]:
    return {k: v.to(model.policy.device) if isinstance(v, Tensor) else v for k, v in inputs.items()}
