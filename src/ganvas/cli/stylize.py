"""The command that paints images as others are painted: `stylize`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from .batch import BatchConsole, Format, Lossless, Quality, Recursive, Resume
from .console import Device, JsonFlag, Output, say

Layers = Annotated[list[str] | None, typer.Option(help="Name, or name=weight; again for more. (the usual ones)")]


def stylize(
    content: Annotated[Path, typer.Argument(help="What is shown: an image, or a folder of images.")],
    style: Annotated[list[Path] | None, typer.Argument(help="How it is painted: one image, or several.")] = None,
    output: Output = ...,  # type: ignore[assignment]
    method: Annotated[str, typer.Option(help="gatys (iterations), adain or fast (--model); auto: as given.")] = "auto",
    model: Annotated[str | None, typer.Option(help="A run of adain or fast_style, or a weight file of others.")] = None,
    encoder: Annotated[Path | None, typer.Option(help="Of another project's adain: vgg_normalised.pth.")] = None,
    alpha: Annotated[float, typer.Option(help="Of a model: from 0, the content, to 1.")] = 1.0,
    mask: Annotated[Path | None, typer.Option(help="adain: white where the first style is, black the others.")] = None,
    weights: Annotated[str | None, typer.Option(help="What each style counts: 2,1. (all alike)")] = None,
    colour: Annotated[str, typer.Option(help="style; luminance or histogram keep the content's colours.")] = "style",
    network: Annotated[str, typer.Option(help="pocket, vgg16, vgg19; auto: vgg19 if its file is here.")] = "auto",
    iterations: Annotated[int, typer.Option(help="Of gatys.")] = 300,
    optimizer: Annotated[str, typer.Option(help="lbfgs or adam.")] = "lbfgs",
    begin: Annotated[str, typer.Option(help="From content or noise.")] = "content",
    content_weight: Annotated[float, typer.Option(help="How much the content counts.")] = 1.0,
    style_weight: Annotated[float, typer.Option(help="How much the style counts.")] = 100.0,
    smoothness: Annotated[float, typer.Option(help="How much total variation counts.")] = 0.1,
    content_layer: Layers = None,
    style_layer: Layers = None,
    style_scale: Annotated[float, typer.Option(help="Size of the style's strokes: 0.5 is half as large.")] = 1.0,
    one_size: Annotated[bool, typer.Option("--one-size", help="All iterations at the full size.")] = False,
    preview: Annotated[Path | None, typer.Option(help="A folder for images on the way.")] = None,
    preview_every: Annotated[int, typer.Option(help="Iterations between them.")] = 25,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    recursive: Recursive = False,
    resume: Resume = False,
    form: Format = None,
    quality: Quality = 95,
    lossless: Lossless = False,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """An image's content in the style of others; depth, transparency and metadata are kept."""
    asked = dict(locals())
    from ..inference.batch import FileOptions, jobs_for, run_jobs
    from ..policy import keep_large_buffers

    keep_large_buffers(one_heap=True)
    batch = jobs_for(content, output, FileOptions(recursive, resume, form, quality, lossless))
    painter, about = _painter(**asked)
    with BatchConsole(batch) as display:
        for outcome in run_jobs(batch, painter, display.progress):
            display.show(outcome)
    display.finish(about, as_json=as_json)


METHODS = ("auto", "gatys", "adain", "fast")


def _painter(**asked: Any) -> tuple[Any, dict[str, Any]]:
    """What is to be done with each image, and what there is to say about it."""
    from ..errors import UsageError, did_you_mean

    method, model = asked["method"], asked["model"]
    if method not in METHODS:
        near = did_you_mean(method, METHODS)
        raise UsageError(f"--method is {', '.join(METHODS)}, not {method!r}.{near}")
    if model is None and method in ("adain", "fast"):
        raise UsageError(f"--method {method} needs --model: a run of {RECIPES[method]}, or a weight file.")
    if model is not None and method == "gatys":
        raise UsageError("--method gatys changes the image itself and takes no --model; leave one of them out.")
    if model is not None:
        return _by_model(**asked)
    given = [f"--{name}" for name in ("encoder", "mask") if asked[name] is not None]
    if given or asked["alpha"] != 1:
        raise UsageError(f"{(given or ['--alpha'])[0]} is for a model that paints: give --model.")
    if not asked["style"]:
        raise UsageError("In which style? Give one image or more after the content: ganvas stylize CONTENT STYLE.")
    return _by_iterations(**asked)


RECIPES = {"adain": "adain", "fast": "fast_style"}
ITERATED = (  # options that a model has no use for
    *("network", "iterations", "optimizer", "begin", "content_weight", "style_weight", "smoothness", "content_layer"),
    *("style_layer", "style_scale", "one_size", "preview", "preview_every", "seed"),
)


def _by_model(**asked: Any) -> tuple[Any, dict[str, Any]]:
    from ..errors import UsageError
    from ..inference.stylize_gatys import opened
    from ..inference.stylize_network import Restyler, loaded, opened_mask
    from ..models.resolve import wrong_kind
    from ..tasks.stylization import Restyling

    usual = inspect.signature(stylize).parameters
    idle = [name for name in ITERATED if asked[name] != usual[name].default]
    if idle:
        raise UsageError(f"--{idle[0].replace('_', '-')} is for painting by iterations, which a --model does without.")
    model = loaded(asked["model"], asked["encoder"], device=asked["device"])
    if not model.task.translates:
        raise wrong_kind(asked["model"], model.task, "stylize")
    method = "adain" if isinstance(model.task, Restyling) else "fast"
    if asked["method"] not in ("auto", method):
        raise UsageError(f"{asked['model']} paints by {method}, not by {asked['method']}; give another --model.")
    styles = opened(asked["style"] or [], asked["weights"], asked["colour"])
    mask = opened_mask(asked["mask"]) if asked["mask"] else None
    painter = Restyler(model, styles, asked["alpha"], mask)
    return painter, {"method": method, "model": asked["model"], "device": str(model.policy.device)}


def _by_iterations(**asked: Any) -> tuple[Any, dict[str, Any]]:
    from dataclasses import fields

    from ..errors import UsageError, did_you_mean
    from ..features.gram import LAYERS, Perception, sharpest
    from ..inference.gatys import Painting
    from ..inference.stylize_gatys import Painter, opened
    from ..policy import pick_device

    if asked["network"] not in ("auto", *LAYERS):
        near = did_you_mean(asked["network"], LAYERS)
        raise UsageError(f"--network is auto, {', '.join(LAYERS)}, not {asked['network']!r}.{near}")
    if asked["preview_every"] < 1:
        raise UsageError(f"--preview-every must be at least 1, got {asked['preview_every']}.")
    if asked["preview"] is not None and asked["preview"].exists() and not asked["preview"].is_dir():
        raise UsageError(f"--preview is a folder, and {asked['preview']} is a file.")
    painting = Painting(**{f.name: asked[f.name] for f in fields(Painting)})
    styles = opened(asked["style"], asked["weights"], asked["colour"])
    network, why = sharpest(asked["network"])
    perception = Perception(network=network, content=asked["content_layer"] or [], style=asked["style_layer"] or [])
    for image, file in zip(styles.images, asked["style"]):
        perception.check(image, str(file))
    device = pick_device(asked["device"])
    say(f"Looking through {network} ({why}).")
    painter = Painter(styles, perception, painting, asked["preview"], asked["preview_every"], device)
    about = {"method": "gatys", "network": network, "iterations": painting.iterations, "device": str(device)}
    return painter, {**about, "losses": painter.losses}
