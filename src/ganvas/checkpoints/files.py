"""Weight files of other projects: read without running anything in them, recognised by their shapes, written back.

`read` gives the name of a network in the catalogue, its options and its tensors by our names; nothing is built here.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import UsageError, UserError, did_you_mean
from ..files import atomic_write
from .layouts import JUDGES, STEPS, Layout, Options, Shape
from .layouts_translation import KNOWN, spared

State = dict[str, Tensor]

WRAPPERS = (
    *("params_ema", "params-ema", "params", "model_state_dict", "state_dict", "generator_ema", "g_ema", "ema_model"),
    *("generator", "netG", "G", "model", "net"),
)
PLAYERS = ("generator_ema.", "generator.", "netG.")  # of files that hold more than one network
ACTIVATIONS = ("prelu", "relu", "leakyrelu")
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
MAX_BYTES = 4_000_000_000  # a larger file is not opened
BARE = (  # layouts without a wrapper
    *("old", "middle", "cyclegan", "cyclegan_dropout", "pix2pix", "stargan"),
    *("pytorch", "adain", "vgg_normalised"),
)
NOTE = "ganvas"  # where a file of ours says what shapes do not tell


@dataclass(frozen=True)
class Checkpoint:
    """What a weight file turned out to hold."""

    network: str  # the network's name in the catalogue
    options: Options  # what it is built with
    state: State  # its tensors in float32, by our names
    title: str = ""  # the layout it was found in
    unsure: frozenset[str] = field(default_factory=frozenset)  # options that the file does not tell


class Unfit(UserError):
    """Tensors that are of no network known here."""


def read(file: Path | str, *, scale: int | None = None, activation: str | None = None) -> Checkpoint:
    """Recognise a weight file (.pth of any age, or .safetensors) and give its tensors.

    `scale` and `activation` settle what shapes cannot: whether one enlarging step is by 2 or 3, and which rectifier a
    Compact without slopes has.  Raises `UsageError` if there is no file, `UserError` if it is damaged, holds code, or
    is of another architecture, with the nearest one and the tensors that differ.
    """
    file = Path(file)
    content, said = _content(file)
    state = _peeled(content)
    try:
        _check(state, file.stat().st_size)
        found = _recognised(state, {**said, **_given(scale, activation)})
    except Unfit as problem:
        raise Unfit(f"{file}: {problem}") from None
    if scale is not None and scale != found.options.get("scale", 1):
        raise UsageError(f"{file} is a network for x{found.options.get('scale', 1)}, not for x{scale}.")
    return found


def _given(scale: int | None, activation: str | None) -> dict[str, Any]:
    """What a person settles, checked."""
    if scale is not None and scale not in STEPS:
        raise UsageError(f"The scale is one of {', '.join(map(str, STEPS))}, not {scale}.")
    if activation is not None and activation not in ACTIVATIONS:
        near = did_you_mean(activation, ACTIVATIONS)
        raise UsageError(f"The activation is one of {', '.join(ACTIVATIONS)}, not {activation!r}.{near}")
    return {k: v for k, v in (("scale", scale), ("activation", activation)) if v is not None}


# --- opening -----------------------------------------------------------------------------------------------


def _content(file: Path) -> tuple[Any, dict[str, Any]]:
    """Whatever a file holds, and what one of ours says about itself."""
    if not file.is_file():
        raise UsageError(f"{file} {'is a folder' if file.is_dir() else 'does not exist'}; give a weight file.")
    if file.stat().st_size > MAX_BYTES:
        raise UserError(
            f"{file} has {file.stat().st_size / 1e9:.1f} GB; no network known here has {MAX_BYTES / 1e9:.0f}."
        )
    try:
        with file.open("rb") as stream:
            start = stream.read(16)
        if start[:2] != b"PK" and start[8:9] == b"{":
            with safe_open(file, "pt") as opened:
                return {key: opened.get_tensor(key) for key in opened.keys()}, _notes(opened.metadata())  # noqa: SIM118
        if start[:2] == b"PK":
            _refuse_compressed(file)
        elif start[:1] != b"\x80":
            raise UserError(f"{file} is neither a PyTorch file nor safetensors.")
        with warnings.catch_warnings(action="ignore"):  # about pickles of other ages
            content = torch.load(file, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except (SafetensorError, OSError, zipfile.BadZipFile) as problem:
        raise UserError(f"{file} is damaged or cut off: {_first(problem)}.") from None
    except Exception as problem:  # whatever a hostile archive makes the reader raise
        raise UserError(_why_not(file, str(problem))) from None
    return content, _notes(content.get(NOTE) if isinstance(content, dict) else None)


def _first(problem: object) -> str:
    return (str(problem).strip() or type(problem).__name__).splitlines()[0].rstrip(".")


def _why_not(file: Path, reason: str) -> str:
    """What to tell about a file that PyTorch refused to read."""
    named = re.search(r"GLOBAL ([\w.]+)", reason)
    if named:
        return f"{file} holds more than weights ({named[1]}); it is not opened, because that could run code."
    if "weights_only" in reason:  # PyTorch goes on to advise opening it all the same
        return f"{file} is not a weight file that can be read without running code; ask for one in .safetensors."
    return f"{file} is damaged or cut off: {_first(reason)}."


def _refuse_compressed(file: Path) -> None:
    """PyTorch stores tensors as they are; a compressed archive is not its own, and may be a bomb."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(e.compress_type != zipfile.ZIP_STORED for e in entries):
            raise UserError(f"{file} is a compressed archive, not a file that PyTorch wrote; unpack it first.")
        if sum(e.file_size for e in entries) > file.stat().st_size:
            raise UserError(f"{file} is damaged or cut off: it declares more than it holds.")


def _notes(saved: Any) -> dict[str, Any]:
    """What a file of ours says of itself, believed only as far as it is possible."""
    if not isinstance(saved, Mapping):
        return {}
    scale, activation = str(saved.get("scale", "")), str(saved.get("activation", ""))
    found: dict[str, Any] = {"scale": int(scale)} if scale in map(str, STEPS) else {}
    return found | ({"activation": activation} if activation in ACTIVATIONS else {})


# --- wrappers and prefixes ---------------------------------------------------------------------------------


def _peeled(content: Any) -> State:
    """The named tensors inside whatever they are wrapped in; empty if there are none."""
    for _ in range(5):
        if not isinstance(content, Mapping):
            return {}
        nested = {k: v for k, v in content.items() if isinstance(v, Mapping) and k != NOTE}
        inner = next((k for k in WRAPPERS if k in nested), next(iter(nested)) if len(nested) == 1 else None)
        if inner is None or any(isinstance(v, Tensor) for v in content.values()):
            break
        content = nested[inner]
    state = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    bare = {re.sub(r"^(module\.|_orig_mod\.)+", "", k): v for k, v in state.items()}
    for player in PLAYERS:
        if any(k.startswith(player) for k in bare):
            return {k.removeprefix(player): v for k, v in bare.items() if k.startswith(player)}
    return bare


def _unprefixed(state: State) -> Iterator[State]:
    """The tensors as they are called, then without each part that all their names begin with."""
    yield state
    while state and len({k.partition(".")[0] for k in state}) == 1 and all("." in k for k in state):
        state = {k.partition(".")[2]: v for k, v in state.items()}
        yield state


def _check(state: State, bytes_on_disk: int) -> None:
    """Raise `Unfit` for tensors that are no weights, or are larger than what the file can hold."""
    if not state:
        raise Unfit("this file holds no named tensors.")
    held = 0
    for key, value in state.items():
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise Unfit(f"{key} is a quantised, sparse or empty tensor; give a file with plain weights.")
        if value.dtype not in FLOATS and not key.endswith("num_batches_tracked"):
            name = str(value.dtype).removeprefix("torch.")
            raise Unfit(f"{key} holds {name}, and weights are float16, bfloat16, float32 or float64.")
        held += value.numel() * value.element_size()
    if held > bytes_on_disk:
        raise Unfit(f"its tensors declare {held:,} bytes and the file has {bytes_on_disk:,}; it is not to be trusted.")


# --- recognising -------------------------------------------------------------------------------------------


def _recognised(state: State, hints: Mapping[str, Any]) -> Checkpoint:
    """The network that a file's tensors fit exactly; raises `Unfit` with the nearest one."""
    nearest: tuple[float, str] = (0.0, "")
    for named in _unprefixed(state):
        every = {key: tuple(value.shape) for key, value in named.items()}
        for layout in KNOWN:
            options = _settled(layout, layout.infer(every), hints)
            unused = spared(layout, options, set(every))
            shapes = {key: shape for key, shape in every.items() if key not in unused}
            wanted = layout.wanted(options)
            if wanted.keys() == shapes.keys() and all(wanted[k] == shapes[k] for k in shapes):
                return _found(layout, options, named, hints)
            same = sum(wanted.get(key) == shape for key, shape in shapes.items())
            share = same / len(wanted.keys() | shapes.keys())
            if share > nearest[0]:
                nearest = (share, _difference(layout, options, wanted, shapes))
    raise Unfit(_unknown(state, nearest[1]))


def _settled(layout: Layout, options: Options, hints: Mapping[str, Any]) -> Options:
    """Options with what the shapes cannot tell, as somebody who knows says it."""
    if layout.network == "rrdb" and hints.get("scale") == 3 and options["scale"] == 2 and options["unshuffle"] == 1:
        options["scale"] = 3
    if layout.network == "compact" and options["activation"] != "prelu":
        options["activation"] = hints.get("activation", options["activation"])
    return options


def _found(layout: Layout, options: Options, named: State, hints: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint, its tensors renamed and in float32; raises `Unfit` if a number in them is none."""
    state = {}
    for ours in layout.own(options):
        value = named[layout.rename(ours, options)]
        state[ours] = value.to(torch.float32).contiguous() if value.is_floating_point() else value
        if not torch.isfinite(state[ours]).all():
            raise Unfit(f"{layout.rename(ours, options)} holds numbers that are not finite; the file is damaged.")
    guessed = options.get("activation", "prelu") != "prelu" and "activation" not in hints
    return Checkpoint(layout.network, options, state, layout.title, frozenset({"activation"} if guessed else ()))


def _difference(layout: Layout, options: Options, wanted: Mapping[str, Shape], found: Mapping[str, Shape]) -> str:
    """What keeps tensors from being those of a network, in words."""
    said = []
    for word, keys in (("lacks", wanted.keys() - found.keys()), ("also has", found.keys() - wanted.keys())):
        if keys:
            said.append(f"it {word} {_listed(sorted(keys))}")
    for key in sorted(k for k in wanted.keys() & found.keys() if wanted[k] != found[k])[:3]:
        said.append(f"{key} is {list(found[key])}, not {list(wanted[key])}")
    detail = ", ".join(f"{k} {v}" for k, v in options.items())
    return f"The nearest is {layout.title} ({detail}): {'; '.join(said)}."


def _listed(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _unknown(state: State, nearest: str) -> str:
    """The sentences for a file that fits no network."""
    for judge, keys in JUDGES.items():
        if all(k in state for k in keys):
            return f"this is {judge}, which judges images; the file of its generator is needed."
    if not nearest:
        known = ", ".join(layout.title for layout in KNOWN)
        return f"its tensors ({_listed(sorted(state))}) are those of no network known here: {known}."
    return f"its tensors are not those of a network known here. {nearest}"


# --- writing -----------------------------------------------------------------------------------------------


def write(file: Path | str, checkpoint: Checkpoint, *, layout: str | None = None) -> None:
    """Write weights as other tools read them: .safetensors, or .pth with the tensors under `params`.

    `layout` is `old`, `middle` or `new` for ESRGAN, `basicsr` or `mmagic` for MSRResNet, `cyclegan`, `pix2pix` or
    `stargan` for translation; by default the newest.  Those of `BARE` are, as their files are.  Raises `UsageError` for
    another suffix or layout, and for a network that has none, `UserError` if it cannot be written; then nothing is left
    behind.
    """
    file = Path(file)
    chosen = _layout(checkpoint, layout)
    state = {chosen.rename(k, checkpoint.options): v.contiguous() for k, v in checkpoint.state.items()}
    note = {k: str(v) for k, v in checkpoint.options.items() if k in ("scale", "activation")}
    if file.suffix not in (".safetensors", ".pth", ".pt"):
        raise UsageError(f"Weights are written as .pth or .safetensors, not {file.suffix or 'without a suffix'}.")
    with atomic_write(file) as part:
        if file.suffix == ".safetensors":
            save_file(state, part, metadata={"format": "pt", "network": checkpoint.network, **note})
        else:
            torch.save(state if chosen.name in BARE else {"params": state, NOTE: note}, part)


def _layout(checkpoint: Checkpoint, name: str | None) -> Layout:
    """The layout of that name for a network; raises `UsageError` if there is none, or if it loses what is needed."""
    known = {layout.name: layout for layout in KNOWN if layout.network == checkpoint.network}
    if not known:
        raise UsageError(f"No other tool has a layout for the network {checkpoint.network!r}.")
    if name is not None and name not in known:
        has = ", ".join(known)
        raise UsageError(f"{checkpoint.network} has no layout {name!r}.{did_you_mean(name, known)} It has: {has}.")
    chosen = known[name] if name else next(iter(known.values()))
    if chosen.name in ("old", "middle") and checkpoint.options["scale"] == 3:
        raise UsageError(f"The {chosen.name} layout cannot say x3 (its files are read as x2); use the new one.")
    if chosen.name.startswith("cyclegan") and checkpoint.options["up"] == "resize":
        raise UsageError("CycleGAN's layout has transposed convolutions, and this network repeats pixels instead.")
    return chosen
