"""Commands that evaluate: `eval`, `statistics`, `doctor`, `weights`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..catalog import SOURCES
from ..errors import UsageError, UserError
from .console import Device, JsonFlag, Output, console, plain, print_json, print_table, say, say_hidden
from .help import Command, expand_groups, option_group

if TYPE_CHECKING:
    from ..evaluation.comparison import Metric

weights = typer.Typer(help="List, download and add weight files of public networks.")

COLOURS = {"note": "dim", "warning": "yellow", "trouble": "bold red"}  # of findings

network_option = option_group("Feature network: fd, fid, kid, is, prdc, memorisation")
image_option, option = option_group("Images"), option_group("Options of single metrics")
Features = Annotated[str, network_option(help="Network: pocket, inception, vgg16 or vgg19.")]
Resize = Annotated[str, network_option(help="Resizing; own: the authors'; clean: antialiased.")]
Samples = Annotated[int, image_option(help="Images drawn from a run.")]
Seed = Annotated[int, image_option(help="Seed of a run's samples and of random subsets.")]
Resolution = Annotated[str | None, image_option(help="Size in pixels, 64 or WIDTHxHEIGHT, for mixed sizes.")]
HeldOut = Annotated[str | None, option(help="memorisation, discriminator, gan_train, gain: images training never saw.")]


@dataclass(frozen=True)
class ClassifierArguments:
    """Options of metrics that train classifiers."""

    train_images: Annotated[
        int, option(help="gan_train, gan_test, gain: images seen by a classifier.", show_default="100000, gain: 20000")
    ] = 100_000
    labels: Annotated[int | None, option(help="gain: labelled real images to train on.", show_default="all")] = None
    repeats: Annotated[int, option(help="gain: trainings of each kind.")] = 3
    augment: Annotated[str, option(help="gain: the classic augmentation to compare with.")] = "crop,rotate"


@expand_groups
def eval_(
    context: typer.Context,
    metric: Annotated[str, typer.Argument(help="fd, kid, is, prdc, psnr, ...: `ganvas list metrics`.")],
    a: Annotated[str, typer.Argument(metavar="A", help="Reference images: data, statistics, or a run.")],
    b: Annotated[str | None, typer.Argument(metavar="B", help="Evaluated images: data, statistics, or a run.")] = None,
    samples: Samples = 5000,
    seed: Seed = 0,
    resolution: Resolution = None,
    features: Features = "pocket",
    resizer: Resize = "own",
    bf16: Annotated[bool, option("--bf16", help="fd, fid: features in bfloat16; their bias is printed.")] = False,
    bootstrap: Annotated[int, option(help="fd, fid: resampled sets for a 95 % interval; 0: none.")] = 0,
    infinity: Annotated[bool, option("--infinity", help="fd, fid: also for infinitely many samples.")] = False,
    by_class: Annotated[bool, option("--by-class", help="fd, fid: also within each class.")] = False,
    subsets: Annotated[int, option(help="kid: number of subsets.")] = 100,
    size: Annotated[int, option(help="kid: images in a subset.")] = 1000,
    splits: Annotated[int, option(help="is: number of splits.")] = 10,
    k: Annotated[int, option(help="prdc: nearest neighbours.")] = 5,
    held_out: HeldOut = None,
    classifier: Annotated[Path | None, option(help="modes, gan_test: a run that names classes.")] = None,
    *,
    trainings: ClassifierArguments,
    channel: Annotated[str, option(help="psnr, ssim, ms_ssim: rgb or y.")] = "rgb",
    border: Annotated[int, option(help="psnr, ssim, ms_ssim, lpips: pixels cropped from every side.")] = 0,
    scales: Annotated[int, option(help="ms_ssim: number of scales, 1 to 5.")] = 5,
    space: Annotated[str, option(help="ppl: latent space.", show_default="w, or z without styles")] = "",
    sampling: Annotated[str, option(help="ppl: full (anywhere on a path) or end.")] = "full",
    epsilon: Annotated[float, option(help="ppl: step, as a share of the path.")] = 1e-4,
    distance: Annotated[str, option(help="ppl: pocket, vgg16 or pixels.")] = "pocket",
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Measure images B against images A."""
    from ..evaluation.evaluate import find_metric

    function = find_metric(metric)
    say_hidden(SOURCES, a, b, held_out)
    numbers = function.compare(a, b, typed_options(context, "metric", "a", "b", "as_json"))
    print_json(finite(numbers)) if as_json else show(function, numbers)
    _record(function, a, b, numbers)


def _record(metric: "Metric", a: str, b: str | None, numbers: dict[str, Any]) -> None:
    """Append the result to the run it is of, where that folder can be written."""
    from ..evaluation.evaluate import record_evaluation

    try:
        record_evaluation(metric.name, a, b, numbers)
    except UserError as problem:  # a model of another user's, in a folder that only they may write
        say(f"The number was not kept with the run: {problem}", "yellow")


def typed_options(context: typer.Context, *others: str) -> dict[str, Any]:
    """The options that stand on the command line, without `others`: defaults are those of the metric."""
    typed = [k for k in context.params if getattr(context.get_parameter_source(k), "name", "") == "COMMANDLINE"]
    return {k: context.params[k] for k in typed if k not in others}


def finite(value: Any) -> Any:
    """A value as JSON holds it: null for infinite numbers and for not-a-number."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show(metric: "Metric", numbers: dict[str, Any]) -> None:
    """Print results and then their protocol, both on stdout: neither is of use without the other."""
    results = {k: v for k, v in numbers.items() if isinstance(v, float) or k == metric.name}
    network = f"({numbers['features']})" if "features" in numbers and metric.name != "fid" else ""
    names = {metric.name: f"{metric.name.upper()}{network}"}
    print_table("", ["measure", "value"], [[names.get(k, k), f"{v:.6g}"] for k, v in results.items()])
    for k in numbers.keys() & set(metric.tables):
        if isinstance(numbers[k], dict):
            print_table(k, ["name", "value"], [[str(name), f"{v:.6g}"] for name, v in numbers[k].items()])
    for k, v in numbers.items():
        if k not in results and k not in metric.tables:
            typer.echo(plain(f" {k}: {', '.join(f'{a} {b}' for a, b in v.items()) if isinstance(v, dict) else v}"))


def statistics(
    context: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help="Data or a run.")],
    output: Output,
    features: Features = "pocket",
    resizer: Resize = "own",
    samples: Samples = 5000,
    seed: Seed = 0,
    resolution: Resolution = None,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Save feature statistics of images for comparisons.

    An .npz file with the mean and covariance of features stands in for the images later.
    """
    from ..evaluation import evaluate

    if output.suffix.lower() != ".npz":
        raise UsageError(f"--output takes an .npz for statistics, not {output.name}.")
    say_hidden(SOURCES, a)
    entries = evaluate.statistics.compare(a, None, typed_options(context, "a", "as_json"))
    if as_json:
        return print_json(entries)
    say(f"Statistics of {entries['images']:,} images ({entries['features']}) in {output}")


def doctor(
    run: Annotated[Path, typer.Argument(help="Run folder, finished or in training.")], as_json: JsonFlag = False
) -> None:
    """Diagnose a run: problems, evidence, remedies."""
    from dataclasses import asdict

    from ..doctor import diagnose
    from ..run import Run

    opened = Run.open(run)
    images = max((int(line.get("images", 0)) for line in opened.log()), default=0)
    findings = diagnose(opened)
    if as_json:
        return print_json({"run": str(run), "images": images, "findings": [asdict(finding) for finding in findings]})
    for finding in findings:
        say(f"{finding}\n", COLOURS[finding.severity])
    if not findings:
        say(f"No problems found in the log of {run} up to {images:,} images.")


@weights.command("list", cls=Command)
def weights_list(as_json: JsonFlag = False) -> None:
    """List the weight files, and which of them are on this machine."""
    from ..checkpoints.download import FILES, folder

    rows = []
    for k in FILES.values():
        row = {"name": k.name, "file": k.file, "bytes": k.size, "sha256": k.sha256, "url": k.address}
        rows.append({**row, "available": (folder() / k.file).is_file(), "description": k.what})
    if as_json:
        return print_json({"folder": str(folder()), "files": rows})
    states = ["available" if row["available"] else "-" for row in rows]
    lines = [[k.name, state, f"{k.size / 1e6:,.1f} MB", k.what] for k, state in zip(FILES.values(), states)]
    print_table("", ["name", "", "size", "used for"], lines)
    say(f"Folder: {folder()}. The pocket features come with ganvas and need no file.", "dim")


@weights.command("fetch", cls=Command)
def weights_fetch(name: Annotated[str, typer.Argument(help="Name from `ganvas weights list`.")]) -> None:
    """Download a file, or the rest of one whose download broke off, and verify it."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from ..checkpoints.download import fetch, known

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task(known(name).file, total=known(name).size)
        place = fetch(name, lambda have, total: bar.update(task, completed=have, total=total or None))
    say(f"Downloaded and verified {place}.")


@weights.command("add", cls=Command)
def weights_add(
    name: Annotated[str, typer.Argument(help="Name from `ganvas weights list`.")],
    file: Annotated[Path, typer.Argument(help="Your copy of the file.")],
) -> None:
    """Add your own copy of a file after verifying it."""
    from ..checkpoints.download import add

    say(f"Verified and added {add(name, file)}.")
