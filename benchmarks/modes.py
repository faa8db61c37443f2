"""How many modes the recipes for points keep, seed by seed; or how many of stacked MNIST a trained run shows.

    python benchmarks/modes.py                                     every recipe for points, ring and grid, seeds 0 to 4
    python benchmarks/modes.py --recipes r3gan_points --data grid --seeds 0 --images 600000
    python benchmarks/modes.py --run runs/stacked --classifier runs/classifier      26,000 samples by a digit classifier

The classifier is a run of `ganvas train classifier` on the same source that was stacked.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import ganvas
from ganvas.data.toy import modes
from ganvas.metrics.modes import Coverage, class_coverage, coverage

RECIPES = ["gan_points", "wgan_gp_points", "sngan_points", "minibatch_points", "r3gan_points"]
SAMPLES = 10_000


def on_points(recipe: str, data: str, seed: int, images: int | None, folder: Path) -> Coverage:
    """The modes that a recipe keeps with one seed, after so many images or its own number of them."""
    run = ganvas.train(recipe, data=data, outdir=folder / f"{recipe}-{data}-{seed}", seed=seed, images=images)
    points = ganvas.load(run.path).sample(SAMPLES).flatten(1).numpy()
    return coverage(points, *modes(data))


def of_stacked(run: str, classifier: str, count: int) -> Coverage:
    """The modes of stacked images that samples of a run show to a classifier of their channels."""
    model, judge, found = ganvas.load(run), ganvas.load(classifier), []
    classes = len(judge.class_names)
    for start in range(0, count, 1000):
        images = model.sample(min(1000, count - start), seed=start)
        a, b, c = (judge.classify(images[:, k : k + 1]) for k in range(3))
        found.append(((a * classes + b) * classes + c).numpy())
    return class_coverage(np.concatenate(found), classes**3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--data", nargs="+", default=["ring", "grid"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--images", type=int, help="length of a run; without it, the recipe's")
    parser.add_argument("--threads", type=int, default=1, help="points are too small for more")
    parser.add_argument("--run")
    parser.add_argument("--classifier")
    parser.add_argument("--samples", type=int, default=26_000)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.run:
        print(of_stacked(asked.run, asked.classifier, asked.samples))
        return
    print(f"{'recipe':18} {'data':5} seed  modes   good  reverse KL  seconds")
    with tempfile.TemporaryDirectory() as folder:
        for recipe in asked.recipes:
            for data in asked.data:
                for seed in asked.seeds:
                    began = time.perf_counter()
                    found = on_points(recipe, data, seed, asked.images, Path(folder))
                    took = time.perf_counter() - began
                    share = f"{found.modes:2}/{found.total_modes:<2}  {100 * (found.high_quality or 0):5.1f} %"
                    print(f"{recipe:18} {data:5} {seed:4}  {share} {found.reverse_kl:8.4f} {took:9.0f}", flush=True)


if __name__ == "__main__":
    main()
