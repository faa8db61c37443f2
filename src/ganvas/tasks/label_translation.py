"""Images to whichever of many domains one asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..errors import UsageError
from .base import Label
from .generation import asked, numbers
from .translation import Translation


class Told(Translation):
    """A translation whose generator also takes the domain: (N,) int64 classes, or (N, attributes) float32."""

    source = "image"
    next_step = "ganvas translate -i IMAGE -o OUT.png --model {run} --label DOMAIN"
    example = "translated = model(image, label=1)  # a PIL image, (N, C, H, W) in [-1, 1], or (H, W, C) uint8"
    classes = attributes = 0
    needs_label = True

    def target_labels(self, count: int, label: Label) -> Tensor | None:
        """A class, a vector of attributes, or the number of the only attribute that is one."""
        if label is None:
            return None
        if self.attributes and isinstance(label, int) and 0 <= label < self.attributes:
            label = [float(k == label) for k in range(self.attributes)]
        return asked(range(count), label, self.classes, self.attributes)

    def read_label(self, text: str, names: Sequence[str]) -> Label:
        if not self.attributes:
            return super().read_label(text, names)
        found = numbers(text)
        return int(found[0]) if len(found) < self.attributes and found[0].is_integer() else found

    def translate(self, images: Tensor, label: Tensor | None = None, *, back: bool = False) -> Tensor:
        if back or label is None:
            kinds = f"{self.attributes} numbers or one attribute" if self.attributes else "a domain"
            raise UsageError(f"This model needs a target label, {kinds}: --label, or label= in Python.")
        return self.generator(images, label)

    def inputs(self, seeds: Sequence[int], label: Label = None) -> dict[str, Any]:
        """Examples of the data, and the domain for each: what is asked for, else all in turn (or their own vector)."""
        found = super().inputs(seeds)
        if label is not None:
            return {**found, "label": self.target_labels(len(seeds), label)}
        return found if self.attributes else {**found, "label": asked(seeds, None, self.classes, 0)}

    def sample(self, inputs: dict[str, Any]) -> Tensor:
        return self.translate(inputs["image"], inputs["label"]).clamp(-1, 1)


class AppliedTold(Told):
    """A finished network that is told by attributes, and only used."""

    def __init__(self, network: nn.Module, attributes: int):
        super().__init__()
        self.generator, self.attributes = network, attributes
