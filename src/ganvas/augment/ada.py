"""Adaptive discriminator augmentation (Karras et al. 2020): many changes, each with a probability that is controlled.

Written from the paper's appendix B.  Its geometric changes are resampled once, bilinearly, where the paper first
doubles the resolution with a wavelet; its filters and corruptions, which the paper found to help little, are left out.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import Spec
from ..errors import UsageError
from ..game import Progress
from ..policy import full_precision, wide
from ..schedule import following
from . import Augment, check_images, column, on_colours, shifted
from .grid_sample import resample

Kind = Literal["blit", "geometry", "colour"]


class ADA(Augment):
    """Flips, turns, scales, shifts and colours, just as many as keep D from overfitting (Karras et al. 2020).

    Every change is made with probability p.  Without `p` it is adapted: up while more real images than `target` say
    are judged real, the mean of sign(D(x)), and down otherwise.  That sign means something for losses whose logits
    are positive for real images (logistic, hinge); with others give p yourself.
    """

    shared = True
    p: Tensor
    signs: Tensor
    seen: Tensor
    batches: Tensor

    def __init__(
        self,
        *,
        p: float | Spec | None = None,  # fixed or scheduled probability; none: adapted
        kinds: list[Kind] = ["blit", "geometry", "colour"],  # noqa: B006  of changes that are made
        target: float = 0.6,  # mean sign of the real logits that p is adapted to
        images: int = 500_000,  # real images in which p may go from 0 to 1
        every: int = 4,  # batches from one adaptation to the next
    ):
        super().__init__()
        if images < 1 or every < 1:
            raise UsageError(f"ADA adapts over at least one image and batch, not {images} and {every}.")
        if isinstance(p, int | float) and not 0 <= p <= 1:
            raise UsageError(f"ADA's p is a probability, from 0 to 1, got {p:g}.")
        self.given = None if p is None else following(p)
        self.kinds = tuple(kinds)
        self.target, self.images, self.every = target, images, every
        self.heard = -1  # step of the last observation
        for name in ("p", "signs", "seen", "batches"):
            self.register_buffer(name, torch.zeros(()))
        self._set(0.0)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, "ADA")
        if self.given is not None and not self.given(self.progress.fraction):
            return images
        with full_precision(images.device):  # places and colours are not to be rounded to bfloat16
            images = wide(images)
            for kind in self.kinds:
                images = getattr(self, kind)(images)
        return images

    # --- the probability ---------------------------------------------------------------------------------

    def follow(self, progress: Progress) -> None:
        """Set p for the step.  It is adapted between steps, when all processes have the same sums."""
        super().follow(progress)
        if self.given is not None:
            self._set(progress.fraction)
        elif progress.step != self.heard:
            self._adapt()

    def _set(self, fraction: float) -> None:
        if self.given is not None:
            self.p.fill_(min(max(self.given(fraction), 0.0), 1.0))

    def _adapt(self) -> None:
        due = (self.batches >= self.every).float()
        excess = (self.signs / self.seen.clamp(min=1) - self.target).sign()
        images = self.seen * self.progress.world
        self.p.add_(due * excess * images / self.images).clamp_(0, 1)
        for total in (self.signs, self.seen, self.batches):
            total.mul_(1 - due)

    def observe(self, real_logits: Tensor) -> None:
        self.heard = self.progress.step
        n = len(real_logits)
        self.signs.add_(n * real_logits.sign().mean())
        self.seen.add_(n)
        self.batches.add_(1)

    def stats(self) -> dict[str, Tensor]:
        return {"augment_p": self.p.clone()}

    def chosen(self, images: Tensor, p: Tensor | None = None) -> Tensor:
        """Which images a change is made to: (N,) bool."""
        return self.draw(torch.rand, images) < (self.p if p is None else p)

    # --- the changes --------------------------------------------------------------------------------------

    def blit(self, images: Tensor) -> Tensor:
        """Whole pixels moved: mirrored, turned by right angles if square, shifted up to an eighth of a side."""
        height, width = images.shape[2:]
        mirrored = self.chosen(images) & (self.draw(torch.rand, images) < 0.5)
        images = torch.where(column(mirrored), images.flip(3), images)
        if height == width:
            turns, upright = self.chosen(images) * (4 * self.draw(torch.rand, images)).long(), images
            for k in (1, 2, 3):
                images = torch.where(column(turns == k), upright.rot90(k, (2, 3)), images)
        parts = (2 * self.draw(torch.rand, images, 2) - 1) / 8 * self.chosen(images)[:, None]
        down, right = (parts * parts.new_tensor([height, width])).round().long().unbind(1)
        return shifted(images, down, right, outside="reflection")

    def geometry(self, images: Tensor) -> Tensor:
        """Scaled, turned, stretched, turned again and shifted by any fraction of a pixel, in one resampling."""
        turned, shift = self.placement(images)
        height, width = images.shape[2:]
        sides = torch.tensor([[1.0, height / width], [width / height, 1.0]]).to(images)
        matrix = turned.to(images) * sides  # grid_sample counts in half sides
        offset = -2 * matrix @ shift.to(images)[:, :, None]
        grid = F.affine_grid(torch.cat([matrix, offset], 2), list(images.shape), align_corners=False)
        moved = resample(images, grid)
        still = (turned == torch.eye(2, device=images.device)).flatten(1).all(1) & (shift == 0).all(1)
        return torch.where(column(still), images, moved)  # exactly as it was where nothing was asked for

    def placement(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Where a pixel p, from the centre, comes from: matrix (p - shift); x before y, shift in sides.

        The matrix (N, 2, 2) is the inverse of what happens to the image; each change is as likely as its inverse, so
        the inverses are drawn.  The shift is (N, 2).
        """
        p_turn = 1 - (1 - self.p).clamp(min=0).sqrt()  # of each of two turns, so that p have one
        scale = self._chance(images, torch.exp2(0.2 * self.draw(torch.randn, images)), 1.0)
        stretch = self._chance(images, torch.exp2(0.2 * self.draw(torch.randn, images)), 1.0)
        turns = [
            rotation(self._chance(images, math.pi * (2 * self.draw(torch.rand, images) - 1), 0.0, p_turn))
            for _ in range(2)
        ]
        shift = self.draw(torch.randn, images, 2) / 8 * self.chosen(images)[:, None]
        stretched = torch.diag_embed(torch.stack([stretch, 1 / stretch], 1))
        return scale[:, None, None] * (turns[0] @ stretched @ turns[1]), shift

    def _chance(self, images: Tensor, value: Tensor, otherwise: float, p: Tensor | None = None) -> Tensor:
        """A drawn value (N,) for the chosen images, and one that changes nothing for the others."""
        return torch.where(self.chosen(images, p), value, otherwise)

    def colour(self, images: Tensor) -> Tensor:
        """Brightness and contrast; for three channels also the luma mirrored, the hue turned, the saturation scaled."""
        return on_colours(images, self._recolour)

    def _recolour(self, images: Tensor) -> Tensor:
        brightness = self._chance(images, 0.2 * self.draw(torch.randn, images), 0.0)
        contrast = self._chance(images, torch.exp2(0.5 * self.draw(torch.randn, images)), 1.0)
        images = column(contrast) * (images + column(brightness))
        if images.shape[1] != 3:
            return images
        mirrored = column(self._chance(images, 2.0 * (self.draw(torch.rand, images) < 0.5), 0.0))
        angle = column(self._chance(images, math.pi * (2 * self.draw(torch.rand, images) - 1), 0.0))
        saturation = column(self._chance(images, torch.exp2(self.draw(torch.randn, images)), 1.0))
        luma = images.mean(1, keepdim=True)
        chroma = images - luma  # at right angles to the grey axis v = (1, 1, 1) / sqrt 3
        turned = (chroma.roll(1, 1) - chroma.roll(-1, 1)) / 3**0.5  # v x chroma: a quarter of the way round
        # a sum of changes, so that an image is exactly as it was where nothing was asked for
        return images - mirrored * luma + (saturation * angle.cos() - 1) * chroma + saturation * angle.sin() * turned


def rotation(angle: Tensor) -> Tensor:
    """(N,) -> (N, 2, 2)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
