"""The command that serves the pages of the studio: `studio`."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from .console import say


def studio(
    runs: Annotated[Path, typer.Option(help="Folder of runs to show and to train in.")] = Path("runs"),
    models: Annotated[Path, typer.Option(help="Folder of weight files and model folders.")] = Path("models"),
    data: Annotated[Path, typer.Option(help="Folder of images to train on and to compare with.")] = Path("data"),
    port: Annotated[int, typer.Option(help="Port; if it is taken, the next free one.")] = 7860,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine need a token.")
    ] = "127.0.0.1",
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
) -> None:
    """Train, explore and enhance in the browser.

    Needs the extra: pip install 'ganvas[studio]'. Stop with Ctrl-C.
    """
    from ..errors import UsageError, UserError

    if not 1 <= port <= 65535:
        raise UsageError(f"--port must be from 1 to 65535, got {port}.")
    for name in ("fastapi", "uvicorn", "websockets", "python_multipart"):
        if find_spec(name) is None:
            raise UserError(f"The studio needs the package {name}: pip install 'ganvas[studio]'.")
    from ..studio.server import make_place, serve

    place = make_place(runs, models, host, port, data)
    if place.port != port:
        say(f"Port {port} is taken; the next free one is used.")
    serve(place, ready=lambda: _announce(place.address, not no_open and sys.stdout.isatty()))


def _announce(address: str, open_browser: bool) -> None:
    """Print the address, and open it."""
    typer.echo(f"Ganvas studio: {address}  (Ctrl-C stops it; training runs go on)")
    if open_browser:
        import webbrowser

        webbrowser.open(address)
