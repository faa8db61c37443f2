"""Layers of Keras in one form, whichever way a file writes them, so that two networks can be compared layer by layer.

Activations inside other layers are rows of their own; dropout and inputs are none.  A generator that ends in a sigmoid,
images in [0, 1], is the one that ends in tanh with half the weights before it: 2 sigmoid(x) - 1 = tanh(x / 2).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from ..checkpoints.keras_files import KerasFile, KerasLayer
from .keras_steps import Chain, tensor_of, to_keras

COMPARED: dict[str, tuple[str, ...]] = {  # options that decide what a layer computes
    **dict.fromkeys(("Conv2D", "Conv2DTranspose"), ("strides", "padding")),
    "BatchNormalization": ("epsilon",),
    "GroupNormalization": ("groups", "epsilon"),
    "LeakyReLU": ("negative_slope",),
    "Activation": ("activation",),
    "Reshape": ("target_shape",),
    "Permute": ("dims",),
    "Cropping2D": ("cropping",),
    "ZeroPadding2D": ("padding",),
    "MaxPooling1D": ("pool_size",),
    "Rescaling": ("scale", "offset"),
}
LEFT_OUT = ("InputLayer", "Dropout")
SINGLE = {"ReLU": "relu", "ELU": "elu"}  # layers that are an activation with its defaults


@dataclass(frozen=True)
class Row:
    """A layer: its kind, the options that decide, its weights in Keras' layout."""

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    weights: list[Tensor] = field(default_factory=list)
    tensors: tuple[str, ...] = ()  # our names of the weights
    name: str = ""

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [tuple(w.shape) for w in self.weights]

    def same(self, other: "Row") -> bool:
        """True if both compute the same, weights aside."""
        return (self.kind, self.options, self.shapes) == (other.kind, other.options, other.shapes)

    def __str__(self) -> str:
        parts = [f"{key} {value}" for key, value in self.options.items()]
        parts += ["weights " + " ".join("x".join(map(str, shape)) for shape in self.shapes)] if self.weights else []
        return f"{self.kind} ({', '.join(parts)})" if parts else self.kind


TO_UNIT = Row("Rescaling", {"scale": 0.5, "offset": 0.5})  # an option of the network: `unit_range`


def network_rows(chain: Chain, network: nn.Module, *, complete: bool) -> list[Row]:
    """The rows of a network of ours, or without `complete` those with weights, a kind after another."""
    rows = []
    for step in chain.steps:
        if step.kind not in LEFT_OUT:
            weights = [to_keras(tensor_of(network, name), step.kind) for name in step.tensors]
            rows.append(Row(step.kind, _options(step.kind, step.options), weights, step.tensors, step.name))
    return [row for row in rows if not row.same(TO_UNIT)] if complete else _weighted(rows)


def file_rows(file: KerasFile) -> list[Row]:
    """The rows of a file."""
    rows = [row for layer in file.layers for row in _rows(layer) if not row.same(TO_UNIT)]
    return _end(_transposed(rows)) if file.complete else _last_lesson(_weighted(rows))


def _weighted(rows: list[Row]) -> list[Row]:
    """The rows with weights, a kind after another, without their options."""
    return sorted((replace(row, options={}) for row in rows if row.weights), key=lambda row: row.kind)


def _rows(layer: KerasLayer) -> Iterator[Row]:
    kind, options = layer.kind, layer.options
    if kind in LEFT_OUT:
        return
    if kind in SINGLE:
        yield Row("Activation", {"activation": SINGLE[kind]}, name=layer.name)
        return
    if kind == "Activation" or kind == "LeakyReLU":
        yield from _activation(options.get("activation", {"class_name": kind, "config": options}), layer.name)
        return
    yield Row(kind, _options(kind, options), layer.weights, name=layer.name)
    yield from _activation(options.get("activation"), layer.name)


def _activation(value: Any, name: str) -> Iterator[Row]:
    """The row of an activation as a configuration writes it: a name, or a layer."""
    if isinstance(value, Mapping):
        inner = value.get("config", {})
        kind = inner if isinstance(inner, str) else value.get("class_name")
        value = SINGLE.get(str(kind), kind)
        slope = inner.get("negative_slope", inner.get("alpha", 0.3)) if isinstance(inner, Mapping) else 0.2
    else:
        slope = 0.2  # of the function, whose layer has 0.3
    if value in ("LeakyReLU", "leaky_relu"):
        yield Row("LeakyReLU", {"negative_slope": _plain(slope)}, name=name)
    elif value not in (None, "linear"):
        yield Row("Activation", {"activation": value}, name=name)


def _options(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _plain(options[key]) for key in COMPARED.get(kind, ()) if key in options}


def _plain(value: Any) -> Any:
    """Options as tuples, numbers and words; a float as it was before it was rounded to float32, a 1-tuple as one."""
    if isinstance(value, (list, tuple)):
        items = tuple(map(_plain, value))
        return items[0] if len(items) == 1 else items
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _transposed(rows: list[Row]) -> list[Row]:
    """After a first dense layer, convolutions of stride 1 as the transposed convolutions that equal them."""
    dense = next((k for k, row in enumerate(rows) if row.weights), None)
    if dense is None or all(row.kind != "Conv2DTranspose" for row in rows):
        return rows
    return [_as_transposed(row) if row.kind == "Conv2D" else row for row in rows]


def _last_lesson(rows: list[Row]) -> list[Row]:
    """Rows of weights alone; a convolution after transposed ones is the last, before a sigmoid, as in keras.io's."""
    ups = [row for row in rows if row.kind == "Conv2DTranspose"]
    if not ups:
        return rows
    last = [_as_transposed(row) for row in rows if row.kind == "Conv2D"]
    rest = [row for row in rows if row.kind not in ("Conv2D", "Conv2DTranspose")]
    halves = [replace(row, weights=[w / 2 for w in row.weights]) for row in last]
    return sorted([*ups, *halves, *rest], key=lambda row: row.kind)  # stable: the last one stays the last


def _as_transposed(row: Row) -> Row:
    """The transposed convolution of a convolution: its kernel turned around, inputs and outputs exchanged."""
    if row.options.get("strides", (1, 1)) != (1, 1) or not row.weights or row.weights[0].shape[0] % 2 == 0:
        return row
    kernel = row.weights[0].flip(0, 1).transpose(2, 3)
    return replace(row, kind="Conv2DTranspose", weights=[kernel, *row.weights[1:]])


def _end(rows: list[Row]) -> list[Row]:
    """The rows with a sigmoid at their end taken into the weights before it, or left out after a logit."""
    place = next((k for k in reversed(range(len(rows))) if rows[k].weights), None)
    sigmoid = [k for k, row in enumerate(rows) if row.options.get("activation") == "sigmoid"]
    if place is None or not sigmoid or sigmoid[-1] < place:
        return rows
    last, k = rows[place], sigmoid[-1]
    if last.kind == "Dense" and last.shapes[0][1] == 1:
        return rows[:k] + rows[k + 1 :]
    rows = list(rows)
    rows[place] = replace(last, weights=[w / 2 for w in last.weights])
    rows[k] = Row("Activation", {"activation": "tanh"}, name=rows[k].name)
    return rows
