"""Models in files of Keras: `.keras`, `.weights.h5` and `.h5`, read as layers with their weights, without Keras.

Nothing in a file is run: the configuration is JSON, of which names and numbers are read, and the weights are HDF5.
"""

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError

SUFFIXES = (".keras", ".h5", ".hdf5")
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
CONTAINERS = ("Sequential", "Functional", "Model")  # "Model": the name of `Functional` before Keras 2.5
LARGEST_CONFIG = 10_000_000  # bytes
MAX_BYTES = 4_000_000_000  # of all weights


@dataclass(frozen=True)
class KerasLayer:
    """One layer of a file."""

    kind: str  # Keras' class, such as Conv2DTranspose
    name: str
    options: Mapping[str, Any]  # of its configuration; empty in a file of weights alone
    weights: list[Tensor]  # in Keras' order and layout: kernel, bias; gamma, beta, moving mean, moving variance


@dataclass(frozen=True)
class KerasFile:
    """The layers of a file: in their order, or where `complete` is false those with weights, a kind after another."""

    layers: list[KerasLayer]
    complete: bool = True  # the file has the configuration, not the weights alone
    inputs: dict[str, list[int | None]] = field(default_factory=dict)  # names and shapes of the inputs

    @property
    def facts(self) -> dict[str, Any]:
        """The shape of the images that the file takes, its shares of dropout, `complete`, and if it sees [0, 1]."""
        images = [shape[1:] for shape in self.inputs.values() if len(shape) == 4]
        dropout = [layer.options["rate"] for layer in self.layers if layer.kind == "Dropout"]
        sigmoid = any(layer.options.get("activation") == "sigmoid" for layer in self.layers)
        scales = [layer.options.get("scale") for layer in self.layers if layer.kind == "Rescaling"]
        facts = {"dropout": dropout, "complete": self.complete, "unit_range": sigmoid or 0.5 in scales}
        return {**facts, **({"image": images[0]} if images else {})}


def is_keras(file: Path) -> bool:
    """True for a file of Keras by its name and its first bytes."""
    with file.open("rb") as stream:
        start = stream.read(8)
    return file.name.lower().endswith(SUFFIXES) and (start[:2] == b"PK" or start[1:4] == b"HDF")


def read_keras(file: Path) -> KerasFile:
    """Read the layers of a file.

    Raises `UserError` without h5py, and for a file that is damaged or holds a model whose layers are in its code alone.
    """
    try:
        import h5py
    except ImportError:
        raise UserError(f'{file} is a file of Keras, which needs h5py: pip install "ganvas[keras]".') from None
    try:
        if zipfile.is_zipfile(file):
            config, stream = _unpack(file)
        else:
            config, stream = None, io.BytesIO(file.read_bytes())
        with h5py.File(stream, "r") as weights:
            return _layers(file, config, weights)
    except UserError:
        raise
    except Exception:  # of a damaged file json, zipfile and h5py raise errors of many classes
        size = file.stat().st_size
        damage = f"is damaged or cut off: {size:,} bytes are here; save or download it again"
        raise UserError(f"{file}, a file of Keras (HDF5), {damage}.") from None


def _unpack(file: Path) -> tuple[dict[str, Any], io.BytesIO]:
    """The configuration and the weights inside a `.keras`."""
    with zipfile.ZipFile(file) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        if CONFIG not in sizes or WEIGHTS not in sizes:
            raise UserError(f"{file} is an archive without {CONFIG} and {WEIGHTS}; a .keras of model.save() has both.")
        if sizes[CONFIG] > LARGEST_CONFIG or sizes[WEIGHTS] > MAX_BYTES:
            raise UserError(f"{file} is larger unpacked than any network known here.")
        return json.loads(archive.read(CONFIG)), io.BytesIO(archive.read(WEIGHTS))


def _layers(file: Path, config: Any, weights: Any) -> KerasFile:
    """The layers by a configuration, which an older `.h5` has inside."""
    old = "layer_names" in weights.attrs or "model_weights" in weights  # of Keras 2
    if old and "model_config" in weights.attrs:
        config = json.loads(weights.attrs["model_config"])
    tensors = dict(_by_name(weights.get("model_weights", weights)) if old else _by_place(weights))
    if config is None:
        layers = _of_weights(tensors)
        return KerasFile(sorted(layers, key=lambda layer: layer.kind), complete=False)  # stable: each kind in its order
    layers = []
    for node, place in _flat(file, config, "layers" if "layers" in weights else "_layer_checkpoint_dependencies"):
        name = str(node["config"].get("name", ""))
        layers.append(KerasLayer(node["class_name"], name, node["config"], tensors.get(name if old else place, [])))
    return KerasFile(layers, inputs=_inputs(layers))


def _flat(file: Path, config: dict[str, Any], place: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The layers of a configuration and the places of their weights; those of models inside models, too."""
    kind, inner = config["class_name"], config["config"]
    if kind not in CONTAINERS or not isinstance(inner, dict):
        raise UserError(
            f"{file} holds a model of the class {kind}, whose layers are in its code alone; save the generator inside"
            " it, which is Sequential or Functional."
        )
    numbers: Counter[str] = Counter()
    for layer in inner["layers"]:
        base = snake_case(layer["class_name"])
        name = f"{base}_{numbers[base]}" if numbers[base] else base
        numbers[base] += 1
        if "layers" in layer["config"]:
            yield from _flat(file, layer, f"{place}/{name}/layers")
        else:
            yield layer, f"{place}/{name}"


def _inputs(layers: list[KerasLayer]) -> dict[str, list[int | None]]:
    """Name and shape of each input, the batch included."""
    shapes = {}
    for layer in layers:
        shape = layer.options.get("batch_shape") or layer.options.get("batch_input_shape")
        if shape:
            shapes[layer.name] = list(shape)
    return shapes


def _by_place(weights: Any) -> Iterator[tuple[str, list[Tensor]]]:
    """The weights of every layer by its place in a file of Keras 3; the state of optimisers is left out."""
    places: dict[str, dict[int, Any]] = {}

    def visit(path: str, item: Any) -> None:
        place, _, number = path.rpartition("/vars/")
        if place and number.isdigit() and not place.startswith("optimizer") and "seed_generator" not in place:
            places.setdefault(place, {})[int(number)] = item

    weights.visititems(visit)
    total = sum(item.nbytes for items in places.values() for item in items.values())
    for place, items in places.items():
        yield place, [_tensor(item, total) for _, item in sorted(items.items())]


def _by_name(weights: Any) -> Iterator[tuple[str, list[Tensor]]]:
    """The weights of every layer by its name in a file of Keras 2."""
    import h5py

    for name in map(_text, weights.attrs["layer_names"]):
        if not isinstance(weights.get(name, getlink=True), h5py.HardLink):
            raise UserError(f"{name} in this file of Keras lies in another file; it is not read.")
        group = weights[name]
        items = [group[_text(key)] for key in group.attrs["weight_names"]]
        yield name, [_tensor(item, sum(i.nbytes for i in items)) for item in items]


def _of_weights(tensors: Mapping[str, list[Tensor]]) -> list[KerasLayer]:
    """Layers of a file without a configuration: the kind by the name that Keras gives, in the order of its numbers."""
    layers = []
    for place, weights in tensors.items():
        name = place.rpartition("/")[2]
        base, _, number = name.rpartition("_")
        base, number = (base, number) if number.isdigit() else (name, "0")
        layers.append((base, int(number), KerasLayer(KINDS.get(base, base), name, {}, weights)))
    return [layer for base, number, layer in sorted(layers, key=lambda row: row[:2]) if layer.weights]


def _tensor(item: Any, total: int) -> Tensor:
    """The numbers of a data set as float32.

    Raises `UserError` where they lie in another file, or are declared and not there.
    """
    hollow = item.nbytes and not item.id.get_storage_size()
    if item.external or item.is_virtual or hollow or total > MAX_BYTES or item.dtype.kind not in "fiu":
        raise UserError(f"{item.name} in this file of Keras holds no numbers of its own; it is not read.")
    return torch.from_numpy(item[()].reshape(item.shape)).float()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def snake_case(name: str) -> str:
    """The name that Keras gives a layer of a class: `Conv2DTranspose` is `conv2d_transpose`."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


WEIGHTED = ("Dense", "Conv2D", "Conv2DTranspose", "BatchNormalization", "GroupNormalization", "Embedding")
KINDS = {snake_case(kind): kind for kind in WEIGHTED}
