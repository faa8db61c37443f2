"""The interface of tasks: one batch to the losses of two players."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..augment import Chain
from ..catalog import name_of
from ..config import Spec, options
from ..errors import UsageError, did_you_mean
from ..game import BaseDiscriminator, Draw, Match, Objective, Probe, Progress, Scores, Space
from ..policy import full_precision
from .image_pool import Pool

Examples = Callable[[Sequence[int]], dict[str, Any]]
Label = int | str | Sequence[float] | None  # a class, a caption or a vector
T = TypeVar("T")
NOT_FROM_IMAGES = "This model generates from noise and cannot translate: model.sample(n)."


class Task(nn.Module):
    """Base of tasks: the networks, their losses, and how to sample from them.

    Optimisers, devices, files, the loop and logging are the trainer's.  `needs` names the entries of a batch.
    """

    needs: frozenset[str] = frozenset()
    decides: frozenset[str] = frozenset()  # options of the class above that are no options of this one
    files: tuple[str, ...] = ()  # options that name a file
    draws_images = True  # it has sample images to show while it trains
    translates = False  # its input is an image, not noise
    restores = False  # its output is the input image, restored
    needs_label = False  # `translate` needs a target label
    needs_style = False  # it takes style images: a `Restyling`
    conditional = False  # `sample` takes a label
    scores_beside = ""  # the input of the discriminator beside images and classes: captions, or codes
    smallest_style = 1  # smallest side of a style image in pixels
    next_step = "ganvas sample {run} -o samples.png --seeds 0-63"  # the command for a finished run
    grid_images = 64  # in the grid of a snapshot
    example = "images = model.sample(16, seed=0)  # (16, C, H, W) in [-1, 1]"  # use of a finished model in Python
    generator: nn.Module  # everything that the generator's optimiser trains
    discriminator: nn.Module | None  # everything that the discriminator's optimiser trains

    def __init__(self) -> None:
        super().__init__()
        self.discriminator = None  # not a class attribute: that would hide the submodule of the same name
        self.examples: Examples | None = None  # data by image number; set by the session, None in a model
        self.average: Callable[[], nn.Module] | None = None  # the averaged generator; set by the trainer

    def d_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        """The discriminator's objective on a batch; it has no gradient for the generator's weights."""
        raise NotImplementedError(f"{type(self).__name__} has no discriminator")

    def g_loss(self, batch: dict[str, Any], progress: Progress) -> Objective:
        """The generator's objective on a batch."""
        raise NotImplementedError(f"{type(self).__name__} must say what its generator minimises")

    @staticmethod
    def make_fakes(batch: dict[str, Any], share: bool, make: Callable[[], T]) -> T:
        """The fakes of the discriminator's step; with `share` (`Progress.share_fakes`) kept for the generator's step.

        Shared fakes carry the generator's graph, so that it runs once for both players.
        """
        with torch.set_grad_enabled(share):
            fakes = make()
        if share:
            batch["fakes"] = fakes
        return fakes

    @staticmethod
    def take_fakes(batch: dict[str, Any], make: Callable[[], T]) -> T:
        """The fakes of the generator's step: those that `make_fakes` kept in this batch, or new ones."""
        return batch.pop("fakes") if "fakes" in batch else make()

    def inputs(self, seeds: Sequence[int], label: Label = None) -> dict[str, Any]:
        """Inputs of `sample`: tensors with one row per seed, the same on every machine."""
        raise NotImplementedError(f"{type(self).__name__} must say what it samples from")

    def sample(self, inputs: dict[str, Any]) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] from `inputs`."""
        raise NotImplementedError(f"{type(self).__name__} must say how it samples")

    def target_labels(self, count: int, label: Label) -> Tensor | None:
        """The label of `count` images for `translate`; None without one.  `UsageError` for a label the task lacks."""
        raise UsageError(NOT_FROM_IMAGES)

    def translate(self, images: Tensor, label: Tensor | None = None, *, back: bool = False) -> Tensor:
        """Translate images (N, source channels, H, W) in [-1, 1] to (N, C, H, W); `label` is from `target_labels`."""
        raise UsageError(NOT_FROM_IMAGES)

    def panel(self, inputs: dict[str, Any]) -> Tensor:
        """Images for the sample grid during training: the samples, in translation beside their sources."""
        return self.sample(inputs)

    def probe(self, batch: dict[str, Any]) -> Probe | None:
        """Real images, fakes and the scores of both, for monitoring; None without a discriminator."""
        return None

    def logits(self, images: Tensor) -> Tensor:
        """Class logits (N, classes) of images (N, C, H, W)."""
        raise UsageError("This model makes images; it does not name their classes.")

    def read_label(self, text: str, names: Sequence[str]) -> Label:
        """The label that `text` stands for: a class by name or number."""
        if text in names:
            return list(names).index(text)
        if text.isdecimal() and (not names or int(text) < len(names)):
            return int(text)
        raise UsageError(
            f"There is no class {text!r}.{did_you_mean(text, names)} Classes: {', '.join(names) or 'none'}."
        )

    def label_form(self) -> dict[str, Any]:
        """The label that `sample` takes, as JSON: its kind (none, class, vector, code, caption) and sizes."""
        return {"kind": "none"}

    def spaces(self) -> dict[str, Space]:
        """The latent spaces of the generator by name; none for a task that does not generate from noise."""
        return {}

    def condition(self, inputs: dict[str, Any]) -> Tensor | None:
        """The labels of `inputs` as the generator takes them; None without."""
        return inputs.get("label")

    @property
    def maker(self) -> Any:
        """The network that makes images: the generator, or a part of it."""
        return self.generator

    def feature_network(self) -> BaseDiscriminator | None:
        """The network whose stages give features of images: the discriminator; None without one."""
        return self.discriminator.net if isinstance(self.discriminator, Adversary) else None

    def adversarial(self) -> Iterator[nn.Module]:
        """The networks of the adversarial pass, which may be compiled; penalties go around them."""
        yield self.maker
        yield from (part.net for part in self.modules() if isinstance(part, Adversary))


class Adversary(nn.Module):
    """One discriminator with its loss, penalties and augmentation."""

    net: BaseDiscriminator

    def __init__(
        self,
        discriminator: Spec,
        loss: Spec,
        penalties: Sequence[Spec] = (),
        augment: Sequence[Spec] = (),
        pool: int = 0,
        **facts: Any,  # of the data, for the discriminator
    ):
        super().__init__()
        criterion: Any = loss.build()
        if criterion.outputs != 1:
            need = f"{type(criterion).__name__} needs a head that gives {criterion.outputs} outputs"
            discriminator = set_in_head(discriminator, "outputs", criterion.outputs, need)
        self.net, self.loss = discriminator.build(**facts), criterion
        self.penalties = build_penalties(penalties, "discriminator")
        self.augment = Chain(augment)
        self.pool = Pool(size=pool) if pool else None

    def discriminate(self, images: Tensor, label: Tensor | None = None) -> Scores:
        """Scores of augmented images, with logits in float32; `UsageError` if the loss needs another number of them."""
        images = self.augment(images)
        scores = self.net(images, label)
        if scores.logits.shape[1] != self.loss.outputs:
            raise UsageError(
                f"{type(self.loss).__name__} needs {self.loss.outputs} outputs of a discriminator per image, and"
                f" {type(self.net).__qualname__} gives {scores.logits.shape[1]}."
            )
        return scores._replace(logits=scores.logits.float(), input=images)

    def discriminate_fp32(self, images: Tensor, label: Tensor | None = None) -> Scores:
        """Scores of augmented float32 images outside any compiled graph (AOTAutograd refuses double backward).

        In float32 throughout outside autocast, where penalties are computed (`penalty_terms`).
        """
        images = self.augment(images.float())
        return self.net.forward(images, label)._replace(input=images)

    def score(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """Scores of augmented images, (N,): higher is more real, whatever the loss's logits mean."""
        return self.loss.score(self.discriminate_fp32(images, label).logits.float())

    def d_loss(
        self,
        real: Tensor,
        fake: Tensor,
        progress: Progress,
        label: Tensor | None = None,
        fake_label: Tensor | None = None,
    ) -> tuple[Objective, Match]:
        """The discriminator's objective on real and fake images, and the match it is computed from."""
        self._begin(progress)
        for penalty in self.penalties:
            penalty.constrain(self.net)  # type: ignore[operator]
        fake = fake.detach()
        if self.pool is not None:
            fake, fake_label = self.pool(fake, fake_label)
        real_scores, fake_scores = self.discriminate(real, label), self.discriminate(fake, fake_label)
        match = self.match(real, fake, real_scores, fake_scores, label, fake_label)
        real_logits, fake_logits = real_scores.logits, fake_scores.logits
        terms = {"adversarial": self.loss.d(real_logits, fake_logits)}
        terms |= {f"{name}_real": term for name, term in self._conditioning(real_scores, label)}
        if self.net.head is None or self.net.head.learns_fakes:
            terms |= {f"{name}_fake": term for name, term in self._conditioning(fake_scores, fake_label)}
        terms |= self.net.own_terms(real_scores) | penalty_terms(self.penalties, match, progress)
        real_logits, fake_logits = real_logits.detach(), fake_logits.detach()
        real_scalar, fake_scalar = self.loss.to_scalar(real_logits), self.loss.to_scalar(fake_logits)
        self.augment.observe(real_scalar)
        stats = {"real": real_scalar.mean(), "fake": fake_scalar.mean()}
        return Objective(terms, {**stats, **self.loss.stats(real_logits, fake_logits), **self.augment.stats()}), match

    def g_loss(
        self, draw: Draw, real: Tensor, progress: Progress, label: Tensor | None = None, compare: bool = False
    ) -> tuple[dict[str, Tensor], Match]:
        """The generator's terms for a draw, and the match they are computed from.

        The real images are scored only if the loss is relative or with `compare`, and without gradient.
        """
        self._begin(progress)
        scores, reference = self.discriminate(draw.image, draw.label), None
        if self.loss.relative or compare:
            with torch.no_grad():
                reference = self.discriminate(real, label)
        match = self.match(real, draw.image, reference, scores, label, draw.label)
        match.draw = draw
        terms = {"adversarial": self.loss.g(scores.logits, reference.logits if reference else None)}
        return {**terms, **dict(self._conditioning(scores, draw.label))}, match

    def _begin(self, progress: Progress) -> None:
        self.loss.follow(progress)
        self.augment.follow(progress)

    def match(
        self,
        real: Tensor,
        fake: Tensor,
        real_scores: Scores | None,
        fake_scores: Scores,
        label: Tensor | None,
        fake_label: Tensor | None,
    ) -> Match:
        """The input of penalties: a batch of each kind, their scores, and the discriminator to score more images."""

        def discriminate(images: Tensor, other: Tensor | None = None) -> Scores:
            return self.discriminate_fp32(images, label if other is None else other)

        scores, to_scalar = (real_scores, fake_scores), self.loss.to_scalar
        precise = not torch.is_autocast_enabled(real.device.type)
        return Match(real, fake, *scores, discriminate, self.net, label, None, fake_label, to_scalar, precise)

    def _conditioning(self, scores: Scores, label: Tensor | None) -> Iterator[tuple[str, Tensor]]:
        """The terms that the head adds to either player's objective because of the label."""
        if self.net.head is not None and label is not None:
            yield from self.net.head.loss(scores, label).items()


def set_in_head(discriminator: Spec, option: str, value: Any, need: str) -> Spec:
    """A discriminator with an option of its own, of its head or of the head inside that.

    Raises `UsageError` if none of them has the option; `need` says what for.
    """
    known = options(discriminator.target)
    if option in known:
        return discriminator.replace(**{option: value})
    if "head" in known:
        return discriminator.replace(head=set_in_head(discriminator.get("head"), option, value, need))
    raise UsageError(f"{need}, and {discriminator.target.__qualname__} cannot: it has no option {option!r}.")


def build_penalties(penalties: Sequence[Spec], player: str) -> nn.ModuleList:
    """Penalties of one player; raises `UsageError` for a penalty that is for the other one."""
    built = nn.ModuleList(p.build() for p in penalties)
    for penalty in built:
        if penalty.player not in ("either", player):
            place = "g_penalties" if penalty.player == "generator" else "penalties"
            raise UsageError(f"{type(penalty).__name__} is for the {penalty.player}: put it into {place}.")
    return built


def penalty_terms(
    penalties: nn.ModuleList, match: Match, progress: Progress, beside: Collection[str] = ()
) -> dict[str, Tensor]:
    """The penalties of one step by `named_terms`, computed in float32; a penalty that rests is left out."""
    values: list[Tensor | None] = []
    for penalty in penalties:
        with full_precision(match.real.device):
            values.append(penalty(match, progress))
    return named_terms(penalties, values, beside)


def named_terms(
    modules: Iterable[nn.Module], values: Iterable[Tensor | None], beside: Collection[str] = ()
) -> dict[str, Tensor]:
    """Values by their modules' catalogue names; those without a value in this step (None) are left out.

    A name that two modules share, or that `beside` has already, is numbered: `l1_0`, `l1_1`.
    """
    names = [name_of(type(module)).rpartition(":")[2] for module in modules]
    numbered = [
        f"{name}_{names[:k].count(name)}" if names.count(name) > 1 or name in beside else name
        for k, name in enumerate(names)
    ]
    return {name: value for name, value in zip(numbered, values) if value is not None}
