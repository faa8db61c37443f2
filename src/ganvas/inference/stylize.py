"""Style transfer to images: by optimization (Gatys et al. 2016) or by a network, for one style or any."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..config import plain
from ..errors import UsageError, printable
from ..features.gram import LAYERS, Perception, choose_network
from ..imaging.channels import luma
from ..imaging.decode import save_png, to_uint8
from ..imaging.photo import Photo
from ..imaging.values import as_given, to_batch
from ..models.cards import check_embedded
from ..models.foreign import build_network, read_checkpoint
from ..models.model import Model, load
from ..networks.adain import VGG_WIDTHS, NormalisedVGG
from ..paths import user_path
from ..policy import Policy, PrecisionName, pick_device
from ..tasks.stylization import AppliedRestyling, Restyling
from ..tasks.translation import add_channels
from .batch import Share
from .gatys import GatysOptions, optimize_image
from .styles import Styles
from .translate import transform_photo


@dataclass
class GatysStylizer:
    """Style transfer by optimization of each image."""

    styles: Styles
    perception: Perception
    options: GatysOptions
    preview: Path | None = None  # folder for intermediate images
    every: int = 25  # iterations between them
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    losses: list[dict[str, float]] = field(default_factory=list)  # final losses of each image

    def change(self, photo: Photo, output: Path, progress: Share | None = None) -> Photo:
        """Stylize a photo: `inference.batch.Change`."""
        return transform_photo(photo, 3, lambda x: self.stylize(x, progress, output.stem))

    def stylize(self, content: Tensor, progress: Share | None = None, name: str = "preview") -> Tensor:
        """Stylize an image (1, 3, H, W) in [-1, 1]; intermediate images are saved as NAME-ITERATION.png."""
        target, styles = self.styles.match_colours(content)

        def report(iterations: int, image: Tensor) -> None:
            if progress:
                progress(iterations / self.options.iterations)
            if self.preview and iterations % self.every == 0:
                self._save_preview(image.detach().cpu(), content, self.preview / f"{name}-{iterations:06d}.png")

        images = [p.to(self.device) for p in styles]
        shares = self.styles.shares
        result = optimize_image(
            target.to(self.device), images, self.perception, self.options, shares=shares, progress=report
        )
        self.losses.append({"content_loss": result.content, "style_loss": result.style, "loss": result.total})
        return self.styles.restore_chroma(result.image.cpu(), content)

    def _save_preview(self, image: Tensor, content: Tensor, file: Path) -> None:
        """Save an intermediate image; while it is smaller than the content it keeps its own chroma."""
        file.parent.mkdir(parents=True, exist_ok=True)
        if image.shape[2:] == content.shape[2:]:
            image = self.styles.restore_chroma(image, content)
        save_png(to_uint8(image.clamp(-1, 1))[0], file)


@dataclass
class NetworkStylizer:
    """Style transfer by a network; raises `UsageError` for a style that the model does not take, or a missing one."""

    model: Model
    styles: Styles
    alpha: float = 1.0  # from 0, the content, to 1
    mask: Tensor | None = None  # (1, 1, H, W) in [0, 1]: 1 where the first style applies

    def __post_init__(self) -> None:
        task, count = self.model.task, len(self.styles.images)
        if not task.translates:
            raise UsageError("This model generates from noise and cannot stylize.")
        self.model.check_channels()
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"alpha must be from 0 to 1, got {self.alpha}.")
        if not task.needs_style and (count or self.mask is not None or self.styles.colour == "histogram"):
            raise UsageError("This model has one fixed style: leave style images, masks and histograms out.")
        if task.needs_style and not count:
            raise UsageError("Missing STYLE: this model needs at least one style image after the content.")
        if self.mask is not None and count > 1 and not sum(self.styles.shares[1:]) > 0:
            raise UsageError("With a mask, the styles after the first need a weight above 0; give other weights.")
        if not task.needs_style:
            return self._check_network()
        for k, style in enumerate(self.styles.images, 1):
            if min(style.shape[2:]) < task.smallest_style:
                size, least = f"{style.shape[3]}x{style.shape[2]}", f"{task.smallest_style}x{task.smallest_style}"
                raise UsageError(f"Style {k} has {size} pixels, and this model needs {least}: give a larger image.")

    def _check_network(self) -> None:
        """Raise `UsageError` for a model of another kind."""
        task, channels = self.model.task, self.model.input_channels()
        if task.needs_label:
            raise UsageError("This model needs a target label: ganvas translate --label.")
        small = torch.zeros(1, channels, 16, 16)
        if task.restores or self.model(small).shape[2:] != small.shape[2:]:
            raise UsageError("This model restores or enlarges images: ganvas restore or ganvas upscale.")

    def change(self, photo: Photo, output: Path | None = None, progress: Share | None = None) -> Photo:
        """Stylize a photo: `inference.batch.Change`."""
        return transform_photo(photo, self.model.input_channels(), self.stylize)

    @torch.inference_mode()
    def stylize(self, content: Tensor) -> Tensor:
        """Stylize images (N, C, H, W) in [-1, 1], one at a time; float32 on the CPU."""
        return torch.cat([self._stylize_one(image) for image in content.float().split(1)])

    def _stylize_one(self, content: Tensor) -> Tensor:
        target, images = self.styles.match_colours(content[:, :3])
        channels, policy, task = content.shape[1], self.model.policy, self.model.task
        target = with_channels(target, channels)
        if channels == 4:
            target = torch.cat([target[:, :3], content[:, 3:]], 1)
        target = target.to(policy.device)
        styles = [with_channels(p, channels).to(policy.device) for p in images]
        mask = None if self.mask is None else self.mask.to(policy.device)
        shares = list(self.styles.shares)
        with policy.autocast():
            if isinstance(task, Restyling):
                result = task.stylize(target, styles, shares=shares, alpha=self.alpha, mask=mask)
            else:
                result = task.translate(target).float().clamp(-1, 1)
                result = self.alpha * result + (1 - self.alpha) * target if self.alpha < 1 else result
        result = result.float().clamp(-1, 1).cpu()
        colour = self.styles.restore_chroma(result[:, :3], content[:, :3])
        return torch.cat([colour, result[:, 3:]], 1) if result.shape[1] == 4 else colour


def with_channels(image: Tensor, channels: int) -> Tensor:
    """Convert (1, 1 or 3, H, W) to 1 channel (luma), 3, or 4 (opaque)."""
    return luma(image) if channels == 1 else add_channels(image, channels)


def load_stylizer(
    model: str | Path, encoder: str | Path | None, *, device: str = "auto", precision: PrecisionName = "fp32"
) -> Model:
    """Load a model for stylization: a run, a weight file, or the two files of AdaIN.

    Raises `UsageError` if the files are not a decoder and its encoder.
    """
    check_embedded(model, "stylize")
    if encoder is None:
        return load(model, device=device, precision=precision)
    decodes, encodes = read_checkpoint(user_path(model)), read_checkpoint(user_path(encoder))
    for file, checkpoint, network in ((model, decodes, "adain_decoder"), (encoder, encodes, "normalised_vgg")):
        if checkpoint.network != network:
            need = "the decoder of AdaIN" if network == "adain_decoder" else "the normalised VGG, AdaIN's encoder,"
            raise UsageError(f"{printable(file)} is {checkpoint.title}, and {need} is needed.")
    if tuple(decodes.options["widths"]) != VGG_WIDTHS:
        widths = "-".join(map(str, decodes.options["widths"]))
        raise UsageError(f"{printable(model)} decodes maps of {widths} channels, and its encoder makes others.")
    policy, channels = Policy.choose(device, precision), decodes.options["channels"]
    vgg = build_network(encodes)
    assert isinstance(vgg, NormalisedVGG)
    task = AppliedRestyling(build_network(decodes), vgg)
    policy.place(task)
    return Model(task.eval().requires_grad_(False), policy, {"data": {"channels": channels, "class_names": []}})


def stylize(
    content: Any,
    styles: Sequence[Any] = (),
    model: Model | str | Path | None = None,
    *,
    shares: Sequence[float] = (),
    colour: Literal["style", "luminance", "histogram"] = "style",
    alpha: float = 1.0,
    mask: Any = None,
    network: Literal["auto", "pocket", "vgg16", "vgg19"] = "auto",
    device: str = "auto",
    **options: float | str,
) -> Any:
    """Stylize an image of any size; the result has the type of the input.

    Images are PIL or files, (N, C, H, W) float in [-1, 1], or (H, W, C) uint8.  With a `model`, or the path of one, in
    one pass; without, by optimization through `network`, with the `options` of `inference.gatys.GatysOptions`.  Raises
    `UsageError` as the command does.
    """
    batch, styles = read_image(content), styles if isinstance(styles, (list, tuple)) else [styles]
    images, alpha, device = [with_channels(read_image(s)[:, :3], 3) for s in styles], plain(alpha), plain(device)
    together = Styles(images, check_shares(plain(shares), len(images)), colour)
    with torch.random.fork_rng(devices=[]):  # networks draw weights before they are given their own
        if model is None:
            name, _ = choose_network(network)
            assert name in LAYERS
            settings = GatysOptions(**plain(options))
            gatys = GatysStylizer(together, Perception(network=name), settings, device=pick_device(device))
            result = torch.cat([gatys.stylize(with_channels(image[:, :3], 3)) for image in batch.split(1)])
        else:
            known = model if isinstance(model, Model) else load_stylizer(model, None, device=device)
            area = None if mask is None else (luma(read_image(mask)[:, :3]) + 1) / 2
            stylizer, channels = NetworkStylizer(known, together, alpha, area), known.input_channels()
            if channels != batch.shape[1]:
                batch = torch.cat([with_channels(image[:, :3], channels) for image in batch.split(1)])
            result = stylizer.stylize(batch)
    return as_given(result, content)


def read_image(image: Any) -> Tensor:
    """An image in Python as (N, 1 or 3, H, W), or 4 channels for a tensor; raises `UsageError` for others."""
    batch = to_batch(image)
    if batch.shape[1] not in (1, 3, 4):
        raise UsageError(f"An image is (N, C, H, W) with 1, 3 or 4 channels, got {tuple(batch.shape)}.")
    return batch if isinstance(image, Tensor) or batch.shape[1] != 4 else to_batch(image, 3)


def check_shares(shares: Sequence[float], count: int) -> list[float]:
    """Weights of so many styles, equal ones by default; raises `UsageError` for another number of them."""
    shares = list(shares) or [1.0] * count
    if (
        len(shares) != count
        or not all(0 <= share < float("inf") for share in shares)
        or not (sum(shares) > 0 or not count)
    ):
        raise UsageError(f"shares are a number of at least 0 for each of the {count} styles, got {shares}.")
    return shares
