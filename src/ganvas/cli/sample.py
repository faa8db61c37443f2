"""The commands that generate images from latents: `sample`, `interpolate`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from .console import Device, JsonFlag, Output, answer, say


def sample(
    run: Annotated[Path, typer.Argument(help="A run or a model folder.")],
    output: Output,
    seeds: Annotated[str, typer.Option(help="Which latents: 0-63, or 0,3,9-12.")] = "0-63",
    label: Annotated[str | None, typer.Option(help="A class by name or number, numbers, or a caption.")] = None,
    trunc: Annotated[float, typer.Option(help="Scale of the noise: under 1 less variety, fewer failures.")] = 1.0,
    grid: Annotated[int | None, typer.Option(help="Columns of the grid.")] = None,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Images from a trained model: a grid (.png), a folder of PNGs, or an .npz."""
    from ..api import load
    from .samples import save_samples

    check_range("--trunc", trunc, 0, 10)
    wanted = parse_seeds(seeds)
    model = load(run, device=device)
    images = model.sample_seeds(wanted, label=model.read_label(label), trunc=trunc)
    written = save_samples(images, wanted, output, grid)
    if as_json:
        return answer({"output": str(output), "images": len(wanted), "files": written})
    say(f"{len(wanted)} images in {output}")


def interpolate(
    run: Annotated[Path, typer.Argument(help="A run or a model folder.")],
    output: Output,
    seeds: Annotated[str, typer.Option(help="The latents to pass through: 0-7, or 0,3,9-12.")] = "0-7",
    steps: Annotated[
        int | None, typer.Option(help="Images from one latent to the next. [default: 24; 8 for .png]")
    ] = None,
    fps: Annotated[int, typer.Option(help="Images a second of a .gif or .mp4.")] = 24,
    label: Annotated[str | None, typer.Option(help="A class by name or number, numbers, or a caption.")] = None,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Walk between latents: a strip (.png), an animation (.gif) or a film (.mp4)."""
    from ..api import load
    from .samples import save_interpolation

    steps = steps if steps is not None else 8 if output.suffix.lower() == ".png" else 24
    check_range("--steps", steps, 1, 1000)
    check_range("--fps", fps, 1, 240)
    model, wanted = load(run, device=device), parse_seeds(seeds)
    frames = model.walk(wanted, steps=steps, label=model.read_label(label))
    save_interpolation(frames, output, fps=fps, columns=steps)
    if as_json:
        return answer({"output": str(output), "frames": len(frames), "seeds": wanted})
    say(f"{len(frames)} images in {output}")


def check_range(name: str, value: float, least: float, most: float) -> None:
    """Raise `UsageError` unless the value lies in the range; not-a-number lies in none."""
    from ..errors import UsageError

    if not least <= value <= most:
        raise UsageError(f"{name} must be from {least} to {most}, got {value}.")


def parse_seeds(text: str) -> list[int]:
    """`0,3,9-12` as [0, 3, 9, 10, 11, 12]; raises `UsageError` for anything else or over a million seeds."""
    from ..errors import UsageError

    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,18})(?:\s*-\s*(\d{1,18}))?\s*", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first or last - first + len(seeds) >= 1_000_000:
            raise UsageError(
                f"--seeds takes numbers and ranges such as 0-63 or 0,3,9-12 (at most a million), got {text!r}."
            )
        seeds += range(first, last + 1)
    return seeds
