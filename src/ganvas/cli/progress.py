"""What a person sees while a run trains: a table of the data, a bar with speed and losses, and news."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..api import Session
from ..run import weights_hash
from ..training.loop import Evaluated, Finished, Logged, Snapshot, Stepped, Told
from .console import plain

WHY = {
    "minutes": "the minutes are over",
    "goal": "it is as good as asked",
    "patience": "it got no better",
}


def measured(numbers: dict[str, Any]) -> str:
    """The values of an evaluation, what they were seen through and of how many samples: FD(pocket) is not FID."""
    metric, through = numbers["metric"], numbers.get("features")
    names = {metric: f"{metric.upper()}({through})" if through and metric != "fid" else metric.upper()}
    shown = {k: v for k, v in numbers.items() if isinstance(v, float) or k == metric != v}
    shown.pop("metric", None)
    values = ", ".join(f"{names.get(k, k)} {v:.4g}" for k, v in shown.items())
    return f"{values}, {numbers['fake']['images']:,} samples" if "fake" in numbers else values


class Watcher:
    """Draws the events of a session on a console."""

    def __init__(self, session: Session, console: Console):
        self.session, self.console = session, console
        self.grid, self.reason, self.told = "", "done", 0
        self.last: dict[str, Any] = session.last()

    def introduce(self) -> None:
        """Say what was found and how it will be trained."""
        s = self.session
        table = Table.grid(padding=(0, 2))
        for name, value in s.dataset.summary():
            table.add_row(f"[cyan]{name}[/]", value.replace("[", r"\["))
        where = f"{s.policy.device}, {s.policy.precision}, batch {s.recipe.batch}"
        if s.group.world > 1:
            where += f", {s.group.world} processes"
        table.add_row("[cyan]training[/]", f"{s.recipe.images:,} images on {where}, into {s.run.path}")
        self.console.print(table)
        for sentence in s.told:
            self.console.print(f"[yellow]{sentence}[/]", soft_wrap=True)

    def watch(self) -> dict[str, Any]:
        """Train to the end; the bar is live on a terminal, elsewhere there are about twenty lines."""
        total = self.session.recipe.images
        columns = (
            TextColumn("{task.fields[images]:>11}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[news]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as bar:
            task = bar.add_task("", total=total, images="", news="")
            for event in self.session.training:
                self._show(event, bar, task)
        return self._result()

    def _show(self, event: Any, bar: Progress, task: Any) -> None:
        match event:
            case Stepped(progress):
                bar.update(task, completed=progress.images, images=f"{progress.images:,}")
            case Logged(line, findings):
                self.last = line
                bar.update(task, news=summary(line))
                twentieth = line["images"] * 20 // self.session.recipe.images
                if not self.console.is_terminal and twentieth > self.told:
                    self.told = twentieth
                    self.console.print(f"{line['images']:>11,}  {summary(line)}")
                for finding in findings:
                    bar.console.print(f"[yellow]{plain(finding)}[/]", soft_wrap=True)
            case Evaluated(numbers, best):
                note = " (the best so far)" if best else ""
                bar.console.print(f"[green]{numbers['trained_images']:>11,}  {measured(numbers)}{note}[/]")
            case Snapshot(_, grid):
                self.grid = str(grid or "")
            case Told(sentence):
                bar.console.print(f"[yellow]{sentence}[/]", soft_wrap=True)
            case Finished(reason):
                self.reason = reason
                if reason != "done":
                    why = WHY.get(reason, reason)
                    bar.console.print(
                        f"Stopped ({why}) at {self.session.training.trainer.images:,} images; all is saved."
                    )

    def _result(self) -> dict[str, Any]:
        """The JSON answer of `ganvas train`."""
        session = self.session
        terms = {name: value for name, value in self.last.items() if name[:2] in ("d/", "g/")}
        newest = max(session.run.samples.glob("*.png"), default=None)
        return {
            "run": str(session.run.path),
            "recipe": session.run.config()["recipe_name"],
            "stopped": self.reason,
            "images": session.training.trainer.images,
            "seconds": round(session.training.seconds, 1),
            "images_per_second": self.last.get("images_per_second"),
            "losses": terms,
            "evaluation": next(iter(session.run.evaluations()[::-1]), None),
            "grid": self.grid or str(newest or ""),
            "weights_sha256": weights_hash(session.run),
        }


def summary(line: dict[str, Any]) -> str:
    """Speed and the first term of each player in a log line, as the bar shows them."""
    first = {key[0]: value for key, value in reversed(line.items()) if key[:2] in ("d/", "g/")}
    losses = "  ".join(f"{name} {first[name]:.3f}" for name in "dg" if name in first)
    return f"{line['images_per_second']:,.0f} img/s  {losses}"
