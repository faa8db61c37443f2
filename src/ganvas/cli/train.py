"""The commands that train: `train` and `demo`."""

import contextlib
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from ..paths import is_left_behind, shell_word
from .console import JsonFlag, console, print_json, say
from .help import expand_groups, option_group

data_option, init_option = option_group("Data"), option_group("Initial weights")
log_option, eval_option, speed_option = map(option_group, ("Monitoring", "Evaluation", "Speed"))

if TYPE_CHECKING:
    from ..training.request import TrainRequest
    from ..training.session import Session

Recipe = Annotated[str | None, Argument(help="Name from `ganvas list recipes`, or a saved config.json; else chosen.")]
Data = Annotated[str | None, Option(help="Folder, zip, tar, .npz, hf:NAME, s3://..., or name from `ganvas list data`.")]
Outdir = Annotated[
    Path | None, Option(help="Folder of the run, or s3://bucket/run: new or empty, or a run to --resume. [required]")
]
Resolution = Annotated[str | None, data_option(help="Size in pixels: 64 or WIDTHxHEIGHT.", show_default="the data's")]
Preset = Annotated[
    str | None, Option(help="Sizes of the recipe: tiny, small or paper.", show_default="tiny without a GPU")
]
HoldOut = Annotated[int | None, data_option(help="Images kept out of training, for the doctor.", show_default="0")]
Heal = Annotated[
    bool | None, log_option("--heal/--no-heal", help="On trouble, return to a snapshot and train more gently.")
]
Log = Annotated[
    str | None, log_option(help="More logs: tensorboard, wandb, mlflow, trackio, by commas.", show_default="none")
]
Compile = Annotated[
    str | None, speed_option("--compile", help="Use of torch.compile: auto, on or off.", show_default="auto")
]
EvalMetric = Annotated[
    str | None, eval_option(help="Metric of evaluations, from `ganvas list metrics`.", show_default="fd; psnr of pairs")
]
EvalData = Annotated[
    str | None, eval_option(help="Held-out pairs, source=DIR,target=DIR.", show_default="the training data")
]
Augment = Annotated[str, data_option(help="Data augmentation, as flip,rotate=10,noise=0.05.", show_default="none")]
SnapshotImages = Annotated[int | None, log_option(help="Real images between snapshots.", show_default="--images / 20")]
EvalImages = Annotated[
    int | None, eval_option(help="Real images between evaluations.", show_default="none; of pairs by cost")
]
Patience = Annotated[int | None, eval_option(help="Evaluations without progress until the end.", show_default="none")]


@dataclass(frozen=True)
class TrainArguments:
    """Arguments of `ganvas train`: the fields of `TrainRequest` of these names."""

    recipe: Recipe = None
    data: Data = None
    outdir: Outdir = None
    images: Annotated[int | None, Option(help="Length in real images.", show_default="the recipe's")] = None
    minutes: Annotated[float | None, Option(help="Time limit in minutes.", show_default="none")] = None
    seed: Annotated[int | None, Option(help="Seed of weights, noise and data order.", show_default="0")] = None
    batch: Annotated[int | None, Option(help="Images per step.", show_default="the recipe's")] = None
    preset: Preset = None
    resolution: Resolution = None
    device: Annotated[str | None, Option(help="Device: auto, cpu, cuda or mps.", show_default="auto")] = None
    precision: Annotated[str | None, speed_option(help="Precision: auto, fp32 or bf16.", show_default="auto")] = None
    compile: Compile = None
    set: Annotated[list[str], Option("--set", help="Option of the recipe, path=value; repeatable.")] = ()  # type: ignore[assignment]
    hold_out: HoldOut = None
    heal: Heal = None
    labels: Annotated[int | None, data_option(help="Labels used; the others are hidden.", show_default="all")] = None
    augment: Augment = ""
    init_from: Annotated[Path | None, init_option(help="Run or model that provides the initial weights.")] = None
    init_raw: Annotated[
        bool | None, init_option("--init-raw", help="Use its raw generator, not the moving average.")
    ] = None
    freeze_d: Annotated[int | None, init_option(help="Discriminator stages to freeze.", show_default="0")] = None
    resume: Annotated[bool, Option("--resume", help="Continue the run in --outdir, if there is one.")] = False
    snapshot_images: SnapshotImages = None
    eval_images: EvalImages = None
    eval_data: EvalData = None
    eval_metric: EvalMetric = None
    eval_samples: Annotated[int | None, eval_option(help="Samples per evaluation.", show_default="2000")] = None
    stop_when: Annotated[
        str | None, eval_option(help="Goal that ends the run: 'fd<12', 'psnr>30'.", show_default="none")
    ] = None
    patience: Patience = None
    workers: Annotated[int | None, data_option(help="Processes that load data in advance.", show_default="0")] = None
    log: Log = None


@expand_groups
def train(arguments: TrainArguments, as_json: JsonFlag = False) -> None:
    """Train a recipe on your data.

    Without RECIPE one is chosen for the data and the machine, and named.

    Stop with Ctrl-C, continue with --resume: the same line starts a run and continues it. A resumed run keeps its
    options; these may change: --images, --minutes, --snapshot-images, --eval-images, --eval-data, --eval-metric,
    --eval-samples, --stop-when (none drops it), --patience, --heal, --log, --workers, --device, --compile.
    Anything else is refused.
    """
    from ..errors import UsageError
    from ..training.request import TrainRequest

    if arguments.outdir is None:
        raise UsageError("Missing --outdir: a folder for the run.")
    result = _train(TrainRequest(**{**vars(arguments), "preset": arguments.preset or "auto"}), as_json)
    raise typer.Exit(128 + signal.Signals[result["stopped"]] if result["stopped"].startswith("SIG") else 0)


def demo(
    outdir: Annotated[Path, Option(help="Folder of the run; numbered if it exists.")] = Path("demo-run"),
    minutes: Annotated[float, Option(help="Time limit in minutes.")] = 2.0,
    as_json: JsonFlag = False,
) -> None:
    """Train a DCGAN on digits, and restore a photograph.

    It needs no GPU and no download: the digits, the photograph and the model that restores it are part of the
    installation. Training takes a minute.
    """
    while outdir.exists() and not all(is_left_behind(f.name) for f in outdir.iterdir()):  # never over another run
        outdir = _next_name(outdir)
    say("Training a DCGAN on 1,797 handwritten digits (embedded) ...")
    from ..training.request import TrainRequest

    request = TrainRequest("dcgan_small", "digits", outdir, minutes=minutes)
    result = _train(request, as_json, _restore_photograph)
    if as_json:
        return
    from .save import terminal_preview

    if console().is_terminal and console().encoding.startswith("utf"):
        console().print(terminal_preview(result["run"]))
    say(
        "\nThese digits are generated. Next, your own images:\n"
        "         ganvas train --data FOLDER --outdir runs/mine --minutes 10\n"
        "         ganvas interpolate " + shell_word(result["run"]) + " -o walk.gif\n"
        "         ganvas restore -i PHOTO -o restored.png\n"
        "         ganvas list\n"
    )
    if result["photograph"]:
        say(f"Photograph, before and after: {result['photograph']}")
    if result["report"]:
        say(f"The report, in a browser:     {Path(result['report']).resolve().as_uri()}")


def _restore_photograph(result: dict[str, Any]) -> None:
    """Add `photograph` to a run's answer: the file of the restored example; None after an interrupt or without one."""
    from ..inference.example import LICENSE, restore_example

    example = None if result["stopped"].startswith("SIG") else restore_example(Path(result["run"]))
    result["photograph"] = str(example.both) if example else None
    if example:
        say(f"Restoring a photograph (a cat; {LICENSE}) with the embedded model {example.model} ...")


def _train(
    request: "TrainRequest", as_json: bool, add: Callable[[dict[str, Any]], None] | None = None
) -> dict[str, Any]:
    """Train with a progress bar and print the outcome; returns the JSON answer, to which `add` adds."""
    from ..policy import keep_large_buffers

    keep_large_buffers()
    from ..training.session import prepare
    from .progress import Display, reading_bar

    with reading_bar() as progress:
        session = prepare(request, progress)
    first = session.trainer.group.rank == 0
    with contextlib.closing(session):
        with Display(session, console(quiet=not first)) as display:
            try:
                for event in session:
                    display.show(event)
            except KeyboardInterrupt as problem:  # a second signal
                raise typer.Exit(128 + getattr(problem, "number", signal.SIGINT)) from None
        result = display.result()
        report = session.report(result["stopped"])
        result["report"] = str(report.path) if report else None
    if first and not as_json:
        _print_outcome(session, result)
    if add:
        add(result)
    if first and as_json:
        print_json(result)
    return result


def _print_outcome(session: "Session", result: dict[str, Any]) -> None:
    """Print the files of a run, and the next command."""
    from .progress import place_of

    run = result["run"]
    if result["grid"]:
        say(f"Samples: {result['grid']}\nNext:    {session.trainer.task.next_step.format(run=shell_word(run))}")
    else:
        say(f"Model:   {run}/model; its README.md shows how to use it in Python")
    say(f"Report:  {result['report'] or session.notices[-1]}")
    if session.mirror:
        say(f"Mirror:  {place_of(session)}")
    since = session.recorder.evaluation.since if session.recorder.evaluation else 0
    beyond = {"goal": " --stop-when none", "patience": f" --patience {2 * since}"}
    if result["stopped"] != "done":
        place, more = shell_word(place_of(session)), beyond.get(result["stopped"], "")
        say(f"         ganvas train --resume --outdir {place}{more}")


def _next_name(folder: Path) -> Path:
    stem, _, number = folder.name.rpartition("-")
    return folder.with_name(f"{stem}-{int(number) + 1}" if stem and number.isdecimal() else f"{folder.name}-2")
