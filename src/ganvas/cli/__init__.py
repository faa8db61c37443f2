"""The command `ganvas`.  Nothing here imports torch until a command needs it, so that help is instant."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..version import __version__
from . import (
    evaluate as judge_commands,
)
from . import (
    export as weight_commands,
)
from . import (
    images as enhance_commands,
)
from . import (
    report as report_commands,
)
from . import (
    stylize as style_commands,
)
from . import (
    translate as translate_commands,
)
from .console import Device, JsonFlag, Output, answer, console, plain, say, table

app = typer.Typer(
    name="ganvas",
    help="Train, judge and apply adversarial image models.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.command()(enhance_commands.upscale)
app.command()(enhance_commands.restore)
app.command()(translate_commands.translate)
app.command()(style_commands.stylize)
app.command("interpolate-weights")(weight_commands.interpolate_weights)
app.command()(weight_commands.export)
app.command("eval")(judge_commands.eval_)
app.command()(judge_commands.statistics)
app.command()(judge_commands.doctor)
app.command()(report_commands.report)
app.add_typer(judge_commands.weights, name="weights", no_args_is_help=True)

SIGNAL_EXITS = {"SIGINT": 130, "SIGTERM": 143}


def main() -> None:
    """Run the command; a person's mistake ends in one sentence, never in a traceback."""
    from ..errors import UsageError, UserError

    try:
        app(prog_name="ganvas")
    except UserError as problem:
        say(f"[bold red]ganvas:[/] {plain(problem)}")
        raise SystemExit(2 if isinstance(problem, UsageError) else 1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ganvas {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train, judge and apply adversarial image models."""


@app.command("list")
def list_(
    shelf: Annotated[
        str | None, typer.Argument(help="recipes, data, losses, penalties, heads, networks, augment, metrics, ...")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """What there is: names, one sentence each, and where it was published."""
    from ..catalog import SHELVES, citation, sentence
    from ..errors import UsageError, did_you_mean
    from ..evaluation.evaluate import METRICS

    every = {**SHELVES, "metrics": METRICS}
    if shelf is not None and shelf not in every:
        raise UsageError(f"There is no list {shelf!r}.{did_you_mean(shelf, every)} There are: {', '.join(every)}.")
    shelves = {shelf: every[shelf]} if shelf else every
    found = {
        title: [{"name": n, "sentence": sentence(t), "citation": citation(t)} for n, t in shelf.items()]
        for title, shelf in shelves.items()
    }
    if as_json:
        return answer(found)
    for title, entries in found.items():
        table(
            title,
            ["name", "what it is", "published"],
            [[e["name"], e["sentence"], e["citation"]] for e in entries],
        )


@app.command()
def show(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a saved config.json.")],
    as_json: JsonFlag = False,
) -> None:
    """A recipe as built: every option with its value, its type and what it means."""
    from dataclasses import asdict

    from ..api import find_recipe
    from ..catalog import RECIPES, sentence
    from ..describe import describe

    rows = describe(find_recipe(recipe))
    about = sentence(RECIPES[recipe]) if recipe in RECIPES else f"The recipe saved in {recipe}."
    if as_json:
        return answer({"recipe": recipe, "sentence": about, "options": [asdict(r) for r in rows]})
    Console(highlight=False).print(about, "\n")
    meanings = [f"{r.meaning} ({r.type})" if r.meaning else r.type for r in rows]
    table("", ["option", "value", "what it means"], [[r.path, _short(r.value), m] for r, m in zip(rows, meanings)])
    Console(highlight=False).print("\nChange any of them with --set option=value.", style="dim")


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_short(v) for v in value) or "-"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@app.command()
def train(
    recipe: Annotated[str | None, typer.Argument(help="A name from `ganvas list`, or a saved config.json.")] = None,
    data: Annotated[str | None, typer.Option(help="Folder, zip, IDX, .npz, or a name: `ganvas list data`.")] = None,
    outdir: Annotated[Path | None, typer.Option(help="The run's folder: new, empty, or a run to --resume.")] = None,
    images: Annotated[int | None, typer.Option(help="Length of the run, in real images.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes at the latest.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides weights, noise and data order. (0)")] = None,
    batch: Annotated[int | None, typer.Option(help="Images per step. (the recipe's)")] = None,
    resolution: Annotated[str | None, typer.Option(help="64 or WIDTHxHEIGHT. (as the data)")] = None,
    device: Device = "auto",
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16. (auto)")] = None,
    compile_: Annotated[str, typer.Option("--compile", help="auto, on or off.")] = "auto",
    set_: Annotated[list[str] | None, typer.Option("--set", help="path=value, as `ganvas show` lists.")] = None,
    hold_out: Annotated[int | None, typer.Option(help="Images the doctor keeps from training. (0)")] = None,
    heal: Annotated[
        bool, typer.Option("--heal", help="Go back and on more gently where the doctor sees trouble.")
    ] = False,
    labels: Annotated[int | None, typer.Option(help="Keep so many labels and hide the others. (all)")] = None,
    augment: Annotated[str, typer.Option(help="Random changes to the data: flip,rotate=10,noise=0.05")] = "",
    init_from: Annotated[Path | None, typer.Option(help="Begin with the weights of this run or model.")] = None,
    init_raw: Annotated[bool, typer.Option("--init-raw", help="Its generator as trained, not averaged.")] = False,
    freeze_d: Annotated[int | None, typer.Option(help="Discriminator stages to leave as they begin.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --outdir.")] = False,
    snapshot_images: Annotated[int | None, typer.Option(help="Images between snapshots. (a 20th)")] = None,
    eval_images: Annotated[
        int | None, typer.Option(help="Images between evaluations; the best is kept. (none)")
    ] = None,
    eval_metric: Annotated[str, typer.Option(help="What to measure: `ganvas list metrics`.")] = "fd",
    eval_samples: Annotated[int, typer.Option(help="Samples of an evaluation.")] = 2000,
    stop_when: Annotated[str | None, typer.Option(help="Good enough, as 'fd<12'.")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after so many evaluations without a best.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that read the data ahead.")] = 0,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also log for TensorBoard.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train a recipe on data; stop with Ctrl-C, continue with --resume."""
    from ..errors import UsageError

    options = {k: v for k, v in locals().items() if k not in ("UsageError", "as_json", "compile_", "set_")}
    if outdir is None:
        raise UsageError("Where to? Give --outdir FOLDER.")
    result = _train(as_json, **options, compile=compile_, set=set_ or [])
    raise typer.Exit(SIGNAL_EXITS.get(result["stopped"], 0))


def _train(as_json: bool, **options: Any) -> dict[str, Any]:
    """Train with a progress bar; the result as the JSON answer has it."""
    from ..policy import keep_large_buffers

    keep_large_buffers()
    from ..api import Request, prepare

    with _reading() as progress:
        session = prepare(Request(**options), progress)
    try:
        first = session.group.rank == 0
        result = _watch(session, first)
        page = session.report(result["stopped"])
        result["report"] = str(page.path) if page else None
    finally:
        session.close()
    if first and as_json:
        answer(result)
    elif first:
        if result["grid"]:
            then = session.training.trainer.task.next_step.format(run=result["run"])
            say(f"Samples: {result['grid']}\nNext:    {then}")
        else:
            say(f"Model:   {result['run']}/model, to be used in Python as its README.md says")
        say(f"Report:  {plain(page.path)}" if page else plain(session.told[-1]))
        if result["stopped"] != "done":
            say(f"         ganvas train --resume --outdir {result['run']}")
    return result


@contextlib.contextmanager
def _reading() -> Iterator[Any]:
    """A bar while images are decoded for the first time."""
    from rich.progress import Progress

    with Progress(console=console(), transient=True) as bar:
        task: list[Any] = []

        def tell(done: int, total: int) -> None:
            if not task:
                task.append(bar.add_task("reading images", total=total))
            bar.update(task[0], completed=done, total=total)

        yield tell


def _watch(session: Any, visible: bool) -> dict[str, Any]:
    """Drain the events of a session into a progress bar; returns the result."""
    from .progress import Watcher

    watcher = Watcher(session, console() if visible else Console(quiet=True))
    watcher.introduce()
    return watcher.watch()


@app.command()
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


@app.command()
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


@app.command()
def demo(
    outdir: Annotated[Path, typer.Option(help="The run's folder.")] = Path("demo-run"),
    minutes: Annotated[float, typer.Option(help="Stop after so many minutes at the latest.")] = 2.0,
    as_json: JsonFlag = False,
) -> None:
    """Watch a DCGAN learn handwritten digits, in about a minute and without a GPU."""
    while outdir.exists() and any(outdir.iterdir()):  # never over another run
        outdir = _next_name(outdir)
    say("Training a DCGAN on 1,797 handwritten digits (embedded) ...")
    result = _train(as_json, recipe="dcgan_small", data="digits", outdir=outdir, minutes=minutes)
    if as_json:
        return
    from .samples import terminal_preview

    if console().is_terminal:
        console().print(terminal_preview(result["run"]))
    say(
        "\nThese digits were never written by anybody. Now your own images:\n"
        "         ganvas train dcgan --data FOLDER --outdir runs/mine --images 200000\n"
        "         ganvas interpolate " + result["run"] + " -o walk.gif\n"
        "         ganvas list"
    )


def _next_name(folder: Path) -> Path:
    stem, _, number = folder.name.rpartition("-")
    return folder.with_name(f"{stem}-{int(number) + 1}" if stem and number.isdecimal() else f"{folder.name}-2")


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
