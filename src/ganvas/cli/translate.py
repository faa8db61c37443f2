"""The command of image-to-image translation: `translate`."""

from typing import TYPE_CHECKING, Annotated

import typer

from .batch import Alpha, BatchConsole, FileArguments, Input
from .console import Device, JsonFlag, Output, check_model
from .help import expand_groups
from .library import Choice, ModelsFolder, check_name

if TYPE_CHECKING:
    from ..models.model import Model

Precision = Annotated[str, typer.Option(help="Precision: fp32, bf16 or auto.")]


@expand_groups
def translate(
    source: Input,
    output: Output,
    *,
    model: Annotated[str | None, typer.Option(help="Run, model folder or weight file. [required]")] = None,
    label: Annotated[str | None, typer.Option(help="Target domain by name or number, or attributes as 1,0,1.")] = None,
    back: Annotated[bool, typer.Option("--back", help="Use the inverse direction of a model that has both.")] = False,
    noise: Annotated[int | None, typer.Option(help="Seed of dropout; without it, dropout is off.")] = None,
    alpha: Alpha = "transparency",
    files: FileArguments,
    models: ModelsFolder = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    as_json: JsonFlag = False,
) -> None:
    """Translate images from one domain to another.

    Images have any size; bit depth, transparency and metadata are kept.
    """
    from ..imaging.provenance import COMPOSITE
    from ..inference.batch import run_jobs
    from ..inference.translate import Translator
    from ..policy import keep_large_buffers

    keep_large_buffers(one_heap=True)
    batch = files.jobs(source, output, alpha)
    network = _load(model, choice := Choice(models), device, precision)
    (translator := Translator(network, network.read_label(label), back, noise)).check(batch.stack)
    with BatchConsole(batch) as display:
        channels = network.input_channels(back)
        for outcome in run_jobs(batch, translator.change, display.progress, source_type=COMPOSITE, channels=channels):
            display.show(outcome)
    about = {"device": str(network.policy.device), "precision": network.policy.precision}
    display.finish({"model": model, **about, **choice.as_json()}, as_json=as_json)


def _load(model: str | None, choice: Choice, device: str, precision: str) -> "Model":
    """Load a translation model; raises `UsageError` for another kind."""
    from ..errors import UsageError
    from ..models.model import load
    from ..models.resolve import wrong_kind

    check_name(choice.folder, model)
    if model is None:
        raise UsageError("Missing --model: a run, a model folder or a weight file.")
    path, _ = choice.locate(model)
    check_model(path, "translate")
    network = load(path, device=device, precision=precision)  # type: ignore[arg-type]
    if not network.task.translates or network.task.restores:
        raise wrong_kind(model, network.task, "translate")
    return network
