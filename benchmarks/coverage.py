"""Architectures of published upscalers that load: one file with random weights each, made by an extra's own modules.

python benchmarks/coverage.py            with resselt or spandrel installed (both pin what others need: each in an
                                         environment of its own); prints a table and the shares

Ours must give what the module gives, to 1e-4, and tiles what the whole image gives, where the network allows it.  The
models are those of OpenModelDB that name the architecture (671 in August 2026).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ganvas.errors import UserError
from ganvas.inference.enhance import EnhanceOptions, Enhancer
from ganvas.models.resolve import resolve
from ganvas.policy import Policy

CPU = Policy(torch.device("cpu"))
ALL = 671  # models of OpenModelDB
MODELS = {  # by architecture
    **{"ESRGAN": 368, "Compact": 85, "SPAN": 34, "DAT": 34, "SwinIR": 22, "OmniSR": 20, "RealPLKSR": 17},
    **{"SOFVSR": 9, "SRFormer": 9, "HAT": 7, "RGT": 7, "DRCT": 6, "ATD": 5, "MoSR": 5, "RealPLKSR (DySample)": 4},
    "ESRGAN+": 3,
}
WINDOWS = {"embed_dim": 60, "depths": (2, 2), "num_heads": (6, 6)}
GROUPS = {"embed_dim": 60, "depth": [2, 2], "num_heads": [2, 2], "upscale": 4}
SMALL = {  # options of a small one, as the modules name them
    "ESRGAN": {"num_filters": 16, "num_blocks": 2},
    "ESRGAN+": {"num_filters": 32, "num_blocks": 2, "plus": True},
    "Compact": {"num_conv": 4},
    "SPAN": {"num_in_ch": 3, "num_out_ch": 3, "norm": False},
    "DAT": {**GROUPS, "split_size": [8, 16]},
    "SwinIR": {**WINDOWS, "upscale": 4, "upsampler": "nearest+conv", "window_size": 8},
    "OmniSR": {"res_num": 2, "num_feat": 32},
    "RealPLKSR": {"n_blocks": 3, "dysample": False},
    "RealPLKSR (DySample)": {"n_blocks": 3, "dysample": True},
    "SRFormer": {**WINDOWS, "upscale": 4, "upsampler": "pixelshuffle", "window_size": 12},
    "HAT": {**WINDOWS, "upscale": 4, "window_size": 8},
    "RGT": {**GROUPS, "split_size": [8, 16]},
    "DRCT": {**WINDOWS, "upscale": 4, "upsampler": "pixelshuffle", "window_size": 8},
    "ATD": {**WINDOWS, "upscale": 4, "upsampler": "pixelshuffle"},
    "MoSR": {"n_block": 3},
}
PLACES = {  # of the modules: spandrel, resselt
    "ESRGAN": ("ESRGAN:ESRGAN", "esrgan.arch:RRDBNet"),
    "ESRGAN+": ("ESRGAN:ESRGAN", "esrgan.arch:RRDBNet"),
    "Compact": ("Compact:Compact", "compact.arch:SRVGGNetCompact"),
    "SPAN": ("SPAN:SPAN", "span.arch:SPAN"),
    "DAT": ("DAT:DAT", "dat.arch:DAT"),
    "SwinIR": ("SwinIR:SwinIR", "swinir.arch:SwinIR"),
    "OmniSR": ("OmniSR:OmniSR", "omni.arch:OmniSR"),
    "RealPLKSR": ("PLKSR:RealPLKSR", "plksr.rplksr:realplksr"),
    "RealPLKSR (DySample)": ("PLKSR:RealPLKSR", "plksr.rplksr:realplksr"),
    "SRFormer": ("SRFormer:SRFormer", ""),
    "HAT": ("HAT:HAT", "hat.arch:HAT"),
    "RGT": ("RGT:RGT", "rgt.arch:RGT"),
    "DRCT": ("DRCT:DRCT", "drct.arch:DRCT"),
    "ATD": ("ATD:ATD", "atd.arch:ATD"),
    "MoSR": ("MoSR:MoSR", "mosr.arch:mosr"),
}


def declare_torchvision() -> None:
    """Declare torchvision's operators, so that a torchvision for another build of torch can be imported.

    The networks here use none of them.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return
    text = (Path(spec.submodule_search_locations[0]) / "_meta_registrations.py").read_text()
    names = {f"torchvision::{name}" for name in re.findall(r'register_meta\("(\w+)"', text)}
    for name in sorted(names | set(re.findall(r'register_fake\("(torchvision::\w+)"', text))):
        if not hasattr(torch.ops.torchvision, name.partition("::")[2]):
            torch.library.define(name, "(Tensor a) -> Tensor")


def find_module(name: str, package: str) -> Callable[..., nn.Module] | None:
    """The class of an architecture in a package; none if it is not there."""
    place = PLACES.get(name, ("", ""))[package == "resselt"]
    module, _, attribute = place.partition(":")
    homes = (
        ["resselt.archs"] if package == "resselt" else ["spandrel.architectures", "spandrel_extra_arches.architectures"]
    )
    for home in homes:
        if module and importlib.util.find_spec(f"{home}.{module}"):
            found: Callable[..., nn.Module] = getattr(importlib.import_module(f"{home}.{module}"), attribute)
            return found
    return None


def random_network(make: Callable[..., nn.Module], options: dict[str, object]) -> nn.Module:
    """A network whose weights are not those of a beginning: no bias is zero."""
    torch.manual_seed(0)
    network = make(**options).eval().requires_grad_(False)
    for name, p in network.named_parameters():
        if p.ndim == 1 and name.endswith(("bias", "gamma")):
            p.normal_(0, 0.02)
    return network


def check(name: str, package: str, folder: Path) -> tuple[str, str]:
    """What built the network of a file, and what became of it: differences from the module and of its tiles."""
    make = find_module(name, package)
    if make is None:
        return "-", "the extra has no module of it"
    network = random_network(make, SMALL[name])
    file = folder / f"{re.sub(r'[^A-Za-z]', '', name)}.pth"
    torch.save({"params_ema": network.state_dict()}, file)
    try:
        model = resolve(file)
    except UserError as problem:
        return "-", str(problem).removeprefix(str(file))[:110]
    x = torch.randint(256, (1, 3, 48, 48), generator=torch.Generator().manual_seed(1)) / 256  # exact in [-1, 1] too
    with torch.inference_mode():
        theirs, ours = network(x.clone()), (model.network(2 * x - 1) + 1) / 2
    off = (theirs - ours).abs().max().item() / max(theirs.abs().max().item(), 1.0)
    large = torch.rand(1, 3, 96, 144, generator=torch.Generator().manual_seed(2)) * 2 - 1
    whole = Enhancer(model, CPU, EnhanceOptions(tile=0))(large)
    tiled = Enhancer(model, CPU, EnhanceOptions(tile=48, overlap=None))
    seam = (tiled(large) - whole).abs().max().item() / max(whole.abs().max().item(), 1.0)
    kind = "exact" if not tiled.tilers[0].field.is_global else "blended" if tiled.tilers[0].tileable else "whole"
    verdict = "" if off <= 1e-4 and (kind != "exact" or seam <= 1e-4) else " FAILS"
    return f"{model.loader}: {model.architecture}", f"{off:.0e} from the module's; tiles {kind}, {seam:.0e}{verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="architectures; all by default")
    names = parser.parse_args().names or list(MODELS)
    torch.set_num_threads(1)
    package = next((p for p in ("resselt", "spandrel") if importlib.util.find_spec(p)), None)
    if package is None:
        sys.exit("Install resselt or spandrel: pip install 'ganvas[resselt]'.")
    declare_torchvision()
    loaded, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, count in ((name, MODELS[name]) for name in names):
            try:
                by, result = check(name, package, Path(folder)) if name in SMALL else ("-", "films, not images")
            except RuntimeError as problem:
                by, result = "-", f"the module itself fails: {str(problem).splitlines()[0][:70]}"
            loaded += [name] if by != "-" and "FAILS" not in result else []
            print(f"{name}: {by}: {result}", file=sys.stderr, flush=True)
            rows.append(f"| {name} | {count} | {by} | {result} |")
    print(f"Modules of {package}.\n\n| architecture | models | read by | result |\n|---|---|---|---|", *rows, sep="\n")
    models = sum(MODELS[name] for name in loaded)
    print(f"\n{len(loaded)} of {len(MODELS)} architectures ({len(loaded) / len(MODELS):.1%}),", end=" ")
    shares = f"{models / sum(MODELS.values()):.1%}; {models / ALL:.1%} of all"
    print(f"{models} of {sum(MODELS.values())} models that name them ({shares})")


if __name__ == "__main__":
    main()
