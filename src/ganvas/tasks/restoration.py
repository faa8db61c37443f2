"""Restoration: degraded images to good ones (super-resolution, denoising, colour, inpainting)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..config import Spec
from ..errors import UsageError
from ..game import Draw, ImageToImage, Objective, Progress
from .base import Adversary, named_terms
from .translation import Translation, side_by_side


class Restoration(Translation):
    """Restoration by a sum of image terms and, optionally, a discriminator (Ledig et al. 2017, eq. 3).

    The degraded images are the data's own, or from the recipe's degradation.  The terms compare with the degradation's
    target; the discriminator sees the images as they are (which differ where a degradation sharpens its target).
    """

    restores = True
    files = ("teacher",)

    def __init__(
        self,
        *,
        generator: Spec,  # network from degraded to restored images
        terms: list[Spec],  # image terms: distances from the target
        discriminator: Spec | None = None,  # network from images to logits; none: the terms alone
        loss: Spec | None = None,  # adversarial loss of both players, with a discriminator
        penalties: list[Spec] = [],  # penalties of the discriminator
        augment: list[Spec] = [],  # augmentations of everything the discriminator sees
        teacher: str | None = None,  # weight file, run or model folder to distil: its images are a second target
        teacher_terms: list[Spec] = [],  # distances from the teacher's images; none: `terms`
        resolution: tuple[int, int],
        channels: int = 3,
        source_channels: int = 0,
        source_scale: int = 1,
    ):
        super().__init__()
        facts: dict[str, Any] = {"resolution": resolution, "channels": channels}
        self.generator = generator.build(**facts, source_channels=source_channels or channels, scale=source_scale)
        self.terms = nn.ModuleList(term.build() for term in terms)
        if not terms:
            raise UsageError("Missing terms: image terms to minimise, such as terms=[l1].")
        if teacher_terms and teacher is None:
            raise UsageError("teacher_terms are distances from the images of a teacher: --set teacher=FILE.")
        self.teacher, self.teacher_terms = teacher, nn.ModuleList(term.build() for term in teacher_terms)
        self.teach: Callable[[Tensor], Tensor] | None = None  # the teacher; set by the session, None in a model
        if discriminator is not None:
            if loss is None:
                raise UsageError(
                    "Missing loss: of the discriminator, such as loss=weighted(loss=non_saturating,g=0.001)."
                )
            self.discriminator = Adversary(discriminator, loss, penalties, augment, **facts)
        verb = "upscale" if source_scale > 1 else "restore"
        self.next_step = f"ganvas {verb} -i IMAGE -o OUT.png --model {{run}}"

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        fake = self.take_fakes(batch, lambda: self.generator(batch["source"]))
        target = batch.get("target", batch["image"])
        averaged = self._average_image(batch["source"]) if any(term.uses_average for term in self.terms) else None
        terms = named_terms(self.terms, (term(fake, target, averaged) for term in self.terms))
        if self.teach is not None:
            with torch.no_grad():
                lesson = self.teach(batch["source"])
            distances = self.teacher_terms or self.terms
            values = named_terms(distances, (term(fake, lesson, averaged) for term in distances))
            terms |= {f"teacher_{name}": value for name, value in values.items()}
        if isinstance(self.discriminator, Adversary):
            terms |= self.discriminator.g_loss(Draw(fake), batch["image"], progress)[0]
        with torch.no_grad():
            error = (fake.float().clamp(-1, 1) - target).square().mean((1, 2, 3)) / 4
            psnr = -10 * torch.log10(error.clamp_min(1e-10)).mean()
        return Objective(terms, {"psnr": psnr})

    def _average_image(self, source: Tensor) -> Tensor | None:
        """The averaged generator's images; None outside training, where the trainer has not set `average`."""
        if self.average is None:
            return None
        with torch.no_grad():
            return self.average()(source)

    def panel(self, inputs: dict[str, Any]) -> Tensor:
        """The degraded image, with its pixels repeated where it is smaller, the restored one, and the good one."""
        size = inputs["image"].shape[2:]
        source = interpolate(self.image_of(inputs[self.source], inputs["image"].shape[1]), size=size)
        return side_by_side(source, self.sample(inputs), inputs["image"])

    def image_of(self, source: Tensor, channels: int) -> Tensor:
        """The image channels of a source of images of so many, without the guide and the mask of holes."""
        masked = isinstance(self.generator, ImageToImage) and self.generator.masked
        return source[:, :channels] if masked or source.shape[1] == channels + 1 else source
