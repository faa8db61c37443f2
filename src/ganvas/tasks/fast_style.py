"""Fast style transfer: a network trained for one style."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import Spec
from ..data.builtin import PHOTOGRAPHS, read_photograph
from ..errors import UsageError, did_you_mean
from ..features.gram import StyleFeatures, total_variation
from ..game import Objective, Progress
from ..imaging.decode import read_image, to_channels, to_float
from ..imaging.resize import resize
from .translation import Translation

EMBEDDED = [Path(file).stem for files in PHOTOGRAPHS.values() for file in files]


class OneStyle(Translation):
    """Feed-forward style transfer of one style (Johnson et al. 2016, eq. 5).

    There is no discriminator: a fixed network compares maps with the photograph's and Gram matrices with the style's.
    That network and the style image are needed in training alone.
    """

    source = "image"
    shows_target = False
    files = ("style",)
    next_step = "ganvas stylize IMAGE -o OUT.png --model {run}"

    def __init__(
        self,
        *,
        generator: Spec,  # network from photographs to images
        perception: Spec,  # network that compares content and style
        style: str = "ihc",  # image file, or the name of an embedded photograph
        style_size: int = 256,  # shorter side of the style image in pixels; it is never enlarged
        content_weight: float = 1.0,  # weight of the content term
        style_weight: float = 100.0,  # weight of the style term
        smoothness: float = 0.1,  # weight of the total variation
        resolution: tuple[int, int],
        channels: int = 3,
    ):
        super().__init__()
        self.generator = generator.build(resolution=resolution, channels=channels)
        self.perception, self.style, self.style_size = perception, style, style_size
        self.content_weight, self.style_weight, self.smoothness = content_weight, style_weight, smoothness
        self.compare: list[Any] = []  # the perception and the style's Gram matrices; in a list: no part of the state

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        photo = batch["image"]
        perception, style = self._comparison(photo.device)
        with torch.no_grad():
            target = StyleFeatures(perception(photo).content, style)
        image = self.generator(photo).float()
        maps = perception(image)
        terms = {
            "content": self.content_weight * perception.content_loss(maps, target),
            "style": self.style_weight * perception.style_loss(maps, target),
        }
        if self.smoothness:
            terms["smoothness"] = self.smoothness * total_variation(image)
        return Objective(terms)

    def _comparison(self, device: torch.device) -> list[Any]:
        """The perception and the Gram matrices of the style image, loaded at the first step."""
        if not self.compare:
            with torch.random.fork_rng(devices=[]):  # a network draws its weights before it is given its own
                perception = self.perception.build()
            image = load_style(self.style, self.style_size)
            perception.check(image, self.style)
            with torch.no_grad():
                self.compare = [perception, [g.to(device) for g in perception(image.to(device)).style]]
        return self.compare


def load_style(name: str, size: int) -> Tensor:
    """The style image (1, 3, H, W) in [-1, 1]; raises `UsageError` without a file, `BadImage` if it is no image."""
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
