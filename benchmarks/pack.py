"""Train the models of the pack, and write them into the package.

    python benchmarks/pack.py data FOLDER                       photographs at full and half size, style images, emoji
    python benchmarks/pack.py train NAME FOLDER --outdir RUN [--resume]
    python benchmarks/pack.py write NAME RUN
    python benchmarks/pack_measure.py measure NAME              the figures of docs/models.md

The data are those of `GANVAS_DATA` (default ../shared/data): photographs of Sun and Hays 2012, MNIST, CIFAR-10,
Noto emoji; and four photographs of scikit-learn and scikit-image.  `chelsea`, `coffee` and `astronaut` stay out: they
are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pack_cards import CARDS
from pack_features import LitePerceptual
from pack_styles import STYLES, draw
from PIL import Image
from safetensors.torch import save_file

import ganvas
from ganvas import Spec
from ganvas.api import find_recipe
from ganvas.config import Recipe
from ganvas.data.builtin import read_photograph
from ganvas.losses.pixel import L1
from ganvas.models.cards import CARD, FOLDER
from ganvas.models.folder import WEIGHTS
from ganvas.run import read_weights

HERE = Path(__file__).parent
DATA = Path(os.environ.get("GANVAS_DATA", HERE.parent.parent / "shared" / "data"))
RUNS = Path(os.environ.get("GANVAS_PACK", HERE.parent / "runs" / "pack"))  # the folder of `data` and runs
LINES = 40  # of a log
EMBEDDED_PHOTOGRAPHS = ("china", "flower", "motorcycle_left", "rocket")


@dataclass(frozen=True)
class Training:
    """One training: the arguments of `ganvas.train`, as data."""

    recipe: str
    data: str  # folder below that of `data`
    images: int
    changes: dict[str, Any] = field(default_factory=dict)  # --set
    options: dict[str, Any] = field(default_factory=dict)
    lite: float = 0.0  # weight of a perceptual loss through EfficientNet-Lite1, beside L1 alone

    def made(self) -> str | Recipe:
        """The recipe by name, or with that loss."""
        if not self.lite:
            return self.recipe
        recipe = find_recipe(self.recipe)
        recipe.task = recipe.task.replace(terms=[Spec(L1), Spec(LitePerceptual, weight=self.lite)])
        return recipe


def unet(*widths: int, blocks: int = 2) -> str:
    return f"residual_unet(widths={list(widths)},blocks={blocks})".replace(" ", "")


def degraded(noise: float, jpeg: float) -> str:
    """Noise and JPEG, each for a share of the images."""
    parts = f"sometimes(part=sensor_noise(sigma=(0,50),grey=0.2),share={noise})"
    return f"chain(parts=[{parts},sometimes(part=jpeg(quality=(10,95)),share={jpeg})])"


RESTORE: dict[str, Any] = {"batch": 8, "resolution": 128, "seed": 0}

EMOJI: dict[str, Any] = {"text": "word_encoder", "pixel": 50, "generator.latent": 16, "generator.label_norm": 8}
EMOJI_RUN: dict[str, Any] = {"preset": "tiny", "resolution": 64}

TRAININGS: dict[str, Training] = {
    "digits": Training(
        "dcgan_small",
        "mnist",
        200_000,
        {"conditional": "true", "discriminator.head": "auxiliary_classifier"},
        {"seed": 0},
    ),
    "judge": Training("classifier", "mnist", 100_000, {}, {"seed": 0}),  # measures digits; not in the pack
    "emoji_start": Training("textgan", "emoji", 160_000, EMOJI | {"d_optimizer.lr": 5e-4}, {**EMOJI_RUN, "seed": 0}),
    "emoji": Training(  # goes on from `emoji_start` with a rate that falls to nearly nothing
        "textgan",
        "emoji",
        80_000,
        {**EMOJI, "d_optimizer.lr": 2e-4, "g_optimizer.lr": 1e-3, "lr_schedule": "linear(begin=0.2,to=0.02)"},
        {**EMOJI_RUN, "seed": 1},
    ),
    "clean_start": Training(  # `clean` begins from it, with fewer noisy images
        "denoise",
        "photos",
        24_000,
        {"generator": unet(48, 96, 128), "degradation": degraded(0.65, 0.65), "terms": "[l1]", "g_optimizer.lr": 5e-4},
        {**RESTORE, "resolution": 96},
    ),
    "clean": Training(
        "denoise",
        "photos",
        11_000,
        {"generator": unet(48, 96, 128), "degradation": degraded(0.4, 0.7), "terms": "[l1]", "g_optimizer.lr": 5e-4},
        {**RESTORE, "resolution": 96, "seed": 1},
    ),
    "inpaint": Training(  # learns the difference from a smooth fill
        "inpaint",
        "half",
        30_000,
        {
            "generator.net": unet(32, 64, 96, 128),
            "generator.sweeps": 8,
            "degradation": "holes(covered=(0.02,0.3),boxes=0.4)",
            "discriminator": "none",
            "d_optimizer": "none",
            "g_optimizer.lr": 5e-4,
        },
        RESTORE,
    ),
    "x4_sharp": Training(  # goes on from x4
        "srgan",
        "photos",
        10_000,
        {
            "generator": "compact(width=48,convolutions=8,init='kaiming')",
            "discriminator.width": 16,
            "discriminator.hidden": 128,
            "loss.g": 0.0015,
            "g_optimizer.lr": 3e-4,
            "d_optimizer.lr": 6e-4,
            "lr_schedule": "cosine(to=0.05)",
            "ema_images": 2000,
        },
        {"batch": 8, "resolution": 96, "seed": 0},
        lite=0.15,
    ),
    "colorize": Training(  # its crops are as small as `side`, to which `restore` reduces an image
        "colorize",
        "colour",
        60_000,
        {
            "generator.net": unet(32, 64, 96, 128, blocks=1),
            "generator.side": 32,
            "discriminator": "none",
            "d_optimizer": "none",
            "loss": "none",
            "terms": "[mse]",
            "g_optimizer.lr": 5e-4,
            "clip_norm": 0.03,  # at 1e-3 without it all colours left sRGB, where there is no gradient
        },
        {"batch": 32, "resolution": 32, "seed": 0},
    ),
    "dehaze": Training(
        "dehaze",
        "half",
        16_000,
        {"generator": "dehazer", "transforms": "[flip]", "g_optimizer.lr": 1e-3},
        {"batch": 8, "resolution": 256, "seed": 0},
    ),
    "lowlight": Training(
        "denoise",
        "half",
        4_000,
        {
            "generator": unet(32, 64, 96, 128, blocks=1),
            "degradation": "low_light(stops=(1,4))",
            "g_optimizer.lr": 5e-4,
        },
        RESTORE,
    ),
    **{
        f"paint_{style}": Training(
            "fast_style",
            "half",
            2_400,
            {
                "style": f"styles/{style}.png",
                "style_size": 192,
                "generator.width": 16,
                "generator.blocks": 3,
                "g_optimizer.lr": 3e-3,
                "lr_schedule": "cosine(to=0.01)",
                **changes,
            },
            {"batch": 1, "resolution": 128, "seed": 0},
        )
        for style, changes in STYLES.items()
    },
}


def data(asked: argparse.Namespace) -> None:
    """Make the folders of the trainings: photographs at full and half size, style images."""
    folder = Path(asked.folder)
    images = {file.stem: np.asarray(Image.open(file).convert("RGB")) for file in sorted((DATA / "sr-train").iterdir())}
    for name in EMBEDDED_PHOTOGRAPHS:
        array = read_photograph(name)
        assert array is not None
        images[name] = array
    for place, factor in (("photos", 1), ("half", 2)):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name, array in images.items():
            image = Image.fromarray(array)
            small = image.resize((image.width // factor, image.height // factor), Image.Resampling.LANCZOS)
            small.save(folder / place / f"{name}.png")
    prepare_colour(folder)
    (folder / "styles").mkdir(exist_ok=True)
    for name in STYLES:
        Image.fromarray(draw(name)).save(folder / "styles" / f"{name}.png")
    (folder / "mnist").unlink(missing_ok=True)
    (folder / "mnist").symlink_to((DATA / "mnist").resolve())
    with zipfile.ZipFile(DATA / "emoji.zip") as archive:
        archive.extractall(folder / "emoji")


def prepare_colour(folder: Path) -> None:
    """CIFAR-10's images and photographs reduced to a shorter side of 32 to 128 pixels, for crops of 32."""
    with zipfile.ZipFile(DATA / "cifar10-train.zip") as archive:
        archive.extractall(folder / "colour")
    (folder / "colour" / "photographs").mkdir(exist_ok=True)
    for file in sorted((folder / "photos").iterdir()):
        image = Image.open(file)
        for side in range(32, 129, 8):
            size = [round(n * side / min(image.size)) for n in image.size]
            small = image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
            small.save(folder / "colour" / "photographs" / f"{file.stem}_{side}.png")


def train(asked: argparse.Namespace) -> None:
    """Begin or go on with a training."""
    what, folder = TRAININGS[asked.name], Path(asked.folder)
    if asked.resume and (Path(asked.outdir) / "config.json").is_file():
        ganvas.train(what.made() if what.lite else None, outdir=asked.outdir, resume=True, images=asked.images)
        return
    changes = {k: str(folder / v) if k == "style" else v for k, v in what.changes.items()}
    settings = [f"{path}={value}" for path, value in changes.items()]
    more = {"init_from": asked.init_from} if asked.init_from else {}
    ganvas.train(
        what.made(),
        data=str(folder / what.data),
        outdir=asked.outdir,
        images=asked.images or what.images,
        set=settings,
        **what.options,
        **more,
    )


def write(asked: argparse.Namespace) -> None:
    """Write a run's averaged weights in float16, its card and its thinned log into the package, and the log."""
    name, run = asked.name, Path(asked.run)
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    state = read_weights(run / "model" / WEIGHTS)
    small = {k: v.half() if v.is_floating_point() and v.ndim > 1 else v for k, v in state.items()}
    save_file({k: v.contiguous() for k, v in small.items()}, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)
    config = json.loads((run / "model" / "config.json").read_text())
    config["data"] |= {"source": TRAININGS[name].data, "path": None}
    if "terms" in config["task"]:  # a loss of benchmarks is in no catalogue, and of no use to who applies the model
        config["task"]["terms"] = [term for term in config["task"]["terms"] if ":" not in term["()"]]
    if "style" in config["task"]:
        config["task"]["style"] = Path(config["task"]["style"]).name
    write_json(folder / "config.json", config)
    earlier = json.loads((folder / CARD).read_text()) if (folder / CARD).is_file() else {"measured": []}
    write_json(folder / CARD, {**CARDS[name], "training": described(name, run), "measured": earlier["measured"]})
    thin_log(run / "log.jsonl", HERE / "pack" / f"{name}.jsonl")
    print(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()):,} bytes")


def described(name: str, run: Path) -> str:
    """Recipe, images and time of a training, in words."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    images, minutes = lines[-1]["images"], lines[-1]["seconds"] / 60
    return (
        f"{TRAININGS[name].recipe}, {images:,} images, {minutes:.0f} minutes of a share of one thread;"
        f" benchmarks/pack/{name}.jsonl"
    )


def thin_log(log: Path, output: Path) -> None:
    """Write at most `LINES` lines of a log, without its diagnostics, with four digits."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    output.parent.mkdir(exist_ok=True)
    with output.open("w") as file:
        for line in lines[:: -(-len(lines) // LINES)]:
            row = {k: v for k, v in line.items() if not k.startswith(("diagnostics/", "signal/")) and k != "findings"}
            file.write(json.dumps({k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()}) + "\n")


def write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    prepare = commands.add_parser("data")
    prepare.add_argument("folder")
    prepare.set_defaults(run_it=data)
    store = commands.add_parser("write")
    store.add_argument("name", choices=CARDS)
    store.add_argument("run")
    store.set_defaults(run_it=write)
    learn = commands.add_parser("train")
    learn.add_argument("name", choices=TRAININGS)
    learn.add_argument("folder")
    learn.add_argument("--outdir", required=True)
    learn.add_argument("--images", type=int)
    learn.add_argument("--init-from")
    learn.add_argument("--resume", action="store_true")
    learn.set_defaults(run_it=train)
    asked = parser.parse_args()
    asked.run_it(asked)


if __name__ == "__main__":
    main()
