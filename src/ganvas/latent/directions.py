"""Directions in a latent space: unit vectors with a name, a source, a scale and a measured effect."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from ..errors import UsageError, UserError, printable
from .codes import Codes, check_model, read_tensors, write_tensors
from .spaces import LatentSpace, find_space

if TYPE_CHECKING:
    from ..models.model import Model

REACH = 3.0  # standard deviations to which the images of a direction go
STEPS = 7  # images in a row


@dataclass(frozen=True)
class Direction:
    """A unit vector in one space of one model; a step of 1 is one standard deviation of the codes along it."""

    name: str
    space: str
    vector: Tensor  # (size,) float32, of length 1
    source: str  # sefa, pca, labels or difference, and the options that matter
    scale: float  # standard deviation of the space's codes along the vector
    model: str  # fingerprint of the model
    effect: float = 0.0  # root mean square change of an image between -1 and +1, in levels of 255
    facts: dict[str, Any] = field(default_factory=dict)  # of the source: share of the variance, accuracy, ...

    def save(self, file: Path) -> None:
        """Write a .safetensors or .npz; raises `UserError` if it cannot."""
        meta = {"name": self.name, "space": self.space, "source": self.source, "scale": self.scale}
        meta |= {"model": self.model, "effect": self.effect, "facts": self.facts}
        write_tensors(file, {"vector": self.vector}, {"kind": "direction", **meta})

    @classmethod
    def read(cls, file: Path) -> Self:
        """The direction in a file; the suffix .safetensors may be left out.  Raises `UserError` for another file."""
        file = file if file.exists() or file.suffix else file.with_suffix(".safetensors")
        tensors, meta = read_tensors(file, "direction")
        vector, scale, facts = tensors.get("vector"), meta.get("scale"), meta.get("facts")
        if vector is None or vector.ndim != 1 or not isinstance(scale, float) or not isinstance(facts, dict):
            raise UserError(f"{printable(file)} is damaged: it holds no direction.")
        name, space, source, model = (str(meta.get(k, "")) for k in ("name", "space", "source", "model"))
        return cls(name, space, vector.float(), source, scale, model, float(meta.get("effect") or 0), facts)

    def check(self, model: "Model") -> LatentSpace:
        """The space of the direction in this model; raises `UsageError` for a direction of another model."""
        check_model(model, self.model, f"The direction {self.name} is")
        space = find_space(model, self.space)
        space.check(self.vector[None])
        return space


def direction(
    space: LatentSpace, name: str, vector: Tensor, source: str, codes: Tensor, facts: dict[str, Any] | None = None
) -> Direction:
    """A direction along a vector of any length; its scale is measured on codes (N, size) of the space."""
    unit = (vector.double() / vector.double().norm()).float()
    scale = float((codes.double() @ unit.double()).std())
    return Direction(name, space.name, unit, source, scale, space.model.fingerprint, facts=facts or {})


def move(space: LatentSpace, codes: Tensor, steps: Sequence[tuple[Direction, float]], layers: Sequence[int]) -> Tensor:
    """Codes (N, size) of the space moved along directions of it by steps in standard deviations.

    With `layers`, only what these layers read moves, and the codes are those of the layered space.
    """
    mask = space.mask(layers) if layers else torch.ones(1)
    codes = space.spread(codes) if layers else codes
    for one, step in steps:
        if step:  # a step of 0 changes no bit
            vector = space.spread(one.vector[None])[0] if layers else one.vector
            codes = codes + step * one.scale * vector * mask
    return codes


def row(space: LatentSpace, codes: Tensor, labels: Tensor | None, one: Direction, reach: float = REACH) -> Tensor:
    """Images (N, 7, C, H, W) of codes moved by -reach to +reach."""
    steps = torch.linspace(-reach, reach, STEPS).tolist()
    columns = [space.draw(move(space, codes, [(one, step)], ()), labels) for step in steps]
    return torch.stack(columns, 1)


def measure_effects(directions: Sequence[Direction], space: LatentSpace, count: int = 64) -> list[Direction]:
    """The directions with their effect on the images of seeds 0 to count - 1, the largest effect first."""
    codes, labels = space.sample(count), space.labels(range(count))
    measured = []
    for one in directions:
        low, high = (space.draw(move(space, codes, [(one, step)], ()), labels) for step in (-1.0, 1.0))
        measured.append(replace(one, effect=float((high - low).square().mean().sqrt() * 127.5)))
    return sorted(measured, key=lambda one: -one.effect)


def edit(
    model: "Model", codes: Codes, steps: Sequence[tuple[Direction, float]], layers: Sequence[int] = ()
) -> tuple[Tensor, Codes]:
    """Images (N, C, H, W) of codes moved along directions, and the moved codes.

    Directions are all of one space: that of the codes, one that noise is encoded into, or the one whose layered space
    the codes are of.  A step of 0 changes no bit.  Raises `UsageError` for codes or directions of another model or
    space.
    """
    here = codes.check(model)
    spaces = {one.space: one.check(model) for one, _ in steps} or {here.name: here}
    if len(spaces) > 1:
        raise UsageError(f"The directions are of the spaces {', '.join(spaces)}; move along those of one at a time.")
    (space,) = spaces.values()
    values = codes.values
    if space.name != here.name and here.space.encode is None and space.space.encode:
        values = space.encode(values, codes.label)
    elif space.layered.name == here.name != space.name:  # every layer of the codes moves alike
        chosen = layers or range(space.layers)
        values = _move_layers(space, values, steps, space.mask(chosen))
        return _drawn(model, replace(codes, values=values), here.name)
    elif space.name != here.name:
        raise UsageError(f"The codes are of the space {here.name} and the directions of {space.name}; take equal ones.")
    values = move(space, values, steps, layers)
    return _drawn(model, replace(codes, values=values), space.layered.name if layers else space.name)


def _move_layers(space: LatentSpace, values: Tensor, steps: Sequence[tuple[Direction, float]], mask: Tensor) -> Tensor:
    for one, step in steps:
        if step:
            values = values + step * one.scale * space.spread(one.vector[None]) * mask
    return values


def _drawn(model: "Model", codes: Codes, space: str) -> tuple[Tensor, Codes]:
    codes = replace(codes, space=space, history=f"{codes.history}; edited")
    return codes.draw(model), codes


def mix(model: "Model", rows: Codes, columns: Codes, layers: Sequence[int] = ()) -> Tensor:
    """Images (R, K, C, H, W): each row's code with the layers of each column's (Karras et al. 2019, figure 3).

    Without `layers` the second half of the layers is the column's, the finer ones.  A generator without layers draws
    the point halfway between both codes.  Noise maps and labels are the row's.
    """
    first, second = rows.check(model), columns.check(model)
    if first.name != second.name:
        raise UsageError(f"The codes to mix are of the spaces {first.name} and {second.name}; take equal ones.")
    place = first.layered
    a, b = first.spread(rows.values), first.spread(columns.values)
    if place.layers:
        mask = place.mask(layers or range(place.layers // 2, place.layers))
        table = a[:, None] * (1 - mask) + b[None] * mask
    else:
        if layers:
            first.mask(layers)  # refuses them
        table = halfway(a[:, None].expand(-1, len(b), -1), b[None].expand(len(a), -1, -1))
    every = rows[[k for k in range(len(a)) for _ in range(len(b))]]
    codes = replace(every, space=place.name, values=table.flatten(0, 1))
    return codes.draw(model).unflatten(0, (len(a), len(b)))


def halfway(a: Tensor, b: Tensor) -> Tensor:
    """The mean of codes, as long as the two are on average: noise is as likely there as at its ends."""
    middle = (a + b) / 2
    length = (a.norm(dim=-1, keepdim=True) + b.norm(dim=-1, keepdim=True)) / 2
    return middle * length / middle.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def mixing_space(model: "Model") -> str:
    """The name of the space whose layers can be mixed; the noise where there is none."""
    spaces = model.spaces()
    return next((name for name, space in spaces.items() if space.space.layered), "z")
