"""Holes with a guide: painted colours and lines, from which an inpainting network learns to follow them."""

import torch
from torch import Tensor

from ...imaging.channels import luma
from ...imaging.guide import broad_colours, draw_lines, guide_channels, make_guide
from .base import RandomStream, Range, check_share
from .damage import Holes

WHOLE = 0.3  # share of the painted holes that are painted everywhere


class GuidedHoles(Holes):
    """Holes that are partly painted and sketched, from the image itself (Yu et al. 2019, section 3.4).

    Between the image and the mask of `holes` there are the colours of the strokes, where they are painted, and lines.
    """

    def __init__(
        self,
        *,
        covered: Range = (0.05, 0.4),  # approximate share of the image that is masked
        boxes: float = 0.3,  # share of images with boxes instead of strokes
        colours: float = 0.6,  # share of images with painted colours in the hole
        lines: float = 0.6,  # share of images with lines in the hole
    ):
        super().__init__(covered=covered, boxes=boxes)
        self.colours, self.lines = check_share(self, "colours", colours), check_share(self, "lines", lines)
        self.strokes = Holes(covered=(0.05, 0.4), boxes=0.0)

    def degrade(self, image: Tensor, random: RandomStream, top: int) -> Tensor:
        """Mask an image and add a guide: (1, C, H, W) to (1, 2 C + 3, H, W)."""
        masked = super().degrade(image, random, top)
        hole = masked[:, -1:]
        painted, lines = torch.zeros_like(hole), torch.zeros_like(hole)
        if random.happens(self.colours):
            strokes = self.strokes.mask(image.shape[2], image.shape[3], random).to(image)
            painted = hole if random.happens(WHOLE) else hole * strokes
        if random.happens(self.lines):
            lines = torch.from_numpy(draw_lines(luma(image)[0, 0].cpu().numpy())).to(image) * hole
        guide = make_guide(broad_colours(image) * 2 - 1, painted, lines)
        return torch.cat([masked[:, :-1], (guide + 1) / 2, hole], 1)

    def channels(self, channels: int) -> int:
        """2 C + 3; raises `UsageError` for transparent images."""
        return super().channels(channels) + guide_channels(channels)
