"""Translation learnt from two unpaired image sets (CycleGAN)."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import l1_loss

from ..config import Spec
from ..game import Draw, Objective, Probe, Progress
from .base import Adversary
from .translation import Translation, side_by_side


class Unpaired(Translation):
    """Cycle-consistent translation: two generators that invert each other, two discriminators (Zhu et al. 2017, eq. 3).

    `a` is the source set (`other` in a batch), `b` the target set (`image`); `ab` and `ba` are the directions.
    """

    source = "other"
    reversible = True
    generator: nn.ModuleDict
    discriminator: nn.ModuleDict

    def __init__(
        self,
        *,
        generator: Spec,  # network from images to images; built twice
        discriminator: Spec,  # network from images to logits; built twice
        loss: Spec,  # adversarial loss of both players
        penalties: list[Spec] = [],  # penalties of the discriminators
        augment: list[Spec] = [],  # augmentations of everything the discriminators see
        cycle: float = 10.0,  # weight of the cycle: the translation there and back against the source
        identity: float = 0.5,  # share of that weight on the L1 change of images of the target set; 0: left out
        pool: int = 50,  # size of the pool of past fakes that each discriminator also sees; 0: none
        resolution: tuple[int, int],
        channels: int = 3,
    ):
        super().__init__()
        facts: dict[str, Any] = {"resolution": resolution, "channels": channels}
        self.generator = nn.ModuleDict({way: generator.build(**facts) for way in ("ab", "ba")})
        self.discriminator = nn.ModuleDict(
            {p: Adversary(discriminator, loss, penalties, augment, pool, **facts) for p in "ab"}
        )
        self.cycle, self.identity = cycle, identity

    def d_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        real = {"a": batch["other"], "b": batch["image"]}
        fake = self.make_fakes(batch, progress.share_fakes, lambda: self._fakes(real))
        sides = {p: self.discriminator[p].d_loss(real[p], fake[p], progress)[0] for p in "ab"}  # type: ignore[operator]
        terms = {f"{name}_{p}": term for p, o in sides.items() for name, term in o.terms.items()}
        return Objective(terms, {f"{name}_{p}": value for p, o in sides.items() for name, value in o.stats.items()})

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        real = {"a": batch["other"], "b": batch["image"]}
        fake = self.take_fakes(batch, lambda: self._fakes(real))
        back = self._fakes({"a": fake["a"], "b": fake["b"]})
        terms: dict[str, Tensor] = {}
        for p in "ab":
            adversarial, _ = self.discriminator[p].g_loss(Draw(fake[p]), real[p], progress)  # type: ignore[operator]
            terms |= {f"{name}_{p}": term for name, term in adversarial.items()}
            terms[f"cycle_{p}"] = self.cycle * l1_loss(back[p].float(), real[p])
            if self.identity:
                alone = self.generator["ba" if p == "a" else "ab"](real[p])
                terms[f"identity_{p}"] = self.cycle * self.identity * l1_loss(alone.float(), real[p])
        return Objective(terms)

    def _fakes(self, images: dict[str, Tensor]) -> dict[str, Tensor]:
        """Images of both sets translated to the other set."""
        return {"a": self.generator["ba"](images["b"]), "b": self.generator["ab"](images["a"])}

    def translate(self, images: Tensor, label: Tensor | None = None, *, back: bool = False) -> Tensor:
        return self.generator["ba" if back else "ab"](images)

    def probe(self, batch: dict[str, Any]) -> Probe:
        """Images of the target set and translated images, with their scores."""
        fake, score = self.generator["ab"](batch["other"]), self.discriminator["b"].score
        return Probe(batch["image"], fake, score(batch["image"]), score(fake))  # type: ignore[operator]

    def panel(self, inputs: dict[str, Any]) -> Tensor:
        """Of both sets: an image, its translation, and the translation back."""
        strips: list[Tensor] = []
        for images, back in ((inputs["other"], False), (inputs["image"], True)):
            there = self.translate(images, back=back)
            strips += [images, there, self.translate(there, back=not back)]
        return side_by_side(*strips).clamp(-1, 1)

    def adversarial(self) -> Iterator[nn.Module]:
        yield from self.generator.values()
        yield from (adversary.net for adversary in self.discriminator.values())  # type: ignore[misc]
