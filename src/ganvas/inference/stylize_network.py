"""Images painted by a network: one that learnt a single style, or one that takes any; and the door for Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..checkpoints.files import read as read_checkpoint
from ..errors import UsageError
from ..features.gram import LAYERS, Perception, sharpest
from ..imaging.channels import luma
from ..imaging.decode import shown, to_channels, to_float, to_uint8
from ..imaging.grid import to_pil
from ..imaging.photo import Photo, open_photo
from ..models.foreign import build_network
from ..models.model import Model, load, upright_colours
from ..networks.adain import VGG_WIDTHS
from ..policy import Policy, pick_device
from ..tasks.label_translation import Told
from ..tasks.stylization import AppliedRestyling, Restyling
from ..tasks.translation import Translation
from .stylize_gatys import Painter, Painting, Share, Styles
from .translate import changed


@dataclass
class Restyler:
    """Paints images with a model; `restyler(photo, output, tell)` is what `batch.work` calls.

    Raises `UsageError` for a style that the model does not take, or a missing one.
    """

    model: Model
    styles: Styles
    alpha: float = 1.0  # from 0, the content, to 1
    mask: Tensor | None = None  # (1, 1, H, W) in [0, 1]: where the first style is

    def __post_init__(self) -> None:
        task, count = self.model.task, len(self.styles.images)
        if not task.translates:
            raise UsageError("This model makes images of noise; it paints none.")
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"alpha must be from 0 to 1, got {self.alpha}.")
        if not isinstance(task, Restyling) and (count or self.mask is not None or self.styles.colour == "histogram"):
            raise UsageError("This model has its style in it: leave style images, masks and histograms out.")
        if isinstance(task, Restyling) and not count:
            raise UsageError("In which style? This model takes any: give one image or more after the content.")
        if self.mask is not None and count > 1 and not sum(self.styles.shares[1:]) > 0:
            raise UsageError("Beside a mask the styles after the first must count something; give other weights.")
        if not isinstance(task, Restyling):
            return self._check_painter()
        for k, style in enumerate(self.styles.images, 1):
            if min(style.shape[2:]) < task.least:
                width, height = style.shape[3], style.shape[2]
                raise UsageError(
                    f"Style {k} has {width}x{height} pixels, and this model looks at {task.least}x{task.least} at a"
                    " time: give a larger image."
                )

    def _check_painter(self) -> None:
        """Raise `UsageError` for a model that makes another kind of image, or of another size."""
        task, channels = self.model.task, self.model.takes()
        if isinstance(task, Told):
            raise UsageError("This model must be told what to make; ganvas translate --label is for it.")
        small = torch.zeros(1, channels, 16, 16)
        if task.restores or self.model(small).shape[2:] != small.shape[2:]:
            raise UsageError("This model makes the same image better; ganvas upscale, or restore, is for it.")

    def __call__(self, photo: Photo, output: Path, tell: Share | None = None) -> Photo:
        return changed(photo, self.model.takes(), self.painted)

    @torch.inference_mode()
    def painted(self, content: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] in the style, float32 on the CPU, one at a time."""
        return torch.cat([self._one(image) for image in content.float().split(1)])

    def _one(self, content: Tensor) -> Tensor:
        seen, images = self.styles.beside(content[:, :3])
        channels, task, policy = content.shape[1], self.model.task, self.model.policy
        assert isinstance(task, Translation)
        given = suited(seen, channels)
        if channels == 4:
            given = torch.cat([given[:, :3], content[:, 3:]], 1)
        with policy.autocast():
            if isinstance(task, Restyling):
                styles = [suited(p, channels).to(policy.device) for p in images]
                mask = None if self.mask is None else self.mask.to(policy.device)
                how: dict[str, Any] = {"shares": list(self.styles.shares), "alpha": self.alpha, "mask": mask}
                made = task.stylize(given.to(policy.device), styles, **how)
            else:
                made = task.translate(given.to(policy.device))
        made = made.float().clamp(-1, 1).cpu()
        if not isinstance(task, Restyling) and self.alpha < 1:
            made = self.alpha * made + (1 - self.alpha) * given
        kept = self.styles.finished(made[:, :3], content[:, :3])
        return torch.cat([kept, made[:, 3:]], 1) if made.shape[1] == 4 else kept


def suited(image: Tensor, channels: int) -> Tensor:
    """(1, 1 or 3, H, W) in so many channels: luma, three alike, or opaque."""
    if channels == 1:
        return luma(image)
    image = image.expand(-1, 3, -1, -1)
    return image if channels == 3 else torch.cat([image, torch.ones_like(image[:, :1])], 1)


def loaded(model: str | Path, encoder: str | Path | None, *, device: str = "auto", precision: Any = "fp32") -> Model:
    """A model that paints: a run, a weight file, or AdaIN's two files.

    Raises `UsageError` for an encoder that is none or has nothing to encode for.
    """
    if encoder is None:
        return load(model, device=device, precision=precision)
    decodes, encodes = read_checkpoint(Path(model)), read_checkpoint(Path(encoder))
    for file, found, wanted in ((model, decodes, "adain_decoder"), (encoder, encodes, "normalised_vgg")):
        if found.network != wanted:
            what = "the decoder of AdaIN" if wanted == "adain_decoder" else "the normalised VGG that encodes for AdaIN"
            raise UsageError(f"{shown(file)} is {found.title}, and {what} is needed.")
    if tuple(decodes.options["widths"]) != VGG_WIDTHS:
        widths = "-".join(map(str, decodes.options["widths"]))
        raise UsageError(f"{shown(model)} decodes maps of {widths} channels, and its encoder makes others.")
    policy, channels = Policy.choose(device, precision), decodes.options["channels"]
    task = AppliedRestyling(build_network(decodes), build_network(encodes))
    policy.place(task)
    return Model(task.eval().requires_grad_(False), policy, {"data": {"channels": channels, "class_names": []}})


def opened_mask(file: Path) -> Tensor:
    """A mask's image as (1, 1, H, W) in [0, 1]: white is 1."""
    if not file.is_file():
        raise UsageError(f"There is no mask {shown(file)}.")
    return (open_photo(file).planes(channels=1).colour + 1) / 2


def stylize(
    content: Any,
    styles: Sequence[Any] = (),
    model: Model | str | Path | None = None,
    *,
    shares: Sequence[float] = (),
    colour: Any = "style",
    alpha: float = 1.0,
    mask: Any = None,
    network: Any = "auto",
    device: str = "auto",
    **painting: Any,
) -> Any:
    """An image in the style of others: what kind goes in comes out, in any size.

    Images are PIL, (N, C, H, W) float in [-1, 1], or (H, W, C) uint8.  With a `model` (or where one lies) at once;
    without one by iterations, for which `painting` takes the options of `gatys.Painting`.  Raises `UsageError` as the
    command does.
    """
    batch = as_batch(content)
    images = Styles([suited(p[:, :3], 3) for p in map(as_batch, styles)], shares or [1.0] * len(styles), colour)
    if model is None:
        name, _ = sharpest(network)
        assert name in LAYERS
        painter = Painter(images, Perception(network=name), Painting(**painting), device=pick_device(device))
        made = torch.cat([painter.painted(suited(image[:, :3], 3)) for image in batch.split(1)])
    else:
        known = model if isinstance(model, Model) else load(model, device=device)
        cover = None if mask is None else (luma(as_batch(mask)[:, :3]) + 1) / 2
        takes = known.takes()
        batch = batch if takes == batch.shape[1] else torch.cat([suited(b[:, :3], takes) for b in batch.split(1)])
        made = Restyler(known, images, alpha, cover).painted(batch)
    if isinstance(content, Tensor):
        return made
    return to_pil(to_uint8(made)[0]) if isinstance(content, Image.Image) else to_uint8(made)[0]


def as_batch(image: Any) -> Tensor:
    """A PIL image, (N, C, H, W) float or (H, W, C) uint8 as (N, C, H, W) in [-1, 1]; `UsageError` for others."""
    if isinstance(image, Tensor):
        if image.ndim != 4 or image.shape[1] not in (1, 3, 4):
            raise UsageError(f"An image is (N, C, H, W) with 1, 3 or 4 channels, got {tuple(image.shape)}.")
        return image.float()
    array = upright_colours(image) if isinstance(image, Image.Image) else np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise UsageError(f"An image is (H, W, C) uint8 with 1, 3 or 4 channels, got {array.dtype} {array.shape}.")
    return to_float(to_channels(array, 1 if array.shape[2] == 1 else 3)[None])
