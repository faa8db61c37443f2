"""Any recipe of the catalogue made tiny, and data that hold what its task needs."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch
from PIL import Image

from ganvas import catalog
from ganvas.describe import describe

SMALL = {
    "generator.width": 4,
    "generator.depth": 1,
    "discriminator.width": 4,
    "generator.style": 8,
    "generator.mapping": 1,
    "generator.cardinality": 2,
    "discriminator.cardinality": 2,
    "discriminator.head.width": 8,
    "classifier.width": 4,
    "encoder.width": 4,
    "text.width": 8,
    "text.size": 8,
    "generator.blocks": 1,
}
NEEDS_MORE = {
    **{
        name: {"discriminator.max_width": 16, "discriminator.smallest": 16, "generator.latent": 8}
        for name in ("projected", "projected_conditional")
    },
    "fastgan": {"generator.latent": 8},
    **{
        name: {
            f"{net}.{option}": 2 for net in ("generator", "discriminator") for option in ("depth", "heads", "stages")
        }
        | {"discriminator.embed": 8}
        for name in ("gat_small", "gat_small_conditional")
    },
    "infogan": {"generator.hidden": 8, "discriminator.hidden": 8},
    "semigan": {"discriminator.width": 64},
    "cartoon": {"warmup": 0},
    "pix2pix": {"generator.depth": 3},
    "fast_style": {"style_size": 80},
    "colorize": {"generator.net.width": 4, "generator.net.depth": 2},
    "inpaint": {"generator.net.width": 4, "generator.net.depth": 2},
    **{
        name: {"degradation.scale": 2} for name in ("srresnet", "srgan", "esrgan_psnr", "esrgan", "real_esrgan", "span")
    },
    "realplksr": {"degradation.scale": 2, "generator.kernel": 3},
    "compact": {"generator.convolutions": 1, "degradation.scale": 2},
}  # rectifiers a quarter as wide, three times: fewer all die
FACTS = {"resolution": (8, 8), "channels": 1, "classes": 3}
CHANNELS = {"colorize": (3, 1), "inpaint": (1, 2)}  # of the images and of their sources, where those differ


def facts(name):
    """What a recipe's task is built for."""
    channels, sources = CHANNELS.get(name, (1, 1))
    return {**FACTS, "channels": channels, "source_channels": sources}


def narrow(name):
    """Overrides that make a recipe tiny: those of `SMALL` that it has."""
    known = {option.path for option in describe(catalog.RECIPES[name]())}
    return {path: value for path, value in SMALL.items() if path in known} | NEEDS_MORE.get(name, {})


@cache
def needs(name):
    """What a recipe's task wants to find in a batch."""
    recipe = catalog.RECIPES[name]()
    for path, value in narrow(name).items():
        recipe.set(path, str(value))
    return recipe.task.build(**facts(name)).needs


def source(name, folder: Path):
    """What --data may be for a recipe: digits, pairs or piles of them, or images of 8x8 with captions or colours."""
    wanted = needs(name)
    if catalog.RECIPES[name]().degradation:
        return coloured(folder / "coloured") if name == "colorize" else "digits"
    if "source" in wanted:
        return "edges:digits"
    if "other" in wanted:
        return "a=digits,b=digits"
    if "text" not in wanted:
        return "digits"
    folder = folder / "captioned"
    if not folder.exists():
        folder.mkdir()
        lines = []
        for k in range(40):
            Image.new("L", (8, 8), 6 * k).save(folder / f"{k:02d}.png")
            words = ["dark", "dim", "bright", "é 😀"][k // 10]
            lines.append(json.dumps({"file_name": f"{k:02d}.png", "text": f"a {words} square" if k % 7 else ""}))
        (folder / "metadata.jsonl").write_text("\n".join(lines))
    return str(folder)


def coloured(folder: Path):
    """A folder of 40 images of 8x8, each of another colour."""
    if not folder.exists():
        folder.mkdir()
        for k in range(40):
            Image.new("RGB", (8, 8), (6 * k, 120, 255 - 6 * k)).save(folder / f"{k:02d}.png")
    return str(folder)


class Fixed:
    """Batches that depend on their position alone, and hold whatever a task may need."""

    def __init__(self, channels=1, size=(8, 8), classes=3, source_channels=0):
        self.shape, self.classes, self.asked = (channels, *size), classes, []
        self.source_shape = (source_channels or channels, *size)

    def stream(self, starts, count):
        for start in starts:
            self.asked.append(start)
            labels = torch.arange(start, start + count) % self.classes
            batch = {"image": self._images(start, count), "label": labels}
            batch |= {"text": [f"number {k}" for k in labels.tolist()]}
            batch["source"] = self._images(start + 2 * 10**6, count, self.source_shape)
            batch["other"] = self._images(start + 3 * 10**6, count)
            yield {**batch, "labelled_image": self._images(start + 10**6, count), "labelled_label": labels.flip(0)}

    def _images(self, start, count, shape=None):
        source = torch.Generator()
        rows = [torch.rand(shape or self.shape, generator=source.manual_seed(start + k)) for k in range(count)]
        return torch.stack(rows) * 2 - 1
