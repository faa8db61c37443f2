"""The command that finds options of a recipe: `tune`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .console import Device, JsonFlag, print_json, print_table, say
from .help import expand_groups, option_group

option = option_group("Trials")


@dataclass(frozen=True)
class TrialArguments:
    """Options of the trials."""

    trials: Annotated[int, option(help="Trials of the study.")] = 20
    images: Annotated[int | None, option(help="Images that a trial is trained on.")] = None
    minutes: Annotated[float | None, option(help="Minutes that a trial is trained for.")] = None
    metric: Annotated[str, option(help="Metric that is made better: `ganvas list metrics`.")] = "fd"
    samples: Annotated[int, option(help="Samples that a trial is measured by.")] = 2000
    seed: Annotated[int, option(help="Seed of every trial, and of the search.")] = 0
    preset: Annotated[str | None, option(help="Preset of the recipe: tiny, small or paper.")] = None
    pruner: Annotated[str, option(help="Ends poor trials early: median, hyperband or none.")] = "median"
    on: Annotated[str, option(help="Where trials are trained: local, or ray for a Ray cluster.")] = "local"
    workers: Annotated[
        int | None, option(help="With ray: trials at once.", show_default="one a GPU, or a CPU core")
    ] = None


@expand_groups
def tune(
    recipe: Annotated[str, typer.Argument(help="Recipe: `ganvas list recipes`, or a config.json.")],
    data: Annotated[str, typer.Option(help="Data, as `ganvas train` takes it.")],
    outdir: Annotated[Path, typer.Option(help="Folder of the study and its runs.")],
    *,
    trial: TrialArguments,
    set_space: Annotated[
        list[str] | None,
        typer.Option(help="Range, as g_optimizer.lr=log(1e-4,1e-2); also uniform, int, one_of.", show_default="usual"),
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Option of every trial, as batch=32.")] = None,
    storage: Annotated[
        str | None, typer.Option(help="Database that workers share.", show_default="OUTDIR/study.db")
    ] = None,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Find options with which a recipe trains better.

    Every trial is a run. The same command goes on after a kill, and may run several times at once.
    """
    from ..errors import UsageError
    from ..sweeps.tune import tune as search

    pairs = [text.partition("=") for text in set_ or []]
    if wrong := next((name for name, sign, _ in pairs if not sign), None):
        raise UsageError(f"--set takes OPTION=VALUE, not {wrong!r}.")
    options = {**vars(trial), "space": set_space or (), "storage": storage, "device": device}
    options |= {"set": {name: value for name, _, value in pairs}} if pairs else {}
    result = search(recipe, data=data, outdir=outdir, notify=lambda sentence: say(sentence, "dim"), **options)
    if as_json:
        return print_json(result)
    best = result["best"]
    rows = [[name, f"{v:.4g}" if isinstance(v, float) else str(v)] for name, v in best["set"].items()]
    print_table(f"Trial {best['trial']}: {result['metric']} {best['value']:.4g}", ["option", "value"], rows)
    say(f"Train it: ganvas train {result['recipe']} --data {data} --outdir RUN. All trials: {result['report']}")
