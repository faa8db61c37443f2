"""Checkpoints of `tf.train.Checkpoint`, as TensorFlow's lessons write them, read without TensorFlow.

`ckpt-1.index` is a sorted table (LevelDB's format) from names to places in `ckpt-1.data-00000-of-00001`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from .keras_files import KerasFile, KerasLayer

SUFFIX = ".index"
MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FLOAT, LARGEST_INDEX = 1, 50_000_000  # TensorFlow's number of float32; bytes
AVERAGES = ("moving_mean", "moving_variance")
ORDER = ("kernel", "embeddings", "bias", "gamma", "beta", *AVERAGES)


def is_checkpoint(file: Path) -> bool:
    """True for the index of a checkpoint."""
    if file.suffix != SUFFIX or file.stat().st_size > LARGEST_INDEX:
        return False
    return file.read_bytes()[-8:] == MAGIC


def read_player(file: Path, player: str) -> KerasFile:
    """The layers of a lesson's player: `generator` or `discriminator`.

    Raises `UserError` for a damaged file and for one that does not have such a player.
    """
    damage = UserError(f"{file} is damaged, or its .data file beside it; copy both again.")
    try:
        tensors = dict(_tensors(file))
    except Exception:  # bytes that are no table may be read as anything
        raise damage from None
    trained, averages = _of_player(tensors, player)
    if trained and trained[0].ndim < 2:
        raise damage
    if not trained:
        names = ", ".join(sorted({name.partition("/")[0] for name in tensors})) or "nothing"
        raise UserError(f"{file} holds {names}, and no {player} with its weights, which the lessons' checkpoints have.")
    return KerasFile(sorted(_layers(trained, averages), key=lambda layer: layer.kind), complete=False)


def _of_player(tensors: dict[str, Tensor], player: str) -> tuple[list[Tensor], list[Tensor]]:
    """The trained weights in their order, and the averages of batch norm.

    Keras 3 lists the weights under the optimiser of the player, Keras 2 under its layers.
    """

    def place(name: str) -> tuple[int, ...]:
        part = name.rpartition("/")[2]
        return (*map(int, re.findall(r"\d+", name)), ORDER.index(part) if part in ORDER else 0)

    listed = rf"{player}_optimizer/_trainable_variables/\d+"
    own = rf"{player}/.*\d.*/({'|'.join(ORDER)})"
    names = sorted((name for name in tensors if re.fullmatch(f"{listed}|{own}", name)), key=place)
    averages = [name for name in names if name.endswith(AVERAGES)]
    trained = [name for name in names if re.fullmatch(listed, name)] or [n for n in names if n not in averages]
    return [tensors[name] for name in trained], [tensors[name] for name in averages]


def _layers(trained: list[Tensor], averages: list[Tensor]) -> Iterator[KerasLayer]:
    """Layers from a list of weights: a kernel, perhaps its bias, perhaps scale and shift of a batch norm."""
    starts = [k for k, weight in enumerate(trained) if weight.ndim > 1]
    dense_first, channels = trained[starts[0]].ndim == 2, 0
    for a, b in zip(starts, [*starts[1:], len(trained)]):
        kernel, vectors = trained[a], trained[a + 1 : b]
        shape = kernel.shape
        upward = dense_first and (not channels or shape[-1] == channels)  # its kernel has the inputs last
        kind = "Dense" if kernel.ndim == 2 else "Conv2DTranspose" if upward else "Conv2D"
        channels = int(shape[2] if kind == "Conv2DTranspose" else shape[-1]) if kernel.ndim == 4 else 0
        yield KerasLayer(kind, "", {}, [kernel, *vectors[: len(vectors) % 2]])
        if len(vectors) > 1:
            yield KerasLayer("BatchNormalization", "", {}, [*vectors[-2:], *averages[:2]])
            averages = averages[2:]


# --- the table ---------------------------------------------------------------------------------------------


def _tensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    """The float32 tensors of a checkpoint by their names, without the optimisers' own."""
    table = file.read_bytes()
    data = file.with_suffix(".data-00000-of-00001").read_bytes()
    footer = table[-48:]
    _, at = _varint(footer, 0)  # offset and size of the index of metadata
    _, at = _varint(footer, at)
    offset, at = _varint(footer, at)
    size, _ = _varint(footer, at)
    for _, handle in _entries(_block(table, offset, size)):
        start, at = _varint(handle, 0)
        length, _ = _varint(handle, at)
        for name, value in _entries(_block(table, start, length)):
            key = name.decode("utf-8", "replace")
            if key.endswith("/.ATTRIBUTES/VARIABLE_VALUE") and ".OPTIMIZER_SLOT" not in key:
                entry = dict(_fields(value))
                if entry.get(1) == FLOAT and not entry.get(3, 0):
                    yield key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"), _tensor(data, entry)


def _tensor(data: bytes, entry: dict[int, Any]) -> Tensor:
    shape = [dict(_fields(value)).get(1, 0) for field, value in _fields(entry.get(2, b"")) if field == 2]
    start, size = entry.get(4, 0), entry.get(5, 0)
    return torch.frombuffer(bytearray(data[start : start + size]), dtype=torch.float32).reshape(shape)


def _block(table: bytes, offset: int, size: int) -> bytes:
    if table[offset + size]:
        raise ValueError("compressed")  # TensorFlow does not
    return table[offset : offset + size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values; a key shares its beginning with the one before."""
    end = len(block) - 4 * (int.from_bytes(block[-4:], "little") + 1)
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        rest, at = _varint(block, at)
        size, at = _varint(block, at)
        key = key[:shared] + block[at : at + rest]
        yield key, block[at + rest : at + rest + size]
        at += rest + size


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Fields of a protocol buffer by their numbers."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif tag & 7 == 2:
            size, at = _varint(message, at)
            yield tag >> 3, message[at : at + size]
            at += size
        else:
            at += 8 if tag & 7 == 1 else 4


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place after it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
