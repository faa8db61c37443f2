"""The network that a weight file of another project belongs to, recognised by the names and shapes of its tensors."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .. import catalog
from ..checkpoints.files import ACTIVATIONS, Checkpoint, State, Unfit, read_tensors, unfit
from ..checkpoints.layouts import DISCRIMINATORS, SCALES, Layout, Options, Shape, Shapes
from ..checkpoints.layouts_translation import KNOWN
from ..errors import UsageError, did_you_mean
from ..paths import user_path

DEEPEST = 200  # blocks; a file that claims more is of no network known here, and would take minutes to build


def read(file: Path | str, *, scale: int | None = None, activation: str | None = None) -> Checkpoint:
    """Read a weight file (.pth of any age, or .safetensors) and recognise its network.

    `scale` and `activation` are what shapes leave open: the factor of one upsampling step, 2 or 3, and the function of
    a Compact without slopes.  Raises `UsageError` if there is no file, `UserError` if it is damaged, holds code, or
    is of another architecture, with the nearest one and the tensors that differ.
    """
    file = user_path(file, "The model")
    state, notes = read_tensors(file)
    try:
        checkpoint = recognise(state, {**notes, **_hints(scale, activation)})
    except Unfit as problem:
        raise unfit(file, state, problem) from None
    if scale is not None and scale != checkpoint.options.get("scale", 1):
        raise UsageError(f"{file} is a network for x{checkpoint.options.get('scale', 1)}, not for x{scale}.")
    return checkpoint


def _hints(scale: int | None, activation: str | None) -> dict[str, Any]:
    """The options that the user gives; raises `UsageError` for impossible ones."""
    if scale not in (None, *SCALES):
        raise UsageError(f"The scale is one of {', '.join(map(str, SCALES))}, not {scale}.")
    if activation is not None and activation not in ACTIVATIONS:
        near = did_you_mean(activation, ACTIVATIONS)
        raise UsageError(f"The activation is one of {', '.join(ACTIVATIONS)}, not {activation!r}.{near}")
    return {k: v for k, v in (("scale", scale), ("activation", activation)) if v is not None}


def recognise(state: State, hints: Mapping[str, Any]) -> Checkpoint:
    """Find the network whose tensors have exactly these names and shapes; raises `Unfit` with the nearest one."""
    variants = list(_without_prefixes(state))
    for tensors in variants:
        for layout in KNOWN:
            if layout.anchor in tensors and (match := compare(layout, tensors, hints)).exact:
                return _checkpoint(match, tensors, hints)
    raise Unfit(_explain(state, (compare(layout, tensors, hints) for tensors in variants for layout in KNOWN)))


def _without_prefixes(state: State) -> Iterator[State]:
    """The tensors by their names, then without each prefix that all names share."""
    yield state
    while state and len({k.partition(".")[0] for k in state}) == 1 and all("." in k for k in state):
        state = {k.partition(".")[2]: v for k, v in state.items()}
        yield state


@dataclass(frozen=True)
class Match:
    """A file's tensors beside those of a layout with the options that were inferred from the file."""

    layout: Layout
    options: Options
    shapes: Shapes  # of the file, by its names, without those that no network needs
    expected: Shapes  # of the network, by the file's names

    @property
    def exact(self) -> bool:
        """True if names and shapes agree."""
        return self.expected == self.shapes

    @property
    def similarity(self) -> float:
        """Tensors that agree as a share of all, in [0, 1]."""
        same = sum(self.expected.get(key) == shape for key, shape in self.shapes.items())
        return same / max(len(self.expected.keys() | self.shapes.keys()), 1)

    def difference(self) -> str:
        """The missing, additional and differently shaped tensors as sentences."""
        expected, shapes, parts = self.expected, self.shapes, []
        for verb, keys in (("lacks", expected.keys() - shapes.keys()), ("also has", shapes.keys() - expected.keys())):
            if keys:
                parts.append(f"it {verb} {_first_three(sorted(keys))}")
        for key in sorted(k for k in expected.keys() & shapes.keys() if expected[k] != shapes[k])[:3]:
            parts.append(f"{key} is {list(shapes[key])}, not {list(expected[key])}")
        detail = ", ".join(f"{k} {v}" for k, v in self.options.items())
        return f"The nearest is {self.layout.title} ({detail}): {'; '.join(parts)}."


def compare(layout: Layout, tensors: State, hints: Mapping[str, Any]) -> Match:
    """Infer a layout's options from tensors and set them beside the tensors of such a network."""
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    options = _with_hints(layout, layout.infer(shapes), hints)
    ours = network_shapes(layout.network, tuple(options.items()))
    expected = {layout.rename(k, options): shape for k, shape in ours.items()}
    unused = {k for k in shapes.keys() - expected.keys() if layout.unused and re.fullmatch(layout.unused, k)}
    return Match(layout, options, {k: v for k, v in shapes.items() if k not in unused}, expected)


def _with_hints(layout: Layout, options: Options, hints: Mapping[str, Any]) -> Options:
    """The options, with those that shapes leave open taken from the hints."""
    if layout.network == "rrdb" and hints.get("scale") == 3 and options["scale"] == 2 and options["unshuffle"] == 1:
        options["scale"] = 3
    if layout.network == "compact" and options["activation"] != "prelu":
        options["activation"] = hints.get("activation", options["activation"])
    return options


@lru_cache(maxsize=64)
def network_shapes(network: str, options: tuple[tuple[str, Any], ...]) -> Mapping[str, Shape]:
    """The tensors of a network with such options, by our names; none if there is no such network."""
    if any(dict(options).get(name, 0) > DEEPEST for name in ("blocks", "convolutions")):
        return {}
    try:
        built = build_blank(network, dict(options))
    except Exception:  # options come from the shapes of a file, which may be anything
        return {}
    return {key: tuple(value.shape) for key, value in built.state_dict().items()}


def build_blank(network: str, options: Options) -> nn.Module:
    """Build a network of the catalogue on the meta device: names and shapes, no memory and no random numbers."""
    with torch.device("meta"), _Uninitialised():
        built: nn.Module = catalog.NETWORKS[network](**options)
    return built


class _Uninitialised(TorchFunctionMode):
    """Skips initialisation: on the meta device it has no effect, but imports torch._dynamo, which takes seconds."""

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (Tensor.normal_, Tensor.uniform_) or getattr(function, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def _checkpoint(match: Match, tensors: State, hints: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint, its tensors renamed and in float32; raises `Unfit` for numbers that are not finite."""
    layout, options, state = match.layout, match.options, {}
    for name in network_shapes(layout.network, tuple(options.items())):
        value = tensors[layout.rename(name, options)]
        state[name] = value.to(torch.float32).contiguous() if value.is_floating_point() else value
        if not torch.isfinite(state[name]).all():
            raise Unfit(f"{layout.rename(name, options)} holds numbers that are not finite; the file is damaged.")
    guess = options.get("activation", "prelu") != "prelu" and "activation" not in hints
    return Checkpoint(layout.network, options, state, layout.title, frozenset({"activation"} if guess else ()))


def _explain(state: State, matches: Iterator[Match]) -> str:
    """The sentences for a file of no network known here."""
    for discriminator, keys in DISCRIMINATORS.items():
        if all(k in state for k in keys):
            return f"this is {discriminator}, which scores images; the file of its generator is needed."
    nearest = max(matches, key=lambda match: match.similarity)
    if not nearest.similarity:
        known = ", ".join(layout.title for layout in KNOWN)
        return f"its tensors ({_first_three(sorted(state))}) are those of no network known here: {known}."
    return f"its tensors are not those of a network known here. {nearest.difference()}"


def _first_three(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
