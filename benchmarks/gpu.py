"""Figures of a GPU that the documents leave open, in about ten minutes, as a table of Markdown to paste.

python benchmarks/gpu.py                             the first GPU
python benchmarks/gpu.py --device cpu --quick        small sizes: a trial of the script, whose figures say nothing
python benchmarks/gpu.py --only step compile         some of the parts: step, compile, penalties, sr, features, ddp
"""

from __future__ import annotations

import argparse
import os
import platform
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))

from penalties import with_penalties
from train_step import Ours, Plain

from ganvas import catalog
from ganvas.config import Recipe, Spec
from ganvas.errors import UserError
from ganvas.features.extractor import Features
from ganvas.inference.enhance import EnhanceOptions, Enhancer
from ganvas.losses.gradient_penalties import R1
from ganvas.metrics.frechet import Gaussian, frechet_distance
from ganvas.models.resolve import resolve
from ganvas.policy import Policy
from ganvas.training.choice import apply_preset, find_preset
from ganvas.training.distributed import Processes
from ganvas.training.players import Group
from ganvas.training.trainer import Trainer

Row = tuple[str, str, str]  # what, with what, figure
RECIPES = ("dcgan", "wgan_gp", "r3gan", "stylegan2")
PENALTIES = {
    "no penalty": [],
    "R1": [Spec(R1, gamma=0.1)],
    "R1 every 16th step": [Spec(R1, gamma=0.1, every=16)],
    "R1 by differences": [Spec(R1, gamma=0.1, approximate=True)],
}


@dataclass(frozen=True)
class Sizes:
    """Sizes of the measurements, and their device."""

    device: str
    quick: bool
    compiled: bool

    @property
    def batch(self) -> int:
        return 4 if self.quick else 64

    @property
    def side(self) -> int:
        return 32 if self.quick else 64

    @property
    def rounds(self) -> int:
        return 1 if self.quick else 32  # two turns of a penalty of every 16th step

    @property
    def warmup(self) -> int:
        return 1 if self.quick else 5


class Noise:
    """Images of noise on the device: a data source that costs nothing."""

    def __init__(self, sizes: Sizes):
        shape = sizes.batch, 3, sizes.side, sizes.side
        image = torch.rand(shape, device=sizes.device).mul_(2).sub_(1)
        self.batch = {"image": image.contiguous(memory_format=torch.channels_last)}

    def stream(self, starts: Iterator[int], count: int) -> Iterator[dict[str, torch.Tensor]]:
        for _ in starts:
            yield dict(self.batch)


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def timed(work: Callable[[], object], device: str) -> float:
    """Seconds of a call, the device's work included."""
    wait(device)
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def alternate(ways: dict[str, Callable[[], object]], sizes: Sizes) -> dict[str, float]:
    """Mean seconds of every way, taken in turn: a median would leave out what is done every 16th time."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for k in range(sizes.warmup + sizes.rounds):
        for name, way in ways.items():
            seconds = timed(way, sizes.device)
            if k >= sizes.warmup:
                taken[name].append(seconds)
    return {name: statistics.fmean(seconds) for name, seconds in taken.items()}


def memory(device: str) -> str:
    """The most memory since the last call, as text; nothing without a GPU."""
    if not device.startswith("cuda"):
        return ""
    most = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return f", {most:.2f} GiB"


def rates(title: str, seconds: dict[str, float], items: float, unit: str, base: str) -> Iterator[Row]:
    """A row for every way: how many a second, and how many times the base."""
    for name, taken in seconds.items():
        yield title, name, f"{items / taken:,.1f} {unit}/s, x {seconds[base] / taken:.2f}"


def build(name: str, sizes: Sizes, compile: str = "off", group: Group | None = None, **changes: object) -> Trainer:
    """A trainer of a recipe on noise."""
    recipe: Recipe = catalog.RECIPES[name]()
    if sizes.quick:
        apply_preset(recipe, find_preset(name, "tiny"))
    recipe.batch = sizes.batch
    if "penalties" in changes:
        recipe = with_penalties(recipe, changes["penalties"])
    policy = Policy.choose(sizes.device, "auto", compile)
    task = recipe.task.build(resolution=(sizes.side, sizes.side), channels=3)
    return Trainer(task, recipe, Noise(sizes), policy, group=group)


def step(sizes: Sizes) -> Iterator[Row]:
    """A step of DCGAN at 64 pixels: the plain way, and ours."""
    batch, device = sizes.batch, sizes.device
    real = torch.rand(batch, 3, 64, 64, device=device).mul_(2).sub_(1)
    plain = Plain(batch, device=device)
    ways: dict[str, Callable[[], object]] = {"the plain way": lambda: plain.step(real)}
    kinds = {"fp32": ("fp32", "off"), "bf16": ("bf16", "off")}
    kinds |= {"bf16 compiled": ("bf16", "on")} if sizes.compiled else {}
    for name, (precision, compile) in kinds.items():
        ours = Ours(batch, precision=precision, device=device, compile=compile)
        ways[f"ganvas {name}"] = lambda ours=ours: ours.step(real)
    yield from rates(f"step of dcgan, 64x64, batch {batch}", alternate(ways, sizes), batch, "images", "the plain way")


def compiled(sizes: Sizes) -> Iterator[Row]:
    """A step of recipes, eager and compiled, and the time of the compilation."""
    for name in RECIPES[:2] if sizes.quick else RECIPES:
        trainer = build(name, sizes)
        ways: dict[str, Callable[[], object]] = {"eager": trainer.advance}
        title = f"step of {name}, {sizes.side}x{sizes.side}, batch {sizes.batch}"
        if sizes.compiled:
            other = build(name, sizes, "on")
            yield title, "first compiled step", f"{timed(other.advance, sizes.device):.1f} s"
            ways["compiled"] = other.advance
        yield from rates(title, alternate(ways, sizes), sizes.batch, "images", "eager")
        if text := memory(sizes.device):
            yield title, "most memory of both", text[2:]


def penalties(sizes: Sizes) -> Iterator[Row]:
    """A step with penalties, eager, and compiled where that is asked for."""
    for mode in ("off", "on") if sizes.compiled else ("off",):
        trainers = {name: build("dcgan_small", sizes, mode, penalties=list(p)) for name, p in PENALTIES.items()}
        seconds = alternate({name: trainer.advance for name, trainer in trainers.items()}, sizes)
        title = f"penalties of dcgan_small, {sizes.side}x{sizes.side}, {'compiled' if mode == 'on' else 'eager'}"
        yield from rates(title, seconds, sizes.batch, "images", "no penalty")


def enlarge(sizes: Sizes) -> Iterator[Row]:
    """Megapixels of output a second of the embedded upscalers."""
    side = 48 if sizes.quick else 512
    image = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    from ganvas.imaging.photo import Photo

    for name in ("x2", "x4"):
        model = resolve(name)
        ways: dict[str, Callable[[], object]] = {}
        for precision in ("fp32", "bf16"):
            enhancer = Enhancer(model, Policy.choose(sizes.device, precision), EnhanceOptions())
            ways[precision] = lambda enhancer=enhancer: enhancer.photo(Photo(image))
        pixels = (side * model.network.scale) ** 2 / 1e6
        yield from rates(
            f"upscale {name}, {side}x{side}{memory(sizes.device)}", alternate(ways, sizes), pixels, "MP", "fp32"
        )


def features(sizes: Sizes) -> Iterator[Row]:
    """Images a second of the feature networks, and seconds of a Frechet distance."""
    images = torch.rand(sizes.batch, 3, 64, 64).mul_(2).sub_(1)
    for name in ("pocket",) if sizes.quick else ("pocket", "inception", "vgg16"):
        try:
            network = Features(name, device=torch.device(sizes.device))
        except UserError as problem:
            yield "features", name, f"not measured: {problem}"
            continue
        seconds = alternate({name: lambda network=network: network(images)}, sizes)
        yield from rates("features, from 64x64", seconds, sizes.batch, "images", name)
    width = 32 if sizes.quick else 2048
    a, b = (Gaussian.of(torch.randn(2 * width, width)) for _ in range(2))
    yield "Frechet distance", f"{width} features", f"{timed(lambda: frechet_distance(a, b), 'cpu'):.2f} s"


def one_process(sizes: Sizes) -> Iterator[Row]:
    """The cost of averaging gradients in a group of one process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    os.environ.update(place, RANK="0", WORLD_SIZE="1", LOCAL_RANK="0")
    group = Processes(torch.device(sizes.device))
    try:
        ways = {"alone": build("dcgan", sizes).advance, "torchrun of one": build("dcgan", sizes, group=group).advance}
        yield from rates(f"dcgan, batch {sizes.batch}", alternate(ways, sizes), sizes.batch, "images", "alone")
    finally:
        group.close()


PARTS = {
    "step": step,
    "compile": compiled,
    "penalties": penalties,
    "sr": enlarge,
    "features": features,
    "ddp": one_process,
}


def machine(device: str) -> str:
    """The device and the version of PyTorch."""
    name = torch.cuda.get_device_name() if device.startswith("cuda") else f"CPU, {torch.get_num_threads()} threads"
    return f"{name}; PyTorch {torch.__version__}; {platform.platform()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small sizes and one round")
    parser.add_argument("--compile", action="store_true", help="also compile on the CPU")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[*PARTS])
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("There is no GPU that PyTorch can use; --device cpu --quick tries the script.")
    sizes = Sizes(args.device, args.quick, args.compile or args.device.startswith("cuda"))
    print(f"{machine(args.device)}\n\n| measured | with | figure |\n|---|---|---|", flush=True)
    for name in args.only:
        try:
            for row in PARTS[name](sizes):
                print("| " + " | ".join(row) + " |", flush=True)
        except (RuntimeError, UserError) as problem:  # one part that a GPU cannot do leaves the others
            print(f"| {name} | | failed: {str(problem).splitlines()[0]} |", flush=True)


if __name__ == "__main__":
    main()
