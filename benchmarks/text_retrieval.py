"""Whether `textgan` draws the emoji that a caption names: retrieval of captions by an encoder of real pairs.

    python benchmarks/text_retrieval.py train encoder.pt                    an encoder of Noto emoji and their captions
    python benchmarks/text_retrieval.py measure runs/textgan encoder.pt     R@1 and R@10 of samples, and of real images

One sample of each caption, seed 0; R@k is the share whose own caption is among the k nearest of all captions, by the
cosine of the encoder's vectors, and k in the number of captions by chance.  The encoder is CLIP in small (Radford et
al. 2021): its pairs are those of the data, its images shifted, noisy and blurred; no generator is trained through it.
Data: emoji.zip of $GANVAS_DATA (default ../shared/data).
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ganvas
from ganvas.api import open_source
from ganvas.models.model import Model
from ganvas.networks.text_encoder import ByteEncoder

DATA = Path(os.environ.get("GANVAS_DATA", Path(__file__).parents[2] / "shared" / "data"))
SIDE = 32  # pixels of the images that are compared
SIZE, BATCH, RATE, TEMPERATURE = 64, 128, 2e-3, 0.07


def opaque(images: Tensor) -> Tensor:
    """Images (N, 3 or 4, H, W) in [-1, 1] over white, at the size that is compared: (N, 3, SIDE, SIDE)."""
    if images.shape[1] == 4:
        alpha = (images[:, 3:] + 1) / 2
        images = images[:, :3] * alpha + 1 - alpha
    return F.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True).clamp(-1, 1)


class Pairs(nn.Module):
    """Vectors (N, SIZE) of length one of images (N, 3, SIDE, SIDE) and of captions."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for narrow, wide in ((3, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
        self.images = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * (SIDE // 8) ** 2, SIZE))
        self.captions = ByteEncoder(size=SIZE, width=64)

    def look(self, images: Tensor) -> Tensor:
        return F.normalize(self.images(images), dim=1)

    def read(self, captions: list[str]) -> Tensor:
        return F.normalize(self.captions(captions), dim=1)


def disturb(images: Tensor) -> Tensor:
    """Images moved by up to two pixels, some of them blurred, with noise: samples are not as clean as real ones."""
    moved = torch.roll(images, tuple(torch.randint(-2, 3, (2,)).tolist()), (2, 3))
    blurred = F.avg_pool2d(moved, 3, 1, 1, count_include_pad=False)
    share = torch.rand(len(images), 1, 1, 1)
    return torch.lerp(moved, blurred, share) + 0.2 * torch.rand(len(images), 1, 1, 1) * torch.randn_like(images)


def real() -> tuple[Tensor, list[str]]:
    """All emoji and their captions."""
    source = open_source(str(DATA / "emoji.zip"))
    assert source.captions is not None
    images = torch.from_numpy(source.images[:].copy()).permute(0, 3, 1, 2)
    return torch.cat([opaque(part.float() / 127.5 - 1) for part in images.split(256)]), source.captions


def train(file: Path, epochs: int) -> None:
    """Train the encoder and write it."""
    torch.manual_seed(0)
    images, captions = real()
    pairs = Pairs()
    optimizer = torch.optim.Adam(pairs.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        for rows in torch.randperm(len(images)).split(BATCH):
            vectors, texts = pairs.look(disturb(images[rows])), pairs.read([captions[k] for k in rows])
            logits, own = vectors @ texts.t() / TEMPERATURE, torch.arange(len(rows))
            loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.t(), own)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        print(f"epoch {epoch + 1}  loss {loss.item():.3f}", flush=True)
    torch.save(pairs.state_dict(), file)


@torch.no_grad()
def recall(pairs: Pairs, images: Tensor, captions: list[str]) -> dict[str, float]:
    """R@1 and R@10 of images (N, 3, SIDE, SIDE), each with its caption."""
    vectors = torch.cat([pairs.look(part) for part in images.split(256)])
    texts = torch.cat([pairs.read(captions[k : k + 256]) for k in range(0, len(captions), 256)])
    likeness = vectors @ texts.t()
    rank = (likeness > likeness.diagonal()[:, None]).sum(1)
    return {f"r{k}": (rank < k).double().mean().item() for k in (1, 10)}


def measure(model: Model, file: Path) -> dict[str, Any]:
    """The figures of real images, of the samples of a model, and of chance."""
    pairs = Pairs().eval()
    pairs.load_state_dict(torch.load(file, weights_only=True))
    images, captions = real()
    z = model.task.inputs([0])["z"]
    batches = (captions[k : k + 64] for k in range(0, len(captions), 64))
    drawn = torch.cat([opaque(model.task.sample({"z": z.expand(len(b), -1), "text": b}).float()) for b in batches])
    found = {"captions": len(captions), "chance": 1 / len(captions), "real": recall(pairs, images, captions)}
    found["samples"] = recall(pairs, drawn, captions)
    found["times_chance"] = found["samples"]["r1"] * len(captions)
    return found


def main() -> None:
    """Train the encoder, or measure a run by it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    learn = commands.add_parser("train")
    learn.add_argument("encoder", type=Path)
    learn.add_argument("--epochs", type=int, default=12)
    look = commands.add_parser("measure")
    look.add_argument("run", type=Path)
    look.add_argument("encoder", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.command == "train":
        train(asked.encoder, asked.epochs)
    else:
        print(json.dumps({"run": str(asked.run), **measure(ganvas.load(asked.run, device="cpu"), asked.encoder)}))


if __name__ == "__main__":
    main()
