"""Weight files: read without running anything in them, and written in the layouts of other projects.

`models.recognise` finds the network that the tensors of a file belong to.
"""

import re
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import UsageError, UserError, did_you_mean
from ..files import atomic_write, text_name
from ..imaging.file_kinds import ARCHIVE, ARRAYS, HDF5, NCNN, SAFETENSORS, TORCH, kind_of_file
from ..paths import user_path
from .layouts import SCALES, Layout, Options
from .layouts_stylegan2 import as_ours
from .layouts_translation import KNOWN
from .pickles import read_generator
from .unread_networks import name_network

State = dict[str, Tensor]

WRAPPERS = (
    *("params_ema", "params-ema", "params", "model_state_dict", "state_dict", "generator_ema", "g_ema", "ema_model"),
    *("generator", "netG", "G", "model", "net"),
)
PLAYERS = ("generator_ema.", "generator.", "netG.")  # of files that hold more than one network
ACTIVATIONS = ("prelu", "relu", "leakyrelu")
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
MAX_BYTES = 4_000_000_000  # a larger file is not opened
TORCH_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j"  # of a file by `torch.save` before archives
AVERAGE_STYLE = "latent_avg"  # lies beside the generator in rosinality's files
BARE = (  # layouts without a wrapper
    *("old", "middle", "cyclegan", "cyclegan_dropout", "pix2pix", "stargan"),
    *("pytorch", "adain", "vgg_normalised"),
)
NOTE = "ganvas"  # key of the options that shapes leave open, in files written here


@dataclass(frozen=True)
class Checkpoint:
    """A network of the catalogue, its options and its weights."""

    network: str  # name in the catalogue
    options: Options  # of the network's constructor
    state: State  # tensors in float32, by our names
    title: str = ""  # of the layout of the file
    unsure: frozenset[str] = field(default_factory=frozenset)  # options that are a guess
    prior: Literal["normal", "uniform"] = "normal"  # distribution of a generator's noise


class Unfit(UserError):
    """Tensors of no network known here."""


# --- reading -----------------------------------------------------------------------------------------------


def read_tensors(file: Path) -> tuple[State, dict[str, Any]]:
    """Read the named tensors of a weight file, and the options that it notes.

    It is a .pth of any age, .safetensors, or a .pkl or .pt of a StyleGAN2 generator.

    Raises `UsageError` if there is no file, `UserError` if it is damaged or holds code, `Unfit` if it has no weights.
    """
    content, notes = _content(file)
    state = as_ours(_unwrap(content))
    try:
        _check(state, file.stat().st_size)
    except Unfit as problem:
        raise unfit(file, state, problem) from None
    return state, notes


def read_raw(file: Path) -> dict[str, Any]:
    """The named tensors of a weight file as they are, of any type, for a network of another package."""
    content, _ = _content(file)
    return dict(_unwrap(content))


def unfit(file: Path, state: State, problem: Unfit) -> Unfit:
    """The error for tensors that are of no network known here: the network's name if it is a widespread one."""
    network = name_network(state)
    if network is None:
        return Unfit(f"{file}: {problem}")
    return Unfit(f"{file}: this is {network[0]}, which is not read here; {network[1]}.")


def _content(file: Path) -> tuple[Any, dict[str, Any]]:
    """The content of a file, and the options that it notes."""
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
            with text_name(file) as name, safe_open(name, "pt") as tensors:
                return {key: tensors.get_tensor(key) for key in tensors.keys()}, _notes(tensors.metadata())  # noqa: SIM118
        if start[:2] == b"PK":
            _refuse_archive(file)
        elif start[:1] != b"\x80":
            raise UserError(_name_content(file))
        elif TORCH_MAGIC not in start:
            return read_generator(file), {}
        # rosinality's training writes its arguments beside the weights; warnings are about pickles of other ages
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals([Namespace]):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except (SafetensorError, OSError, zipfile.BadZipFile):
        raise UserError(_damage(file)) from None
    except Exception as problem:  # a hostile archive may make the reader raise anything
        raise UserError(_refusal(file, str(problem))) from None
    return content, _notes(content.get(NOTE) if isinstance(content, dict) else None)


def _damage(file: Path) -> str:
    """The sentence for a file of which something is missing."""
    return f"{file} is damaged or cut off: {file.stat().st_size:,} bytes are here; download it again."


def _name_content(file: Path) -> str:
    """The sentence for a file that holds something else than weights: what it is, by its content."""
    kind = kind_of_file(file)
    if kind is None and file.suffix == ".bin" and any(file.parent.glob("*.param")):
        kind = NCNN
    other = kind not in (None, TORCH, SAFETENSORS)  # those by the suffix alone
    return f"{file} is neither a PyTorch file nor safetensors" + (
        f", but {kind.name}: {kind.way_out}." if kind and other else "."
    )


def _refusal(file: Path, reason: str) -> str:
    """The sentence for a file that PyTorch refuses to read."""
    code = re.search(r"GLOBAL ([\w.]+)", reason)
    if code:
        return f"{file} holds more than weights ({code[1]}); it is not opened, because that could run code."
    if "weights_only" in reason:  # PyTorch goes on to advise opening it all the same
        return f"{file} is not a weight file that can be read without running code; ask for one in .safetensors."
    return _damage(file)


def _refuse_archive(file: Path) -> None:
    """Raise `UserError` for an archive of other content, or a compressed one: PyTorch stores tensors as they are."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        names = [e.filename for e in entries]
        if any("/code/" in name for name in names):
            raise UserError(
                f"{file} is TorchScript, a program with its weights, which is not opened because that could run code;"
                " give its state_dict: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth'), if you trust it."
            )
        if not any(name.endswith("data.pkl") for name in names):
            kind = kind_of_file(file)
            kind = kind if kind in (ARRAYS, HDF5) else ARCHIVE
            listed = ", ".join(names[:3])
            raise UserError(f"{file} is {kind.name} ({listed}) without tensors of PyTorch: {kind.way_out}.")
        if any(e.compress_type != zipfile.ZIP_STORED for e in entries):
            raise UserError(f"{file} is a compressed archive, not a file that PyTorch wrote; unpack it first.")
        if sum(e.file_size for e in entries) > file.stat().st_size:
            raise UserError(f"{file} is damaged or cut off: it declares more than it holds.")


def _notes(saved: Any) -> dict[str, Any]:
    """The noted options of a file written here, as far as they are possible."""
    if not isinstance(saved, Mapping):
        return {}
    scale, activation = str(saved.get("scale", "")), str(saved.get("activation", ""))
    options: dict[str, Any] = {"scale": int(scale)} if scale in map(str, SCALES) else {}
    return options | ({"activation": activation} if activation in ACTIVATIONS else {})


# --- wrappers and prefixes ---------------------------------------------------------------------------------


def _unwrap(content: Any) -> State:
    """The named tensors inside their wrappers; empty if there are none."""
    for _ in range(5):
        if not isinstance(content, Mapping):
            return {}
        nested = {k: v for k, v in content.items() if isinstance(v, Mapping) and k != NOTE}
        inner = next((k for k in WRAPPERS if k in nested), next(iter(nested)) if len(nested) == 1 else None)
        if inner is None or any(isinstance(v, Tensor) for k, v in content.items() if k != AVERAGE_STYLE):
            break
        average = {AVERAGE_STYLE: content[AVERAGE_STYLE]} if AVERAGE_STYLE in content else {}
        content = {**nested[inner], **average}
    state = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    bare = {re.sub(r"^(module\.|_orig_mod\.)+", "", k): v for k, v in state.items()}
    for player in PLAYERS:
        if any(k.startswith(player) for k in bare):
            return {k.removeprefix(player): v for k, v in bare.items() if k.startswith(player)}
    return bare


def _check(state: State, bytes_on_disk: int) -> None:
    """Raise `Unfit` for tensors that are no weights, or are larger than the file."""
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


# --- writing -----------------------------------------------------------------------------------------------


def write(file: Path | str, checkpoint: Checkpoint, *, layout: str | None = None) -> None:
    """Write weights as other tools read them: .safetensors, or .pth with the tensors under `params`, if not `BARE`.

    `layout` is `old`, `middle` or `new` for ESRGAN, `basicsr` or `mmagic` for MSRResNet, `cyclegan`, `pix2pix` or
    `stargan` for translation; by default the newest.  Raises `UsageError` for another suffix or layout, and for a
    network that has none, `UserError` if the file cannot be written; then nothing is left behind.
    """
    file = user_path(file)
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
    """The layout of that name for a network; raises `UsageError` if there is none, or if it cannot hold the options."""
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
    if checkpoint.options.get("norm") == "batch_running":
        raise UsageError(
            "Such files are read with the statistics of each image, and this network (norm=batch_running) uses those of"
            " its training; export ONNX or a folder."
        )
    return chosen
