"""Time one DCGAN step (64x64, width 64) of ganvas against the plain way, in turn in one process.

    python benchmarks/train_step.py                 the ratio, batch 64 and 128
    python benchmarks/train_step.py --techniques    what each technique gives
    python benchmarks/train_step.py --layers        how far each layer is from the matrix-product rate

The plain way is what most public code does (DCGAN's own training loop: NCHW, float32, eager, two passes of the
critic, one fake batch for both players, unfused Adam), written here from the paper and not slowed down.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

from ganvas import catalog
from ganvas.networks import strided_conv as strided
from ganvas.policy import Policy, keep_large_buffers
from ganvas.training.trainer import Trainer

SIDE, CHANNELS, NOISE, WIDTH = 64, 3, 100, 64


class Plain:
    """DCGAN training as the paper describes it and most code writes it; flags switch single techniques on."""

    def __init__(self, batch, *, frozen_critic=False, channels_last=False, bf16=False, fused=False, device="cpu"):
        self.batch, self.device, self.bf16, self.frozen_critic = batch, device, bf16, frozen_critic
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.g = self.generator().to(device, memory_format=self.layout)
        self.d = self.discriminator().to(device, memory_format=self.layout)
        options = {"lr": 2e-4, "betas": (0.5, 0.999), **({"fused": True} if fused else {"foreach": False})}
        self.g_optimizer = torch.optim.Adam(self.g.parameters(), **options)
        self.d_optimizer = torch.optim.Adam(self.d.parameters(), **options)

    @staticmethod
    def generator():
        widths = [8 * WIDTH, 4 * WIDTH, 2 * WIDTH, WIDTH]
        layers = [nn.ConvTranspose2d(NOISE, widths[0], 4, 1, 0, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(True)]
        for wide, narrow in zip(widths, widths[1:]):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU(True)]
        return nn.Sequential(*layers, nn.ConvTranspose2d(WIDTH, CHANNELS, 4, 2, 1, bias=False), nn.Tanh())

    @staticmethod
    def discriminator():
        layers = [nn.Conv2d(CHANNELS, WIDTH, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
        for k in (1, 2, 4):
            layers += [nn.Conv2d(k * WIDTH, 2 * k * WIDTH, 4, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(2 * k * WIDTH), nn.LeakyReLU(0.2, True)]
        return nn.Sequential(*layers, nn.Conv2d(8 * WIDTH, 1, 4, 1, 0, bias=False), nn.Flatten(0))

    def autocast(self):
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.bf16)

    def judge(self, images, target):
        with self.autocast():
            logits = self.d(images)
        logits = logits.float()
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

    def step(self, real):
        real = real.contiguous(memory_format=self.layout)
        self.d.zero_grad()
        self.judge(real, 1.0).backward()
        with self.autocast():
            fake = self.g(torch.randn(self.batch, NOISE, 1, 1, device=self.device))
        self.judge(fake.detach(), 0.0).backward()
        self.d_optimizer.step()
        self.g.zero_grad()
        self.d.requires_grad_(not self.frozen_critic)
        self.judge(fake, 1.0).backward()
        self.d.requires_grad_(True)
        self.g_optimizer.step()


class Noise:
    """A data source that costs nothing."""

    def __init__(self, batch, device):
        self.image = torch.rand(batch, CHANNELS, SIDE, SIDE, device=device).mul_(2).sub_(1)

    def stream(self, starts, count):
        for _ in starts:
            yield {"image": self.image.contiguous(memory_format=torch.channels_last)}


class Ours:
    """The `dcgan` recipe in the trainer, exactly as `ganvas train` runs it."""

    def __init__(self, batch, *, precision="auto", device="cpu", compile="off"):
        recipe = catalog.RECIPES["dcgan"]()
        recipe.batch = batch
        task = recipe.task.build(resolution=(SIDE, SIDE), channels=CHANNELS)
        policy = Policy.choose(device, precision, compile)
        self.trainer = Trainer(task, recipe, Noise(batch, policy.device), policy)

    def step(self, real):
        self.trainer.advance()


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def alternate(ways, batch, rounds, device="cpu"):
    """Median seconds of a step for each way, taken in turn: A B C A B C ..."""
    real = torch.rand(batch, CHANNELS, SIDE, SIDE, device=device).mul_(2).sub_(1)
    times = {name: [] for name in ways}
    for k in range(rounds + 3):
        for name, way in ways.items():
            wait(device)
            start = time.perf_counter()
            way.step(real)
            wait(device)
            if k >= 3:
                times[name].append(time.perf_counter() - start)
    return times


def report(title, times, batch, base):
    print(f"\n{title} (batch {batch}, {len(times[base])} rounds in turn)")
    for name, taken in times.items():
        pairs = sorted(b / a for a, b in zip(taken, times[base]))
        low, high = pairs[len(pairs) // 4], pairs[3 * len(pairs) // 4]
        median = statistics.median(taken)
        ratio = f"{statistics.median(pairs):.2f}  ({low:.2f} to {high:.2f})"
        print(f"  {name:34} {batch / median:8.1f} images/s   x {ratio}")


def compare(args):
    result = {}
    for batch in args.batch:
        ways = {
            "the plain way": Plain(batch, device=args.device),
            "ganvas fp32": Ours(batch, precision="fp32", device=args.device),
            "ganvas bf16": Ours(batch, precision="bf16", device=args.device),
        }
        if args.device == "cuda":
            ways["ganvas bf16 compiled"] = Ours(batch, precision="bf16", device="cuda", compile="on")
        times = alternate(ways, batch, args.rounds, args.device)
        report("One step of DCGAN 64x64", times, batch, "the plain way")
        plain = times["the plain way"]
        result[batch] = {n: statistics.median([b / a for a, b in zip(t, plain)]) for n, t in times.items()}
    print(json.dumps(result))


def techniques(args):
    batch = args.batch[0]
    ladder = {"the plain way": {}}
    for name in ("frozen_critic", "channels_last", "bf16", "fused"):
        ladder["+ " + name.replace("_", " ")] = {**list(ladder.values())[-1], name: True}
    ways = {name: Plain(batch, device=args.device, **flags) for name, flags in ladder.items()}
    ways["ganvas (all, and products)"] = Ours(batch, device=args.device)
    if args.compile:
        ways["ganvas compiled"] = Ours(batch, device=args.device, compile="on")
    report("What each technique gives", alternate(ways, batch, args.rounds, args.device), batch, "the plain way")


def median_of(function, rounds=9):
    times = []
    for k in range(rounds + 2):
        start = time.perf_counter()
        function()
        if k >= 2:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def layers(args):
    """Rate of each 4x4 stride-2 layer by the library and by matrix products, beside a plain matrix product."""
    n, kind = args.batch[0], torch.bfloat16
    a = torch.randn(2048, 2048).to(kind)
    rates = (2 * 2048**3 / median_of(lambda m=m: m @ m) / 1e9 for m in (a, a.float()))
    print("matrix product 2048^3, bf16 and float32: {:.0f} and {:.0f} GFLOP/s; batch".format(*rates), n)
    print(f"{'layer':22}{'':10}{'library':>10}{'products':>10}   GFLOP/s")
    for narrow, wide, side in ((3, 64, 64), (64, 128, 32), (128, 256, 16), (256, 512, 8)):
        x = torch.randn(n, narrow, side, side).to(kind).contiguous(memory_format=torch.channels_last)
        w = torch.randn(wide, narrow, 4, 4).to(kind).contiguous(memory_format=torch.channels_last)
        g = F.conv2d(x, w, stride=2, padding=1)
        work = 2 * g.numel() * narrow * 16 / 1e9
        for name, library, product in _ways(x, w, g):
            rates = (work / median_of(f) for f in (library, product))
            print(f"{narrow:4}->{wide:3} at {side}x{side:<6}  {name:10}" + "".join(f"{r:10.0f}" for r in rates))


def _ways(x, w, g):
    def backward(mask):
        arguments = ([2, 2], [1, 1], [1, 1], False, [0, 0], 1, mask)
        return torch.ops.aten.convolution_backward(g, x, w, None, *arguments)

    n, _, h, wd = g.shape
    matrix, rows, windows = strided.matrix(w), strided.rows, strided.windows
    yield "forward", lambda: F.conv2d(x, w, stride=2, padding=1), lambda: windows(x) @ matrix.t()
    data = lambda: strided.overlap_add(rows(g) @ matrix, n, h, wd)  # noqa: E731
    yield "data", lambda: backward([True, False, False]), data
    yield "weight", lambda: backward([False, True, False]), lambda: rows(g).t() @ windows(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--techniques", action="store_true")
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--compile", action="store_true", help="also time torch.compile in --techniques")
    parser.add_argument("--keep-buffers", action="store_true", help="set the allocator as the command does, for both")
    args = parser.parse_args()
    if args.keep_buffers:
        keep_large_buffers()
    torch.manual_seed(0)
    processor = torch.cuda.get_device_name() if args.device == "cuda" else torch.backends.cpu.get_cpu_capability()
    print(f"torch {torch.__version__}, {processor}, {torch.get_num_threads()} threads, AMX: {strided.has_amx()}")
    (techniques if args.techniques else layers if args.layers else compare)(args)


if __name__ == "__main__":
    main()
