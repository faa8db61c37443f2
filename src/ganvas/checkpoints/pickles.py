"""Pickles of generators, read without running anything in them.

A pickle names classes and functions by which its objects are made.  Here only the names of `ALLOWED` are accepted, and
each stands for something of this module that keeps what it is given: dicts, tuples, and tensors from bytes.
"""

import io
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError

DEEPEST = 40  # modules inside modules
KINDS = {"f2": torch.float16, "f4": torch.float32, "f8": torch.float64, "i4": torch.int32, "i8": torch.int64}
STORAGES = (torch.UntypedStorage, torch.storage.TypedStorage)


class Refused(pickle.UnpicklingError):
    """A pickle that names something else than tensors and plain containers."""


class Maker:
    """A function of this module under the name by which a pickle calls it; it cannot be changed."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[..., Any]):
        self.make = make

    def __call__(self, *args: Any) -> Any:
        return self.make(*args)

    def __setstate__(self, state: object) -> None:
        raise Refused("a function with a state")


class Fields(dict[Any, Any]):
    """A dict, ordered dict or EasyDict; attributes beside its items are left out."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Leave out what is no item."""


class Network:
    """A TensorFlow network of StyleGAN2's first code: its variables and those of its parts."""

    __slots__ = ("state",)

    def __setstate__(self, state: object) -> None:
        self.state = state if isinstance(state, dict) else {}


class Array:
    """An array of numpy, from its bytes."""

    __slots__ = ("value",)

    def __init__(self, *_: object):
        self.value: Tensor | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, content = state
        if not isinstance(kind, Kind) or kind.name not in KINDS or not isinstance(content, bytes):
            raise Refused("an array of other things than numbers")
        flat = torch.frombuffer(bytearray(content), dtype=KINDS[kind.name]) if content else torch.empty(0)
        self.value = flat.reshape(tuple(reversed(shape))).permute(*reversed(range(len(shape)))) if fortran else None
        self.value = flat.reshape(tuple(shape)) if self.value is None else self.value


class Kind:
    """A type of numpy's numbers; big-endian ones are refused."""

    __slots__ = ("name",)

    def __init__(self, name: object = "", *_: object):
        self.name = str(name).lstrip("<|=")

    def __setstate__(self, state: Any) -> None:
        if state[1] == ">":
            raise Refused("numbers of the other byte order")


class Persistent:
    """A module of StyleGAN2-ADA's code: its class's name and its state; the source in the file is not run."""

    __slots__ = ("name", "state")

    def __init__(self, meta: Any = None):
        meta = meta if isinstance(meta, dict) else {}
        state = meta.get("state")
        self.name, self.state = str(meta.get("class_name")), state if isinstance(state, dict) else {}

    def __setstate__(self, state: object) -> None:
        """Leave out what is not in the first description."""


def load_storage(content: bytes) -> Any:
    """A storage that PyTorch wrote inside a pickle, by its own reader, which runs nothing either."""
    with warnings.catch_warnings(action="ignore"):  # about pickles of other ages
        storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(storage, STORAGES):
        raise Refused("a storage of other things than numbers")
    return storage


def rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: object) -> Tensor:
    """A tensor that lies inside its storage; raises `Refused` for one that does not."""
    numbers = (offset, *shape, *stride)
    if not isinstance(storage, torch.storage.TypedStorage) or any(type(n) is not int or n < 0 for n in numbers):
        raise Refused("a tensor without a storage")
    last = offset + sum((side - 1) * step for side, step in zip(shape, stride))
    held = storage._untyped_storage.nbytes() // storage.dtype.itemsize
    if len(shape) != len(stride) or (0 not in shape and last >= held):
        raise Refused("a tensor beyond its storage")
    empty: Tensor = torch.empty(0, dtype=storage.dtype)
    return empty.set_(storage._untyped_storage, offset, tuple(shape), tuple(stride))


def scalar(kind: Any, content: Any) -> float:
    """A number of numpy."""
    array = Array()
    array.__setstate__((1, (1,), kind, False, content))
    assert array.value is not None
    return float(array.value)


def encode(text: Any, codec: Any) -> bytes:
    """Bytes that an old protocol writes as text."""
    if not isinstance(text, str) or codec != "latin1":
        raise Refused("a text in another code")
    return text.encode("latin1")


def a_set(items: Any = ()) -> list[Any]:
    """A set, as a list: its items need no hash."""
    return list(items)


NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
ALLOWED: dict[str, Any] = {
    **dict.fromkeys(("collections.OrderedDict", "dnnlib.EasyDict", "dnnlib.util.EasyDict"), Fields),
    **dict.fromkeys(("builtins.set", "builtins.frozenset", "__builtin__.set"), Maker(a_set)),
    "torch_utils.persistence._reconstruct_persistent_obj": Maker(Persistent),
    "torch._utils._rebuild_parameter": Maker(lambda data, *_: data),
    "torch._utils._rebuild_tensor_v2": Maker(rebuild_tensor),
    "torch.storage._load_from_bytes": Maker(load_storage),
    **dict.fromkeys(("torch.device", "torch.Size"), Maker(lambda *args: args)),
    **{f"torch.{name}": name for name in ("float16", "float32", "float64", "int64", "uint8")},
    **{f"{module}._reconstruct": Maker(Array) for module in NUMPY},
    **{f"{module}.scalar": Maker(scalar) for module in NUMPY},
    "numpy.ndarray": "numpy.ndarray",
    "numpy.dtype": Maker(Kind),
    "_codecs.encode": Maker(encode),
    "dnnlib.tflib.network.Network": Network,
}


class Reader(pickle.Unpickler):
    """A reader of pickles that knows the names of `ALLOWED` alone."""

    def find_class(self, module: str, name: str) -> Any:
        if (full := f"{module}.{name}") not in ALLOWED:
            raise Refused(name if module in ("builtins", "__builtin__") else full)
        return ALLOWED[full]

    def persistent_load(self, pid: object) -> Any:
        raise Refused("an object outside of the file")


def read_generator(file: Path) -> dict[str, Tensor]:
    """The averaged generator's tensors in a pickle of StyleGAN2 or StyleGAN2-ADA, by the names in ADA's code.

    Raises `UserError` for a file that names anything but tensors and plain containers, is damaged, or has no generator.
    """
    try:
        with file.open("rb") as stream:
            content = Reader(stream).load()
        network = _generator(content)
        state = dict(_variables(network)) if isinstance(network, Network) else dict(_tensors(network))
    except Refused as problem:
        raise UserError(
            f"{file} holds more than weights ({problem}); it is not opened, because that could run code."
        ) from None
    except Exception:  # a hostile or damaged pickle may raise anything
        raise UserError(f"{file} is damaged, or no pickle of a generator.") from None
    if not state:
        raise UserError(f"{file} is a pickle without a generator (G_ema) of StyleGAN2 or StyleGAN2-ADA.")
    return state


def _generator(content: Any) -> Any:
    """The averaged generator in a file's content; none if there is none."""
    if isinstance(content, dict):
        return next((content[name] for name in ("G_ema", "Gs", "G") if name in content), None)
    return content[-1] if isinstance(content, (tuple, list)) and content else content


def _tensors(module: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers of a module and its parts by their dotted names."""
    if not isinstance(module, Persistent) or depth > DEEPEST:
        return
    for group in ("_parameters", "_buffers"):
        for name, value in _items(module.state.get(group)):
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
    for name, part in _items(module.state.get("_modules")):
        yield from _tensors(part, f"{prefix}{name}.", depth + 1)


def _variables(network: Network, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """The variables of a TensorFlow network and its parts, by their names with slashes."""
    for name, value in network.state.get("variables", ()):
        if isinstance(value, Array) and value.value is not None:
            yield f"{prefix}{name}", value.value
    for name, part in _items(network.state.get("components")):
        if isinstance(part, Network) and depth < DEEPEST:
            yield from _variables(part, f"{prefix}{name}/", depth + 1)


def _items(group: Any) -> list[tuple[str, Any]]:
    return [(str(k), v) for k, v in group.items()] if isinstance(group, Mapping) else []
