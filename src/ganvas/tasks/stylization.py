"""Images in any style by a decoder of maps: what is the same whether it is trained here or comes from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..features.gram import adapted, moments
from ..imaging.resize import resize
from .translation import Translation, beside

NEEDS_A_STYLE = "This model needs an image of the style: ganvas stylize, or ganvas.stylize(image, [style], model)."


class Restyling(Translation):
    """A decoder of maps, and what makes them: `encode` takes images to maps of all layers, the deepest last."""

    source = "other"
    next_step = "ganvas stylize IMAGE STYLE -o OUT.png --model {run}"
    example = "painted = ganvas.stylize(image, [style], model)  # PIL images, or as `model.sample` gives them"

    needs_style = True
    smallest_style = 16  # receptive field of the decoded map

    def encode(self, images: Tensor) -> list[Tensor]:
        """Maps (N, C, h, w) of images, from the largest to the one that is decoded."""
        raise NotImplementedError(f"{type(self).__name__} must say what makes its maps")

    def layers(self, images: Tensor) -> list[Tensor]:
        """All that is given the statistics of a style: colours, and their maps."""
        return [images[:, :3], *self.encode(images)]

    def translate(self, images: Tensor, label: Tensor | None = None, *, back: bool = False) -> Tensor:
        raise UsageError(NEEDS_A_STYLE)

    def stylize(
        self,
        content: Tensor,
        styles: Sequence[Tensor] = (),
        *,
        shares: Sequence[float] = (),
        alpha: float = 1.0,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] in styles, each (1 or N, C, h, w), mixed by shares.

        `alpha` from 0, the content as it is decoded, to 1.  Where `mask` (1, 1, H, W) in [0, 1] is 1 the first style
        is, where it is 0 the others are, or the content if there are none (Huang and Belongie 2017, section 7.4).
        """
        seen, looks = self.layers(content), [[moments(m) for m in self.layers(style)] for style in styles]
        toward = [restyled_map(m, of, shares, mask) for m, *of in zip(seen, *looks)]
        return self.decoded([alpha * t + (1 - alpha) * m for t, m in zip(toward, seen)], content)

    def decoded(self, maps: Sequence[Tensor], content: Tensor) -> Tensor:
        """The image of such `layers`, of the size and with the transparency of the content."""
        made: Tensor = self.generator(*maps)[:, :, : content.shape[2], : content.shape[3]]
        return torch.cat([made, content[:, 3:].to(made.dtype)], 1)

    def sample(self, inputs: dict[str, Any]) -> Tensor:
        return self.stylize(inputs["other"], [inputs["image"]]).clamp(-1, 1)

    def panel(self, inputs: dict[str, Any]) -> Tensor:
        """The content, the style, and what was made of them."""
        return beside(inputs["other"], inputs["image"], self.sample(inputs))


def restyled_map(
    maps: Tensor, styles: Sequence[tuple[Tensor, Tensor]], shares: Sequence[float], mask: Tensor | None
) -> Tensor:
    """A map with the statistics of styles, mixed by shares; with a mask as `Restyling.stylize` says."""
    if mask is None:
        weights = [s / sum(shares) for s in shares] or [1 / len(styles)] * len(styles)
        return torch.stack([w * adapted(maps, style) for w, style in zip(weights, styles)]).sum(0)
    here = resize(mask, (maps.shape[2], maps.shape[3])).clamp(0, 1)
    others = list(zip(shares[1:] or [1.0] * len(styles[1:]), styles[1:]))
    first = here * adapted(maps, styles[0], here)
    if not others:
        return first + (1 - here) * maps
    whole = sum(share for share, _ in others)
    rest = [share / whole * adapted(maps, style, 1 - here) for share, style in others]
    return first + (1 - here) * torch.stack(rest).sum(0)


class AppliedRestyling(Restyling):
    """A finished decoder of another project and the encoder that it belongs to, only used."""

    def __init__(self, decoder: nn.Module, encoder: nn.Module):
        super().__init__()
        self.generator, self.encoder = decoder, encoder
        self.smallest_style = int(getattr(encoder, "reach", self.smallest_style))

    def encode(self, images: Tensor) -> list[Tensor]:
        return list(self.encoder.maps(images).values())  # type: ignore[operator]
