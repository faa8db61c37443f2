"""The command of style transfer: `stylize`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from .batch import FileArguments, change_files, changed_options
from .console import Device, JsonFlag, Output, say, say_hidden
from .help import expand_groups, option_group

if TYPE_CHECKING:
    from ..inference.batch import Work
    from ..inference.styles import Styles
    from ..inference.stylize import GatysStylizer, NetworkStylizer

METHODS = {"auto": "", "gatys": "", "adain": "adain", "fast": "fast_style"}  # with the recipe that trains it


option, model_option = option_group("Options of gatys, without --model"), option_group("Options with --model")
Layers = Annotated[
    list[str] | None,
    option(help="Layer of the loss; repeatable.", show_default="the network's", metavar="NAME[=WEIGHT]"),
]


@dataclass(frozen=True)
class NetworkArguments:
    """Options of `stylize` that need a model; None: not given, and the help shows the default."""

    encoder: Annotated[Path | None, model_option(help="File vgg_normalised.pth, for a decoder.pth of AdaIN.")] = None
    alpha: Annotated[float | None, model_option(help="Strength of the style, 0 to 1.", show_default="1.0")] = None
    mask: Annotated[Path | None, model_option(help="With adain: image, white where the first style applies.")] = None


@dataclass(frozen=True)
class GatysArguments:
    """Options of `stylize` that a model has no use for; None: not given."""

    network: Annotated[str | None, option(help="Network: pocket, vgg16, vgg19 or auto.", show_default="auto")] = None
    iterations: Annotated[int | None, option(help="Number of iterations.", show_default="300")] = None
    optimizer: Annotated[str | None, option(help="Optimizer: lbfgs or adam.", show_default="lbfgs")] = None
    begin: Annotated[str | None, option(help="Initial image: content or noise.", show_default="content")] = None
    content_weight: Annotated[float | None, option(help="Weight of the content loss.", show_default="1.0")] = None
    style_weight: Annotated[float | None, option(help="Weight of the style loss.", show_default="100.0")] = None
    smoothness: Annotated[float | None, option(help="Weight of the total variation.", show_default="0.1")] = None
    content_layer: Layers = None
    style_layer: Layers = None
    style_scale: Annotated[float | None, option(help="Relative size of the strokes.", show_default="1.0")] = None
    one_size: Annotated[bool, option("--one-size", help="Run all iterations at the full size.")] = False
    preview: Annotated[Path | None, option(help="Folder for intermediate images.")] = None
    preview_every: Annotated[int | None, option(help="Iterations between intermediate images.", show_default="25")] = (
        None
    )
    seed: Annotated[int | None, option(help="Seed of the noise.", show_default="0")] = None


@expand_groups
def stylize(
    content: Annotated[Path, Argument(help="Content image, or a folder of images.")],
    style: Annotated[list[Path] | None, Argument(help="Style images; none for a model of one style.")] = None,
    *,
    output: Output,
    method: Annotated[str, Option(help="gatys (optimization), adain or fast (--model), or auto.")] = "auto",
    model: Annotated[str | None, Option(help="Run of adain or fast_style, or a weight file.")] = None,
    weights: Annotated[str | None, Option(help="Weight of each style, as 2,1.", show_default="equal")] = None,
    colour: Annotated[str, Option(help="style, or luminance or histogram for the content's colours.")] = "style",
    options: NetworkArguments,
    gatys: GatysArguments,
    files: FileArguments,
    device: Device = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Apply the style of images to other images.

    Bit depth, transparency and metadata are kept.
    """
    batch = files.jobs(content, output)
    _check_method(method, model, options, gatys)
    work = partial(open_work, style or [], weights, colour, method, model, options, gatys, device)
    change_files(batch, files, device, work, as_json)


def open_work(
    style: list[Path],
    weights: str | None,
    colour: str,
    method: str,
    model: str | None,
    options: NetworkArguments,
    gatys: GatysArguments,
    device: str,
) -> Work:
    """The style of images for other images."""
    from ..imaging.provenance import COMPOSITE
    from ..inference.batch import Work, own_size
    from ..inference.styles import read_styles
    from ..policy import keep_large_buffers

    keep_large_buffers(one_heap=True)
    styles = read_styles(style, weights, colour)
    stylizer: GatysStylizer | NetworkStylizer
    if model is None:
        stylizer, about = _by_gatys(styles, style, gatys, device)
    else:
        stylizer, about = _by_model(styles, method, model, options, device)
    return Work(stylizer.change, about, own_size, COMPOSITE)


def _check_method(method: str, model: str | None, options: NetworkArguments, gatys: GatysArguments) -> None:
    """Raise `UsageError` for an unknown method, and for options of another than the one in use."""
    from ..errors import UsageError, did_you_mean

    if method not in METHODS:
        near = did_you_mean(method, METHODS)
        raise UsageError(f"--method must be one of {', '.join(METHODS)}, got {method!r}.{near}")
    if model is None and METHODS[method]:
        raise UsageError(f"--method {method} needs --model: a run of {METHODS[method]}, or a weight file.")
    if model is not None and method == "gatys":
        raise UsageError("--method gatys optimizes the image itself and takes no --model; leave one of them out.")
    if model is None and (names := changed_options(options)):
        raise UsageError(f"{names[0]} needs --model: a run or a weight file.")
    if model is not None and (names := changed_options(gatys)):
        raise UsageError(f"{names[0]} is an option of --method gatys and has no use with --model.")


def _by_model(
    styles: Styles, method: str, file: str, options: NetworkArguments, device: str
) -> tuple[NetworkStylizer, dict[str, Any]]:
    """Stylizer of a model, and its part of the JSON answer."""
    from ..errors import UsageError
    from ..inference.styles import read_mask
    from ..inference.stylize import NetworkStylizer, load_stylizer
    from ..models.cards import NAMES
    from ..models.resolve import wrong_kind

    say_hidden(NAMES, file)
    model = load_stylizer(file, options.encoder, device=device)
    if not model.task.translates:
        raise wrong_kind(file, model.task, "stylize")
    own = "adain" if model.task.needs_style else "fast"
    if method not in ("auto", own):
        raise UsageError(f"{file} is a model of --method {own}, not of {method}; give another --model.")
    mask = read_mask(options.mask) if options.mask else None
    stylizer = NetworkStylizer(model, styles, 1.0 if options.alpha is None else options.alpha, mask)
    return stylizer, {"method": own, "model": file, "device": str(model.policy.device)}


def _by_gatys(
    styles: Styles, files: list[Path], gatys: GatysArguments, device: str
) -> tuple[GatysStylizer, dict[str, Any]]:
    """Stylizer by optimization, and its part of the JSON answer."""
    from ..errors import UsageError, did_you_mean
    from ..features.gram import LAYERS, Perception, choose_network
    from ..inference.gatys import GatysOptions
    from ..inference.stylize import GatysStylizer
    from ..policy import pick_device

    network, every = gatys.network or "auto", 25 if gatys.preview_every is None else gatys.preview_every
    if not files:
        raise UsageError("Missing STYLE: ganvas stylize CONTENT STYLE.")
    if network not in ("auto", *LAYERS):
        near = did_you_mean(network, LAYERS)
        raise UsageError(f"--network must be auto or one of {', '.join(LAYERS)}, got {network!r}.{near}")
    if every < 1:
        raise UsageError(f"--preview-every must be at least 1, got {every}.")
    if gatys.preview is not None and gatys.preview.exists() and not gatys.preview.is_dir():
        raise UsageError(f"--preview must be a folder, and {gatys.preview} is a file.")
    values: dict[str, Any] = {f.name: getattr(gatys, f.name) for f in fields(GatysOptions)}
    options = GatysOptions(**{name: value for name, value in values.items() if value is not None})
    network, reason = choose_network(network)  # type: ignore[arg-type]
    layers = {"content": gatys.content_layer or [], "style": gatys.style_layer or []}
    perception = Perception(network=network, **layers)
    for image, file in zip(styles.images, files):
        perception.check(image, str(file))
    stylizer = GatysStylizer(styles, perception, options, gatys.preview, every, pick_device(device))
    say(f"Network: {network} ({reason}).")
    about = {"method": "gatys", "network": network, "iterations": options.iterations}
    return stylizer, {**about, "device": str(stylizer.device), "losses": stylizer.losses}
