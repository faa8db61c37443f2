"""BiGAN: a generator and its inverse, trained by one discriminator of images with their codes."""

from typing import Any

import torch
from torch import Tensor, nn

from ..config import Spec
from ..game import Draw, Objective, Probe, Progress
from .base import penalty_terms
from .generation import Generation


class BiGAN(Generation):
    """Generation with an encoder: the discriminator compares (G(z), z) with (x, E(x)) (Donahue et al. 2017, eq. 2).

    At the optimum the encoder inverts the generator (theorem 2 there); nothing compares images with reconstructions.
    The discriminator's head takes the code as a label vector.  Generator and encoder minimise the discriminator's loss
    with real and fake exchanged, the paper's inverse objective (section 4).
    """

    scores_beside = "codes"
    decides = frozenset({"conditional", "fakes", "pool", "classes", "attributes", "unlabelled"})

    def __init__(
        self,
        *,
        generator: Spec,  # network from noise to images
        discriminator: Spec,  # network from images and codes to logits, by a head that takes labels
        encoder: Spec,  # network from images to codes
        resolution: tuple[int, int],
        channels: int = 3,
        **base: Any,
    ):
        latent = generator.get("latent")
        super().__init__(
            generator=generator,
            discriminator=discriminator.replace(attributes=latent),
            resolution=resolution,
            channels=channels,
            **base,
        )
        inverse = encoder.build(resolution=resolution, channels=channels, outputs=latent)
        self.generator = nn.ModuleDict({"images": self.generator, "encoder": inverse})

    @property
    def maker(self) -> Any:
        return self.generator["images"]  # type: ignore[index]

    def encode(self, images: Tensor) -> Tensor:
        """Codes (N, latent) of images (N, C, H, W) in [-1, 1], float32: penalties use them outside autocast."""
        return self.generator["encoder"](images).float()  # type: ignore[index]

    def feature_network(self) -> Any:
        return self.generator["encoder"]  # type: ignore[index]

    def d_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        real = batch["image"]
        draw = self.make_fakes(batch, progress.share_fakes, lambda: self.constrain_and_draw(real, progress))
        with torch.no_grad():
            codes = self.encode(real)
        return self.discriminator.d_loss(real, draw.image, progress, codes, draw.label)[0]

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        real, adversary = batch["image"], self.discriminator
        draw = self.take_fakes(batch, lambda: self.constrain_and_draw(real, progress))
        adversary.loss.follow(progress)
        codes = self.encode(real)
        real_scores, fake_scores = adversary.discriminate(real, codes), adversary.discriminate(draw.image, draw.label)
        terms = {"adversarial": adversary.loss.d(fake_scores.logits, real_scores.logits)}
        match = adversary.match(real, draw.image, real_scores, fake_scores, codes, draw.label)
        match.draw, match.net = draw, self.maker
        return Objective(terms | penalty_terms(self.g_penalties, match, progress, terms))

    def probe(self, batch: dict[str, Any]) -> Probe:
        real = batch["image"]
        return self.probe_draw(real, self.draw(real, Progress()), self.encode(real))

    def draw(self, like: Tensor, progress: Progress, label: Any = None) -> Draw:
        """As many fakes as there are images in `like`, with their codes as labels."""
        z = self.noise(like, progress)
        return Draw(self.maker(z), z, z)
