"""Unpaired translation in one direction, kept to its source by contrast between patches."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ..config import Spec
from ..errors import UsageError
from ..game import Draw, HasMaps, Objective, Progress
from .base import Adversary
from .translation import Translation

PATCHES = 256  # places of a map that are compared (appendix C.2)


class CUT(Translation):
    """Contrastive unpaired translation of set `a` to set `b` (Park et al. 2020, eq. 4-6).

    Of all patches of the source, the one at the same place must be nearest to a patch of the result (InfoNCE), by the
    generator's own encoder, `maps(images)`, and a small head for each map, trained and saved with the generator.
    Raises `UsageError` for a generator without `maps`.
    """

    source = "other"
    shows_target = False
    generator: nn.ModuleDict
    discriminator: Adversary

    def __init__(
        self,
        *,
        generator: Spec,  # images to images; its encoder's maps are compared
        discriminator: Spec,  # images to logits
        loss: Spec,  # adversarial loss of both players
        penalties: list[Spec] = [],  # regularisers of the discriminator
        augment: list[Spec] = [],  # differentiable augmentations of everything the discriminator sees
        contrast: float = 1.0,  # weight of the patch contrast between an image and its translation
        identity: float = 1.0,  # weight of the same contrast for images of the target set; 0: left out (FastCUT)
        head: int = 256,  # features of a patch after the head
        temperature: float = 0.07,  # of the similarities
        resolution: tuple[int, int],
        channels: int = 3,
    ):
        super().__init__()
        facts: dict[str, Any] = {"resolution": resolution, "channels": channels}
        net: nn.Module = generator.build(**facts)
        if not isinstance(net, HasMaps):
            raise UsageError(f"CUT compares a generator's own maps, and {type(net).__name__} shows none.")
        with torch.no_grad():
            widths = [m.shape[1] for m in net.maps(torch.zeros(1, channels, 16, 16))]
        heads = [nn.Sequential(nn.Linear(width, head), nn.ReLU(), nn.Linear(head, head)) for width in widths]
        self.generator = nn.ModuleDict({"net": net, "heads": nn.ModuleList(heads)})
        self.discriminator = Adversary(discriminator, loss, penalties, augment, **facts)
        self.contrast, self.identity, self.temperature = contrast, identity, temperature

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        target = batch["image"]
        fake = self.take_fakes(batch, lambda: self.translate(batch["other"]))
        terms, _ = self.discriminator.g_loss(Draw(fake), target, progress)
        terms["contrast"] = self.contrast * self._contrast(batch["other"], fake)
        if self.identity:
            terms["contrast_identity"] = self.identity * self._contrast(target, self.translate(target))
        return Objective(terms)

    def _contrast(self, source: Tensor, result: Tensor) -> Tensor:
        """The mean InfoNCE over maps (eq. 5): patches of `result` against those of `source`; no gradient to these."""
        net, heads = self.generator.values()
        maps: list[Tensor] = net.maps(result)  # type: ignore[operator]
        places = [torch.randperm(m[0, 0].numel())[:PATCHES].to(m.device) for m in maps]
        with torch.no_grad():
            keys = [patches(*each) for each in zip(heads, net.maps(source), places)]  # type: ignore
        queries = [patches(*each) for each in zip(heads, maps, places)]  # type: ignore[call-overload]
        return torch.stack([patch_contrast(q, k, self.temperature) for q, k in zip(queries, keys)]).mean()

    def translate(self, images: Tensor, label: Tensor | None = None, *, back: bool = False) -> Tensor:
        if back:
            raise UsageError("CUT translates in one direction; train the other with a and b exchanged.")
        return self.maker(images)

    @property
    def maker(self) -> Any:
        return self.generator["net"]


def patches(head: nn.Module, maps: Tensor, places: Tensor) -> Tensor:
    """Features (N, S, F) of unit length of maps (N, C, H, W) at S places of the flattened map."""
    return normalize(head(maps.flatten(2)[:, :, places].mT).float(), dim=2)


def patch_contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """InfoNCE of features (N, S, F) of unit length: the key at a query's place against the other S - 1 of its image."""
    logits = queries @ keys.mT / temperature  # (N, S, S)
    places = torch.arange(logits.shape[1], device=logits.device).expand(len(logits), -1)
    return cross_entropy(logits.flatten(0, 1), places.flatten())
