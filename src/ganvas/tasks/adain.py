"""Style transfer by adaptive instance normalisation (AdaIN): any style, without training on it."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ..config import Spec
from ..errors import UsageError
from ..features.gram import adapt, moments
from ..game import Objective, Progress
from .stylization import Restyling

Moments = tuple[Tensor, Tensor]


class AnyStyle(Restyling):
    """Adaptive instance normalisation (Huang and Belongie 2017, eq. 11 to 13): content from `a`, style from `b`.

    The terms compare the result's maps with the adapted map (content) and its means and deviations in every layer with
    the style's (style).  With a `least_alpha` below 1 the statistics are mixed with the content's at a random strength
    from `least_alpha` to 1, so that the decoder learns the strengths that the paper only decodes.
    """

    def __init__(
        self,
        *,
        generator: Spec,  # decoder from maps to images
        perception: Spec,  # encoder: its style layers, of which the last is decoded
        content_weight: float = 1.0,  # weight of the content term
        style_weight: float = 10.0,  # weight of the style term
        least_alpha: float = 1.0,  # weakest strength of the style in training, 0 to 1
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

    def encode(self, images: Tensor) -> list[Tensor]:
        return list(self.hidden[0].maps(images).values())

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        content, style = batch["other"], batch["image"]
        with torch.no_grad():
            maps, alpha = self.layers(content), self._alphas(content)
            statistics = [lerp_moments(moments(m), moments(s), alpha) for m, s in zip(maps, self.layers(style))]
            targets = [adapt(m, s) for m, s in zip(maps, statistics)]
        result = self.encode(self.decode(targets, content).float())
        errors = [mse_loss(x, y) for m, s in zip(result, statistics[1:]) for x, y in zip(moments(m), s)]
        content_error = mse_loss(result[-1].float(), targets[-1])
        terms = {"content": self.content_weight * content_error, "style": self.style_weight * torch.stack(errors).sum()}
        return Objective(terms)

    def _alphas(self, images: Tensor) -> Tensor:
        """Random strengths of the style, (N, 1, 1, 1) from `least_alpha` to 1."""
        return 1 - (1 - self.least_alpha) * torch.rand(len(images), 1, 1, 1, device=images.device)


def lerp_moments(own: Moments, style: Moments, alpha: Tensor) -> Moments:
    """Means and deviations between the content's (`alpha` 0) and the style's (1)."""
    mean, deviation = (torch.lerp(x, y, alpha.to(x.dtype)) for x, y in zip(own, style))
    return mean, deviation
