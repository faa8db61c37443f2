"""The commands that improve images: `upscale`, `restore`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .batch import Alpha, FileArguments, Input, change_files, changed_options
from .console import Device, JsonFlag, Output, say, say_hidden
from .help import expand_groups, option_group
from .library import Choice, ModelsFolder, check_name

if TYPE_CHECKING:
    from ..inference.batch import Work
    from ..inference.enhance import EnhanceOptions, Enhancer
    from ..inference.faces import FaceRestorer
    from ..inference.inpaint import Inpainter
    from ..inference.region import Region
    from ..inference.side_by_side import SideBySide
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
    tta: Annotated[
        bool, blend_option("--tta", help="Average the eight flips and turns of the image, in eight times the time.")
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
    engine: Annotated[str, typer.Option(help="Engine: auto, torch, openvino or onnxruntime.")] = "auto"
    models: ModelsFolder = None
    model_scale: Annotated[int | None, weight_option(help="Scale of a weight file.", show_default="detected")] = None
    activation: Annotated[
        str | None,
        weight_option(help="Activation of an SRVGG weight file: prelu, relu or leakyrelu.", show_default="detected"),
    ] = None


@dataclass(frozen=True)
class PlaceArguments:
    """Options for the parts of an image that are changed."""

    mask: Annotated[Path | None, place_option(help="Inpaint: image, white in holes, or a folder of them.")] = None
    box: Annotated[str | None, place_option(help="Inpaint: X,Y,WIDTH,HEIGHT in pixels instead of a mask.")] = None
    faces: Annotated[bool, place_option("--faces", help="Restore faces alone, by a model of aligned faces.")] = False
    face_size: Annotated[int, place_option(help="Pixels a side of the crops that a face model takes.")] = 512

    @property
    def names_parts(self) -> bool:
        """True if parts of an image are changed, not the whole."""
        return self.masked or self.faces

    @property
    def masked(self) -> bool:
        """True if holes are filled."""
        return self.mask is not None or self.box is not None

    def check(self, model: str | None, result: ResultArguments, tiles: TileArguments) -> None:
        """Raise `UsageError` for options that have no effect on parts of an image, and for faces without a model."""
        from ..errors import UsageError

        option = "--mask" if self.mask else "--box"
        if self.masked and self.faces:
            raise UsageError(f"Give {option} or --faces, not both.")
        name = f"{option} changes holes" if self.masked else "--faces changes faces" if self.faces else ""
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
        return Inpainter(model, policy, self.region()) if self.masked else None

    def region(self) -> "Region":
        """The places of the mask or the box."""
        from ..inference.region import Box, Region

        return Region(self.mask, Box.parse(self.box) if self.box else None)


@expand_groups
def upscale(
    source: Input,
    output: Output,
    *,
    model: Annotated[
        str | None,
        typer.Option(help="Run, weight file, embedded or bicubic; a,b: side by side.", show_default="embedded"),
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

    batch, name = files.jobs(source, output, alpha), model or pick_embedded(result.outscale)
    check_name(network.models, model)
    work = partial(open_work, "upscale", name, PlaceArguments(), result, tiles, network, batch.stack)
    change_files(batch, files, network.device, work, as_json)


@expand_groups
def restore(
    source: Input,
    output: Output,
    *,
    model: Annotated[
        str | None, typer.Option(help="Run, weight file or embedded; a,b: side by side.", show_default="clean")
    ] = None,
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
    check_name(network.models, model)
    if model is None:
        card = pick_restorer(masked=places.masked)
        model = card.name
        say(f"Model: {model}. {card.purpose} Others: ganvas list models.")
    work = partial(open_work, "restore", model, places, result, tiles, network, batch.stack)
    change_files(batch, files, network.device, work, as_json)


def open_work(
    verb: str,
    name: str,
    places: PlaceArguments,
    result: ResultArguments,
    tiles: TileArguments,
    network: NetworkArguments,
    stack: bool = False,
) -> "Work":
    """The enhancement of images, or of places in them."""
    from ..imaging.provenance import COMPOSITE
    from ..inference.batch import Work, own_size
    from ..inference.engines import choose_engine, convert
    from ..inference.enhance import Enhancer
    from ..inference.side_by_side import SideBySide
    from ..models.cards import NAMES, PLAIN
    from ..policy import Policy, keep_large_buffers

    keep_large_buffers(one_heap=True)
    options = _enhance_options(result, tiles)
    policy = Policy.choose(network.device, network.precision)
    choice = Choice(network.models)
    say_hidden([*NAMES, PLAIN], name, result.psnr_model)
    engine = "torch" if places.names_parts else choose_engine(network.engine, policy)
    models = [convert(_resolve(one, choice, network, verb), engine) for one in choice.split(name)]
    base = _resolve(result.psnr_model, choice, NetworkArguments(), verb) if result.psnr_model else None
    worker = _choose_worker(models, base, places, policy, options)
    if isinstance(worker, Enhancer) and not stack:
        worker.check_channels()
    size = worker.size if isinstance(worker, (Enhancer, SideBySide)) else own_size
    about = {"model": name, "scale": worker.scale, "architecture": ", ".join(m.architecture for m in models)}
    about |= {"loader": ", ".join(dict.fromkeys(m.loader for m in models)), "tta": result.tta}
    precision = policy.precision if engine == "torch" else "fp32"
    about |= {"engine": engine, "device": str(policy.device), "precision": precision}
    mark = None if name == PLAIN else COMPOSITE
    return Work(worker.change, about | choice.as_json(), size, mark, models[0].channels)


def _enhance_options(result: ResultArguments, tiles: TileArguments) -> "EnhanceOptions":
    """The options of an `Enhancer`; raises `UsageError` for values out of range."""
    from ..inference.enhance import EnhanceOptions, Target

    target = Target(result.outscale, result.width, result.height)
    look = (result.strength, result.keep_colours, result.grain)
    tile = _parse_pixels("--tile", tiles.tile, "auto", 16)
    overlap = _parse_pixels("--overlap", tiles.overlap, "exact", 0)
    return EnhanceOptions(target, *look, tile, overlap, tiles.wrap, result.tta)


def _choose_worker(
    models: "list[ImageModel]",
    base: "ImageModel | None",
    places: PlaceArguments,
    policy: "Policy",
    options: "EnhanceOptions",
) -> "Enhancer | Inpainter | FaceRestorer | SideBySide":
    """The change of the images or of parts of them: by one model, or by several side by side."""
    from ..errors import UsageError
    from ..inference.enhance import Enhancer
    from ..inference.side_by_side import SideBySide

    if len(models) == 1:
        return places.changer(models[0], policy, options.strength) or Enhancer(models[0], policy, options, base)
    if places.names_parts or base:
        name = "psnr-model" if base else "mask" if places.masked else "faces"
        raise UsageError(f"--{name} takes one --model, and these are {len(models)}.")
    return SideBySide(models, policy, options)


def _resolve(name: str, choice: Choice, network: NetworkArguments, verb: str) -> "ImageModel":
    """Load a model, and say which package built one that is not built here."""
    from ..models.resolve import OWN_LOADER, resolve

    path, scale = choice.locate(name)
    model = resolve(path, scale=network.model_scale or scale, activation=network.activation, verb=verb)
    if model.loader != OWN_LOADER:
        say(f"{name}: {model.architecture}, x{model.network.scale}, read by {model.loader}.")
    return model


def _parse_pixels(name: str, text: str, word: str, least: int) -> int | None:
    """Parse 0 or a whole number of at least `least`; None for the word.  Raises `UsageError` for others."""
    from ..errors import UsageError

    if text == word:
        return None
    if not text.isdecimal() or 0 < int(text) < least:
        raise UsageError(f"{name} is {word}, or a number of pixels of at least {least}, not {text!r}.")
    return int(text)
