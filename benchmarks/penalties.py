"""R1 and R2 by finite differences against the exact ones: points, digits, and time of a step.

    python benchmarks/penalties.py points --outdir RUNS        25 modes of the grid, seeds 0 to 4
    python benchmarks/penalties.py digits --outdir RUNS --judge runs/judge    MNIST by `dcgan_small`, seeds 0 to 2
    python benchmarks/penalties.py speed [--compile]           a step of DCGAN and R3GAN, in turn

Runs are resumed where they stand; a finished one is measured again.  MNIST is read from $GANVAS_DATA/mnist.
The judge is that of benchmarks/judge.py, and is trained first if its folder is empty.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

import judge as judges

import ganvas
from ganvas.api import find_recipe
from ganvas.config import Recipe, Spec
from ganvas.data.toy import modes
from ganvas.losses.gradient_penalties import R1, R2
from ganvas.metrics.modes import coverage
from ganvas.policy import Policy
from ganvas.run import Run
from ganvas.schedule import Anneal
from ganvas.training.trainer import Trainer

MNIST = Path(os.environ.get("GANVAS_DATA", Path(__file__).parents[2] / "shared" / "data")) / "mnist"
KINDS = {  # options of the penalties by name of the row
    "exact": {},
    "sigma 0.001": {"approximate": True, "sigma": 0.001},
    "sigma 0.01": {"approximate": True},
    "sigma 0.1": {"approximate": True, "sigma": 0.1},
}
SPEED = ("exact", "sigma 0.01")
CASES = {"dcgan_small-32": [], "dcgan_small-64": [], "r3gan-32": ["generator.width=32", "discriminator.width=32"]}


def with_penalties(recipe: Recipe, penalties: list[Spec]) -> Recipe:
    recipe.task = recipe.task.replace(penalties=penalties)
    return recipe


def trained(recipe: Recipe, data: str, folder: Path, seed: int, **options: object) -> Run:
    """The run in that folder, trained to its end."""
    resume = (folder / "config.json").exists()
    return ganvas.train(recipe, data=data, outdir=folder, seed=seed, resume=resume, **options)


def points(kind: str, seed: int, folder: Path, asked: argparse.Namespace) -> str:
    gamma = Spec(Anneal, start=0.01, end=0.0001)
    both = [Spec(cls, gamma=gamma.copy(), every=4, **KINDS[kind]) for cls in (R1, R2)]
    run = trained(with_penalties(find_recipe("r3gan_points"), both), "grid", folder, seed, images=asked.images)
    found = coverage(ganvas.load(run.path).sample(10_000).flatten(1).numpy(), *modes("grid"))
    seconds = run.log()[-1]["seconds"]
    return f"{found.modes:2}/25  {100 * (found.high_quality or 0):5.1f} %  KL {found.reverse_kl:.4f}  {seconds:5.0f} s"


def digits(kind: str, seed: int, folder: Path, asked: argparse.Namespace) -> str:
    recipe = with_penalties(find_recipe("dcgan_small"), [Spec(R1, gamma=0.5, every=8, **KINDS[kind])])
    run = trained(recipe, str(MNIST), folder, seed, images=asked.images, precision="fp32")
    judges.train(str(MNIST), asked.judge)
    numbers = judges.Judge(asked.judge, str(MNIST)).measure(*judges.samples(ganvas.load(run.path), judges.SAMPLES))
    figures = f"FD {numbers['fd_judge']:.2f}  sure {100 * numbers['sure']:.1f} %"
    return f"{figures}  {run.log()[-1]['seconds']:5.0f} s"


class Fixed:
    """The same batch again and again."""

    def __init__(self, images: torch.Tensor):
        self.images = images

    def stream(self, starts, count):
        for _ in starts:
            yield {"image": self.images[:count]}


def steps(recipe: Recipe, side: int, policy: Policy) -> Trainer:
    torch.manual_seed(0)
    images = torch.rand(recipe.batch, 3, side, side, device=policy.device) * 2 - 1
    return Trainer(recipe.task.build(resolution=(side, side), channels=3), recipe, Fixed(images), policy)  # type: ignore[arg-type]


def seconds_of(trainer: Trainer, count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        trainer.advance()
    return (time.process_time() - start) / count


def speed(asked: argparse.Namespace) -> None:
    print("processor seconds of a step by the penalty, and exact : approximate")
    for case in asked.cases:
        (name, _, pixels), options = case.partition("-"), CASES[case]
        side, penalties = int(pixels), (R1, R2) if name == "r3gan" else (R1,)
        for precision in asked.precisions:
            for every in (1, 8):
                trainers = []
                for kind in SPEED:
                    recipe = find_recipe(name)
                    for option in options:
                        recipe.set(*option.split("="))
                    recipe.batch = asked.batch
                    both = [Spec(cls, gamma=0.5, every=every, **KINDS[kind]) for cls in penalties]
                    policy = Policy(torch.device("cpu"), precision == "bf16", asked.compile)
                    trainers.append(steps(with_penalties(recipe, both), side, policy))
                    seconds_of(trainers[-1], every)  # warm-up and compilation
                rounds = [[seconds_of(trainer, every) for trainer in trainers] for _ in range(asked.rounds)]
                exact, ours = (statistics.median(times) for times in zip(*rounds))
                ratio = statistics.median(a / b for a, b in rounds)
                where = f"{name} {side}x{side} {precision} every={every}"
                print(f"{where:36} {exact:.3f} {ours:.3f}  x {ratio:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["points", "digits", "speed"])
    parser.add_argument("--outdir", type=Path, default=Path("runs/penalties"))
    parser.add_argument("--judge", type=Path, default=Path("runs/judge"), help="digits: run of the classifier")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--images", type=int, help="length of a run; without it, the recipe's")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES), help="speed: recipe-pixels")
    parser.add_argument("--compile", action="store_true", help="speed: torch.compile of the adversarial pass")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.what == "speed":
        return speed(asked)
    measure = {"points": points, "digits": digits}[asked.what]
    for seed in asked.seeds or range({"points": 5, "digits": 3}[asked.what]):
        for kind in asked.kinds:
            folder = asked.outdir / f"{asked.what}-{kind.replace(' ', '')}-{seed}"
            folder.parent.mkdir(parents=True, exist_ok=True)
            print(f"{asked.what} seed {seed}  {kind:12} {measure(kind, seed, folder, asked)}", flush=True)


if __name__ == "__main__":
    main()
