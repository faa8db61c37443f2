"""The commands that change a region of an image: `remove`."""

from pathlib import Path
from typing import Annotated

import typer

from .batch import Alpha, FileArguments, Input
from .console import Device, JsonFlag, Output, say
from .help import expand_groups

Mask = Annotated[
    Path | None, typer.Option(help="Image as large as the input, white in the region, or a folder of them.")
]
RegionBox = Annotated[
    str | None, typer.Option("--box", help="The region as X,Y,WIDTH,HEIGHT in pixels from the top left corner.")
]
Precision = Annotated[str, typer.Option(help="Precision: auto, fp32 or bf16.")]


@expand_groups
def remove(
    source: Input,
    output: Output,
    *,
    mask: Mask = None,
    box: RegionBox = None,
    model: Annotated[
        str | None, typer.Option(help="Run or model folder of recipe inpaint.", show_default="inpaint, embedded")
    ] = None,
    alpha: Alpha = "transparency",
    files: FileArguments,
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Remove an object: fill a region from what is around it.

    Images have any size; pixels outside the region, bit depth, transparency and metadata are kept.
    """
    from ..models.cards import pick_restorer
    from .images import NetworkArguments, PlaceArguments, ResultArguments, TileArguments, change_images

    batch = files.jobs(source, output, alpha)
    places, network = PlaceArguments(mask, box), NetworkArguments(device, precision)
    places.region().check()
    if model is None:
        model = pick_restorer(masked=True).name
        say(f"Model: {model}.")
    change_images("remove", batch, model, places, ResultArguments(), TileArguments(), network, as_json)
