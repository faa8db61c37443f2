"""InfoGAN: images from noise and a code that can be read from them again; labels are not used."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ..config import Spec
from ..errors import UsageError
from ..game import Draw, Progress
from .base import Label, set_in_head
from .generation import Generation, parse_floats


class InfoGAN(Generation):
    """Generation from noise and a code that the discriminator's second output predicts (Chen et al. 2016).

    The code reaches the generator as a label vector, so that any generator can take it: (N, sum of categories +
    continuous), one-hot vectors and then numbers in [-1, 1].  The discriminator's head knows its layout and computes
    the mutual information term.  Labels of the data are not used.
    """

    decides = frozenset({"conditional", "pool", "classes", "attributes", "unlabelled"})

    def __init__(
        self,
        *,
        generator: Spec,  # network from noise and code to images
        discriminator: Spec,  # network from images to logits and predicted codes; its head takes `codes`
        prior: Literal["normal", "uniform"] = "uniform",  # distribution of the noise
        categories: list[int] = [10],  # number of values of each categorical code
        continuous: int = 2,  # number of continuous codes, each drawn from U(-1, 1)
        **base: Any,
    ):
        if continuous < 0 or any(k < 2 for k in categories) or not (categories or continuous):
            raise UsageError(
                f"InfoGAN needs a code: categories of at least 2 values or continuous numbers, got {categories} and"
                f" {continuous}."
            )
        layout = list(categories), continuous
        super().__init__(
            generator=generator.replace(attributes=sum(categories) + continuous),
            discriminator=set_in_head(discriminator, "codes", layout, "InfoGAN predicts its code with the head info"),
            prior=prior,
            **base,
        )
        self.categories, self.continuous = list(categories), continuous

    def draw(self, like: Tensor, progress: Progress, label: Any = None) -> Draw:
        z, count = self.noise(like, progress), len(like) * progress.world
        code = progress.mine(self.codes(count, device=like.device))
        return Draw(self.maker(z, code), code, z, code)

    @property
    def label_size(self) -> int:
        return sum(self.categories) + self.continuous

    def codes(self, count: int, **options: Any) -> Tensor:
        """Random codes (count, D) from their prior."""
        parts = [one_hot(torch.randint(k, (count,), **options), k).float() for k in self.categories]
        return torch.cat([*parts, 2 * torch.rand(count, self.continuous, **options) - 1], 1)

    def inputs(self, seeds: Sequence[int], label: Label = None) -> dict[str, Any]:
        """One latent and one code per seed, both drawn from it.

        A label that is a number sets the first categorical code; a list sets the whole code: a number for each
        category, then the continuous ones.
        """
        return {"z": self.latents(seeds), "label": self.labels(seeds, label)}

    def labels(self, seeds: Sequence[int], label: Label) -> Tensor:
        """The codes of samples: (N, D) float32."""
        if label is None or isinstance(label, int):
            code = torch.cat([self.codes(1, generator=torch.Generator().manual_seed(s ^ 0xC0DE)) for s in seeds])
            if label is not None:
                code[:, : self.categories[0]] = self._one_hot_category(0, label)
            return code
        expected = len(self.categories) + self.continuous
        if isinstance(label, str) or len(label) != expected:
            raise UsageError(
                f"A code of this model is {expected} numbers ({len(self.categories)} categories, then"
                f" {self.continuous} continuous ones), got {label!r} ({len(label)})."
            )
        chosen = [self._one_hot_category(k, label[k]) for k in range(len(self.categories))]
        continuous = torch.tensor([float(v) for v in label[len(self.categories) :]])
        return torch.cat([*chosen, continuous]).expand(len(seeds), -1)

    def _one_hot_category(self, which: int, value: float) -> Tensor:
        """One category as a one-hot vector."""
        size = self.categories[which] if which < len(self.categories) else 0
        if value != int(value) or not 0 <= value < size:
            reason = f"is a whole number from 0 to {size - 1}" if size else "does not exist in this model"
            raise UsageError(f"Category {which + 1} of the code {reason}, got {value!r}.")
        return one_hot(torch.tensor(int(value)), size).float()

    def label_form(self) -> dict[str, Any]:
        return {"kind": "code", "categories": self.categories, "continuous": self.continuous}

    def read_label(self, text: str, names: Sequence[str]) -> Label:
        """A category's number, or a whole code as numbers between commas."""
        code = parse_floats(text)
        return int(code[0]) if len(code) == 1 and code[0].is_integer() else code
