"""Benchmark of the doctor: small runs with one planted problem each, and ten healthy recipes.

    python benchmarks/doctor.py --keep runs/doctor         train all of them there, then print the table
    python benchmarks/doctor.py --keep runs/doctor         the second time: only read their logs
    python benchmarks/doctor.py --only oscillation dcgan   some of them
    python benchmarks/doctor.py --cost                     the cost of the measurements

Every run is 4,000 steps on embedded data (handwritten digits of 8x8 pixels, or points), with a batch of 16 for digits;
runs with a planted problem stop after two fifths.
A planted problem is detected if one of the names in `says` is among the findings; other findings are listed, and any
finding in a healthy run is a false alarm.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

import ganvas
from ganvas import Recipe, Spec, UserError, catalog
from ganvas.api import TrainRequest, prepare
from ganvas.data.sources import open_source
from ganvas.data.transforms import Transform
from ganvas.doctor import Finding, diagnose
from ganvas.doctor.signals import STEPS as STEPS_APART
from ganvas.doctor.signals import THOROUGH, spectral_norms
from ganvas.doctor.weight_signals import update_ratio
from ganvas.networks.dcgan import Generator
from ganvas.run import Run
from ganvas.training.recorder import Event, Stepped

STEPS = 4000
WATCHED = 0.4  # share of a run with a planted problem that is trained; a fifth should suffice


class Enough(Exception):
    """Ends a run that has been trained for long enough."""


class Overshooting(Generator):
    """A generator whose last layer is not a tanh: its images leave [-1, 1]."""

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Three times as wide a range as images have."""
        return 3 * super().forward(z, label)


class Sigmoid(Generator):
    """A generator for images in [0, 1] where images are in [-1, 1]."""

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Values from 0 to 1."""
        return super().forward(z, label) / 2 + 0.5


class Checkered(Generator):
    """A generator whose last layer overlaps unevenly and cannot learn better (Odena et al. 2016)."""

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Every second pixel of every second row gets more than its neighbours."""
        image = super().forward(z, label)
        overlap = torch.full_like(image[0], 0.7)
        overlap[:, ::2, ::2] = 1
        return image * overlap


class Deaf(Generator):
    """A generator that ignores its labels."""

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images of class 0 for every label."""
        return super().forward(z, None if label is None else torch.zeros_like(label))


class Slow(Transform):
    """A transform that takes `seconds`."""

    def __init__(self, *, seconds: float = 0.01):
        self.seconds = seconds

    def change(self, images: Tensor) -> Tensor:
        """The same images, late."""
        time.sleep(self.seconds)
        return images


@dataclass(frozen=True)
class Case:
    """A run, and its expected findings."""

    name: str
    says: tuple[str, ...] = ()  # names of the planted problem; none: the run is healthy
    recipe: str = "dcgan_small"
    data: str = "digits"
    set: Mapping[str, Any] = field(default_factory=dict)
    generator: Spec | None = None  # outside the catalogue
    transforms: tuple[Spec, ...] = ()
    images: int | None = None  # of the data, the first so many
    batch: int | None = 16
    hold_out: int | None = None
    resolution: int = 8

    def train(self, folder: Path, steps: int, seed: int = 0) -> Run:
        """Train the run; one that fails ends early."""
        recipe: Recipe = catalog.RECIPES[self.recipe]()
        for path, value in self.set.items():
            recipe.set(path, str(value))
        if self.generator:
            recipe.task = recipe.task.replace(generator=self.generator)
        recipe.transforms = list(self.transforms)
        size = (self.resolution, self.resolution) if self.data == "digits" else None
        dataset = open_source(self.data, resolution=size)
        dataset = dataset.subset(range(self.images)) if self.images else dataset
        batch = self.batch or recipe.batch
        drawn = batch * max(recipe.d_steps if isinstance(recipe.d_steps, int) else 5, recipe.g_steps)
        options = {"images": steps * drawn, "batch": batch, "hold_out": self.hold_out, "seed": seed}
        with contextlib.suppress(Enough):
            try:
                options |= {"device": "cpu", "precision": "fp32", "on_event": self.watch}
                ganvas.train(recipe, data=dataset, outdir=folder, **options)
            except UserError as problem:
                print(f"{self.name} ended: {problem}", flush=True)
        return Run(folder)

    def watch(self, event: Event) -> None:
        """End a run with a planted problem after WATCHED of its images."""
        if self.says and isinstance(event, Stepped) and event.progress.fraction > WATCHED:
            raise Enough


SMALL = {"generator.width": 16, "discriminator.width": 16}
ON_DCGAN = {
    "generator": "dcgan_generator(width=16)",
    "discriminator": "dcgan_discriminator(width=16,norm='none',head=plain(bias=true))",
}
NOTHING = {**SMALL, "penalties": "[]"}

MOMENTUM = {"g_optimizer.betas": "(0.9,0.99)", "d_optimizer.betas": "(0.9,0.99)"}

PLANTED = [
    Case(
        "discriminator wins",
        ("discriminator wins", "vanishing gradient"),
        set={**NOTHING, "discriminator.width": 64, "d_steps": 3, "g_optimizer.lr": 2e-5},
    ),
    Case("generator wins", ("generator wins",), set={**SMALL, "d_optimizer.lr": 1e-6}),
    Case(
        "mode collapse, full",
        ("mode collapse",),
        recipe="gan_points",
        data="ring",
        set={"loss": "wasserstein", "discriminator.frequencies": 0, **MOMENTUM},
        batch=None,
    ),
    Case(
        "mode collapse, partial",
        ("partial mode collapse", "mode collapse"),
        recipe="gan_points",
        data="grid",
        set={"loss": "minimax"},
        batch=None,
    ),
    Case(
        "discriminator overfitting",
        ("discriminator overfitting",),
        set={**NOTHING, "discriminator.width": 64, "g_optimizer.lr": 5e-4, "d_optimizer.lr": 5e-4},
        images=128,
        hold_out=64,
    ),
    Case(
        "overfitting, nothing held out",
        ("discriminator overfitting",),
        set={**NOTHING, "discriminator.width": 64, "g_optimizer.lr": 1e-3, "d_optimizer.lr": 1e-3},
        images=64,
    ),
    Case(
        "vanishing gradient",
        ("vanishing gradient",),
        set={**NOTHING, "loss": "minimax", "d_steps": 3, "g_optimizer.lr": 2e-4},
    ),
    Case(
        "exploding gradient",
        ("exploding gradient",),
        recipe="gan_points",
        data="ring",
        set={"loss": "wasserstein", "g_optimizer.lr": 1e-2, "d_optimizer.lr": 1e-2},
        batch=None,
    ),
    Case(
        "oscillation",
        ("oscillation",),
        recipe="gan",
        set={"generator.width": 128, "discriminator.width": 64, "g_optimizer.lr": 2e-3, **MOMENTUM},
    ),
    Case("checkerboard", ("checkerboard",), set=SMALL, generator=Spec(Checkered, width=16), resolution=16),
    Case(
        "learning rate too high",
        ("learning rate too high",),
        set={**SMALL, "g_optimizer.lr": 0.3, "d_optimizer.lr": 0.3},
    ),
    Case(
        "labels ignored",
        ("labels ignored",),
        set={**SMALL, "conditional": "true", "discriminator.head": "projection"},
        generator=Spec(Deaf, width=16),
    ),
    Case("range too wide", ("output range mismatch",), set=SMALL, generator=Spec(Overshooting, width=16)),
    Case("range 0 to 1", ("output range mismatch",), set=SMALL, generator=Spec(Sigmoid, width=16)),
    Case("data loader bound", ("data loader bound",), set=SMALL, transforms=(Spec(Slow),)),
]

HEALTHY = [
    Case("dcgan_small", set=SMALL, hold_out=300),
    Case("lsgan", recipe="lsgan", set=SMALL),
    Case("hinge", recipe="hinge", set=SMALL, hold_out=300),
    Case("dragan", recipe="dragan", set=SMALL),
    Case("wgan_gp", recipe="wgan_gp", set=ON_DCGAN),
    Case("r3gan", recipe="r3gan", set=ON_DCGAN),
    Case("projection", set={**SMALL, "conditional": "true", "discriminator.head": "projection"}),
    Case("cgan", recipe="cgan", set=SMALL),
    Case("wgan_gp_points", recipe="wgan_gp_points", data="ring", batch=None),
    Case("r3gan_points", recipe="r3gan_points", data="grid", batch=None),
]


MEASURED = [("dcgan_small", "digits", 32), ("dcgan", "photos", 64), ("gan_points", "ring", None)]


def cost(recipe: str, data: str, resolution: int | None, steps: int = 16) -> str:
    """Medians of the cost of a step and of the measurements in a run, as a line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        request = TrainRequest(
            recipe, data, Path(folder) / "run", resolution=resolution, device="cpu", precision="fp32"
        )
        session = prepare(request)
        trainer, signals = session.trainer, session.signals

        def seconds(work: Callable[[], Any]) -> float:
            began = time.process_time()  # of one thread: what else runs does not count
            work()
            return time.process_time() - began

        def compare() -> None:
            for player in trainer.players.values():
                before = [weight.detach().clone() for weight in player.weights]
                update_ratio(before, player.weights)

        seconds(lambda: (trainer.advance(), signals.measure(trainer)))  # work that is done once
        step = median(seconds(trainer.advance) for _ in range(steps))
        usual = median(seconds(lambda: (compare(), signals.measure(trainer, False))) for _ in range(steps // 4))
        whole = median(
            seconds(lambda: (compare(), spectral_norms(trainer), signals.measure(trainer))) for _ in range(steps // 4)
        )
        session.close()
    mean = ((THOROUGH - 1) * usual + whole) / THOROUGH
    figures = " | ".join(f"{1000 * value:.1f} ms" for value in (step, usual, whole))
    name = f"{recipe}, {data} {resolution or ''}, batch {trainer.recipe.batch}"
    return f"| {name} | {figures} | {mean / STEPS_APART / step:.1%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="a folder for the runs; those that are there are not trained again")
    parser.add_argument("--only", nargs="+", default=[], help="names of cases")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cost", action="store_true", help="measure the cost of the measurements instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.cost:
        print("| run | step | measurement | every eighth | share of time |\n|---|---|---|---|---|")
        for case in MEASURED:
            print(cost(*case), flush=True)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = options.keep or Path(place)
        for title, cases in (("planted", PLANTED), ("healthy", HEALTHY)):
            print(f"| {title} | run | finding | at | other findings |\n|---|---|---|---|---|", flush=True)
            for case in cases:
                if not options.only or case.name in options.only:
                    run = Run(folder / case.name.replace(" ", "-").replace(",", ""))
                    print(
                        row(case, run if run.exists() else case.train(run.path, options.steps, options.seed)),
                        flush=True,
                    )
            print()


def row(case: Case, run: Run) -> str:
    """The findings of a run, as a line of the table."""
    length = run.config()["recipe"]["images"]

    def when(finding: Finding) -> str:
        return f"{100 * finding.images / length:.0f} %"

    findings = [finding for finding in diagnose(run) if not case.says or finding.images <= (WATCHED + 0.01) * length]
    match = next((finding for finding in findings if finding.trouble in case.says), None)
    others = [f"{finding.trouble} ({when(finding)})" for finding in findings if finding is not match]
    result = match.trouble if match else "missed" if case.says else "none"
    about = f"{case.recipe}, {case.data}"
    return f"| {case.name} | {about} | {result} | {when(match) if match else '-'} | {', '.join(others) or '-'} |"


if __name__ == "__main__":
    main()
