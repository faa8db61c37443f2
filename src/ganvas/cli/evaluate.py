"""The commands that judge: `eval`, `statistics`, `doctor`, `weights`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from .console import Device, JsonFlag, Output, answer, console, plain, say, table
from .help import Command

weights = typer.Typer(help="Weight files of public networks: what is known, what is here, how to get it.")
NEVER_SHOWN = {"each", "nearest", "fd_by_class"}  # long; shown as tables of their own

COLOURS = {"note": "dim", "warning": "yellow", "trouble": "bold red"}  # of findings

Features = Annotated[str, typer.Option(help="pocket, inception, vgg16 or vgg19.")]
Resize = Annotated[str, typer.Option(help="own: as the features' authors; clean: antialiased.")]
Rounded = Annotated[bool, typer.Option("--bf16", help="Features in bfloat16, for fd and fid; said with the number.")]
Samples = Annotated[int, typer.Option(help="Images drawn from a run.")]
Resolution = Annotated[str | None, typer.Option(help="64 or WIDTHxHEIGHT, for folders of several sizes.")]


def eval_(
    metric: Annotated[str, typer.Argument(help="fd, kid, is, prdc, psnr, ...: `ganvas list metrics`.")],
    a: Annotated[str, typer.Argument(metavar="A", help="The real images: data, statistics, or a run.")],
    b: Annotated[
        str | None, typer.Argument(metavar="[B]", help="What is measured: data, statistics, or a run.")
    ] = None,
    features: Features = "pocket",
    resizer: Resize = "own",
    samples: Samples = 5000,
    seed: Annotated[int, typer.Option(help="Of the first sample and of random subsets.")] = 0,
    resolution: Resolution = None,
    channel: Annotated[str, typer.Option(help="rgb or y, for psnr and ssim.")] = "rgb",
    border: Annotated[int, typer.Option(help="Pixels cut off for psnr, ssim, lpips.")] = 0,
    scales: Annotated[int, typer.Option(help="Of ms_ssim, 1 to 5.")] = 5,
    k: Annotated[int, typer.Option(help="Neighbours, for prdc.")] = 5,
    subsets: Annotated[int, typer.Option(help="Of kid.")] = 100,
    size: Annotated[int, typer.Option(help="Of a subset of kid.")] = 1000,
    splits: Annotated[int, typer.Option(help="Of the inception score.")] = 10,
    bootstrap: Annotated[int, typer.Option(help="Redrawn sets for fd's 95 % interval. (none)")] = 0,
    unlimited: Annotated[bool, typer.Option("--infinity", help="Also fd of infinitely many samples.")] = False,
    by_class: Annotated[bool, typer.Option("--by-class", help="Also fd within each class.")] = False,
    classifier: Annotated[Path | None, typer.Option(help="A run that names classes, for modes and gan_test.")] = None,
    held_out: Annotated[str | None, typer.Option(help="Images the training never saw.")] = None,
    train_images: Annotated[int, typer.Option(help="Length of the classifier's training in gan_*.")] = 100_000,
    bf16: Rounded = False,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Measure B against A; every number is printed with the protocol it was measured by."""
    asked = {k: v for k, v in locals().items() if k not in ("metric", "a", "b", "as_json")}
    from ..errors import UserError
    from ..evaluation.evaluate import evaluate, noted

    found = evaluate(metric, a, b, **asked)
    answer(finite(found)) if as_json else show(metric, found)
    try:
        noted(metric, a, b, found)
    except UserError as problem:  # a model of somebody else's, in a folder that only they may write
        say(f"[yellow]The number was not kept with the run: {plain(problem)}[/]")


def finite(value: Any) -> Any:
    """The same with null for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show(metric: str, found: dict[str, Any]) -> None:
    """Numbers first, then how they were measured, all of it on stdout: neither is worth much without the other."""
    numbers = {k: v for k, v in found.items() if isinstance(v, float) or k == metric}
    rest = {k: v for k, v in found.items() if k not in numbers and k not in NEVER_SHOWN}
    through = f"({found['features']})" if "features" in found and metric != "fid" else ""
    rows = [[f"{k.upper()}{through}" if k == metric else k, f"{v:.6g}"] for k, v in numbers.items()]
    table("", ["measure", "value"], rows)
    for k in NEVER_SHOWN & found.keys():
        if isinstance(found[k], dict):
            table(k, ["name", "value"], [[str(name), f"{v:.6g}"] for name, v in found[k].items()])
    for k, v in rest.items():
        said = ", ".join(f"{a} {b}" for a, b in v.items()) if isinstance(v, dict) else v
        typer.echo(f" {k}: {said}")


def statistics(
    a: Annotated[str, typer.Argument(metavar="A", help="Data or a run.")],
    output: Output,
    features: Features = "pocket",
    resizer: Resize = "own",
    samples: Samples = 5000,
    seed: Annotated[int, typer.Option(help="Of a run's first sample.")] = 0,
    resolution: Resolution = None,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Mean and covariance of features in a file (.npz), to compare with later in place of the images."""
    options = {k: v for k, v in locals().items() if k not in ("a", "output", "as_json")}
    from ..errors import UsageError
    from ..evaluation.evaluate import statistics_of

    if output.suffix.lower() != ".npz":
        raise UsageError(f"Statistics are an .npz, got {output.name}.")
    said = statistics_of(a, output, **options)
    if as_json:
        return answer(said)
    say(f"Statistics of {said['images']:,} images ({said['features']}) in {output}")


def doctor(
    run: Annotated[Path, typer.Argument(help="A run, also one that is training.")],
    as_json: JsonFlag = False,
) -> None:
    """What went wrong in a run, on what evidence, and what to change."""
    from dataclasses import asdict

    from ..doctor import diagnose
    from ..run import Run

    opened = Run.open(run)
    images = max((int(line.get("images", 0)) for line in opened.log()), default=0)
    findings = diagnose(opened)
    if as_json:
        return answer({"run": str(run), "images": images, "findings": [asdict(finding) for finding in findings]})
    for finding in findings:
        say(f"[{COLOURS[finding.severity]}]{plain(finding)}[/]\n")
    if not findings:
        say(f"Nothing is wrong with {plain(run)} after {images:,} images, as far as its log shows.")


@weights.command("list", cls=Command)
def weights_list(as_json: JsonFlag = False) -> None:
    """Which files there are, and which of them are here."""
    from ..checkpoints.download import FILES, folder

    rows = [
        {
            "name": k.name,
            "file": k.file,
            "bytes": k.size,
            "sha256": k.sha256,
            "address": k.address,
            "here": (folder() / k.file).is_file(),
            "what": k.what,
        }
        for k in FILES.values()
    ]
    if as_json:
        return answer({"folder": str(folder()), "files": rows})
    shown = [
        [str(r["name"]), "here" if r["here"] else "-", f"{int(str(r['bytes'])) / 1e6:,.1f} MB", str(r["what"])]
        for r in rows
    ]
    table("", ["name", "", "size", "what it is for"], shown)
    say(f"[dim]They lie in {folder()}. The pocket features come with ganvas and need no file.[/]")


@weights.command("fetch", cls=Command)
def weights_fetch(name: Annotated[str, typer.Argument(help="As `ganvas weights list` names it.")]) -> None:
    """Download a file, or the rest of one that was begun, and verify it."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from ..checkpoints.download import fetch, known

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task(known(name).file, total=known(name).size)
        place = fetch(name, lambda have, total: bar.update(task, completed=have, total=total or None))
    say(f"{place} is here and verified.")


@weights.command("add", cls=Command)
def weights_add(
    name: Annotated[str, typer.Argument(help="As `ganvas weights list` names it.")],
    file: Annotated[Path, typer.Argument(help="Your copy of the file.")],
) -> None:
    """Take a copy of a file that you have, once it is verified."""
    from ..checkpoints.download import add

    say(f"{add(name, file)} is here and verified.")
