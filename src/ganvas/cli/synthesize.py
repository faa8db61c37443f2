"""The command that writes folders of generated images: `synthesize`."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .console import Device, JsonFlag, NoProvenance, Output, check_model, console, print_json, say
from .help import expand_groups, option_group
from .machines import On, Workers, find_workers

option, filter_option = option_group("Images"), option_group("Samples that are refused")


@dataclass(frozen=True)
class ImageArguments:
    """Options of the images: their number, seeds and label."""

    per_class: Annotated[int | None, option(help="Images of every class.")] = None
    count: Annotated[int | None, option(help="Images in all, divided equally among the classes.")] = None
    seed: Annotated[int, option(help="First seed of the samples.")] = 0
    label: Annotated[str | None, option(help="One class, condition vector or caption for all images.")] = None
    trunc: Annotated[float, option(help="Scale of the latents; below 1: less variety, fewer failures.")] = 1.0


@dataclass(frozen=True)
class FilterArguments:
    """Options of the samples that are refused."""

    keep: Annotated[float | None, filter_option(help="Share of samples that the discriminator accepts.")] = None
    classifier: Annotated[Path | None, filter_option(help="Run that has to name the class asked for.")] = None
    data: Annotated[
        str | None, filter_option(help="Images of which no sample is a copy.", show_default="the run's data")
    ] = None
    copies: Annotated[bool, filter_option("--copies", help="Also write copies of training images.")] = False


@expand_groups
def synthesize(
    run: Annotated[str, typer.Argument(help="Run, model folder, or embedded.")],
    output: Output,
    images: ImageArguments,
    filters: FilterArguments,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted command stopped.")] = False,
    no_provenance: NoProvenance = False,
    on: On = "local",
    workers: Workers = None,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Write a labelled folder of generated images.

    The folder has one sub-folder a class, and any classifier trains from it.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from .sample import check_range

    check_model(run, "sample")
    check_range("--trunc", images.trunc, 0, 10)
    check_range("--seed", images.seed, 0, 2_000_000_000)
    write = find_writer(on, workers, device)
    columns = (TextColumn("images"), BarColumn(), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=console(), disable=not console().is_terminal) as bar:
        task, options = bar.add_task(""), {**vars(images), **vars(filters), "resume": resume, "device": device}
        options["provenance"] = not no_provenance
        result = write(
            run, output, **options, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    if notice := result.pop("notice"):
        say(notice, "yellow")
    if as_json:
        return print_json(result)
    refused = ", ".join(f"{n:,} by {name}" for name, n in result["refused"].items() if n)
    say(f"{result['images']:,} images in {result['output']}{f'; refused {refused}' if refused else ''}")


def find_writer(on: str, workers: int | None, device: str) -> Callable[..., dict[str, Any]]:
    """The function that writes the folder, here or on a cluster."""
    from ..latent.synthesize import synthesize

    there = find_workers(on, workers, device)
    if there is None:
        return synthesize
    from ..sweeps.parts import synthesize_there

    return functools.partial(synthesize_there, workers=there)
