"""Text to image: images from noise and a caption."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from ..config import Spec
from ..errors import UsageError
from ..game import Draw, Objective, Probe, Progress
from .base import Label
from .generation import Generation


class TextGeneration(Generation):
    """Text to image with a discriminator that also rejects real images with wrong captions (Reed et al. 2016).

    Algorithm 1 (GAN-CLS): real image and its text, against fake image and its text and real image and a wrong text,
    half each.  Each player has a text encoder of its own, as in class-conditional GANs each has its own embedding: the
    discriminator's learns from matching, the generator's from winning, nothing needs detaching, and the averaged
    generator is complete.  The vectors reach both networks as labels.

    The wrong texts are those of the batch, moved on by a random number of places.  An image without a caption goes with
    every text: it is made for the empty one and takes no part in mismatches, and neither do equal captions.

    Where a caption has one image, `pixel` ties them together as in paired translation, with the caption as source
    (Isola et al. 2017, eq. 3 and 4): the generator learns those images, and draws others for captions between them.
    """

    needs = frozenset({"image", "text"})
    scores_beside = "captions"
    example = 'images = model.sample(16, seed=0, label="a caption")  # (16, C, H, W) in [-1, 1]'
    decides = frozenset({"conditional", "fakes", "pool", "classes", "attributes", "unlabelled"})

    def __init__(
        self,
        *,
        generator: Spec,  # network from noise and text vector to images
        discriminator: Spec,  # network from images and text vector to logits, by a head that takes labels
        text: Spec,  # text encoder from captions (a list of N) to vectors (N, E); one is built for each player
        matching: float = 0.5,  # share of the mismatch term in the discriminator's objective, 0 to 1
        hidden: float = 0.1,  # share of captions hidden in training, 0 to 1; above 0, samples need no caption
        pixel: float = 0.0,  # weight of the L1 distance of a caption's fake to its image
        **base: Any,
    ):
        d_text, g_text = text.build(), text.build()
        with torch.no_grad():
            size = d_text.eval()(["?"]).shape[1]
        super().__init__(generator=generator, discriminator=discriminator, conditional=True, attributes=size, **base)
        self.generator = nn.ModuleDict({"images": self.generator, "text": g_text.train()})
        self.discriminator.text = d_text.train()
        for name, share in (("matching", matching), ("hidden", hidden)):
            if not 0 <= share <= 1:
                raise UsageError(f"{name} is a share, from 0 to 1, got {share:g}.")
        if pixel < 0:
            raise UsageError(f"pixel is a weight of at least 0, got {pixel:g}.")
        self.pixel = pixel
        self.matching, self.hidden, self.needs = matching, hidden, frozenset({"image", "text"})

    @property
    def maker(self) -> Any:
        return self.generator["images"]  # type: ignore[index]

    def d_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        real, captions = batch["image"], self.captions(batch, progress)
        vectors = self.read(captions)
        draw = self.make_fakes(batch, progress.share_fakes, lambda: self.constrain_and_draw(real, progress, captions))
        objective, match = self.discriminator.d_loss(real, draw.image, progress, vectors, vectors)
        objective.terms["adversarial"] = (1 - self.matching) * objective.terms["adversarial"]
        assert match.real_scores is not None
        wrong, shift = mismatch_captions(captions)
        stats = {"mismatched": torch.tensor(float(wrong.sum()) / len(captions))}
        if wrong.any():
            where = wrong.nonzero()[:, 0].to(real.device)
            # all of the batch, though not all has a term: heads that compare images see as many as ever
            logits = self.discriminator.discriminate(real, vectors.roll(shift, 0)).logits[where]
            mismatch = self.discriminator.loss.d(match.real_scores.logits[where], logits)
            objective.terms["mismatch"] = self.matching * mismatch
            stats["wrong"] = self.discriminator.loss.to_scalar(logits.detach()).mean()
        objective.stats |= stats
        return objective

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        captions = batch["captions"] if "captions" in batch else self.captions(batch, progress)
        draw = self.take_fakes(batch, lambda: self.constrain_and_draw(batch["image"], progress, captions))
        vectors = self.read(captions)
        objective = self.g_objective(draw._replace(label=vectors), batch["image"], vectors, progress)
        rows = [k for k, caption in enumerate(captions) if caption]
        if self.pixel and rows:
            objective.terms["pixel"] = self.pixel * l1_loss(draw.image.float()[rows], batch["image"][rows])
        return objective

    def probe(self, batch: dict[str, Any]) -> Probe:
        captions = [text.strip() for text in batch["text"]]
        vectors = self.read(captions)
        draw = self.draw(batch["image"], Progress(), captions)
        return self.probe_draw(batch["image"], draw._replace(label=vectors), vectors)

    def captions(self, batch: dict[str, Any], progress: Progress) -> list[str]:
        """The captions of a batch, some of them hidden; the same for both players."""
        visible = progress.mine(torch.rand(len(batch["text"]) * progress.world)) >= self.hidden
        batch["captions"] = [text.strip() if show else "" for text, show in zip(batch["text"], visible.tolist())]
        return batch["captions"]

    def read(self, captions: Sequence[str]) -> Tensor:
        """Captions encoded for the discriminator: (N, E)."""
        return self.discriminator.text(captions)  # type: ignore[operator]

    def draw(self, like: Tensor, progress: Progress, label: Any = None) -> Draw:
        """One fake image for each caption in `label`."""
        z = self.noise(like, progress)
        return Draw(self.maker(z, self.generator["text"](label)), latent=z)  # type: ignore[index]

    def label_form(self) -> dict[str, Any]:
        return {"kind": "caption"}

    def read_label(self, text: str, names: Sequence[str]) -> Label:
        return text

    def inputs(self, seeds: Sequence[int], label: Label = None) -> dict[str, Any]:
        """One latent per seed, and the caption, empty without a label."""
        if not isinstance(label, (str, type(None))):
            raise UsageError(f"The label of this model is a caption, got {label!r}.")
        if any("\ud800" <= c <= "\udfff" for c in label or ""):  # Python's stand-ins for bytes of a command line
            raise UsageError(f"The caption {label!r} has bytes that are not UTF-8; write it in UTF-8.")
        return {"z": self.latents(seeds), "text": [(label or "").strip()] * len(seeds)}

    def condition(self, inputs: dict[str, Any]) -> Tensor:
        return self.generator["text"](inputs["text"])  # type: ignore[index]

    def sample(self, inputs: dict[str, Any]) -> Tensor:
        return self.truncated(inputs["z"], self.condition(inputs), inputs.get("trunc", 1.0))


def mismatch_captions(captions: Sequence[str]) -> tuple[Tensor, int]:
    """A mask (N,) of images whose moved caption is wrong, and the number of places that captions are moved by.

    Moved captions are wrong unless they are equal to the right one, or either is empty.  One caption alone has no
    wrong ones.
    """
    n = len(captions)
    shift = int(torch.randint(1, n, ())) if n > 1 else 0
    moved = [captions[k - shift] for k in range(n)]
    return torch.tensor([bool(a and b) and a != b for a, b in zip(captions, moved)]), shift
