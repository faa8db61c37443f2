"""The commands about weights that change images: between two models, and for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import JsonFlag, Output, answer, say

Layout = Annotated[str | None, typer.Option(help="ESRGAN: new, old, middle; MSRResNet: basicsr, mmagic.")]


def interpolate_weights(
    psnr: Annotated[str, typer.Argument(metavar="PSNR", help="The model at alpha 0: run, weight file, or embedded.")],
    gan: Annotated[str, typer.Argument(metavar="GAN", help="The model at alpha 1, of the same network.")],
    output: Output,
    alpha: Annotated[float, typer.Option(help="From 0, faithful, to 1, detailed.")] = 0.8,
    layout: Layout = None,
    as_json: JsonFlag = False,
) -> None:
    """Weights between a faithful and a detailed model (network interpolation, as ESRGAN does it)."""
    from ..checkpoints.files import write
    from ..export.interpolate import interpolate
    from ..export.pth import checkpoint_of

    made = interpolate(checkpoint_of(psnr), checkpoint_of(gan), alpha)
    write(output, made, layout=layout)
    if as_json:
        return answer({"output": str(output), "network": made.network, "alpha": alpha, **made.options})
    say(f"{made.network} at alpha {alpha:g} in {output}")


def export(
    model: Annotated[str, typer.Argument(metavar="RUN", help="A run, a model folder, a weight file, or embedded.")],
    output: Output,
    layout: Layout = None,
    as_json: JsonFlag = False,
) -> None:
    """A model for elsewhere: .pth or .safetensors as other tools load it, or a folder (weights, config, card)."""
    from ..checkpoints.files import write
    from ..export.folder import export_folder
    from ..export.pth import checkpoint_of

    if output.suffix:
        made = checkpoint_of(model)
        write(output, made, layout=layout)
        said = {"output": str(output), "network": made.network, **made.options}
    else:
        said = {"output": str(output), "files": export_folder(Path(model), output)}
    if as_json:
        return answer(said)
    say(f"{model} in {output}")
