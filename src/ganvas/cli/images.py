"""The commands that improve images: `upscale`, `restore`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .batch import BatchConsole, Format, Input, Lossless, Quality, Recursive, Resume
from .console import Device, JsonFlag, Output
from .help import option_group

if TYPE_CHECKING:
    from ..inference.batch import Batch
    from ..inference.enhance import EnhanceOptions

size_option, blend_option = option_group("Size"), option_group("Blending")
tile_option, weight_option = option_group("Tiles"), option_group("Weight files")

Outscale = Annotated[float | None, size_option(help="Scale of the output.", show_default="the model's")]
Width = Annotated[int | None, size_option(help="Output width in pixels; alone it keeps the proportions.")]
Height = Annotated[int | None, size_option(help="Output height in pixels; alone it keeps the proportions.")]
Mask = Annotated[Path | None, typer.Option(help="With an inpaint model: image, white in holes, or a folder.")]
Strength = Annotated[float, blend_option(help="Share of the model in the result, 0 to 1; the rest is --psnr-model.")]
Faithful = Annotated[
    str | None, blend_option("--psnr-model", help="Model that --strength mixes in.", show_default="bicubic")
]
Keep = Annotated[bool, blend_option("--keep-colours", help="Keep the broad colours and brightness of the input.")]
Grain = Annotated[float, blend_option(help="Standard deviation of noise to add, in levels of 255.")]
Tile = Annotated[str, tile_option(help="Tile size in pixels; auto: by free memory; 0: no tiles.")]
Overlap = Annotated[
    str,
    tile_option(
        help="Tile overlap in pixels up to which tiles are exact; beyond it they are blended; exact: no limit."
    ),
]
Wrap = Annotated[bool, tile_option("--wrap", help="Treat the image as a texture that repeats.")]
Precision = Annotated[str, typer.Option(help="Precision: auto, fp32 or bf16.")]
Scale = Annotated[int | None, weight_option("--model-scale", help="Scale of a weight file.", show_default="detected")]
Activation = Annotated[
    str | None,
    weight_option(help="Activation of an SRVGG weight file: prelu, relu or leakyrelu.", show_default="detected"),
]


@dataclass(frozen=True)
class ModelOptions:
    """The model of `upscale` or `restore`, and where it runs."""

    model: str
    psnr_model: str | None
    model_scale: int | None
    activation: str | None
    device: str
    precision: str


def upscale(
    source: Input,
    output: Output,
    model: Annotated[
        str | None, typer.Option(help="Run, weight file, embedded or bicubic.", show_default="embedded")
    ] = None,
    outscale: Outscale = None,
    width: Width = None,
    height: Height = None,
    strength: Strength = 1.0,
    psnr_model: Faithful = None,
    keep_colours: Keep = False,
    grain: Grain = 0.0,
    recursive: Recursive = False,
    resume: Resume = False,
    form: Format = None,
    quality: Quality = 95,
    lossless: Lossless = False,
    tile: Tile = "auto",
    overlap: Overlap = "64",
    wrap: Wrap = False,
    device: Device = "auto",
    precision: Precision = "auto",
    model_scale: Scale = None,
    activation: Activation = None,
    as_json: JsonFlag = False,
) -> None:
    """Upscale an image or a folder of images.

    Bit depth, colours, transparency and metadata are kept.
    """
    from ..inference.batch import FileOptions, jobs_for
    from ..inference.enhance import EnhanceOptions, Target
    from ..models.resolve import pick_embedded

    batch = jobs_for(source, output, FileOptions(recursive, resume, form, quality, lossless))
    name = model or pick_embedded(outscale)
    network = ModelOptions(name, psnr_model, model_scale, activation, device, precision)
    target, tiles = Target(outscale, width, height), (parse_tile(tile), parse_overlap(overlap))
    options = EnhanceOptions(target, strength, keep_colours, grain, *tiles, wrap)
    _enhance("upscale", batch, network, options, as_json)


def restore(
    source: Input,
    output: Output,
    model: Annotated[str | None, typer.Option(help="Run or weight file. [required]")] = None,
    mask: Mask = None,
    outscale: Outscale = None,
    width: Width = None,
    height: Height = None,
    strength: Strength = 1.0,
    psnr_model: Faithful = None,
    keep_colours: Keep = False,
    grain: Grain = 0.0,
    recursive: Recursive = False,
    resume: Resume = False,
    form: Format = None,
    quality: Quality = 95,
    lossless: Lossless = False,
    tile: Tile = "auto",
    overlap: Overlap = "64",
    wrap: Wrap = False,
    device: Device = "auto",
    precision: Precision = "auto",
    model_scale: Scale = None,
    activation: Activation = None,
    as_json: JsonFlag = False,
) -> None:
    """Denoise, deblur, dehaze, colorize or inpaint images.

    The model decides which; images keep their size, bit depth and metadata.
    """
    from ..errors import UsageError
    from ..inference.batch import FileOptions, jobs_for
    from ..inference.enhance import EnhanceOptions, Target

    if model is None:
        raise UsageError("Missing --model: a run or a weight file.")
    batch = jobs_for(source, output, FileOptions(recursive, resume, form, quality, lossless))
    network = ModelOptions(model, psnr_model, model_scale, activation, device, precision)
    target, tiles = Target(outscale, width, height), (parse_tile(tile), parse_overlap(overlap))
    options = EnhanceOptions(target, strength, keep_colours, grain, *tiles, wrap)
    if mask:
        return _inpaint(batch, mask, network, options, as_json)
    _enhance("restore", batch, network, options, as_json)


def _enhance(verb: str, batch: Batch, network: ModelOptions, options: EnhanceOptions, as_json: bool) -> None:
    """Enhance every image of a batch."""
    from ..inference.batch import run_jobs
    from ..inference.enhance import Enhancer
    from ..models.resolve import resolve
    from ..policy import Policy, keep_large_buffers

    keep_large_buffers(one_heap=True)
    policy = Policy.choose(network.device, network.precision)
    model = resolve(network.model, scale=network.model_scale, activation=network.activation, verb=verb)
    base = resolve(network.psnr_model, verb=verb) if network.psnr_model else None
    enhancer = Enhancer(model, policy, options, base)
    with BatchConsole(batch) as display:
        for outcome in run_jobs(batch, enhancer.change, display.progress):
            display.show(outcome)
    about = {"model": model.name, "scale": enhancer.scale}
    display.finish({**about, "device": str(policy.device), "precision": policy.precision}, as_json=as_json)


def _inpaint(batch: Batch, mask: Path, network: ModelOptions, options: EnhanceOptions, as_json: bool) -> None:
    """Fill the holes of every image of a batch."""
    from ..errors import UsageError
    from ..inference.batch import run_jobs
    from ..inference.inpaint import Inpainter
    from ..models.resolve import resolve
    from ..policy import Policy, keep_large_buffers

    keep_large_buffers(one_heap=True)
    if options.keep_colours or options.grain:
        raise UsageError("--mask changes holes alone; leave --keep-colours and --grain out.")
    policy = Policy.choose(network.device, network.precision)
    inpainter = Inpainter(resolve(network.model, verb="restore"), policy, mask)
    with BatchConsole(batch) as display:
        for outcome in run_jobs(batch, inpainter.change, display.progress):
            display.show(outcome)
    about = {"model": inpainter.model.name, "scale": 1}
    display.finish({**about, "device": str(policy.device), "precision": policy.precision}, as_json=as_json)


def parse_tile(text: str) -> int | None:
    """Parse --tile: None for auto, 0, or a side of at least 16 pixels."""
    return _parse_pixels("--tile", text, "auto", 0, 16)


def parse_overlap(text: str) -> int | None:
    """Parse --overlap: None for exact, or a number of pixels."""
    return _parse_pixels("--overlap", text, "exact", 0, 0)


def _parse_pixels(name: str, text: str, word: str, special: int, least: int) -> int | None:
    """Parse `special` or a whole number of at least `least`; None for the word.  Raises `UsageError` for others."""
    from ..errors import UsageError

    if text == word:
        return None
    if not text.isdecimal() or (int(text) < least and int(text) != special):
        raise UsageError(f"{name} is {word}, or a number of pixels of at least {max(least, special)}, not {text!r}.")
    return int(text)
