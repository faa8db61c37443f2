"""The command `ganvas`.  Nothing here imports torch until a command needs it, so that help is instant."""

from __future__ import annotations

from typing import Annotated

import typer

from ..version import __version__
from . import evaluate, export, images, report, sample, show, stylize, train, translate
from .console import plain, say

app = typer.Typer(
    name="ganvas",
    help="Train, evaluate and apply generative adversarial networks for images.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.command()(train.demo)
app.command()(train.train)
app.command()(sample.sample)
app.command()(images.upscale)
app.command("eval")(evaluate.eval_)

app.command(rich_help_panel="Change images")(images.restore)
app.command(rich_help_panel="Change images")(translate.translate)
app.command(rich_help_panel="Change images")(stylize.stylize)
app.command(rich_help_panel="Explore latents")(sample.interpolate)
app.command(rich_help_panel="Inspect runs and data")(report.report)
app.command(rich_help_panel="Inspect runs and data")(evaluate.doctor)
app.command(rich_help_panel="Inspect runs and data")(evaluate.statistics)
app.command("list", rich_help_panel="Recipes and components")(show.list_)
app.command(rich_help_panel="Recipes and components")(show.show)
app.command(rich_help_panel="Weight files")(export.export)
app.command("interpolate-weights", rich_help_panel="Weight files")(export.interpolate_weights)
app.add_typer(evaluate.weights, name="weights", rich_help_panel="Weight files", no_args_is_help=True)


def main() -> None:
    """Run the command line; a `UserError` ends in one sentence and an exit code, without a traceback."""
    from ..errors import UsageError, UserError

    try:
        app(prog_name="ganvas")
    except UserError as problem:
        say(f"[bold red]ganvas:[/] {plain(problem)}")
        raise SystemExit(2 if isinstance(problem, UsageError) else 1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


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
