"""Train the embedded models of `ganvas upscale`, write them into the package, and measure them.

    python benchmarks/embedded.py train SR-TRAIN --scale 4 --images 180000 --outdir runs/x4 [--resume]
    python benchmarks/embedded.py write runs/x4 --scale 4
    python benchmarks/embedded.py measure SR-BENCHMARK [--model RUN] [--scale 2]      PSNR on Set5 and BSD100, on Y
    python benchmarks/embedded.py curve PSNR-RUN GAN-RUN SR-BENCHMARK -o curve.png      what interpolation trades

`train` is `ganvas train compact` with a smaller network; `write` stores the averaged weights in the layout of
Real-ESRGAN's compact files, in float32, and the log of the run beside this script.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import ganvas
from ganvas.evaluation.matching import pairs
from ganvas.export.interpolate import interpolate
from ganvas.export.pth import checkpoint_of, save_network
from ganvas.features.extractor import pocket
from ganvas.imaging.resize import resize
from ganvas.inference.enhance import Enhancer
from ganvas.metrics.psnr import psnr
from ganvas.models.cards import FOLDER, WEIGHT_FILE
from ganvas.models.foreign import build_network
from ganvas.models.resolve import ImageModel, resolve
from ganvas.policy import Policy

HERE = Path(__file__).parent
NETWORK = {"generator.width": 48, "generator.convolutions": 8}
TAPS = ["relu1", "relu2", "relu3", "relu4"]
SETS = ("Set5", "BSD100")

Enlarge = Callable[[Tensor], Tensor]  # (1, C, h, w) in [-1, 1] to a larger image


def train(asked: argparse.Namespace) -> None:
    if asked.resume:
        ganvas.train(outdir=asked.outdir, resume=True, images=asked.images)
        return
    changes = {**NETWORK, "degradation.scale": asked.scale}
    options = {"resolution": 24 * asked.scale, "images": asked.images, "batch": 8, "seed": 0}
    ganvas.train("compact", data=asked.data, outdir=asked.outdir, set=changes, **options)


def write(asked: argparse.Namespace) -> None:
    file = FOLDER / f"x{asked.scale}" / WEIGHT_FILE
    save_network(resolve(asked.run).network, file)
    shutil.copyfile(Path(asked.run) / "log.jsonl", HERE / f"compact_x{asked.scale}.jsonl")
    print(f"{file}: {file.stat().st_size:,} bytes")


def enlarged(low: Tensor, enlarge: Enlarge) -> Tensor:
    """An image (1, C, h, w) in [0, 255] enlarged, with whole levels."""
    with torch.inference_mode():
        made = enlarge(low.expand(-1, 3, -1, -1).float() / 127.5 - 1)
    return ((made.double() + 1) * 127.5).round().clamp(0, 255)


def examples(folder: Path, scale: int = 4) -> Iterator[tuple[Tensor, Tensor]]:
    """(low, high) of a test set, in [0, 255]; grey images have one channel.

    The low ones are those of the test set, or made of the high ones as MATLAB does, where another scale is asked for.
    """
    for _, high, low in pairs(folder / "HR", folder / "LR"):
        image = as_tensor(high.array)
        made = as_tensor(low.array) if scale == 4 else resize(image, scale=1 / scale).round().clamp(0, 255)
        yield made, image


def as_tensor(array: np.ndarray) -> Tensor:
    """(H, W, C) to (1, C, H, W) float64."""
    return torch.from_numpy(array.astype(np.float64)).permute(2, 0, 1)[None]


def on_y(made: Tensor, high: Tensor, border: int = 4) -> float:
    """dB on Y of BT.601; of a grey image, as it is."""
    same = made if high.shape[1] == 3 else made.mean(1, keepdim=True)
    return psnr(same, high, channel="y", border=border).item()


def through(model: ImageModel) -> Enlarge:
    """A model with everything around it, as people use it."""
    return Enhancer(model, Policy.choose("cpu", "auto"))


def measure(asked: argparse.Namespace) -> None:
    model = asked.model or f"x{asked.scale}"
    ways = {"bicubic": lambda low: resize(low, scale=asked.scale), model: through(resolve(model))}
    for name in SETS:
        made = list(examples(Path(asked.data) / name, asked.scale))
        for what, enlarge in ways.items():
            values = [on_y(enlarged(low, enlarge), high, asked.scale) for low, high in made]
            print(f"{name:8}{what:14}{np.mean(values):6.2f} dB on Y, {len(values)} images")


def perceptual(made: Tensor, high: Tensor, network: torch.nn.Module) -> float:
    """Squared difference of maps that have length one over the channels, over places and taps (Zhang et al. 2018)."""
    with torch.inference_mode():
        a, b = (network.maps(x.expand(-1, 3, -1, -1).float() / 127.5 - 1, TAPS) for x in (made, high))
    unit = torch.nn.functional.normalize
    return float(sum((unit(a[k]) - unit(b[k])).square().sum(1).mean() for k in TAPS))


def curve(asked: argparse.Namespace) -> None:
    import matplotlib.pyplot as plt

    faithful, real, network, rows = checkpoint_of(asked.faithful), checkpoint_of(asked.real), pocket(), []
    for alpha in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        enlarge = through(ImageModel(build_network(interpolate(faithful, real, alpha)), 3, "mixed"))
        found = []
        for low, high in examples(Path(asked.data) / "BSD100"):
            made = enlarged(low, enlarge)
            found.append((on_y(made, high), perceptual(made, high, network)))
        rows.append((alpha, *np.mean(found, 0)))
        print(f"alpha {alpha:.1f}: {rows[-1][1]:.2f} dB, distance {rows[-1][2]:.4f}")
    _, decibels, distances = zip(*rows)
    figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
    axes.plot(distances, decibels, "o-")
    for alpha, decibel, distance in rows:
        axes.annotate(f"{alpha:g}", (distance, decibel), textcoords="offset points", xytext=(6, 4))
    axes.set(xlabel="LPIPS-style distance, pocket features (lower is nearer)", ylabel="PSNR on Y, BSD100 x4 (dB)")
    figure.savefig(asked.output, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    learn = commands.add_parser("train")
    learn.add_argument("data")
    learn.add_argument("--scale", type=int, default=4)
    learn.add_argument("--images", type=int, default=180_000)
    learn.add_argument("--outdir", required=True)
    learn.add_argument("--resume", action="store_true")
    learn.set_defaults(run_it=train)
    store = commands.add_parser("write")
    store.add_argument("run")
    store.add_argument("--scale", type=int, default=4)
    store.set_defaults(run_it=write)
    look = commands.add_parser("measure")
    look.add_argument("data")
    look.add_argument("--model", help="a run or a weight file, instead of the embedded one")
    look.add_argument("--scale", type=int, default=4)
    look.set_defaults(run_it=measure)
    trade = commands.add_parser("curve")
    trade.add_argument("faithful")
    trade.add_argument("real")
    trade.add_argument("data")
    trade.add_argument("-o", "--output", default="curve.png")
    trade.set_defaults(run_it=curve)
    asked = parser.parse_args()
    asked.run_it(asked)


if __name__ == "__main__":
    main()
