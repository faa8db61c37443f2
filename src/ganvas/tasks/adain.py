"""Any image in any style, without learning it: the statistics of one map are given to another, and decoded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ..config import Spec
from ..errors import UsageError
from ..features.gram import adapted, moments
from ..game import Objective, Progress
from .stylization import Restyling

Moments = tuple[Tensor, Tensor]


class AnyStyle(Restyling):
    """Adaptive instance normalisation (Huang and Belongie 2017, eq. 11 to 13): content from `a`, style from `b`.

    The decoder is to give back the map that was adapted, and means and deviations of the style in every layer.  Below
    a `least_alpha` of 1 the statistics are anywhere from that share of the style's (the rest is the content's) to all
    of it: strengths that are asked for later are learnt, where the paper only decodes them.
    """

    def __init__(
        self,
        *,
        generator: Spec,  # maps to images
        perception: Spec,  # makes the maps: its layers of style, of which the last is decoded
        content_weight: float = 1.0,  # how much the adapted map counts
        style_weight: float = 10.0,  # how much means and deviations count
        least_alpha: float = 1.0,  # the weakest style that is trained on, from 0 to 1
        resolution: tuple[int, int],
        channels: int = 3,
    ):
        super().__init__()
        if not 0 <= least_alpha <= 1:
            raise UsageError(f"least_alpha must be from 0 to 1, got {least_alpha}.")
        self.hidden, self.least_alpha = [perception.build()], least_alpha
        self.smallest_style = max(self.hidden[0].reach[name] for name in self.hidden[0].style)
        widths = [m.shape[1] for m in self.encode(torch.zeros(1, 3, 32, 32))]
        self.generator = generator.build(resolution=resolution, channels=min(channels, 3), widths=widths)
        self.content_weight, self.style_weight = content_weight, style_weight
        self.needs = frozenset({"image", "other"})

    def encode(self, images: Tensor) -> list[Tensor]:
        return list(self.hidden[0].maps(images).values())

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        content, style = batch["other"], batch["image"]
        with torch.no_grad():
            seen, alpha = self.layers(content), self._alphas(content)
            looks = [between(moments(m), moments(s), alpha) for m, s in zip(seen, self.layers(style))]
            wanted = [adapted(m, look) for m, look in zip(seen, looks)]
        made = self.encode(self.decoded(wanted, content).float())
        off = [mse_loss(x, y) for m, look in zip(made, looks[1:]) for x, y in zip(moments(m), look)]
        near = mse_loss(made[-1].float(), wanted[-1])
        return Objective({"content": self.content_weight * near, "style": self.style_weight * torch.stack(off).sum()})

    def _alphas(self, images: Tensor) -> Tensor:
        """How much of the style is wanted, (N, 1, 1, 1)."""
        return 1 - (1 - self.least_alpha) * torch.rand(len(images), 1, 1, 1, device=images.device)


def between(own: Moments, style: Moments, alpha: Tensor) -> Moments:
    """Statistics from a content's own (`alpha` of 0) to a style's (1), which makes maps mixed in that share."""
    mean, deviation = (torch.lerp(x, y, alpha.to(x.dtype)) for x, y in zip(own, style))
    return mean, deviation
