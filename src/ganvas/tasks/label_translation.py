"""Translation to one of several labelled domains."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..errors import UsageError
from .base import Label
from .generation import parse_floats, sample_labels
from .translation import Translation


class LabelTranslation(Translation):
    """Translation conditioned on a target domain: classes (N,) int64 or attributes (N, A) float32."""

    source = "image"
    next_step = "ganvas translate -i IMAGE -o OUT.png --model {run} --label DOMAIN"
    example = "translated = model(image, label=1)  # a PIL image, (N, C, H, W) in [-1, 1], or (H, W, C) uint8"
    classes = attributes = 0
    needs_label = True

    def target_labels(self, count: int, label: Label) -> Tensor | None:
        """Labels (N,) or (N, A): a class, a vector of attributes, or the index of the only attribute that is 1."""
        if label is None:
            return None
        if self.attributes and isinstance(label, int) and 0 <= label < self.attributes:
            label = [float(k == label) for k in range(self.attributes)]
        return sample_labels(range(count), label, self.classes, self.attributes)

    def read_label(self, text: str, names: Sequence[str]) -> Label:
        if not self.attributes:
            return super().read_label(text, names)
        values = parse_floats(text)
        return int(values[0]) if len(values) == 1 < self.attributes and values[0].is_integer() else values

    def translate(self, images: Tensor, label: Tensor | None = None, *, back: bool = False) -> Tensor:
        if back or label is None:
            kinds = f"{self.attributes} numbers or one attribute" if self.attributes else "a domain"
            raise UsageError(f"This model needs a target label, {kinds}: --label, or label= in Python.")
        return self.generator(images, label)

    def inputs(self, seeds: Sequence[int], label: Label = None) -> dict[str, Any]:
        """Images of the data with a target label: the given one, else all classes in turn, or their own attributes."""
        batch = super().inputs(seeds)
        if label is not None:
            return {**batch, "label": self.target_labels(len(seeds), label)}
        return batch if self.attributes else {**batch, "label": sample_labels(seeds, None, self.classes, 0)}

    def sample(self, inputs: dict[str, Any]) -> Tensor:
        return self.translate(inputs["image"], inputs["label"]).clamp(-1, 1)


class AppliedLabelTranslation(LabelTranslation):
    """A trained network that takes attributes, without losses, such as one of another project."""

    def __init__(self, network: nn.Module, attributes: int):
        super().__init__()
        self.generator, self.attributes = network, attributes
