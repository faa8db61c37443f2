"""Generation: images from noise, with or without labels."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..config import Spec, options
from ..errors import UsageError
from ..game import Draw, HasSpaces, Objective, Probe, Progress, Space, Truncates
from .base import Adversary, Label, Task, build_penalties, penalty_terms


def uniform(*shape: int, **options: Any) -> Tensor:
    """Uniform noise of unit variance: U(-sqrt 3, sqrt 3)."""
    return (2 * torch.rand(*shape, **options) - 1) * 3**0.5


PRIORS: dict[str, Callable[..., Tensor]] = {"normal": torch.randn, "uniform": uniform}


Prior = Literal["normal", "uniform"]


def check_labelled(classes: int, attributes: int, unlabelled: int) -> None:
    """Raise `UsageError` for data on which a conditional recipe cannot train."""
    if not classes and not attributes:
        raise UsageError(
            "This recipe is conditional, but the data have no labels; put the images into one sub-folder per class,"
            " or name labels in a metadata.csv or metadata.jsonl."
        )
    if unlabelled:
        raise UsageError(
            f"This recipe is conditional, but {unlabelled:,} images have no label; label them or remove them, or"
            " train `semigan`, which learns from both kinds."
        )


class Generation(Task):
    """Generation of images from noise by one generator and one discriminator; by label if conditional."""

    discriminator: Adversary

    def __init__(
        self,
        *,
        generator: Spec,  # network from noise to images
        discriminator: Spec,  # network from images to logits
        loss: Spec,  # adversarial loss of both players
        penalties: list[Spec] = [],  # penalties of the discriminator
        g_penalties: list[Spec] = [],  # penalties of the generator
        augment: list[Spec] = [],  # augmentations of everything the discriminator sees
        prior: Literal["normal", "uniform"] = "normal",  # distribution of the noise
        conditional: bool = False,  # both networks also take the label
        fakes: int = 1,  # fake images per real one in the generator's step
        pool: int = 0,  # size of the pool of past fakes that the discriminator also sees; 0: none
        resolution: tuple[int, int],
        channels: int = 3,
        classes: int = 0,
        attributes: int = 0,
        unlabelled: int = 0,
    ):
        super().__init__()
        if conditional:
            check_labelled(classes, attributes, unlabelled)
        latent = generator.get("latent") if "latent" in options(generator.target) else 1
        for name, value in (("fakes", fakes), ("generator.latent", latent)):
            if value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}.")
        self.classes, self.attributes = (classes, attributes) if conditional else (0, 0)
        facts: dict[str, Any] = {"resolution": resolution, "channels": channels}
        facts |= {"classes": self.classes, "attributes": self.attributes}
        self.generator = generator.build(**facts)
        self.discriminator = Adversary(discriminator, loss, penalties, augment, pool, **facts)
        self.g_penalties = build_penalties(g_penalties, "generator")
        self.prior, self.fakes, self.conditional = prior, fakes, conditional
        self.needs = frozenset({"image", "label"} if conditional else {"image"})

    def d_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        real, label = self.real(batch), self.label(batch)
        share = progress.share_fakes and self.fakes == 1
        draw = self.make_fakes(batch, share, lambda: self.constrain_and_draw(real, progress, label))
        return self.discriminator.d_loss(real, draw.image, progress, label, draw.label)[0]

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        real, label = self.real(batch), self.label(batch)
        if self.fakes > 1:
            real = torch.cat([real] * self.fakes)
            label = None if label is None else torch.cat([label] * self.fakes)
        draw = self.take_fakes(batch, lambda: self.constrain_and_draw(real, progress, label))
        return self.g_objective(draw, real, label, progress)

    def g_objective(self, draw: Draw, real: Tensor, label: Tensor | None, progress: Progress) -> Objective:
        """The generator's objective for a draw; `label` is that of the real images."""
        compare = any(penalty.relative for penalty in self.g_penalties)
        terms, match = self.discriminator.g_loss(draw, real, progress, label, compare)
        match.net = self.maker
        return Objective({**terms, **penalty_terms(self.g_penalties, match, progress)})

    def probe(self, batch: dict[str, Any]) -> Probe:
        real, label = self.real(batch), self.label(batch)
        return self.probe_draw(real, self.draw(real, Progress(), label), label)

    def probe_draw(self, real: Tensor, draw: Draw, label: Tensor | None) -> Probe:
        """Real images, which have `label`, and a draw with their scores."""
        score = self.discriminator.score
        return Probe(real, draw.image, score(real, label), score(draw.image, draw.label))

    def real(self, batch: dict[str, Any]) -> Tensor:
        """The real images of a batch, as the discriminator is shown them."""
        return batch["image"]

    def label(self, batch: dict[str, Any]) -> Tensor | None:
        """The labels of a batch, real and fake, if conditional.  Fakes take the labels of the real images.

        So they have the classes' frequencies in the data, and a relativistic loss pairs like with like.
        """
        return batch["label"] if self.conditional else None

    def constrain_and_draw(self, like: Tensor, progress: Progress, label: Any = None) -> Draw:
        """`draw`; before a draw with gradient, from which the generator learns, its penalties constrain its weights."""
        if torch.is_grad_enabled():
            for penalty in self.g_penalties:
                penalty.constrain(self.maker)  # type: ignore[operator]
        return self.draw(like, progress, label)

    def draw(self, like: Tensor, progress: Progress, label: Any = None) -> Draw:
        """As many fakes as there are images in `like`, on its device."""
        z = self.noise(like, progress)
        return Draw(self.maker(z, label), label, z)

    def noise(self, like: Tensor, progress: Progress) -> Tensor:
        """Latents (N, latent), one for each image in `like`."""
        whole = PRIORS[self.prior](len(like) * progress.world, self.maker.latent, device=like.device)
        return progress.mine(whole)

    def inputs(self, seeds: Sequence[int], label: Label = None) -> dict[str, Any]:
        """One latent per seed, drawn on the CPU, so that a seed gives the same image on every machine.

        Without a label, a conditional model takes its classes in turn: seed modulo classes.
        """
        z = self.latents(seeds)
        if not self.conditional:
            if label is not None:
                raise UsageError("This model was trained without labels, so it takes none.")
            return {"z": z}
        return {"z": z, "label": sample_labels(seeds, label, self.classes, self.attributes)}

    @property
    def label_size(self) -> int:
        """Length of the label vectors that the generator takes; 0: none."""
        return self.attributes

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """Latents (N, latent), each drawn from its own seed."""
        draw, source = PRIORS[self.prior], torch.Generator()
        return torch.stack([draw(self.maker.latent, generator=source.manual_seed(s)) for s in seeds])

    def label_form(self) -> dict[str, Any]:
        if self.attributes:
            return {"kind": "vector", "size": self.attributes}
        return {"kind": "class", "size": self.classes} if self.conditional else {"kind": "none"}

    def read_label(self, text: str, names: Sequence[str]) -> Label:
        if self.attributes:
            return parse_floats(text)
        return super().read_label(text, names)

    def spaces(self) -> dict[str, Space]:
        return self.maker.spaces() if isinstance(self.maker, HasSpaces) else {"z": Space(self.maker.latent, self.maker)}

    def sample(self, inputs: dict[str, Any]) -> Tensor:
        return self.truncated(inputs["z"], inputs.get("label"), inputs.get("trunc", 1.0))

    def truncated(self, z: Tensor, label: Tensor | None, trunc: float) -> Tensor:
        """Images with truncation `trunc` from 0 to 1: the generator's own, else noise times `trunc`.

        Raises `UsageError` for latents or label vectors of another length than the generator's.
        """
        check_length("latent", z, self.maker.latent)
        if label is not None and label.is_floating_point():
            check_length("label", label, self.label_size)
        if trunc != 1 and isinstance(self.maker, Truncates):
            images = self.maker.truncated(z, label, trunc)
        else:
            images = self.maker(z * trunc, label)
        return torch.as_tensor(images).clamp(-1, 1)  # not every generator ends in tanh


class AppliedGeneration(Generation):
    """A trained generator (N, latent) to images without losses, such as one of another project.

    With `classes` it takes labels (N,) int64, with `attributes` vectors (N, attributes).
    """

    def __init__(self, network: nn.Module, classes: int = 0, attributes: int = 0, *, prior: Prior = "normal"):
        Task.__init__(self)
        self.generator, self.classes, self.attributes = network, classes, attributes
        self.prior, self.conditional = prior, bool(classes or attributes)
        self.needs = frozenset({"image", "label"} if self.conditional else {"image"})


def check_length(name: str, vectors: Tensor, size: int) -> None:
    """Raise `UsageError` unless vectors are (N, size)."""
    if vectors.ndim != 2 or vectors.shape[1] != size:
        raise UsageError(f"A {name} of this model is {size} numbers: (N, {size}), got {tuple(vectors.shape)}.")


def sample_labels(seeds: Sequence[int], label: Label, classes: int, attributes: int) -> Tensor:
    """One label for each seed, (N,) int64 or (N, attributes) float32: that one, or the classes in turn."""
    if attributes:
        return condition_vectors(len(seeds), label, attributes)
    if label is None:
        return torch.tensor([s % classes for s in seeds])
    if not isinstance(label, int) or not 0 <= label < classes:
        raise UsageError(f"The label must be a number from 0 to {classes - 1}, got {label!r}.")
    return torch.full((len(seeds),), label)


def condition_vectors(n: int, label: Label, size: int) -> Tensor:
    """A condition vector n times: (n, size) float32; zeros without a label."""
    values = [0.0] * size if label is None else label
    if isinstance(values, (int, str)) or len(values) != size:
        given = "a class" if isinstance(values, (int, str)) else f"{len(values)} numbers"
        raise UsageError(f"The label of this model is a vector of {size} numbers, got {given}.")
    return torch.tensor(values, dtype=torch.float32).expand(n, size)


def parse_floats(text: str) -> list[float]:
    """Numbers from `0.1, -2`; raises `UsageError` for anything else."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(math.isfinite(v) for v in values):
        raise UsageError(f"The label of this model is numbers such as 0.5,-1, got {text!r}.")
    return values
