"""The commands that generate images from latents: `sample`, `interpolate`."""

import re
from typing import Annotated

import typer

from .console import Device, JsonFlag, NoProvenance, Output, check_model, print_json, say

LabelOption = Annotated[
    str | None, typer.Option("--label", "--caption", help="Class name or number, condition vector, or caption.")
]


def sample(
    run: Annotated[str, typer.Argument(help="Run, model folder, or embedded.")],
    output: Output,
    seeds: Annotated[str, typer.Option(help="Seeds of the latents, as 0-63 or 0,3,9-12.")] = "0-63",
    label: LabelOption = None,
    trunc: Annotated[float, typer.Option(help="Scale of the latents; below 1: less variety, fewer failures.")] = 1.0,
    grid: Annotated[int | None, typer.Option(help="Columns of the grid.", show_default="square")] = None,
    no_provenance: NoProvenance = False,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Generate images from random latents.

    The output is a grid (.png), a folder of PNGs, or an archive (.npz).
    """
    from ..imaging.provenance import GENERATED
    from ..models.model import load
    from ..run import has_mask
    from .save import save_samples

    check_model(run, "sample")
    check_range("--trunc", trunc, 0, 10)
    numbers = parse_seeds(seeds)
    model = load(run, device=device)
    batches = model.sample_batches(numbers, label=model.read_label(label), trunc=trunc)
    files = save_samples(batches, numbers, output, grid, None if no_provenance else GENERATED, has_mask(model.config))
    if as_json:
        return print_json({"output": str(output), "images": len(numbers), "files": files})
    say(f"{len(numbers)} images in {output}")


def interpolate(
    run: Annotated[str, typer.Argument(help="Run, model folder, or embedded.")],
    output: Output,
    seeds: Annotated[str, typer.Option(help="Seeds of the latents on the path, as 0-7 or 0,3,9-12.")] = "0-7",
    steps: Annotated[int | None, typer.Option(help="Images per latent.", show_default="24, or 8 for .png")] = None,
    fps: Annotated[int, typer.Option(help="Images per second of a .gif or .mp4.")] = 24,
    label: LabelOption = None,
    trunc: Annotated[float, typer.Option(help="Scale of the latents; below 1: less variety, fewer failures.")] = 1.0,
    space: Annotated[str | None, typer.Option(help="Latent space of the path, as w.", show_default="z")] = None,
    no_provenance: NoProvenance = False,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Interpolate between latents.

    The output is rows of images (.png), an animation (.gif) or a video (.mp4).
    """
    from ..imaging.provenance import GENERATED
    from ..models.model import load
    from .save import save_interpolation

    check_model(run, "sample")
    steps = steps if steps is not None else 8 if output.suffix.lower() == ".png" else 24
    check_range("--steps", steps, 1, 1000)
    check_range("--fps", fps, 1, 240)
    check_range("--trunc", trunc, 0, 10)
    model, numbers = load(run, device=device), parse_seeds(seeds)
    frames = model.walk(numbers, steps=steps, label=model.read_label(label), trunc=trunc, space=space)
    mark = None if no_provenance else GENERATED
    save_interpolation(frames, output, fps=fps, columns=steps, source_type=mark)
    if as_json:
        return print_json({"output": str(output), "frames": len(frames), "seeds": numbers})
    say(f"{len(frames)} images in {output}")


def check_range(name: str, value: float, least: float, most: float) -> None:
    """Raise `UsageError` for a value outside the range, or not a number."""
    from ..errors import UsageError

    if not least <= value <= most:
        raise UsageError(f"{name} must be from {least} to {most}, got {value}.")


def parse_seeds(text: str) -> list[int]:
    """Parse `0,3,9-12` to [0, 3, 9, 10, 11, 12]; `UsageError` for anything else or more than a million seeds."""
    from ..errors import UsageError

    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:\s*-\s*(\d{1,18}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first or last - first + len(seeds) >= 1_000_000:
            allowed = "numbers and ranges such as 0-63 or 0,3,9-12 (at most a million)"
            raise UsageError(f"--seeds takes {allowed}, got {text!r}.")
        seeds += range(first, last + 1)
    return seeds
