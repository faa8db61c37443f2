"""The command of image-to-image translation: `translate`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .batch import Alpha, FileArguments, Input, change_files
from .console import Device, JsonFlag, Output, check_model
from .help import expand_groups
from .library import Choice, ModelsFolder, check_name

if TYPE_CHECKING:
    from ..inference.batch import Work
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
    batch = files.jobs(source, output, alpha)
    check_name(models, model)
    work = partial(open_work, model, models, label, back, noise, device, precision, batch.stack)
    change_files(batch, files, device, work, as_json)


def open_work(
    model: str | None,
    models: Path | None,
    label: str | None,
    back: bool,
    noise: int | None,
    device: str,
    precision: str,
    stack: bool,
) -> "Work":
    """The translation of images by a model."""
    from ..imaging.provenance import COMPOSITE
    from ..inference.batch import Work, own_size
    from ..inference.translate import Translator
    from ..policy import keep_large_buffers

    keep_large_buffers(one_heap=True)
    network = _load(model, choice := Choice(models), device, precision)
    (translator := Translator(network, network.read_label(label), back, noise)).check(stack)
    about = {"model": model, "device": str(network.policy.device), "precision": network.policy.precision}
    return Work(translator.change, about | choice.as_json(), own_size, COMPOSITE, network.input_channels(back))


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
