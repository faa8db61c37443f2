"""Any image in one style: a network learns in advance what iterations would make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import Spec
from ..data.builtin import PHOTOGRAPHS, read_photograph
from ..errors import UsageError, did_you_mean
from ..features.gram import Seen, total_variation
from ..game import Objective, Progress
from ..imaging.decode import read_image, to_channels, to_float
from ..imaging.resize import resize
from .translation import Translation, beside

EMBEDDED = [Path(file).stem for files in PHOTOGRAPHS.values() for file in files]


class OneStyle(Translation):
    """A network that paints photographs as one image is painted (Johnson et al. 2016, eq. 5).

    There is no discriminator: a fixed network compares maps with the photograph's and Gram matrices with the style's.
    What looks, and the style's image, are needed while it trains and not afterwards.
    """

    source = "image"
    files = ("style",)
    next_step = "ganvas stylize IMAGE -o OUT.png --model {run}"

    def __init__(
        self,
        *,
        generator: Spec,  # photographs to images
        perception: Spec,  # what compares them, by content and style
        style: str = "ihc",  # an image's file, or the name of an embedded photograph
        style_size: int = 256,  # its shorter side, in pixels, where it is looked at; it is never enlarged
        content_weight: float = 1.0,  # how much the content counts
        style_weight: float = 100.0,  # how much the style counts
        smoothness: float = 0.1,  # how much the total variation counts
        resolution: tuple[int, int],
        channels: int = 3,
    ):
        super().__init__()
        self.generator = generator.build(resolution=resolution, channels=channels)
        self.perception, self.style, self.style_size = perception, style, style_size
        self.content_weight, self.style_weight, self.smoothness = content_weight, style_weight, smoothness
        self.needs = frozenset({"image"})
        self.looking: list[Any] = []  # what compares, and the style's Gram matrices: no part of the state

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        photo = batch["image"]
        perception, style = self._looked(photo.device)
        with torch.no_grad():
            wanted = Seen(perception(photo).content, style)
        made = self.generator(photo).float()
        seen = perception(made)
        terms = {
            "content": self.content_weight * perception.content_loss(seen, wanted),
            "style": self.style_weight * perception.style_loss(seen, wanted),
        }
        if self.smoothness:
            terms["smoothness"] = self.smoothness * total_variation(made)
        return Objective(terms)

    def _looked(self, device: torch.device) -> list[Any]:
        if not self.looking:
            with torch.random.fork_rng(devices=[]):  # a network draws its weights before it is given its own
                perception = self.perception.build()
            image = opened(self.style, self.style_size)
            perception.check(image, self.style)
            with torch.no_grad():
                self.looking = [perception, [g.to(device) for g in perception(image.to(device)).style]]
        return self.looking

    def panel(self, inputs: dict[str, Any]) -> Tensor:
        """The photograph and what was made of it."""
        return beside(inputs["image"], self.sample(inputs))


def opened(name: str, size: int) -> Tensor:
    """The style's image (1, 3, H, W) in [-1, 1]; raises `UsageError` if there is none, `BadImage` if it is none."""
    array = None if Path(name).exists() else read_photograph(name)
    if array is None:
        if not Path(name).is_file():
            near = did_you_mean(name, EMBEDDED)
            raise UsageError(
                f"There is no style {name!r}.{near} Give --set style=IMAGE, or an embedded one: {', '.join(EMBEDDED)}."
            )
        array = to_channels(read_image(name).array, 3)
    image = to_float(array)[None]
    factor = size / min(image.shape[2:])
    if factor >= 1:
        return image
    return resize(image, (round(image.shape[2] * factor), round(image.shape[3] * factor)))
