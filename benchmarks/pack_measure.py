"""Measure the models of the pack against baselines, on images that they were not trained on.

    python benchmarks/pack_measure.py measure NAME [--write]     figures; --write puts them into the model's card
    python benchmarks/pack_measure.py measure NAME --tuning      on the images that settings are chosen by
    python benchmarks/pack_measure.py measure NAME --tuning --run RUN    of a run that is not written yet
    python benchmarks/pack_measure.py table                      the table of docs/models.md, from the cards
    python benchmarks/pack_measure.py images DOCS NAME...        before and after, docs/models/NAME.webp

Images: 20 of BSD100 below `GANVAS_DATA` (default ../shared/data), which neither a training nor a choice of settings has
seen, degraded here with fixed seeds; settings are chosen by Set5 and the first seven of BSD100.  Digits are judged by
`judge` below `GANVAS_PACK`, a run of `ganvas train classifier`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import text_retrieval
import torch
from pack import DATA, RUNS
from pack_baselines import Way, biharmonic, dark_channel, gamma, nl_means, tensor, variation
from pack_features import Lite, distance
from PIL import Image
from torch import Tensor

import ganvas
from ganvas.api import grid
from ganvas.data.builtin import read_photograph
from ganvas.data.degrade.base import Degradation
from ganvas.data.degrade.camera import Bicubic, Jpeg, SensorNoise
from ganvas.data.degrade.damage import Grey, Holes
from ganvas.data.degrade.weather import Haze, LowLight
from ganvas.features.gram import Perception
from ganvas.imaging.colour import to_lab
from ganvas.models.cards import CARD, EMBEDDED, FOLDER
from ganvas.models.model import accuracy
from ganvas.models.resolve import resolve
from ganvas.tasks.fast_style import load_style

HELD_OUT = (("BSD100", slice(7, 27)),)  # set, and which of its images in the order of their names
TUNING = (("Set5", slice(5)), ("BSD100", slice(7)))
sets = [*HELD_OUT]  # that `held_out` reads
runs: dict[str, str] = {}  # measured instead of the embedded model of that name
SEED = 1_000
COMMAND = "python benchmarks/pack_measure.py measure {}"
FEATURES = "distance in EfficientNet-Lite0's features"
Row = tuple[str, str, str]  # what, value, baseline


def held_out(side: int = 0) -> Iterator[Tensor]:
    """Colour images (1, 3, H, W) in [-1, 1], whose sides 4 divides; with `side`, their middle."""
    for name, part in sets:
        for file in sorted((DATA / "sr-benchmark" / name / "HR").iterdir())[part]:
            array = np.asarray(Image.open(file).convert("RGB"))
            height, width = (min(n, side or n) // 4 * 4 for n in array.shape[:2])
            top, left = (array.shape[0] - height) // 2, (array.shape[1] - width) // 2
            yield tensor(array[top : top + height, left : left + width])


def whole_levels(x: Tensor) -> Tensor:
    return ((x + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1


def decibels(x: Tensor, y: Tensor) -> float:
    """PSNR over all colours, of whole levels."""
    error = (whole_levels(x) - whole_levels(y)).double().square().mean() / 4
    return float(-10 * torch.log10(error.clamp_min(1e-10)))


def model_way(name: str) -> Way:
    verb = "upscale" if name in ("x2", "x4", "x4_sharp") else "restore"
    network = resolve(runs.get(name, name), verb=verb).network

    def way(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return network(x).clamp(-1, 1)

    return way


def compare(degradation: Degradation, ways: dict[str, Way], side: int = 0) -> dict[str, float]:
    """Mean PSNR of every way from degraded to good images."""
    values: dict[str, list[float]] = {name: [] for name in ways}
    for k, image in enumerate(held_out(side)):
        source = degradation(image, [k], seed=SEED)
        for name, way in ways.items():
            values[name].append(decibels(way(source), image))
    return {name: float(np.mean(row)) for name, row in values.items()}


def as_rows(what: str, results: dict[str, float], unit: str = " dB") -> list[Row]:
    """The model's figure, first in the results, beside all baselines."""
    (_, ours), *others = results.items()
    return [(what, f"{ours:.2f}{unit}", ", ".join(f"{value:.2f}{unit} ({name})" for name, value in others))]


def as_it_is(x: Tensor) -> Tensor:
    return x[:, :3]


def measure_clean(name: str) -> list[Row]:
    ours, rows = model_way(name), []
    for sigma in (25.0,):
        unit = sigma / 255
        ways = {name: ours, "NL-means": nl_means(unit), "TV": variation(unit)}
        rows += as_rows(f"PSNR, noise of {sigma:g}", compare(SensorNoise(sigma=(sigma, sigma)), ways))
    for quality in (20.0,):
        ways = {name: ours, "input": as_it_is}
        rows += as_rows(f"PSNR, JPEG of quality {quality:g}", compare(Jpeg(quality=(quality, quality)), ways))
    return rows + as_rows("PSNR to a clean input", compare(Degradation(), {name: ours}))


def measure_inpaint(name: str) -> list[Row]:
    """Strokes and boxes over 5 to 20 % of the middle 128x128 pixels."""
    judge, ways, rows = Lite(0), {name: model_way(name), "biharmonic": biharmonic}, []
    for what, boxes in (("strokes", 0.0), ("boxes", 1.0)):
        holes, values = Holes(covered=(0.05, 0.2), boxes=boxes), {way: [] for way in ways}
        for k, image in enumerate(held_out(128)):
            source = holes(image, [k], seed=SEED)
            for way, fill in ways.items():
                result = torch.where(source[:, 3:] > 0, fill(source), image)
                values[way].append((decibels(result, image), float(distance(judge, result, image))))
        for column, (title, unit) in enumerate((("PSNR", " dB"), (FEATURES, ""))):
            means = {way: float(np.mean([pair[column] for pair in pairs])) for way, pairs in values.items()}
            rows += as_rows(f"{title}, {what}", means, unit)
    return rows


def measure_colorize(name: str) -> list[Row]:
    def chroma(x: Tensor) -> Tensor:
        return to_lab(x)[:, 1:]

    ours, values = model_way(name), {name: [], "grey": []}
    for image in held_out():
        grey = Grey()(image, [0], seed=SEED)
        target = chroma(image)
        for way, result in ((name, chroma(ours(image))), ("grey", torch.zeros_like(target))):
            values[way].append(float(-10 * torch.log10((result - target).square().mean() / 4)))
        assert grey.shape[1] == 1
    return as_rows("PSNR of the Lab chroma", {way: float(np.mean(row)) for way, row in values.items()})


def measure_dehaze(name: str) -> list[Row]:
    ways = {name: model_way(name), "dark channel": dark_channel, "input": as_it_is}
    return as_rows("PSNR, synthetic haze", compare(Haze(), ways))


def measure_lowlight(name: str) -> list[Row]:
    ways = {name: model_way(name), "gamma": gamma, "input": as_it_is}
    return as_rows("PSNR, 1 to 4 stops too dark", compare(LowLight(), ways))


def measure_sharp(name: str) -> list[Row]:
    """PSNR, distance in features, and energy of the finest details beside the truth's."""
    judge, ways = Lite(0), {name: model_way(name), "x4": model_way("x4")}
    values: dict[str, list[tuple[float, ...]]] = {way: [] for way in ways}
    for image in held_out():
        low = Bicubic(scale=4, edges="repeat")(image, [0], seed=SEED)
        for way, enlarge in ways.items():
            result = whole_levels(enlarge(low))
            fine = [float((x - torch.nn.functional.avg_pool2d(x, 3, 1, 1)).square().mean()) for x in (result, image)]
            values[way].append((decibels(result, image), float(distance(judge, result, image)), fine[0] / fine[1]))
    means = {way: np.mean(np.array(rows), 0) for way, rows in values.items()}
    titles = (("PSNR", " dB"), (FEATURES, ""),
              ("energy of fine detail beside the truth's", ""))  # fmt: skip
    return [row for k, (title, unit) in enumerate(titles)
            for row in as_rows(title, {way: float(v[k]) for way, v in means.items()}, unit)]  # fmt: skip


def measure_paint(name: str) -> list[Row]:
    """Style loss of painted photographs as a share of that of the photographs, through the features of the training."""
    style = load_style(str(RUNS / "data" / "styles" / f"{name.removeprefix('paint_')}.png"), 192)
    perception = Perception(style=["relu1", "relu2", "relu3"])
    model = ganvas.load(runs.get(name, name), precision="fp32")
    target, shares = perception(style), []
    for image in held_out(256):
        losses = [float(perception.style_loss(perception(x), target)) for x in (model(image), image)]
        shares.append(losses[0] / losses[1])
    return [("style loss as a share of the photograph's", f"{100 * np.mean(shares):.0f} %", "100 % (photograph)")]


def measure_digits(name: str) -> list[Row]:
    """Samples that the classifier sees as their label, and of which it is 90 % sure."""
    judge, model = ganvas.load(RUNS / "judge"), ganvas.load(name)
    right, sure = [], []
    for label in range(10):
        p = judge.predict(model.sample(500, seed=1000 * label, label=label)).softmax(1)
        right.append(float((p.argmax(1) == label).double().mean()))
        sure.append(float((p.amax(1) >= 0.9).double().mean()))
    share = accuracy(judge, f"{DATA}/mnist/t10k-images-idx3-ubyte.gz")
    note = f"{100 * share:.2f} % (real test digits, by the same classifier)"
    return [
        ("samples that show their label", f"{100 * np.mean(right):.2f} %", note),
        ("least of the ten classes", f"{100 * min(right):.1f} %", ""),
        ("samples of which the classifier is 90 % sure", f"{100 * np.mean(sure):.1f} %", "85 % (goal)"),
    ]


def measure_emoji(name: str) -> list[Row]:
    """Whether an encoder of real pairs finds the caption of a sample (text_retrieval.py train)."""
    found = text_retrieval.measure(ganvas.load(name, device="cpu"), RUNS / "encoder.pt")
    return [
        (
            f"samples whose own caption of {found['captions']:,} is {title}",
            f"{100 * found['samples'][key]:.1f} %",
            f"{100 * found['chance'] * count:.2f} % (chance), {100 * found['real'][key]:.1f} % (real images)",
        )
        for key, count, title in (("r1", 1, "the nearest"), ("r10", 10, "among the ten nearest"))
    ]


MEASURES: dict[str, Callable[[str], list[Row]]] = {
    "clean": measure_clean,
    "inpaint": measure_inpaint,
    "colorize": measure_colorize,
    "dehaze": measure_dehaze,
    "lowlight": measure_lowlight,
    "x4_sharp": measure_sharp,
    "digits": measure_digits,
    "emoji": measure_emoji,
    **dict.fromkeys(("paint_ink", "paint_pointillism", "paint_mosaic", "paint_oil"), measure_paint),
}


def measure(asked: argparse.Namespace) -> None:
    sets[:] = TUNING if asked.tuning else HELD_OUT
    runs.update({asked.name: asked.run} if asked.run else {})
    rows = MEASURES[asked.name](asked.name)
    for what, value, baseline in rows:
        print(f"{asked.name}: {what}: {value}; {baseline}")
    if asked.write:
        file, command = FOLDER / asked.name / CARD, COMMAND.format(asked.name)
        card = json.loads(file.read_text())
        keys = ("what", "value", "baseline", "command")
        card["measured"] = [dict(zip(keys, (*row, command))) for row in rows]
        file.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def table(asked: argparse.Namespace) -> None:
    """Print the table of docs/models.md."""
    print("| model | measured | result | baseline |\n|---|---|---|---|")
    for card in EMBEDDED.values():
        for k, row in enumerate(card.measured):
            name = f"`{card.name}`" if not k else ""
            print(f"| {name} | {row.what} | **{row.value}** | {row.baseline} |")


def photograph(name: str, top: int, left: int, height: int = 192, width: int = 256) -> Tensor:
    """A part of a photograph at half size that no model was trained on, (1, 3, height, width)."""
    array = read_photograph(name)
    assert array is not None
    image = Image.fromarray(array).resize((array.shape[1] // 2, array.shape[0] // 2), Image.Resampling.LANCZOS)
    return tensor(np.asarray(image))[..., top : top + height, left : left + width].contiguous()


def noisy_jpeg(image: Tensor) -> Tensor:
    noisy = SensorNoise(sigma=(20.0, 20.0))(image, [0], seed=SEED)
    return Jpeg(quality=(40.0, 40.0))(noisy, [0], seed=SEED)


def grey(image: Tensor) -> Tensor:
    return image.mean(1, keepdim=True).expand_as(image)


def small(image: Tensor) -> Tensor:
    return Bicubic(scale=4)(image, [0], seed=SEED)


def painted(name: str) -> Way:
    model = ganvas.load(runs.get(name, name), precision="fp32")
    return lambda x: model(x)


BEFORE: dict[str, tuple[str, int, int, Way]] = {  # photograph, its part, and how it is degraded
    "clean": ("astronaut", 0, 0, noisy_jpeg),
    "inpaint": ("coffee", 0, 20, lambda x: Holes(covered=(0.1, 0.1), boxes=0.0)(x, [3], seed=SEED)),
    "colorize": ("coffee", 0, 20, grey),
    "dehaze": ("astronaut", 0, 0, lambda x: Haze(density=(1.5, 1.5))(x, [2], seed=SEED)),
    "lowlight": ("astronaut", 0, 0, lambda x: LowLight(stops=(3.0, 3.0))(x, [0], seed=SEED)),
    "x4_sharp": ("astronaut", 0, 0, small),
}


EMOJI = [  # captions on the page: sixteen of emoji, and eight that no emoji has
    *("grinning face", "red heart", "cat face", "rocket", "slice of pizza", "red apple", "large blue circle"),
    *("sun with face", "waving hand sign", "dog face", "soccer ball", "party popper", "bicycle", "crying face"),
    *("rose", "ghost", "purple rocket", "grinning dog", "sad cat", "yellow car", "red cow", "snowy house"),
    *("green ghost", "blue rose"),
]


def images(asked: argparse.Namespace) -> None:
    """Write before and after, side by side, as docs/models/NAME.webp."""
    folder = Path(asked.docs) / "models"
    folder.mkdir(exist_ok=True)
    runs.update(dict.fromkeys(asked.names, asked.run) if asked.run else {})
    for name in asked.names:
        if name == "digits":
            sheet = grid(ganvas.load(name).sample(40), 10)
        elif name == "emoji":
            sheet = grid(torch.cat([ganvas.load(name).sample(1, seed=0, label=caption) for caption in EMOJI]), 8)
        elif name.startswith("paint_"):
            image = photograph("coffee", 0, 20)
            sheet = grid(torch.cat([image, painted(name)(image)]), 2)
        else:
            photo, top, left, degrade = BEFORE[name]
            source = degrade(photograph(photo, top, left))
            after = model_way(name)(source)
            plain = model_way("x4")(source) if name == "x4_sharp" else source[:, :3]
            before = torch.nn.functional.interpolate(plain, after.shape[2:], mode="nearest")
            sheet = grid(torch.cat([before, after]), 2)
        sheet.save(folder / f"{name}.webp", quality=80)
        print(f"{folder / name}.webp: {(folder / name).with_suffix('.webp').stat().st_size:,} bytes")


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    look = commands.add_parser("measure")
    look.add_argument("name", choices=MEASURES)
    look.add_argument("--write", action="store_true")
    look.add_argument("--tuning", action="store_true")
    look.add_argument("--run", metavar="RUN")
    look.set_defaults(run_it=measure)
    tabulate = commands.add_parser("table")
    tabulate.set_defaults(run_it=table)
    draw = commands.add_parser("images")
    draw.add_argument("docs")
    draw.add_argument("names", nargs="+")
    draw.add_argument("--run", metavar="RUN", help="of the one model instead")
    draw.set_defaults(run_it=images)
    asked = parser.parse_args()
    asked.run_it(asked)


if __name__ == "__main__":
    main()
