"""Any picture in any style, without learning it: the statistics of one map are given to another, and decoded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ..config import Spec
from ..game import Objective, Progress
from ..metrics.style import adapted, moments
from .restyling import Restyling


class AnyStyle(Restyling):
    """Adaptive instance normalisation (Huang and Belongie 2017, eq. 11 to 13): content from `a`, style from `b`.

    The decoder is to give back the map that was adapted, and means and deviations of the style in every layer.
    """

    def __init__(
        self,
        *,
        generator: Spec,  # maps to pictures
        perception: Spec,  # makes the maps: its layers of style, of which the last is decoded
        content_weight: float = 1.0,  # how much the adapted map counts
        style_weight: float = 10.0,  # how much means and deviations count
        resolution: tuple[int, int],
        channels: int = 3,
    ):
        super().__init__()
        self.hidden = [perception.build()]
        self.least = max(self.hidden[0].reach[name] for name in self.hidden[0].style)
        widths = [m.shape[1] for m in self.encode(torch.zeros(1, 3, 32, 32))]
        self.generator = generator.build(resolution=resolution, channels=channels, widths=widths)
        self.content_weight, self.style_weight = content_weight, style_weight
        self.needs = frozenset({"image", "other"})

    def encode(self, pictures: Tensor) -> list[Tensor]:
        return list(self.hidden[0].maps(pictures).values())

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        with torch.no_grad():
            style = [moments(m) for m in self.encode(batch["image"])]
            wanted = adapted(self.encode(batch["other"])[-1], style[-1])
        made = self.encode(self.generator(wanted).float())
        off = [mse_loss(x, y) for m, s in zip(made, style) for x, y in zip(moments(m), s)]
        content = mse_loss(made[-1].float(), wanted)
        return Objective(
            {"content": self.content_weight * content, "style": self.style_weight * torch.stack(off).sum()}
        )
