"""The command line `ganvas`.  Only commands import torch and rich, when they run, so that help is fast."""

import os
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from ..errors import UsageError, UserError, printable
from ..version import __version__
from . import (
    evaluate,
    export,
    features,
    images,
    latent,
    regions,
    report,
    sample,
    show,
    sign,
    studio,
    stylize,
    synthesize,
    train,
    translate,
    tune,
)
from .console import say
from .help import Command, Group
from .streams import lasting_streams

app = typer.Typer(
    cls=Group,
    name="ganvas",
    help="Train, evaluate and apply generative adversarial networks for images.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Start here": {
        "demo": train.demo,
        "train": train.train,
        "sample": sample.sample,
        "upscale": images.upscale,
        "eval": evaluate.eval_,
    },
    "Change images": {
        "restore": images.restore,
        "remove": regions.remove,
        "edit-region": regions.edit_region,
        "translate": translate.translate,
        "stylize": stylize.stylize,
        "sign": sign.sign,
    },
    "In the browser": {"studio": studio.studio},
    "Explore latents": {
        "interpolate": sample.interpolate,
        "project": latent.project,
        "directions": latent.directions,
        "edit": latent.edit,
        "mix": latent.mix,
        "synthesize": synthesize.synthesize,
    },
    "Features of images": {"features": features.features, "cluster": features.cluster, "probe": features.probe},
    "Inspect runs and data": {"report": report.report, "doctor": evaluate.doctor, "statistics": evaluate.statistics},
    "Recipes and components": {"list": show.list_, "show": show.show},
    "Many runs": {"tune": tune.tune},
    "Weights": {"export": export.export, "push": export.push, "interpolate-weights": export.interpolate_weights},
}
for heading, commands in COMMANDS.items():
    for name, function in commands.items():
        app.command(name, cls=Command, rich_help_panel=heading)(function)
app.add_typer(evaluate.weights, name="weights", cls=Group, rich_help_panel="Weights", no_args_is_help=True)


def main() -> None:
    """Run the command line; a `UserError` ends in one sentence and an exit code, without a traceback."""
    try:
        with lasting_streams():
            try:
                app(prog_name="ganvas")
            except UserError as problem:
                _refuse(problem, 2 if isinstance(problem, UsageError) else 1)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OSError as problem:  # of the system: a folder without permission, a full disk behind stdout
        if problem.strerror is None:
            raise
        place = "" if problem.filename is None else f"{printable(os.fsdecode(problem.filename))}: "
        _refuse(f"{place}{problem.strerror}.", 1)


def _refuse(sentence: object, code: int) -> NoReturn:
    say("ganvas:", "bold red", end=" ")
    say(sentence)
    raise SystemExit(code)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"ganvas {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train, evaluate and apply generative adversarial networks for images."""
