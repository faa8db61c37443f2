"""What the doctor listens to: a few numbers about the game, measured between the steps and now and then.

A measurement draws fixed noise, looks at fixed real images in the mode the players train in, and puts every buffer and
random number back: a run that is listened to is, bit for bit, the run that is not.  Results stay on the device until
the log is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

import torch
from torch import Tensor

from ..features import extractor as features
from ..game import Probe
from ..training.trainer import Batch, Trainer
from . import image_signals
from . import weight_signals as weights

COUNT = 64  # images of each kind that are looked at, at most
NUMBERS = 1 << 24  # of them together, at most, unless that were fewer than 16 images
STEPS = 32  # from one measurement to the next, at least, so that they cost a few percent of the shortest runs
RARELY = 8  # measurements to one of what costs more
SMALLEST = 16  # pixels a side of images that the pocket network can tell apart
REFERENCE = 512  # real images that say which groups there are
GROUPS = 16
SEED = 0x5EED  # of the noise


class Reals(Protocol):
    """Random access to real images."""

    held_out: int

    def __len__(self) -> int: ...

    def at(self, start: int, count: int) -> Batch:
        """Images that are trained on."""

    def held(self, count: int) -> Batch:
        """Images that are not."""


class Signals:
    """Listens to a trainer every so many images: `with signals.listening(trainer): trainer.advance()`."""

    def __init__(self, reals: Reals, every: int):
        self.reals, self.every = reals, every
        numbers = self.reals.at(0, 1)["image"].numel()
        self.count = min(max(NUMBERS // numbers, 16), COUNT, len(reals))
        self.groups: image_signals.Clusters | None = None
        self.of_reals: dict[str, Tensor] = {}  # what never changes
        self.centre: Tensor | None = None  # of the samples, when they were last looked at
        self.network: torch.nn.Module | None = None
        self.real_variety: Tensor | None = None  # of real images to the pocket network

    def due(self, trainer: Trainer, times: int = 1) -> bool:
        """Whether the next step is the first or crosses a multiple of `times` intervals: the counters alone say so."""
        drawn = trainer.draws * trainer.recipe.batch
        every = times * max(self.every, STEPS * drawn)
        return not trainer.images or trainer.images // every != (trainer.images + drawn) // every

    @contextmanager
    def listening(self, trainer: Trainer) -> Iterator[None]:
        """Around one step of the game: if it is time, what the step did and how the game stands go to the tally."""
        if not self.due(trainer):
            yield
            return
        thoroughly = self.due(trainer, RARELY)
        norms = spectral_norms(trainer) if thoroughly else {}  # those of the first step are how the weights begin
        before = {name: [p.detach().clone() for p in player.weights] for name, player in trainer.players.items()}
        yield
        with torch.no_grad():
            for name, player in trainer.players.items():
                trainer.tally.add(f"signal/{name}_update", weights.update_ratio(before[name], player.weights))
                dead = weights.dead_share(player.weights)
                if dead is not None:
                    trainer.tally.add(f"signal/{name}_dead", dead)
            for name, value in {**norms, **self.measured(trainer, thoroughly)}.items():
                trainer.tally.add(f"signal/{name}", value)

    @torch.no_grad()
    def measured(self, trainer: Trainer, thoroughly: bool = True) -> dict[str, Tensor]:
        """How the game stands: every number by its name in the log, without `signal/`."""
        found: dict[str, Tensor] = {}
        with untouched(trainer):
            batch = self.reals.at(0, self.count)
            look = seen(trainer, batch)
            if look is None:
                return found
            found |= verdicts(look) | self._images(look)
            if thoroughly and min(look.real.shape[2:]) >= SMALLEST:
                found["variety"] = self._variety(look)
            if self.reals.held_out:
                found |= overfitting(look, seen(trainer, self.reals.held(min(self.count, self.reals.held_out))))
            if "label" in trainer.task.needs:
                found |= labels(batch["label"], look, seen(trainer, {**batch, "label": batch["label"].roll(1, 0)}))
        return found

    def _images(self, look: Probe) -> dict[str, Tensor]:
        """How the generated images are, beside the real ones."""
        if self.groups is None:
            self.groups = self._grouped()
            self.of_reals = {f"real_{name}": value for name, value in alone(look.real).items()}
        broken = ~torch.isfinite(look.fake)
        clean = torch.nan_to_num(look.fake, 0.0, 0.0, 0.0)
        real, fake = image_signals.scaled_down(look.real), image_signals.scaled_down(clean)
        size, before, self.centre = image_signals.spread(real).clamp_min(1e-12), self.centre, fake.mean(0)
        moved = {} if before is None else {"wander": (self.centre - before).norm() / size}
        return {
            **alone(clean),
            **self.of_reals,
            **moved,
            "nonfinite": broken.sum(),
            "off_centre": (self.centre - real.mean(0)).norm() / size,
            "diversity": image_signals.spread(fake) / size,
            "lost": self.groups.lost(fake),
            "told_apart": image_signals.told_apart(real, fake),
            "nearness": image_signals.nearness(real, fake),
        }

    def _variety(self, look: Probe) -> Tensor:
        """How different samples are to the pocket network, in parts of how different real images are."""
        if self.network is None or self.real_variety is None:
            self.network = features.pocket().to(look.real.device)
            self.real_variety = image_signals.spread(self._features(look.real)).clamp_min(1e-12)
        return image_signals.spread(self._features(torch.nan_to_num(look.fake, 0.0, 0.0, 0.0))) / self.real_variety

    def _features(self, images: Tensor) -> Tensor:
        assert self.network is not None
        shown = features.clean(images[:, :3] if images.shape[1] != 2 else images[:, :1], features.SIZE)
        return self.network(shown.clamp(-1, 1))

    def _grouped(self) -> image_signals.Clusters:
        """The groups of some real images, a few at a time through memory."""
        count = min(REFERENCE, len(self.reals))
        parts = range(0, count, self.count)
        rows = [image_signals.scaled_down(self.reals.at(k, min(self.count, count - k))["image"]) for k in parts]
        return image_signals.Clusters.of(torch.cat(rows), min(GROUPS, -(-count // 8)))


def alone(images: Tensor) -> dict[str, Tensor]:
    """What is told of images without others beside them."""
    low, high = image_signals.ends(images)
    found = {"low": low, "high": high, "saturated": image_signals.saturated(images)}
    return found | ({"checkerboard": image_signals.checkerboard(images)} if min(images.shape[2:]) >= 8 else {})


@torch.no_grad()
def spectral_norms(trainer: Trainer) -> dict[str, Tensor]:
    """The largest singular value among each player's weights."""
    networks = {"g": trainer.task.generator, "d": trainer.task.discriminator}
    norms = {name: weights.largest_spectral_norm(network) for name, network in networks.items() if network}
    return {f"{name}_spectral": norm for name, norm in norms.items() if norm is not None}


def verdicts(look: Probe) -> dict[str, Tensor]:
    """How the discriminator judges; `real` and `fake` are realer if higher, whatever the loss."""
    real, fake = look.real_score, look.fake_score
    beaten = (real[:, None] > fake[None]).float() + 0.5 * (real[:, None] == fake[None]).float()
    within = ((real.var() + fake.var()) / 2).sqrt().clamp_min(1e-12)
    return {
        "ranking": beaten.mean(),
        "gap": (real.mean() - fake.mean()) / within,
        "real_sign": real.sign().mean(),
        "fake_sign": fake.sign().mean(),
    }


def overfitting(look: Probe, held: Probe | None) -> dict[str, Tensor]:
    """How images judge that were never trained on: `overfit` is r_v of Karras et al. 2020, eq. 1."""
    if held is None:
        return {}
    real, unseen, fake = look.real_score, held.real_score, look.fake_score
    middle = (real.mean() + fake.mean()) / 2
    apart = real.mean() - fake.mean()
    overfit = (real.mean() - unseen.mean()) / torch.where(apart.abs() < 1e-12, 1e-12, apart)
    return {
        "real_accuracy": (real > middle).float().mean(),
        "held_accuracy": (unseen > middle).float().mean(),
        "overfit": overfit.clamp(-10, 10),
    }


def labels(label: Tensor, look: Probe, other: Probe | None) -> dict[str, Tensor]:
    """What asking for another label does to the same noise, and whether classes look like the real ones."""
    if other is None:
        return {}
    real, fake, asked = (image_signals.scaled_down(images) for images in (look.real, look.fake, other.fake))
    moved, spread = (fake - asked).norm(dim=1), image_signals.spread(fake).clamp_min(1e-12)
    if label.dim() > 1:
        return {"label_effect": moved.mean() / spread}
    differs = (label != label.roll(1, 0)).float()
    return {
        "label_effect": (moved * differs).sum() / differs.sum().clamp_min(1) / spread,
        "label_contrast": image_signals.label_contrast(fake, label, real, label),
        "real_label_contrast": image_signals.label_contrast(real, label, real, label),
    }


def seen(trainer: Trainer, batch: Batch) -> Probe | None:
    """What the task shows of a batch, with the same noise each time and no more at once than a step takes."""
    torch.manual_seed(SEED)
    part, count = trainer.part, len(batch["image"])
    count = count if count <= part else count // part * part  # a rest of one image has no batch statistics
    looks = []
    for k in range(0, count, part):
        piece = {name: value[k : min(k + part, count)] for name, value in batch.items()}
        with trainer.policy.autocast():
            looks.append(trainer.task.probe(piece))
    shown = [look for look in looks if look is not None]
    return Probe(*(torch.cat(parts).float() for parts in zip(*shown))) if shown else None


@contextmanager
def untouched(trainer: Trainer) -> Iterator[None]:
    """Whatever is done meanwhile, buffers and random numbers are as before; nothing is compiled for it."""
    buffers = list(trainer.task.buffers())
    before = [buffer.clone() for buffer in buffers]
    device = trainer.policy.device
    devices = [device] if device.type == "cuda" else []
    eager = torch.compiler.set_stance("force_eager") if trainer.policy.compiled else nullcontext()
    with torch.random.fork_rng(devices=devices), eager:
        try:
            yield
        finally:
            for buffer, value in zip(buffers, before):
                buffer.copy_(value)
