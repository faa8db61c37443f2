"""Codes in a file: images that can be drawn again, with their space, the hash of their model and their history."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import UsageError, UserError, printable
from ..files import atomic_write, text_name
from ..tasks.base import Label
from .noise import fixed_noise, noise_shapes
from .spaces import LatentSpace, find_space

if TYPE_CHECKING:
    from ..models.model import Model

SUFFIXES = (".safetensors", ".npz")
Meta = Mapping[str, Any]


@dataclass(frozen=True)
class Codes:
    """Codes (N, D) of one space, with what else their images need: labels, and noise maps where noise is added."""

    space: str
    values: Tensor  # (N, D) float32
    model: str  # fingerprint of the model
    history: str = ""  # the way they came about, one sentence
    label: Tensor | None = None  # (N,) int64 or (N, L) float32
    noise: tuple[Tensor, ...] = ()  # (N, 1, h, w) of each layer that adds noise; none: the model's own
    names: list[str] = field(default_factory=list)  # of the images they stand for

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Sequence[int]) -> Self:
        """The codes at these places."""
        names = [self.names[k] for k in rows] if self.names else []
        label = None if self.label is None else self.label[list(rows)]
        noise = tuple(maps[list(rows)] for maps in self.noise)
        return type(self)(self.space, self.values[list(rows)], self.model, self.history, label, noise, names)

    def check(self, model: "Model") -> LatentSpace:
        """The space of the codes in this model; raises `UsageError` for codes of another model or space."""
        check_model(model, self.model, "These codes are")
        space = find_space(model, self.space)
        space.check(self.values)
        if self.label is not None:
            space.check_labels(self.label)
        shapes = noise_shapes(model.task.maker, len(self))
        if self.noise and (sizes := [tuple(maps.shape) for maps in self.noise]) != shapes:
            raise UsageError(f"These codes have noise maps {sizes}; this generator adds {shapes or 'none'}.")
        return space

    def draw(self, model: "Model") -> Tensor:
        """Images (N, C, H, W) of the codes, float32 in [-1, 1]."""
        space = self.check(model)
        if not self.noise:
            return space.draw(self.values, self.label)
        rows = []
        for k in range(len(self)):
            with fixed_noise(model.task.maker, [maps[k : k + 1] for maps in self.noise]):
                rows.append(space.draw(self.values[k : k + 1], None if self.label is None else self.label[k : k + 1]))
        return torch.cat(rows)

    def save(self, file: Path) -> None:
        """Write a .safetensors or an .npz; raises `UsageError` for another suffix, `UserError` if it cannot."""
        tensors = {"codes": self.values, **{f"noise{k}": maps for k, maps in enumerate(self.noise)}}
        tensors |= {} if self.label is None else {"label": self.label}
        meta = {"space": self.space, "model": self.model, "history": self.history, "names": self.names}
        write_tensors(file, tensors, {"kind": "codes", **meta})

    @classmethod
    def read(cls, file: Path) -> Self:
        """The codes in a file; raises `UserError` for a file that holds none."""
        tensors, meta = read_tensors(file, "codes")
        values, label = tensors.get("codes"), tensors.get("label")
        if values is None or values.ndim != 2 or not len(values) or (label is not None and len(label) != len(values)):
            raise UserError(f"{printable(file)} is damaged: it holds no codes (N, D).")
        noise = tuple(tensors[f"noise{k}"] for k in range(sum(name.startswith("noise") for name in tensors)))
        names = [str(name) for name in meta.get("names") or []]
        texts = (str(meta.get(k, "")) for k in ("space", "model", "history"))
        space, model, history = texts
        return cls(space, values.float(), model, history, label, noise, names if len(names) == len(values) else [])


def codes_of_seeds(
    model: "Model", seeds: Sequence[int], *, space: str | None = None, label: Label = None, trunc: float = 1.0
) -> Codes:
    """The codes that seeds stand for, in the noise or in another space."""
    place = find_space(model, space, "z")
    values, labels = place.of_seeds(seeds, label, trunc), place.labels(seeds, label)
    names = [f"seed {seed}" for seed in seeds]
    return Codes(place.name, values, model.fingerprint, f"of seeds, trunc {trunc:g}", labels, (), names)


def check_model(model: "Model", fingerprint: str, subject: str) -> None:
    """Raise `UsageError` for the fingerprint of another model; the sentence begins with `subject`."""
    if fingerprint != model.fingerprint:
        raise UsageError(
            f"{subject} of another model ({fingerprint[:8] or 'unknown'}, and this one is {model.fingerprint[:8]});"
            " give the model that they were computed with: further training changes it."
        )


def write_tensors(file: Path, tensors: Mapping[str, Tensor], meta: Meta) -> None:
    """Write named tensors and facts as .safetensors or .npz, by the suffix."""
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(f"Codes and directions are written as .safetensors or .npz, not {file.suffix or 'a folder'}.")
    text = json.dumps(meta)
    with atomic_write(file) as part:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix.lower() == ".npz":
            with part.open("wb") as stream:
                np.savez(stream, **{k: v.numpy() for k, v in tensors.items()}, ganvas=np.array(text))  # type: ignore[arg-type]
        else:
            save_file({k: v.contiguous() for k, v in tensors.items()}, str(part), {"ganvas": text})


def read_tensors(file: Path, kind: str) -> tuple[dict[str, Tensor], Meta]:
    """The tensors and facts of a file that `write_tensors` wrote; raises `UserError` for one of another kind."""
    if file.is_dir():
        raise UsageError(f"{printable(file)} is a folder; give a file of {kind}.")
    tensors: dict[str, Tensor] = {}
    try:
        if file.suffix.lower() == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                text = str(arrays["ganvas"])
                tensors = {k: torch.from_numpy(arrays[k]) for k in arrays.files if k != "ganvas"}
        else:
            with text_name(file) as name, safe_open(name, "pt") as opened:
                text = (opened.metadata() or {}).get("ganvas", "")
                tensors = {k: opened.get_tensor(k) for k in sorted(opened.keys())}
        meta = json.loads(text)
    except FileNotFoundError:
        raise UsageError(f"{printable(file)} does not exist; give a file of {kind}.") from None
    except (OSError, ValueError, KeyError, SafetensorError, EOFError, BadZipFile) as problem:
        raise UserError(f"{printable(file)} holds no {kind} of ganvas: {str(problem).splitlines()[0]}.") from None
    if not isinstance(meta, dict) or meta.get("kind") != kind:
        raise UserError(f"{printable(file)} holds no {kind} of ganvas.")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise UserError(f"{printable(file)} is damaged: not all of its numbers are finite.")
    return tensors, meta
