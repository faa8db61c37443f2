"""Train the embedded feature network, or show that its distance ranks damage.

    python benchmarks/pocket.py train CIFAR.zip --outdir runs/pocket -o src/ganvas/features/pocket.safetensors
    python benchmarks/pocket.py train ... --begin WEIGHTS        go on from weights of an earlier run
    python benchmarks/pocket.py mean ONE TWO -o WEIGHTS          the mean of both, to begin with
    python benchmarks/pocket.py rank PHOTOGRAPHS                 FD(pocket) under growing blur, noise, JPEG, lost modes

Nine tenths are trained on and every tenth image is held out; the accuracy printed is that of the folded float16
weights, as they are shipped, on the held-out images.
"""

from __future__ import annotations

import argparse
import io
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate
from torch.optim import SGD

import ganvas
from ganvas.config import Recipe, Spec
from ganvas.data.dataset import Dataset
from ganvas.data.sources import open_source
from ganvas.data.transforms import Crop, Flip, Transform
from ganvas.features.pocket import CLASSES, Convolution, Pocket
from ganvas.game import Scores
from ganvas.metrics.frechet import Gaussian, frechet_distance
from ganvas.schedule import Cosine
from ganvas.tasks.classification import Classification

HELD_OUT = 10  # every tenth


class Learner(nn.Module):
    """The network while it learns, as the classification task wants it."""

    def __init__(self, *, resolution: tuple[int, int], channels: int = 3, classes: int = CLASSES, begin: str = ""):
        super().__init__()
        self.pocket = Pocket(learning=True)
        if begin:
            unfold(self.pocket, load_file(begin))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        logits = self.pocket.logits(x)
        return Scores(logits[:, 0], label_logits=logits)


class Cutout(Transform):
    """A square of `share` of the side, its middle anywhere, turns grey (DeVries and Taylor 2017)."""

    def __init__(self, *, share: float):
        self.share = share

    def change(self, images: Tensor) -> Tensor:
        down, right = (
            (torch.arange(side) - torch.randint(side, (len(images), 1))).abs() < self.share * side / 2
            for side in images.shape[2:]
        )
        return images * ~(down[:, None, :, None] & right[:, None, None, :])


def unfold(pocket: Pocket, weights: dict[str, Tensor]) -> None:
    """Take folded weights; the first batch then sets batch norms so that nothing changes.

    Weights before a batch norm may have any length, and begin with length 1.
    """
    pocket.load_state_dict({k: v.float() for k, v in weights.items() if k.startswith("fc.")}, strict=False)
    for name, layer in pocket.named_modules():
        if isinstance(layer, Convolution):
            weight, bias = (weights[f"{name}.conv.{kind}"].float() for kind in ("weight", "bias"))
            length = weight.flatten(1).norm(dim=1).clamp_min(1e-6)
            layer.conv.weight.data = weight / length.view(-1, 1, 1, 1)
            layer.norm.register_forward_pre_hook(partial(calibrate, length=length, bias=bias))


def calibrate(norm: nn.BatchNorm2d, inputs: tuple[Tensor], *, length: Tensor, bias: Tensor) -> None:
    """Once: scale and shift of a batch norm such that it gives `length` times its input plus `bias`."""
    if norm.training and not norm.num_batches_tracked:
        var, mean = torch.var_mean(inputs[0].detach().float(), (0, 2, 3), correction=0)
        norm.weight.data = length * (var + norm.eps).sqrt()
        norm.bias.data = length * mean + bias


def recipe(images: int, batch: int, lr: float, ema: float, begin: str, cutout: float) -> Recipe:
    """Momentum and weight decay, a rate that falls along half a cosine, mirrored and shifted images."""
    return Recipe(
        task=Spec(Classification, classifier=Spec(Learner, begin=begin), smoothing=0.1),
        g_optimizer=Spec(SGD, lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4),
        batch=batch,
        images=images,
        lr_schedule=Spec(Cosine, to=0.001),
        transforms=[Spec(Flip), Spec(Crop, padding=0.125), *([Spec(Cutout, share=cutout)] if cutout else [])],
        ema_images=ema,
    )


def parts(data: Dataset) -> tuple[Dataset, Dataset]:
    """What is learnt from, and what is held out."""
    places = np.arange(len(data))
    return data.subset(places[places % HELD_OUT != 0]), data.subset(places[places % HELD_OUT == 0])


def train(asked: argparse.Namespace) -> None:
    learnt, held_out = parts(open_source(asked.data, resolution=(32, 32)))
    made = recipe(int(asked.epochs * len(learnt)), asked.batch, asked.lr, asked.ema, asked.begin, asked.cutout)
    run = ganvas.train(made, data=learnt, outdir=asked.outdir, seed=0, resume=asked.resume)
    model = ganvas.load(run.path, trust=[Learner, Cutout])
    pocket = model.task.generator.pocket.float().fold().half()
    save_file({k: v.contiguous() for k, v in pocket.state_dict().items()}, asked.output)
    right = named(pocket.float(), held_out)
    size = Path(asked.output).stat().st_size
    print(f"{asked.output}: {size:,} bytes; {100 * right:.2f} % of {len(held_out):,} named right")


def mean(asked: argparse.Namespace) -> None:
    one, two = (load_file(file) for file in (asked.one, asked.two))
    save_file({k: ((v.float() + two[k].float()) / 2).to(v.dtype) for k, v in one.items()}, asked.output)


@torch.inference_mode()
def named(pocket: Pocket, data: Dataset) -> float:
    """The share of images whose class is named right."""
    assert data.labels is not None
    images = torch.from_numpy(np.ascontiguousarray(data.images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    found = torch.cat([pocket.logits(part).argmax(1) for part in images.split(500)])
    return (found == torch.from_numpy(np.asarray(data.labels))).float().mean().item()


def crops(folder: str, count: int = 4000, size: int = 32) -> Tensor:
    """Random squares of photographs at half their size: (count, 3, size, size) in [-1, 1]."""
    files = sorted(p for p in Path(folder).iterdir() if p.suffix in {".png", ".webp", ".jpg"})
    source, found = np.random.default_rng(0), []
    for k in range(count):
        if k % (count // len(files) + 1) == 0:
            image = Image.open(files[k // (count // len(files) + 1)]).convert("RGB").reduce(4)
            pixels = np.asarray(image)
        top, left = (source.integers(0, side - size + 1) for side in pixels.shape[:2])
        found.append(pixels[top : top + size, left : left + size])
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 127.5 - 1


def jpeg(images: Tensor, quality: int) -> Tensor:
    """Every image through the codec."""
    found = []
    for image in ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy():
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=quality)
        found.append(np.asarray(Image.open(stream)))
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 127.5 - 1


def blur(images: Tensor, sigma: float) -> Tensor:
    from kornia.filters import gaussian_blur2d

    reach = int(np.ceil(3 * sigma))
    return gaussian_blur2d(images, (2 * reach + 1, 2 * reach + 1), (sigma, sigma))


def dropped(images: Tensor, kept: float) -> Tensor:
    """As many images, of the darkest share alone: modes that a generator lost."""
    order = avg_pool2d(images, images.shape[-1]).mean((1, 2, 3)).argsort()
    chosen = order[: int(kept * len(images))]
    return images[chosen[torch.arange(len(images)) % len(chosen)]]


def rank(asked: argparse.Namespace) -> None:
    from ganvas.features.extractor import Features

    features = Features("pocket")
    images = crops(asked.data)
    real, other = images[::2], images[1::2]
    noise = torch.randn(other.shape, generator=torch.Generator().manual_seed(0))
    levels = {
        "blur, sigma in pixels": [(s, lambda s=s: blur(other, s)) for s in (0.5, 0.75, 1.0, 1.5, 2.0)],
        "noise, deviation of 255": [
            (s, lambda s=s: (other + s / 127.5 * noise).clamp(-1, 1)) for s in (2, 5, 10, 20, 40)
        ],
        "JPEG, quality": [(q, lambda q=q: jpeg(other, q)) for q in (90, 70, 50, 30, 10)],
        "half size and back, times": [
            (n, lambda n=n: interpolate(interpolate(other, scale_factor=1 / n, mode="area"), size=32)) for n in (2, 4)
        ],
        "modes kept, share": [(k, lambda k=k: dropped(other, k)) for k in (0.8, 0.6, 0.4, 0.2, 0.1)],
    }
    target = Gaussian.of(features(real))
    print(f"untouched: FD(pocket) {frechet_distance(target, Gaussian.of(features(other))):.3f}")
    for what, rows in levels.items():
        found = [(level, frechet_distance(target, Gaussian.of(features(made())))) for level, made in rows]
        rising = all(a[1] < b[1] for a, b in zip(found, found[1:]))
        values = ", ".join(f"{level}: {value:.3f}" for level, value in found)
        print(f"{what:26} {values}   {'rises' if rising else 'DOES NOT RISE'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    learn = commands.add_parser("train")
    learn.add_argument("data")
    learn.add_argument("--outdir", required=True)
    learn.add_argument("-o", "--output", required=True)
    learn.add_argument("--epochs", type=float, default=20)
    learn.add_argument("--batch", type=int, default=256)
    learn.add_argument("--lr", type=float, default=0.1)
    learn.add_argument("--ema", type=float, default=20_000.0, help="half-life of the averaged weights, in images")
    learn.add_argument("--cutout", type=float, default=0, help="side of a square that is greyed, as a share")
    learn.add_argument("--begin", default="", help="weights to go on from")
    learn.add_argument("--resume", action="store_true")
    learn.set_defaults(run=train)
    both = commands.add_parser("mean")
    both.add_argument("one")
    both.add_argument("two")
    both.add_argument("-o", "--output", required=True)
    both.set_defaults(run=mean)
    order = commands.add_parser("rank")
    order.add_argument("data")
    order.set_defaults(run=rank)
    asked = parser.parse_args()
    asked.run(asked)


if __name__ == "__main__":
    main()
