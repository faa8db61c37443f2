"""Base of translation tasks: sample inputs from the data, and use of a finished model."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..game import Objective, Probe, Progress
from .base import Adversary, Label, Task


class Translation(Task):
    """Base of tasks whose generator translates images; sample inputs are images of the data."""

    translates = True
    next_step = "ganvas translate -i IMAGE -o OUT.png --model {run}"
    example = "translated = model(image)  # a PIL image, (N, C, H, W) in [-1, 1], or (H, W, C) uint8"
    grid_images = 24
    source = "source"  # the entry of a batch that is translated
    reversible = False  # it also translates back
    shows_target = True  # in the sample grid

    def __init__(self) -> None:
        super().__init__()
        self.needs = frozenset({"image", self.source})

    def target_labels(self, count: int, label: Label) -> Tensor | None:
        if label is not None:
            raise UsageError("This model translates to one kind of image, so it takes no label.")
        return None

    def translate(self, images: Tensor, label: Tensor | None = None, *, back: bool = False) -> Tensor:
        if back:
            raise UsageError("This model translates one way; train the other on the pairs in the other order (BA:DIR).")
        return self.generator(images)

    def d_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        fake = self.make_fakes(batch, progress.share_fakes, lambda: self.translate(batch[self.source]))
        assert isinstance(self.discriminator, Adversary)
        return self.discriminator.d_loss(batch["image"], fake, progress)[0]

    def probe(self, batch: dict[str, Any]) -> Probe | None:
        if not isinstance(self.discriminator, Adversary):
            return None
        fake, score = self.translate(batch[self.source]), self.discriminator.score
        return Probe(batch["image"], fake, score(batch["image"]), score(fake))

    def inputs(self, seeds: Sequence[int], label: Label = None) -> dict[str, Any]:
        """Images of the data, one per seed; `UsageError` for a finished model, where nothing has set `examples`."""
        if self.examples is None:
            raise UsageError("This model translates images, so give it some: ganvas translate, or model(image).")
        batch = self.examples(seeds)
        return {name: value for name, value in batch.items() if name in (self.source, "image", "label")}

    def sample(self, inputs: dict[str, Any]) -> Tensor:
        return self.translate(inputs[self.source]).clamp(-1, 1)

    def panel(self, inputs: dict[str, Any]) -> Tensor:
        """The source, its translation and, with `shows_target`, the target."""
        target = [inputs["image"]] if self.shows_target else []
        return side_by_side(inputs[self.source], self.sample(inputs), *target)


class Applied(Translation):
    """A trained translation network without losses, such as one of another project."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.generator = network


def side_by_side(*images: Tensor) -> Tensor:
    """Images (N, C, H, W) of any channels as strips (N, the most channels, H, sum of W).

    Where some have other channels than grey, RGB and RGBA, unlike the others, the first three of each are displayed.
    """
    counts = {p.shape[1] for p in images}
    if len(counts) > 1 and not counts <= {1, 3, 4}:
        images = tuple(p[:, : 3 if p.shape[1] > 2 else 1] for p in images)
    most = max(p.shape[1] for p in images)
    return torch.cat([add_channels(p.float(), most) for p in images], 3)


def add_channels(images: Tensor, channels: int) -> Tensor:
    """Images with `channels` channels: grey ones repeated to three, opaque ones with an alpha of 1."""
    if images.shape[1] == 1 and channels > 1:
        images = images.expand(-1, 3, -1, -1)
    if images.shape[1] == 3 and channels == 4:
        images = torch.cat([images, torch.ones_like(images[:, :1])], 1)
    return images
