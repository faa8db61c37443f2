"""Stylization by a decoder of maps with the style's statistics: inference, for trained and for foreign networks."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..features.gram import adapt, moments
from ..imaging.resize import resize
from ..networks.adain import NormalisedVGG
from .translation import Translation, side_by_side

NEEDS_A_STYLE = "This model needs an image of the style: ganvas stylize, or ganvas.stylize(image, [style], model)."


class Restyling(Translation):
    """Base of style transfer by statistics of maps: an encoder and a decoder of its deepest map."""

    source = "other"
    next_step = "ganvas stylize IMAGE STYLE -o OUT.png --model {run}"
    example = "painted = ganvas.stylize(image, [style], model)  # PIL images, or as `model.sample` gives them"

    needs_style = True
    smallest_style = 16  # pixels: receptive field of the decoded map

    def encode(self, images: Tensor) -> list[Tensor]:
        """Maps (N, C, h, w) of images, from the largest to the one that is decoded."""
        raise NotImplementedError(f"{type(self).__name__} must say what makes its maps")

    def layers(self, images: Tensor) -> list[Tensor]:
        """Everything that takes the statistics of a style: the colours and all maps."""
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
        """Stylize images (N, C, H, W) in [-1, 1] with styles, each (1 or N, C, h, w), mixed by shares.

        `alpha` from 0, the decoded content, to 1.  The first style applies where `mask` (1, 1, H, W) in [0, 1] is 1,
        and where it is 0 the others, or the content if there are none (Huang and Belongie 2017, section 7.4).
        """
        maps, statistics = self.layers(content), [[moments(m) for m in self.layers(style)] for style in styles]
        targets = [adapt_map(m, of, shares, mask) for m, *of in zip(maps, *statistics)]
        return self.decode([alpha * t + (1 - alpha) * m for t, m in zip(targets, maps)], content)

    def decode(self, maps: Sequence[Tensor], content: Tensor) -> Tensor:
        """The image of `layers`, with the size and the alpha of the content."""
        image: Tensor = self.generator(*maps)[:, :, : content.shape[2], : content.shape[3]]
        return torch.cat([image, content[:, 3:].to(image.dtype)], 1)

    def sample(self, inputs: dict[str, Any]) -> Tensor:
        return self.stylize(inputs["other"], [inputs["image"]]).clamp(-1, 1)

    def panel(self, inputs: dict[str, Any]) -> Tensor:
        """The content, the style and the result."""
        return side_by_side(inputs["other"], inputs["image"], self.sample(inputs))


def adapt_map(
    maps: Tensor, styles: Sequence[tuple[Tensor, Tensor]], shares: Sequence[float], mask: Tensor | None
) -> Tensor:
    """A map with the statistics of styles, mixed by shares; with a mask as in `Restyling.stylize`."""
    if mask is None:
        weights = [s / sum(shares) for s in shares] or [1 / len(styles)] * len(styles)
        return torch.stack([w * adapt(maps, style) for w, style in zip(weights, styles)]).sum(0)
    here = resize(mask, (maps.shape[2], maps.shape[3])).clamp(0, 1)
    others = list(zip(shares[1:] or [1.0] * len(styles[1:]), styles[1:]))
    first = here * adapt(maps, styles[0], here)
    if not others:
        return first + (1 - here) * maps
    whole = sum(share for share, _ in others)
    rest = [share / whole * adapt(maps, style, 1 - here) for share, style in others]
    return first + (1 - here) * torch.stack(rest).sum(0)


class AppliedRestyling(Restyling):
    """A trained decoder of another project with its encoder, without losses."""

    encoder: NormalisedVGG

    def __init__(self, decoder: nn.Module, encoder: NormalisedVGG):
        super().__init__()
        self.generator, self.encoder, self.smallest_style = decoder, encoder, encoder.reach

    def encode(self, images: Tensor) -> list[Tensor]:
        return list(self.encoder.maps(images).values())
