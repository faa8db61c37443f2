"""How well images are translated, where the right answer is known.  EMOJI is a zip or a folder of images.

python benchmarks/translation.py --unpaired PLACE EMOJI      two unpaired sets with a known answer: another hue
python benchmarks/translation.py --style PLACE PHOTOS        photographs, and others in flat colours and black lines
python benchmarks/translation.py --domains PLACE EMOJI       four domains with known looks

python benchmarks/translation.py --pairs RUN...                    L1 and FD on what pix2pix runs did not see
python benchmarks/translation.py --truth PLACE RUN...              colour error on PLACE/held against PLACE/truth
python benchmarks/translation.py --classifier RUN PLACE RUN...     share classified as the given domain
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import ganvas
from ganvas.data.batches import Batches, iterate_once
from ganvas.data.derived_sources import edges, grey, regions
from ganvas.data.sources import open_source
from ganvas.features.extractor import Features
from ganvas.imaging.channels import on_white
from ganvas.imaging.decode import read_image, save_png, to_channels, to_float, to_uint8
from ganvas.metrics.frechet import Gaussian, frechet_distance
from ganvas.run import Run

SIZE = 32  # pixels a side
HELD = 10  # one in so many images is kept from training
LOOKS = {
    "grey": lambda x: grey(x).expand(-1, 3, -1, -1),
    "negative": lambda x: -x,
    "hue": lambda x: x.roll(1, 1),
    "outline": lambda x: torch.where(edges(x) < 0, -torch.ones_like(x), x),
}


def opened(name: str, size: Sequence[int] = (SIZE, SIZE)) -> Tensor:
    """All images of a source as (N, 3, H, W), on white."""
    data = open_source(name, resolution=(size[0], size[1]))
    return on_white(torch.cat([batch["image"] for batch in iterate_once(data, 256)]))


def written(folder: Path, images: Tensor) -> None:
    folder.mkdir(parents=True)
    for k, image in enumerate(images):
        save_png(to_uint8(image), folder / f"{k:05d}.png")


def divided(images: Tensor) -> tuple[Tensor, Tensor]:
    """What is trained on, and every tenth, which is not."""
    held = torch.arange(len(images)) % HELD == 0
    return images[~held], images[held]


def unpaired(place: Path, source: str) -> None:
    """Odd images as they are; even ones mirrored and with the hue turned: no image is in both sets."""
    train, held = divided(opened(source))
    written(place / "a", train[1::2])
    written(place / "b", LOOKS["hue"](train[::2]).flip(3))
    written(place / "held", held)
    written(place / "truth", LOOKS["hue"](held))


def style(place: Path, source: str) -> None:
    """Parts of photographs; those of every second one as a painter of few colours has them, those held out as both."""
    parts = []
    for name in sorted(Path(source).iterdir()):
        image = to_float(to_channels(read_image(name).array, 3))[None, :, ::4, ::4]  # a quarter of the size
        tiles = image.unfold(2, SIZE, SIZE).unfold(3, SIZE, SIZE)  # (1, 3, down, across, SIZE, SIZE)
        parts.append(tiles.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, SIZE, SIZE))
    held, train = torch.cat(parts[::HELD]), [p for k, p in enumerate(parts) if k % HELD]
    written(place / "a", torch.cat(train[1::2]))
    written(place / "b", painted(torch.cat(train[::2])))
    written(place / "held", held)
    written(place / "truth", painted(held))


def painted(x: Tensor) -> Tensor:
    """A few flat colours, and a black line wherever brightness changes fast."""
    return LOOKS["outline"](regions(x))


def domains(place: Path, source: str) -> None:
    """A quarter of the images in each domain; every held-out one in all."""
    train, held = divided(opened(source))
    for k, (name, look) in enumerate(LOOKS.items()):
        written(place / "train" / name, look(train[k :: len(LOOKS)]))
        written(place / "held" / name, look(held))


def held_pairs(run: str) -> dict[str, Tensor]:
    """The pairs that a run held out, as it sees them."""
    config = Run(Path(run)).config()
    data = config["data"]
    dataset = open_source(data["path"] or data["source"], resolution=tuple(data["resolution"]))
    batches = Batches(dataset, seed=config["seed"], hold_out=data["held_out"], needs={"image", "source"})
    return batches.preview(range(data["held_out"]))


def pairs(run: str) -> str:
    """Mean absolute error, in [-1, 1], and FD on the images that the run never saw."""
    shown, model = held_pairs(run), ganvas.load(run, precision="fp32", device="cpu")
    made = model(shown["source"])
    features = Features("pocket")
    found, real = (Gaussian.of(features(on_white(x))) for x in (made, shown["image"]))
    fd = frechet_distance(found, real)
    return f"L1 {(made - shown['image']).abs().mean():.4f}, FD(pocket) {fd:.3f} on {len(made)} held-out images"


def truth(run: str, place: Path) -> str:
    """Mean absolute colour error of the translation and of doing nothing; how far back the way back leads."""
    model = ganvas.load(run, precision="fp32", device="cpu")
    held, right = (opened(str(place / name), model.config["data"]["resolution"]) for name in ("held", "truth"))
    made = model(held)
    error, nothing = (made - right).abs().mean(), (held - right).abs().mean()
    said = f"colour error {error:.4f}, of doing nothing {nothing:.4f} ({error / nothing:.2f})"
    if not model.task.reversible:
        return said
    return f"{said}; cycle error {(model(made, back=True) - held).abs().mean():.4f}"


def judged(run: str, classifier: str, place: Path) -> str:
    """How often a classifier sees the domain that was asked for, from and to every domain."""
    model, judge = ganvas.load(run, precision="fp32", device="cpu"), ganvas.load(classifier, device="cpu")
    images = {name: opened(str(place / "held" / name)) for name in LOOKS}
    shares = {}
    for name in LOOKS:
        wanted = judge.class_names.index(name)
        label = model.class_names.index(name)
        made = [model(x, label=label) for other, x in images.items() if other != name]
        shares[name] = (judge.classify(torch.cat(made)) == wanted).float().mean().item()
    real = np.mean([(judge.classify(x) == judge.class_names.index(n)).float().mean() for n, x in images.items()])
    what = ", ".join(f"{name} {100 * share:.1f}" for name, share in shares.items())
    return f"{100 * np.mean(list(shares.values())):.2f} % as asked ({what}); real ones {100 * real:.2f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    which = parser.add_mutually_exclusive_group(required=True)
    for name in ("unpaired", "style", "domains", "pairs", "truth", "classifier"):
        which.add_argument(f"--{name}", action="store_true")
    asked = parser.parse_args()
    first, *rest = asked.names
    if asked.unpaired or asked.style or asked.domains:
        (unpaired if asked.unpaired else style if asked.style else domains)(Path(first), rest[0])
    elif asked.pairs:
        for run in asked.names:
            print(f"{run}: {pairs(run)}")
    elif asked.truth:
        for run in rest:
            print(f"{run}: {truth(run, Path(first))}")
    else:
        for run in rest[1:]:
            print(f"{run}: {judged(run, first, Path(rest[0]))}")


if __name__ == "__main__":
    main()
