"""The commands that improve images: `upscale`, `restore`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .batch import Alpha, BatchConsole, FileArguments, Input, changed_options
from .console import Device, JsonFlag, Output, say, say_hidden
from .help import expand_groups, option_group

if TYPE_CHECKING:
    from ..inference.batch import Batch
    from ..inference.faces import FaceRestorer
    from ..inference.inpaint import Inpainter
    from ..models.resolve import ImageModel
    from ..policy import Policy

size_option, blend_option = option_group("Size"), option_group("Blending")
place_option = option_group("Parts of an image")
tile_option, weight_option = option_group("Tiles"), option_group("Weight files")


@dataclass(frozen=True)
class ResultArguments:
    """Options for the size and the look of the result."""

    outscale: Annotated[float | None, size_option(help="Scale of the output.", show_default="the model's")] = None
    width: Annotated[int | None, size_option(help="Output width in pixels; alone it keeps the proportions.")] = None
    height: Annotated[int | None, size_option(help="Output height in pixels; alone it keeps the proportions.")] = None
    strength: Annotated[
        float, blend_option(help="Share of the model in the result, 0 to 1; the rest is --psnr-model.")
    ] = 1.0
    psnr_model: Annotated[str | None, blend_option(help="Model that --strength mixes in.", show_default="bicubic")] = (
        None
    )
    keep_colours: Annotated[
        bool, blend_option("--keep-colours", help="Keep the broad colours and brightness of the input.")
    ] = False
    grain: Annotated[float, blend_option(help="Standard deviation of noise to add, in levels of 255.")] = 0.0


@dataclass(frozen=True)
class TileArguments:
    """Options for the tiles of a large image."""

    tile: Annotated[str, tile_option(help="Tile size in pixels; auto: by free memory; 0: no tiles.")] = "auto"
    overlap: Annotated[
        str,
        tile_option(
            help="Tile overlap in pixels up to which tiles are exact; beyond it they are blended; exact: no limit."
        ),
    ] = "64"
    wrap: Annotated[bool, tile_option("--wrap", help="Treat the image as a texture that repeats.")] = False


@dataclass(frozen=True)
class NetworkArguments:
    """Options for where the network runs, and for what a weight file leaves open."""

    device: Device = "auto"
    precision: Annotated[str, typer.Option(help="Precision: auto, fp32 or bf16.")] = "auto"
    model_scale: Annotated[int | None, weight_option(help="Scale of a weight file.", show_default="detected")] = None
    activation: Annotated[
        str | None,
        weight_option(help="Activation of an SRVGG weight file: prelu, relu or leakyrelu.", show_default="detected"),
    ] = None


@dataclass(frozen=True)
class PlaceArguments:
    """Options for the parts of an image that are changed."""

    mask: Annotated[Path | None, place_option(help="Inpaint: image, white in holes, or a folder of them.")] = None
    faces: Annotated[bool, place_option("--faces", help="Restore faces alone, by a model of aligned faces.")] = False
    face_size: Annotated[int, place_option(help="Pixels a side of the crops that a face model takes.")] = 512

    def check(self, model: str | None, result: ResultArguments, tiles: TileArguments) -> None:
        """Raise `UsageError` for options that have no effect on parts of an image, and for faces without a model."""
        from ..errors import UsageError

        if self.mask and self.faces:
            raise UsageError("Give --mask or --faces, not both.")
        name = "--mask changes holes" if self.mask else "--faces changes faces" if self.faces else ""
        unused = changed_options(result, tiles) if name else []
        if unused := [option for option in unused if not (self.faces and option == "--strength")]:
            raise UsageError(f"{name} alone; leave {', '.join(unused)} out.")
        if self.faces and model is None:
            raise UsageError("--faces needs --model: a restoration run, or a weight file, for aligned faces.")

    def changer(self, model: "ImageModel", policy: "Policy", strength: float) -> "Inpainter | FaceRestorer | None":
        """The worker for the parts that the options name; None for whole images."""
        from ..inference.faces import FaceRestorer
        from ..inference.inpaint import Inpainter

        if self.faces:
            return FaceRestorer(model, policy, size=self.face_size, strength=strength)
        return Inpainter(model, policy, self.mask) if self.mask else None


@expand_groups
def upscale(
    source: Input,
    output: Output,
    *,
    model: Annotated[
        str | None, typer.Option(help="Run, weight file, embedded or bicubic.", show_default="embedded")
    ] = None,
    result: ResultArguments,
    alpha: Alpha = "transparency",
    files: FileArguments,
    tiles: TileArguments,
    network: NetworkArguments,
    as_json: JsonFlag = False,
) -> None:
    """Upscale an image or a folder of images.

    Bit depth, colours, transparency and metadata are kept.
    """
    from ..models.cards import pick_embedded

    batch = files.jobs(source, output, alpha)
    _change_images(
        "upscale", batch, model or pick_embedded(result.outscale), PlaceArguments(), result, tiles, network, as_json
    )


@expand_groups
def restore(
    source: Input,
    output: Output,
    *,
    model: Annotated[str | None, typer.Option(help="Run, weight file or embedded.", show_default="clean")] = None,
    places: PlaceArguments,
    result: ResultArguments,
    alpha: Alpha = "transparency",
    files: FileArguments,
    tiles: TileArguments,
    network: NetworkArguments,
    as_json: JsonFlag = False,
) -> None:
    """Denoise, dehaze, brighten, colorize or inpaint images.

    The model decides which (`ganvas list models`); images keep their size, bit depth and metadata.
    """
    from ..models.cards import pick_restorer

    batch = files.jobs(source, output, alpha)
    places.check(model, result, tiles)
    if model is None:
        card = pick_restorer(masked=places.mask is not None)
        model = card.name
        say(f"Model: {model}. {card.purpose} Others: ganvas list models.")
    _change_images("restore", batch, model, places, result, tiles, network, as_json)


def _change_images(
    verb: str,
    batch: "Batch",
    name: str,
    places: PlaceArguments,
    result: ResultArguments,
    tiles: TileArguments,
    network: NetworkArguments,
    as_json: bool,
) -> None:
    """Enhance every image of a batch, or the places in it."""
    from ..inference.batch import own_size, run_jobs
    from ..inference.enhance import EnhanceOptions, Enhancer, Target
    from ..models.cards import NAMES, PLAIN
    from ..models.resolve import resolve
    from ..policy import Policy, keep_large_buffers

    keep_large_buffers(one_heap=True)
    target = Target(result.outscale, result.width, result.height)
    tile, overlap = (
        _parse_pixels("--tile", tiles.tile, "auto", 16),
        _parse_pixels("--overlap", tiles.overlap, "exact", 0),
    )
    options = EnhanceOptions(target, result.strength, result.keep_colours, result.grain, tile, overlap, tiles.wrap)
    policy = Policy.choose(network.device, network.precision)
    say_hidden([*NAMES, PLAIN], name, result.psnr_model)
    model = resolve(name, scale=network.model_scale, activation=network.activation, verb=verb)
    base = resolve(result.psnr_model, verb=verb) if result.psnr_model else None
    worker = places.changer(model, policy, result.strength) or Enhancer(model, policy, options, base)
    size = worker.size if isinstance(worker, Enhancer) else own_size
    with BatchConsole(batch) as display:
        for outcome in run_jobs(batch, worker.change, display.progress, size):
            display.show(outcome)
    about = {"model": model.name, "scale": worker.scale}
    display.finish({**about, "device": str(policy.device), "precision": policy.precision}, as_json=as_json)


def _parse_pixels(name: str, text: str, word: str, least: int) -> int | None:
    """Parse 0 or a whole number of at least `least`; None for the word.  Raises `UsageError` for others."""
    from ..errors import UsageError

    if text == word:
        return None
    if not text.isdecimal() or 0 < int(text) < least:
        raise UsageError(f"{name} is {word}, or a number of pixels of at least {least}, not {text!r}.")
    return int(text)
