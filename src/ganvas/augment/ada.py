"""Adaptive discriminator augmentation (Karras et al. 2020): many changes, all with one adapted probability.

Written from the paper's appendix B.  Geometric changes are resampled once, bilinearly, where the paper first doubles
the resolution with a wavelet; image-space filters and corruptions, which helped little in the paper, are left out.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import Spec
from ..errors import UsageError
from ..game import Progress, SharedBuffers
from ..policy import full_precision, wide
from ..schedule import as_schedule
from . import Augment, check_images, map_colours, per_image, shift
from .grid_sample import resample

Kind = Literal["blit", "geometry", "colour"]


class ADA(Augment, SharedBuffers):
    """Flips, rotations, scaling, shifts and colour changes, as many as D needs not to overfit (Karras et al. 2020).

    Every change is made with probability p.  Without `p` it is adapted: up while the mean of sign(D(x)) over real
    images is above `target`, down otherwise.  Losses need logits that are positive for real images (logistic, hinge);
    with others give p yourself.
    """

    p: Tensor
    signs: Tensor
    seen: Tensor
    batches: Tensor

    def __init__(
        self,
        *,
        p: float | Spec | None = None,  # fixed or scheduled probability; none: adapted
        kinds: list[Kind] = ["blit", "geometry", "colour"],  # changes that are made
        target: float = 0.6,  # mean sign of the real logits that p is adapted to
        images: int = 500_000,  # real images in which p can go from 0 to 1
        every: int = 4,  # batches from one adaptation to the next
    ):
        super().__init__()
        if images < 1 or every < 1:
            raise UsageError(f"ADA adapts over at least one image and batch, not {images} and {every}.")
        if isinstance(p, int | float) and not 0 <= p <= 1:
            raise UsageError(f"ADA's p is a probability, from 0 to 1, got {p:g}.")
        self.schedule = None if p is None else as_schedule(p)
        self.kinds = tuple(kinds)
        self.target, self.images, self.every = target, images, every
        self.observed_step = -1  # the last one in which real logits were observed
        for name in ("p", "signs", "seen", "batches"):
            self.register_buffer(name, torch.zeros(()))
        self._set(0.0)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, "ADA")
        if self.schedule is not None and not self.schedule(self.progress.fraction):
            return images
        with full_precision(images.device):  # coordinates and colours would be rounded to bfloat16
            changes = {"blit": self.blit, "geometry": self.geometry, "colour": self.colour}
            images = wide(images)
            for kind in self.kinds:
                images = changes[kind](images)
        return images

    # --- the probability ---------------------------------------------------------------------------------

    def follow(self, progress: Progress) -> None:
        """Set p for the step; it is adapted between steps, when all processes have the same sums."""
        super().follow(progress)
        if self.schedule is not None:
            self._set(progress.fraction)
        elif progress.step != self.observed_step:
            self._adapt()

    def _set(self, fraction: float) -> None:
        if self.schedule is not None:
            self.p.fill_(min(max(self.schedule(fraction), 0.0), 1.0))

    def _adapt(self) -> None:
        due = (self.batches >= self.every).float()
        excess = (self.signs / self.seen.clamp(min=1) - self.target).sign()
        images = self.seen * self.progress.world
        self.p.add_(due * excess * images / self.images).clamp_(0, 1)
        for total in (self.signs, self.seen, self.batches):
            total.mul_(1 - due)

    def observe(self, real_logits: Tensor) -> None:
        self.observed_step = self.progress.step
        n = len(real_logits)
        self.signs.add_(n * real_logits.sign().mean())
        self.seen.add_(n)
        self.batches.add_(1)

    def stats(self) -> dict[str, Tensor]:
        return {"augment_p": self.p.clone()}

    def choose(self, images: Tensor, p: Tensor | None = None) -> Tensor:
        """Draw the images that are changed, each with probability p: (N,) bool."""
        return self.draw(torch.rand, images) < (self.p if p is None else p)

    # --- the changes --------------------------------------------------------------------------------------

    def blit(self, images: Tensor) -> Tensor:
        """Mirror, rotate by right angles if square, and shift by whole pixels up to an eighth of a side."""
        height, width = images.shape[2:]
        mirrored = self.choose(images) & (self.draw(torch.rand, images) < 0.5)
        images = torch.where(per_image(mirrored), images.flip(3), images)
        if height == width:
            turns, unturned = self.choose(images) * (4 * self.draw(torch.rand, images)).long(), images
            for k in (1, 2, 3):
                images = torch.where(per_image(turns == k), unturned.rot90(k, (2, 3)), images)
        parts = (2 * self.draw(torch.rand, images, 2) - 1) / 8 * self.choose(images)[:, None]
        down, right = (parts * parts.new_tensor([height, width])).round().long().unbind(1)
        return shift(images, down, right, outside="reflection")

    def geometry(self, images: Tensor) -> Tensor:
        """Scale, rotate, stretch, rotate again and shift by fractions of a pixel, in one resampling."""
        matrix, offset = self.placement(images)
        height, width = images.shape[2:]
        sides = torch.tensor([[1.0, height / width], [width / height, 1.0]]).to(images)
        scaled = matrix.to(images) * sides  # grid_sample counts in half sides
        translation = -2 * scaled @ offset.to(images)[:, :, None]
        grid = F.affine_grid(torch.cat([scaled, translation], 2), list(images.shape), align_corners=False)
        moved = resample(images, grid)
        still = (matrix == torch.eye(2, device=images.device)).flatten(1).all(1) & (offset == 0).all(1)
        return torch.where(per_image(still), images, moved)  # unchanged images keep their bits

    def placement(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the affine map from a pixel p, from the centre, to its source: matrix (p - offset), x before y.

        The matrix (N, 2, 2) is the inverse of the change of the image; each change is as likely as its inverse, so the
        inverses are drawn.  The offset (N, 2) is in sides.
        """
        p_turn = 1 - (1 - self.p).clamp(min=0).sqrt()  # of each of two rotations, so that a share p has one
        scale = self._where_chosen(images, torch.exp2(0.2 * self.draw(torch.randn, images)), 1.0)
        stretch = self._where_chosen(images, torch.exp2(0.2 * self.draw(torch.randn, images)), 1.0)
        turns = [
            rotation(self._where_chosen(images, math.pi * (2 * self.draw(torch.rand, images) - 1), 0.0, p_turn))
            for _ in range(2)
        ]
        offset = self.draw(torch.randn, images, 2) / 8 * self.choose(images)[:, None]
        stretched = torch.diag_embed(torch.stack([stretch, 1 / stretch], 1))
        return scale[:, None, None] * (turns[0] @ stretched @ turns[1]), offset

    def _where_chosen(self, images: Tensor, value: Tensor, otherwise: float, p: Tensor | None = None) -> Tensor:
        """Keep the drawn values (N,) of the chosen images, and `otherwise`, which changes nothing, for the others."""
        return torch.where(self.choose(images, p), value, otherwise)

    def colour(self, images: Tensor) -> Tensor:
        """Change brightness and contrast; of three channels also mirror luma, rotate hue and scale saturation."""
        return map_colours(images, self._recolour)

    def _recolour(self, images: Tensor) -> Tensor:
        brightness = self._where_chosen(images, 0.2 * self.draw(torch.randn, images), 0.0)
        contrast = self._where_chosen(images, torch.exp2(0.5 * self.draw(torch.randn, images)), 1.0)
        images = per_image(contrast) * (images + per_image(brightness))
        if images.shape[1] != 3:
            return images
        mirrored = per_image(self._where_chosen(images, 2.0 * (self.draw(torch.rand, images) < 0.5), 0.0))
        angle = per_image(self._where_chosen(images, math.pi * (2 * self.draw(torch.rand, images) - 1), 0.0))
        saturation = per_image(self._where_chosen(images, torch.exp2(self.draw(torch.randn, images)), 1.0))
        luma = images.mean(1, keepdim=True)
        chroma = images - luma  # at right angles to the grey axis v = (1, 1, 1) / sqrt 3
        turned = (chroma.roll(1, 1) - chroma.roll(-1, 1)) / 3**0.5  # v x chroma: rotated by a quarter
        # a sum of changes, so that unchanged images keep their bits
        return images - mirrored * luma + (saturation * angle.cos() - 1) * chroma + saturation * angle.sin() * turned


def rotation(angle: Tensor) -> Tensor:
    """Rotation matrices (N, 2, 2) of angles (N,) in radians."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
