"""Figures of docs/latent.md: projection, tuning, and directions of labels, on MNIST.

`python benchmarks/latent.py RUN [--judge JUDGE]`; RUN is a generator of MNIST's 28x28 digits without labels, JUDGE a
run of the recipe classifier on MNIST.  Real images are read from GANVAS_DATA, by default ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

import torch

import ganvas
from ganvas.api import Model, open_source
from ganvas.data.batches import iterate_once
from ganvas.latent.codes import Codes
from ganvas.latent.directions import Direction, move
from ganvas.latent.discover import discover
from ganvas.latent.project import Encodes, measured, project
from ganvas.latent.tune import tune

DATA = Path(os.environ.get("GANVAS_DATA", Path(__file__).parents[2] / "shared" / "data"))
SEEDS = range(100_000, 103_000)  # not those that directions were computed from
PER_CLASS = 100  # seeds of each class that are moved
REACH = torch.arange(0, 3.01, 0.25)


def own_images(model: Model) -> dict[str, float]:
    """PSNR of ten images that the model drew itself, projected."""
    found = project(model, model.sample(10, seed=1000)).psnr
    return {"own_psnr_median": median(found), "own_psnr_least": min(found)}


def held_out(count: int) -> torch.Tensor:
    """The first test images of MNIST: (N, 1, 28, 28)."""
    return next(iter(iterate_once(open_source(str(DATA / "mnist" / "t10k-images-idx3-ubyte.gz")), count)))["image"]


def encoded_images(model: Model) -> dict[str, float]:
    """PSNR and perceptual distance of ten held-out images drawn from the encoder's codes, without descent."""
    images = held_out(10)
    with torch.inference_mode():
        values = model.task.encode(images).float()
    codes = Codes("z", values, model.fingerprint, "the encoder's")
    found = measured(model, codes, images, codes.check(model), 0)
    return {
        "random_psnr": mean(found.random_psnr),
        "random_distance": mean(found.random_lpips),
        "encoded_psnr": mean(found.psnr),
        "encoded_distance": mean(found.lpips),
    }


def real_images(model: Model) -> dict[str, float]:
    """PSNR and perceptual distance of ten held-out images: of random codes, projected, and tuned."""
    images = held_out(10)
    result = project(model, images)
    tuned, codes = tune(model, result.codes, images)
    after = measured(tuned, codes, images, codes.check(tuned), 0)
    return {
        "random_psnr": mean(result.random_psnr),
        "random_distance": mean(result.random_lpips),
        "psnr": mean(result.psnr),
        "distance": mean(result.lpips),
        "tuned_psnr": mean(after.psnr),
        "tuned_psnr_least": min(after.psnr),
        "tuned_distance": mean(after.lpips),
    }


def changes(model: Model, judge: Model, direction: Direction, own: int, other: int) -> dict[str, float]:
    """Shares of seeds of two classes whose class changes before 3 standard deviations; of a random direction, too."""
    space = direction.check(model)
    codes = space.of_seeds(SEEDS)
    begin = judge.predict(space.draw(codes)).argmax(1)
    chance = torch.randn(space.size, generator=torch.Generator().manual_seed(0))
    numbers = {}
    for name, one in (("", direction), ("random_", replace(direction, vector=chance / chance.norm()))):
        ends = []
        for first, second, sign in ((own, other, -1.0), (other, own, 1.0)):
            some = codes[begin == first][:PER_CLASS]
            steps = (sign * REACH).tolist()
            classes = [judge.predict(space.draw(move(space, some, [(one, s)], ()))).argmax(1) for s in steps]
            ends.append((torch.stack(classes), first, second))
        changed = [(classes != first).any(0) for classes, first, _ in ends]
        swapped = [(classes == second).any(0) for classes, _, second in ends]
        numbers |= {f"{name}changed": share(changed), f"{name}becomes_the_other": share(swapped)}
    return {**numbers, "seeds": float(sum(classes.shape[1] for classes, _, _ in ends))}


def share(parts: list[torch.Tensor]) -> float:
    """The share of true values."""
    return float(torch.cat(parts).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--judge", type=Path)
    parser.add_argument("--only", choices=("own", "real", "encoder", "labels"))
    arguments = parser.parse_args()
    model = ganvas.load(arguments.run, device="cpu", precision="fp32")
    numbers: dict[str, float] = {}
    if arguments.only in (None, "own"):
        numbers |= own_images(model)
    if arguments.only in (None, "real"):
        numbers |= real_images(model)
    if arguments.only in (None, "encoder") and isinstance(model.task, Encodes):
        numbers |= encoded_images(model)
    if arguments.judge and arguments.only in (None, "labels"):
        judge = ganvas.load(arguments.judge, device="cpu", precision="fp32")
        (direction,) = discover(model, "labels", classifier=judge, classes=("3", "8"), samples=10_000)
        names = judge.class_names
        numbers |= changes(model, judge, direction, names.index("3"), names.index("8"))
    print(json.dumps({k: round(v, 4) for k, v in numbers.items()}))


if __name__ == "__main__":
    main()
