"""Display of a run in training: a table of the data, a bar with speed and losses, and notices."""

import contextlib
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..run import weights_hash
from ..training.recorder import Evaluated, Event, Finished, Logged, Notice, Snapshot, Stepped
from ..training.session import Decoding, Session
from .console import console, plain, say

REASONS = {"minutes": "the time limit is reached", "goal": "the goal is reached", "patience": "no better evaluation"}


def describe_evaluation(numbers: dict[str, Any]) -> str:
    """Values of an evaluation with their feature network and number of samples: FD(pocket) is not FID."""
    metric, features = numbers["metric"], numbers.get("features")
    titles = {metric: f"{metric.upper()}({features})" if features and metric != "fid" else metric.upper()}
    values = {k: v for k, v in numbers.items() if isinstance(v, float) or k == metric != v}
    values.pop("metric", None)
    text = ", ".join(f"{titles.get(k, k)} {v:.4g}" for k, v in values.items())
    return f"{text}, {numbers['fake']['images']:,} samples" if "fake" in numbers else text


@contextlib.contextmanager
def reading_bar() -> Iterator[Decoding]:
    """Show a bar while images are decoded for the first time; yields its `update(done, total)`."""
    with Progress(console=console(), transient=True) as bar:
        task = None

        def update(done: int, total: int) -> None:
            nonlocal task
            if task is None:
                task = bar.add_task("reading images", total=total)
            bar.update(task, completed=done, total=total)

        yield update


def place_of(session: Session) -> str:
    """Folder of a run, or the address of its mirror."""
    return session.mirror.address if session.mirror else str(session.run.path)


class Display(contextlib.AbstractContextManager["Display"]):
    """Events of a session on a console: a live bar on a terminal, elsewhere about twenty lines."""

    def __init__(self, session: Session, console: Console):
        self.session, self.console = session, console
        self.total = session.trainer.recipe.images
        self.grid, self.reason, self.twentieths = "", "done", 0
        self.line: dict[str, Any] = next(iter(session.run.log()[::-1]), {})
        images, news = TextColumn("{task.fields[images]:>11}"), TextColumn("{task.fields[news]}")
        columns = (images, BarColumn(), TaskProgressColumn(), news, TimeRemainingColumn())
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self.task = self.bar.add_task("", total=self.total, images="", news="")

    def __enter__(self) -> "Display":
        """Print the data and how they are trained on, and show the bar."""
        session, trainer = self.session, self.session.trainer
        table = Table.grid(padding=(0, 2))
        table.add_column(style="cyan")
        table.add_column()
        for name, value in session.dataset.summary():
            table.add_row(name, plain(value))
        place = f"{trainer.policy.device}, {trainer.policy.precision}, batch {trainer.recipe.batch}"
        if trainer.group.world > 1:
            place += f", {trainer.group.world} processes"
        table.add_row("training", plain(f"{self.total:,} images on {place}, into {place_of(session)}"))
        self.console.print(table)
        for sentence in session.notices:
            say(sentence, "yellow", on=self.console)
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, event: Event) -> None:
        """Print an event, or bring the bar up to date."""
        match event:
            case Stepped(progress):
                self.bar.update(self.task, completed=progress.images, images=f"{progress.images:,}")
            case Logged(line, findings):
                self.line = line
                self.bar.update(self.task, news=summary(line))
                twentieths = line["images"] * 20 // self.total
                if not self.console.is_terminal and twentieths > self.twentieths:
                    self.twentieths = twentieths
                    self.console.print(f"{line['images']:>11,}  {summary(line)}")
                for finding in findings:
                    say(finding, "yellow", on=self.bar.console)
            case Evaluated(numbers, best):
                note = " (the best so far)" if best else ""
                text = f"{numbers['trained_images']:>11,}  {describe_evaluation(numbers)}{note}"
                say(text, "green", on=self.bar.console)
            case Snapshot(_, grid):
                self.grid = str(grid or "")
            case Notice(sentence):
                say(sentence, "yellow", on=self.bar.console)
            case Finished(reason):
                self.reason = reason
                if reason != "done":
                    end = f"Stopped ({REASONS.get(reason, reason)}) at {self.session.trainer.images:,} images"
                    say(f"{end}; everything is saved.", on=self.bar.console)

    def result(self) -> dict[str, Any]:
        """The JSON answer of `ganvas train`."""
        session, run = self.session, self.session.run
        newest = max(run.samples.glob("*.png"), default=None)
        return {
            "run": str(run.path),
            "recipe": run.config()["recipe_name"],
            "stopped": self.reason,
            "images": session.trainer.images,
            "seconds": round(session.recorder.seconds, 1),
            "images_per_second": self.line.get("images_per_second"),
            "losses": {name: value for name, value in self.line.items() if name[:2] in ("d/", "g/")},
            "evaluation": next(iter(run.evaluations()[::-1]), None),
            "grid": self.grid or str(newest or ""),
            "weights_sha256": weights_hash(run),
        } | ({"mirror": session.mirror.address} if session.mirror else {})


def summary(line: dict[str, Any]) -> str:
    """Speed and the first term of each player in a log line, for the bar."""
    first = {key[0]: value for key, value in reversed(line.items()) if key[:2] in ("d/", "g/")}
    losses = "  ".join(f"{name} {first[name]:.3f}" for name in "dg" if name in first)
    return f"{line['images_per_second']:,.0f} img/s  {losses}"
