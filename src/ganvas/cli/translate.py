"""The command that makes one kind of image of another: `translate`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .console import Device, JsonFlag, Output
from .images import Format, Input, Lossless, Quality, Recursive, Resume, carry_out

Precision = Annotated[str, typer.Option(help="fp32, bf16 or auto.")]


def translate(
    source: Input,
    output: Output,
    model: Annotated[str | None, typer.Option(help="A run, or a weight file of pix2pix, CycleGAN or StarGAN.")] = None,
    label: Annotated[str | None, typer.Option(help="The domain by name or number, or attributes: 1,0,1.")] = None,
    back: Annotated[bool, typer.Option("--back", help="The other way, of a model that has two.")] = False,
    noise: Annotated[int | None, typer.Option(help="A seed, with which dropout stays on: others differ. (off)")] = None,
    recursive: Recursive = False,
    resume: Resume = False,
    form: Format = None,
    quality: Quality = 95,
    lossless: Lossless = False,
    device: Device = "auto",
    precision: Precision = "fp32",
    as_json: JsonFlag = False,
) -> None:
    """Images of one kind from those of another: one, or a folder of them, in any size."""

    asked: dict[str, Any] = {"recursive": recursive, "form": form, "resume": resume}
    asked |= {"quality": quality, "lossless": lossless}
    carry_out(
        source,
        output,
        lambda: _translator(model, device, precision, label, back=back, noise=noise),
        as_json=as_json,
        **asked,
    )


def _translator(
    name: str | None, device: str, precision: str, text: str | None, **how: Any
) -> tuple[Any, dict[str, Any]]:
    """What is to be done with each image, and what there is to say about the model."""
    from ..errors import UsageError
    from ..inference.translate import ready, translated
    from ..models.model import load
    from ..models.resolve import wrong_kind

    if name is None:
        raise UsageError("Missing --model: a run, a model folder or a weight file.")
    model = load(name, device=device, precision=precision)  # type: ignore[arg-type]
    if not model.task.translates or model.task.restores:
        raise wrong_kind(name, model.task, "translate")
    how["label"] = model.read_label(text)
    ready(model, **how)
    about = {"model": name, "device": str(model.policy.device), "precision": model.policy.precision}
    return lambda photo, output, tell: translated(model, photo, **how), about
