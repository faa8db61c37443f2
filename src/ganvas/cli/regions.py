"""The commands that change a region of an image: `remove`, `edit-region`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .batch import Alpha, FileArguments, Input, change_files
from .console import Device, JsonFlag, Output, say
from .help import expand_groups, option_group

if TYPE_CHECKING:
    from ..inference.batch import Work
    from ..inference.edit_region import EditOptions

content = option_group("What is put into the region")

Mask = Annotated[
    Path | None, typer.Option(help="Image as large as the input, white in the region, or a folder of them.")
]
RegionBox = Annotated[
    str | None, typer.Option("--box", help="The region as X,Y,WIDTH,HEIGHT in pixels from the top left corner.")
]
Precision = Annotated[str, typer.Option(help="Precision: auto, fp32 or bf16.")]

Model = Annotated[
    str | None, typer.Option(help="Run or model folder of recipe inpaint.", show_default="inpaint, embedded")
]


@dataclass(frozen=True)
class ContentArguments:
    """Options for what is put into a region: `inference.edit_region.EditOptions`."""

    reference: Annotated[
        Path | None, content(help="Image to put in; one as large as the input lies on it pixel on pixel.")
    ] = None
    paint: Annotated[Path | None, content(help="Image whose opaque pixels are the colours to put in.")] = None
    sketch: Annotated[
        Path | None, content(help="Image as large as the input, dark on lines that a guided model follows.")
    ] = None
    fit: Annotated[str, content(help="Scale the reference to cover the region, or to be contained in it.")] = "cover"
    blend: Annotated[
        bool | None,
        content("--blend/--no-blend", help="Blend the reference along its gradients.", show_default="if it is opaque"),
    ] = None
    mixed: Annotated[bool, content("--mixed", help="Blend with the larger gradients of both images.")] = False

    def read(self) -> "EditOptions":
        """Read the images; raises `UsageError` for one that does not exist."""
        from ..errors import UsageError, printable
        from ..imaging.photo import open_photo
        from ..inference.edit_region import EditOptions

        files = {"reference": self.reference, "paint": self.paint, "sketch": self.sketch}
        for name, file in files.items():
            if file is not None and not file.is_file():
                raise UsageError(f"--{name} {printable(file)} does not exist; give an image.")
        images: dict[str, Any] = {name: None if file is None else open_photo(file) for name, file in files.items()}
        return EditOptions(**images, fit=self.fit, blend=self.blend, mixed=self.mixed)


@expand_groups
def remove(
    source: Input,
    output: Output,
    *,
    mask: Mask = None,
    box: RegionBox = None,
    model: Model = None,
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
    from .images import NetworkArguments, PlaceArguments, ResultArguments, TileArguments, open_work

    batch = files.jobs(source, output, alpha)
    places, network = PlaceArguments(mask, box), NetworkArguments(device, precision)
    places.region().check()
    if model is None:
        model = pick_restorer(masked=True).name
        say(f"Model: {model}.")
    work = partial(open_work, "restore", model, places, ResultArguments(), TileArguments(), network, batch.stack)
    change_files(batch, files, network.device, work, as_json)


@expand_groups
def edit_region(
    source: Input,
    output: Output,
    *,
    mask: Mask = None,
    box: RegionBox = None,
    what: ContentArguments,
    model: Model = None,
    alpha: Alpha = "transparency",
    files: FileArguments,
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Add or replace something in a region of an image.

    A model trained with --set degradation=guided_holes draws it after the reference, the paint and the sketch.  Without
    one the reference itself is blended into the image, and --model fills what nothing covers.
    """
    from .images import PlaceArguments

    batch = files.jobs(source, output, alpha)
    PlaceArguments(mask, box).region().check()
    change_files(batch, files, device, partial(open_editor, mask, box, what, model, device, precision), as_json)


def open_editor(
    mask: Path | None, box: str | None, what: ContentArguments, model: str | None, device: str, precision: str
) -> "Work":
    """The edit of a region of images."""
    from ..imaging.provenance import COMPOSITE
    from ..inference.batch import Work, own_size
    from ..inference.edit_image import find_inpainter
    from ..inference.edit_region import RegionEditor
    from ..inference.inpaint import Inpainter
    from ..policy import Policy, keep_large_buffers
    from .images import PlaceArguments

    keep_large_buffers(one_heap=True)
    region = PlaceArguments(mask, box).region()
    network, policy = find_inpainter(model), Policy.choose(device, precision)
    editor = RegionEditor(region, what.read(), Inpainter(network, policy, region))
    about = {"model": network.name, "method": editor.method}
    about |= {"device": str(policy.device), "precision": policy.precision}
    return Work(editor.change, about, own_size, COMPOSITE)
