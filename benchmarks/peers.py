"""Ganvas's recommended recipe beside the usual baselines: equal processor time, equal data, one judge.

    python benchmarks/judge.py train MNIST runs/gallery/judge
    python benchmarks/peers.py --judge runs/gallery/judge --minutes 3 10 30 --seeds 0 1 2
    python benchmarks/peers.py --judge runs/gallery/judge --ways ours --minutes 3 --seeds 0

Minutes are processor time of one thread, so that other work on the machine favours no side.  The baselines are written
here from the papers and the published settings; they learn MNIST padded to 32x32 and are judged on the middle 28x28.

lesson    the networks and the loop of PyTorch's DCGAN lesson (Radford et al. 2015), at 32x32 instead of 64x64: one
          stage less, a fifth of the work an image, so more images in the time
wgan_gp   Gulrajani et al. 2017, algorithm 1, on the lesson's networks without batch norm in the critic
light     a GAN of lightweight-gan's kind (Liu et al. 2021, without its decoder of the discriminator's maps): skip-layer
          excitation, gated units, hinge loss, a gradient penalty of 10 at every fourth step, DiffAugment, averaged
          weights
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))

from judge import PART, SAMPLES, Judge

from ganvas.api import build_trainer, find_recipe, open_source
from ganvas.augment.diffaugment import DiffAugment
from ganvas.config import Recipe
from ganvas.policy import Policy

DATA = Path(os.environ.get("GANVAS_DATA", Path(__file__).parents[2] / "shared" / "data")) / "mnist"
NOISE, WIDTH = 100, 64  # the lesson's nz, and its ngf and ndf


def lesson_weights(module: nn.Module) -> None:
    """The lesson's initialisation: N(0, 0.02) for convolutions, N(1, 0.02) for batch norm."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def lesson_widths(side: int) -> list[int]:
    """Channels of the maps from the image inwards: at 64 pixels the lesson's four, at 32 three."""
    return [WIDTH << k for k in range(side.bit_length() - 3)]


def lesson_generator(side: int = 32, channels: int = 1) -> nn.Sequential:
    """Noise (N, 100, 1, 1) to images (N, channels, side, side)."""
    widths = lesson_widths(side)[::-1]
    layers: list[nn.Module] = [nn.ConvTranspose2d(NOISE, widths[0], 4, bias=False)]
    for inputs, outputs in zip(widths, [*widths[1:], channels]):
        layers += [nn.BatchNorm2d(inputs), nn.ReLU(True), nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
    return nn.Sequential(*layers, nn.Tanh()).apply(lesson_weights)


def lesson_discriminator(side: int = 32, channels: int = 1, norm: bool = True) -> nn.Sequential:
    """Images (N, channels, side, side) to logits (N, 1, 1, 1); the lesson's sigmoid is in the loss."""
    widths = lesson_widths(side)
    layers: list[nn.Module] = []
    for inputs, outputs in zip([channels, *widths], widths):
        layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(outputs)] if norm and inputs != channels else []
        layers.append(nn.LeakyReLU(0.2, True))
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, bias=False)).apply(lesson_weights)


class Lesson:
    """The DCGAN lesson: batches of 128, Adam at 2e-4 with beta 0.5, real and fake batches apart."""

    batch, lr, betas = 128, 2e-4, (0.5, 0.999)

    def __init__(self) -> None:
        self.g, self.d = self.networks()
        self.g_optimizer = torch.optim.Adam(self.g.parameters(), self.lr, self.betas)
        self.d_optimizer = torch.optim.Adam(self.d.parameters(), self.lr, self.betas)

    def networks(self) -> tuple[nn.Module, nn.Module]:
        return lesson_generator(), lesson_discriminator()

    def noise(self) -> Tensor:
        return torch.randn(self.batch, NOISE, 1, 1)

    def step(self, batches: Iterator[Tensor]) -> int:
        """One step of both players; returns the number of real images."""
        real, ones = next(batches), torch.ones(self.batch)
        self.d.zero_grad()
        F.binary_cross_entropy_with_logits(self.d(real).view(-1), ones).backward()
        fake = self.g(self.noise())
        F.binary_cross_entropy_with_logits(self.d(fake.detach()).view(-1), torch.zeros(self.batch)).backward()
        self.d_optimizer.step()
        self.g.zero_grad()
        F.binary_cross_entropy_with_logits(self.d(fake).view(-1), ones).backward()
        self.g_optimizer.step()
        return self.batch

    @torch.no_grad()
    def sample(self, count: int, seed: int) -> Tensor:
        """Images (N, 1, 28, 28); in training mode, as the lesson draws its own."""
        return self.g(torch.randn(count, NOISE, 1, 1, generator=torch.Generator().manual_seed(seed)))[..., 2:30, 2:30]


class WGANGP(Lesson):
    """WGAN-GP: five critic steps, penalty of 10, Adam at 1e-4 with betas 0 and 0.9, batches of 64."""

    batch, lr, betas = 64, 1e-4, (0.0, 0.9)

    def networks(self) -> tuple[nn.Module, nn.Module]:
        return lesson_generator(), lesson_discriminator(norm=False)

    def step(self, batches: Iterator[Tensor]) -> int:
        for _ in range(5):
            real = next(batches)
            with torch.no_grad():
                fake = self.g(self.noise())
            between = torch.lerp(real, fake, torch.rand(self.batch, 1, 1, 1)).requires_grad_()
            (slope,) = torch.autograd.grad(self.d(between).sum(), between, create_graph=True)
            penalty = 10 * (slope.flatten(1).norm(dim=1) - 1).square().mean()
            self.d_optimizer.zero_grad()
            (self.d(fake).mean() - self.d(real).mean() + penalty).backward()
            self.d_optimizer.step()
        self.g_optimizer.zero_grad()
        (-self.d(self.g(self.noise())).mean()).backward()
        self.g_optimizer.step()
        return 5 * self.batch


class Gated(nn.Module):
    """Upsampling, a convolution, batch norm and a gated linear unit: (N, I, h, w) to (N, O, 2h, 2w)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(inputs, 2 * outputs, 3, padding=1, bias=False), nn.BatchNorm2d(2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.norm(self.conv(F.interpolate(x, scale_factor=2.0))), 1)


class LightGenerator(nn.Module):
    """Noise (N, 100, 1, 1) to images (N, 1, 32, 32); the map of 4 pixels scales the channels of that of 16."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.ConvTranspose2d(NOISE, 512, 4, bias=False)
        self.norm = nn.BatchNorm2d(512)
        self.to8, self.to16, self.to32 = Gated(256, 128), Gated(128, 64), Gated(64, 32)
        excite = [nn.AdaptiveAvgPool2d(4), nn.Conv2d(256, 64, 4), nn.SiLU(), nn.Conv2d(64, 64, 1), nn.Sigmoid()]
        self.excite, self.out = nn.Sequential(*excite), nn.Conv2d(32, 1, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        first = F.glu(self.norm(self.start(z)), 1)
        return torch.tanh(self.out(self.to32(self.to16(self.to8(first)) * self.excite(first))))


class Light(Lesson):
    """Hinge loss, lazy gradient penalty, DiffAugment, Adam at 2e-4, weights averaged at 0.999 a step, batches of 32."""

    batch, every = 32, 4

    def __init__(self) -> None:
        super().__init__()
        self.average = copy.deepcopy(self.g).eval()
        self.augment, self.steps = DiffAugment(), 0

    def networks(self) -> tuple[nn.Module, nn.Module]:
        layers: list[nn.Module] = [nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2)]
        for inputs, outputs in ((32, 64), (64, 128)):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
        return LightGenerator(), nn.Sequential(*layers, nn.Conv2d(128, 1, 4))

    def step(self, batches: Iterator[Tensor]) -> int:
        fake, image = self.g(self.noise()), self.augment(next(batches)).requires_grad_(self.steps % self.every == 0)
        real, seen = self.d(image), self.d(self.augment(fake.detach()))
        loss = F.relu(1 - real).mean() + F.relu(1 + seen).mean()
        if image.requires_grad:
            (slope,) = torch.autograd.grad(real.sum(), image, create_graph=True)
            loss = loss + 10 * (slope.flatten(1).norm(dim=1) - 1).square().mean()
        self.steps += 1
        self.d_optimizer.zero_grad()
        loss.backward()
        self.d_optimizer.step()
        self.g_optimizer.zero_grad()
        (-self.d(self.augment(fake)).mean()).backward()
        self.g_optimizer.step()
        self.follow()
        return self.batch

    @torch.no_grad()
    def follow(self) -> None:
        """Draw the averaged weights towards the present ones, faster at first; buffers are the present ones."""
        share = max(1 - 0.999, 9 / (10 + self.steps))
        for kept, now in zip(self.average.parameters(), self.g.parameters()):
            kept.lerp_(now, share)
        for kept, now in zip(self.average.buffers(), self.g.buffers()):
            kept.copy_(now)

    @torch.no_grad()
    def sample(self, count: int, seed: int) -> Tensor:
        z = torch.randn(count, NOISE, 1, 1, generator=torch.Generator().manual_seed(seed))
        return self.average(z)[..., 2:30, 2:30]


def changed(recipe: str) -> Recipe:
    """A recipe named as `NAME path=value ...`."""
    name, *changes = recipe.split()
    found = find_recipe(name)
    for change in changes:
        path, _, value = change.partition("=")
        found.set(path, value)
    return found


class Ours:
    """A recipe as `ganvas train` runs it, as long as this machine computes in the time."""

    def __init__(self, recipe: str, minutes: float, seed: int):
        data, policy = open_source(str(DATA)), Policy.choose("cpu", "auto", "off")
        trial = build_trainer(changed(recipe), data, seed=seed, policy=policy)
        seconds = spend(lambda: trial.advance(), 10.0)
        planned = changed(recipe)
        planned.images = max(int(60 * minutes * trial.images / seconds * 0.97), planned.batch)
        self.trainer = build_trainer(planned, data, seed=seed, policy=policy)

    def step(self, _: Iterator[Tensor]) -> int:
        before = self.trainer.images
        self.trainer.advance()
        return self.trainer.images - before

    @torch.no_grad()
    def sample(self, count: int, seed: int) -> Tensor:
        with self.trainer.use_average() as task:
            return task.sample(task.inputs(range(seed, seed + count))).float()


PEERS: dict[str, Callable[[], Lesson]] = {"lesson": Lesson, "wgan_gp": WGANGP, "light": Light}


def spend(step: Callable[[], Any], seconds: float) -> float:
    """Repeat a step for so many seconds of processor time; returns those it took."""
    start = time.process_time()
    while time.process_time() - start < seconds:
        step()
    return time.process_time() - start


def batches_of(images: Tensor, size: int, seed: int) -> Iterator[Tensor]:
    """Shuffled batches of images padded to 32x32, epoch after epoch."""
    source = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(images), generator=source)
        for part in order[: len(order) // size * size].split(size):
            yield F.pad(images[part], (2, 2, 2, 2), value=-1.0)


def compete(
    way: str, recipe: str, minutes: list[float], seed: int, images: Tensor, judge: Judge
) -> Iterator[dict[str, Any]]:
    """Train one way and measure its samples after each of these minutes of processor time, the shortest first.

    A baseline goes on from one number of minutes to the next: its rates are constant.  A recipe of ours, whose
    schedules know the end, is trained from the beginning for each.
    """
    torch.manual_seed(seed)
    if way == "ours" and len(minutes) > 1:
        for each in minutes:
            yield from compete(way, recipe, [each], seed, images, judge)
        return
    peer = Ours(recipe, minutes[0], seed) if way == "ours" else PEERS[way]()
    batches, seen, spent = batches_of(images, getattr(peer, "batch", 32), seed), 0, 0.0

    def step() -> None:
        nonlocal seen
        seen += peer.step(batches)

    for each in sorted(minutes):
        spent += spend(step, 60 * each - spent)
        found = judge.measure(peer.sample(PART, k) for k in range(0, SAMPLES, PART))
        yield {"way": recipe if way == "ours" else way, "minutes": each, "seed": seed, "images": seen, **found}


def main() -> None:
    """Print one line of JSON for each way, number of minutes and seed; lines that --log has are not repeated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--ways", nargs="+", default=["ours", *PEERS], choices=["ours", *PEERS])
    parser.add_argument("--recipe", default="dcgan_small", help="ours: 'NAME path=value ...'")
    parser.add_argument("--minutes", nargs="+", type=float, default=[3, 10, 30])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--log", type=Path, help="file of the lines, so that a stopped comparison goes on")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    lines = asked.log.read_text().splitlines() if asked.log and asked.log.exists() else []
    done = {(r["way"], r["minutes"], r["seed"]) for r in map(json.loads, lines)}
    judge, pixels = Judge(asked.judge, str(DATA)), open_source(str(DATA)).images
    images = torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1
    for seed, way in itertools.product(asked.seeds, asked.ways):
        name = asked.recipe if way == "ours" else way
        left = [minutes for minutes in asked.minutes if (name, minutes, seed) not in done]
        for found in compete(way, asked.recipe, left, seed, images, judge):
            print(json.dumps(found), flush=True)
            if asked.log:
                with asked.log.open("a") as file:
                    file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
