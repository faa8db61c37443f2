"""Image files through a model in one call: what the commands on images do, for Python and the studio."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import UsageError, did_you_mean
from ..features.gram import Perception, choose_network
from ..imaging.photo import open_photo
from ..imaging.provenance import COMPOSITE
from ..models.cards import PLAIN, check_embedded, pick_embedded, pick_restorer
from ..models.model import load
from ..models.resolve import resolve, wrong_kind
from ..policy import Policy, pick_device
from .batch import Change, FileOptions, Job, Outcome, jobs_for, run_jobs
from .edit_region import EditOptions, RegionEditor
from .enhance import EnhanceOptions, Enhancer, Target
from .gatys import GatysOptions
from .inpaint import Inpainter
from .region import Region
from .styles import read_styles
from .stylize import GatysStylizer, NetworkStylizer, load_stylizer
from .translate import Translator

Name = str | os.PathLike[str]


@dataclass(frozen=True)
class ApplyOptions:
    """Options of `apply`; each verb uses those that its command has."""

    model: str | None = None  # run, model folder, weight file or name; None: embedded, or optimization of styles
    outscale: float | None = None  # of upscale
    strength: float = 1.0  # share of the model, or of the style, in the result
    mask: Path | None = None  # of restore with an inpaint model, of remove and edit-region: white in the places
    reference: Path | None = None  # of edit-region: an image to put in
    paint: Path | None = None  # of edit-region: an image whose opaque pixels are put in
    styles: tuple[Path, ...] = ()  # of stylize
    colour: str = "style"  # of stylize: style, luminance or histogram
    iterations: int = 300  # of stylize without a model
    label: str | None = None  # of translate: the target domain
    back: bool = False  # of translate: the inverse direction
    device: str = "auto"
    form: str | None = None  # format of the outputs of a folder; None: the input's
    quality: int = 95  # of JPEG and WebP
    no_provenance: bool = False  # do not write that a model changed the image


def apply(
    verb: str,
    source: Name,
    output: Name,
    options: ApplyOptions = ApplyOptions(),
    progress: Callable[[Job, float], None] | None = None,
) -> list[Outcome]:
    """Do what a command on images does, by its name, for an image or a folder; returns one outcome for each image.

    `progress` is called with a job and the share of it that is done; an exception that it raises ends the work.
    Raises `UsageError` for a verb, a model or options that do not go together.
    """
    makers = {"upscale": _enhancer, "restore": _enhancer, "remove": _remover, "edit-region": _editor}
    makers |= {"translate": _translator, "stylize": _stylizer}
    if verb not in makers:
        raise UsageError(f"{verb!r} is none of {', '.join(makers)}.{did_you_mean(verb, makers)}")
    file_options = FileOptions(form=options.form, quality=options.quality, no_provenance=options.no_provenance)
    batch = jobs_for(Path(source), Path(output), file_options)
    source_type = None if options.model == PLAIN else COMPOSITE
    return list(run_jobs(batch, makers[verb](verb, options), progress, source_type=source_type))


def preview(file: Name, longest: int = 4096) -> bytes:
    """An image file of any kind that is read as a PNG of 8 bits, no side longer than `longest` pixels."""
    photo = open_photo(Path(file))
    low, high = photo.levels
    array = ((photo.array.astype(np.float32) - low) * (255 / (high - low))).round().clip(0, 255).astype(np.uint8)
    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    image.thumbnail((longest, longest))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _enhancer(verb: str, options: ApplyOptions) -> Change:
    default = pick_embedded(options.outscale) if verb == "upscale" else None
    name = options.model or default or pick_restorer(masked=options.mask is not None).name
    policy = Policy.choose(options.device, "auto", "off")
    model = resolve(name, verb=verb)
    if options.mask:
        return Inpainter(model, policy, Region(options.mask)).change
    choices = EnhanceOptions(target=Target(options.outscale, None, None), strength=options.strength)
    enhancer = Enhancer(model, policy, choices)
    enhancer.check_channels()
    return enhancer.change


def _remover(verb: str, options: ApplyOptions) -> Change:
    return _inpainter(verb, options).change


def _editor(verb: str, options: ApplyOptions) -> Change:
    inpainter = _inpainter(verb, options)
    reference, paint = (None if file is None else open_photo(file) for file in (options.reference, options.paint))
    return RegionEditor(inpainter.region, EditOptions(reference, paint), inpainter).change


def _inpainter(verb: str, options: ApplyOptions) -> Inpainter:
    if options.mask is None:
        raise UsageError(f"{verb} needs a mask: paint the places to change.")
    network = resolve(options.model or pick_restorer(masked=True).name, verb="restore")
    return Inpainter(network, Policy.choose(options.device, "auto", "off"), Region(options.mask))


def _translator(verb: str, options: ApplyOptions) -> Change:
    if options.model is None:
        raise UsageError("Translating needs a model: a run, a model folder or a weight file.")
    check_embedded(options.model, verb)
    model = load(options.model, device=options.device)
    if not model.task.translates or model.task.restores:
        raise wrong_kind(options.model, model.task, verb)
    translator = Translator(model, model.read_label(options.label), options.back, None)
    translator.check()
    return translator.change


def _stylizer(verb: str, options: ApplyOptions) -> Change:
    styles = read_styles(options.styles, None, options.colour)
    if options.model is not None:
        model = load_stylizer(options.model, None, device=options.device)
        if not model.task.translates:
            raise wrong_kind(options.model, model.task, verb)
        return NetworkStylizer(model, styles, options.strength, None).change
    if not options.styles:
        raise UsageError("Stylizing needs a style image.")
    device = pick_device(options.device)
    network, _ = choose_network("auto")
    perception = Perception(network=network)
    for image, file in zip(styles.images, options.styles):
        perception.check(image, str(file))
    return GatysStylizer(styles, perception, GatysOptions(iterations=options.iterations), device=device).change
