"""Diagnostics: a few statistics of the two networks and their images, measured every so many training steps.

A measurement uses fixed noise and fixed real images, runs the networks in training mode, and restores every buffer and
random number: a measured run is the same as one without measurements, bit for bit.  Results stay on the device until
the log is written, as `diagnostics/...`.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ..data.batches import Batches
from ..features import extractor as features
from ..game import Probe
from ..training.trainer import Batch, Trainer
from . import image_signals
from . import weight_signals as weights
from .log import PREFIX

COUNT = 64  # real and generated images of a measurement, each, at most
NUMBERS = 1 << 24  # values in them together, at most, unless that were fewer than 16 images
STEPS = 32  # training steps between measurements, at least: they then cost a few percent of the shortest runs
THOROUGH = 8  # every eighth measurement also takes the slower statistics
SMALLEST = 16  # pixels a side of the smallest images that the pocket network is used on
REFERENCE = 512  # real images that are clustered
CLUSTERS = 16
SEED = 0x5EED  # of the noise


class Signals:
    """Measures a trainer every so many images: `with signals.around_step(trainer): trainer.advance()`."""

    def __init__(self, reals: Batches, every: int):
        self.reals, self.every = reals, every
        numbers = self.reals.at(0, 1)["image"].numel()
        self.count = min(max(NUMBERS // numbers, 16), COUNT, len(reals))
        self.clusters: image_signals.Clusters | None = None
        self.real_statistics: dict[str, Tensor] = {}  # of the fixed real images: measured once
        self.fake_mean: Tensor | None = None  # mean sample of the last measurement
        self.network: torch.nn.Module | None = None
        self.real_feature_distance: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """The mean sample that the next measurement compares with; everything else follows from the data."""
        return {"fake_mean": self.fake_mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        mean = state["fake_mean"]
        self.fake_mean = None if mean is None else mean.to(self.reals.device)

    def due(self, trainer: Trainer, times: int = 1) -> bool:
        """True if the next step is the first or crosses a multiple of `times` intervals; depends on counters alone."""
        drawn = trainer.draws * trainer.recipe.batch
        every = times * max(self.every, STEPS * drawn)
        return not trainer.images or trainer.images // every != (trainer.images + drawn) // every

    @contextmanager
    def around_step(self, trainer: Trainer) -> Iterator[None]:
        """Add the diagnostics to the trainer's tally if they are due; the body makes one training step."""
        if not self.due(trainer):
            yield
            return
        thorough = self.due(trainer, THOROUGH)
        norms = spectral_norms(trainer) if thorough else {}  # before the first step: those of the initial weights
        before = {name: [p.detach().clone() for p in player.weights] for name, player in trainer.players.items()}
        yield
        with torch.no_grad():
            for name, player in trainer.players.items():
                trainer.tally.add(f"{PREFIX}{name}_update_ratio", weights.update_ratio(before[name], player.weights))
            for name, network in networks_of(trainer).items():
                dead = weights.dead_unit_share(network)
                if dead is not None:
                    trainer.tally.add(f"{PREFIX}{name}_dead_unit_share", dead)
            for name, value in {**norms, **self.measure(trainer, thorough)}.items():
                trainer.tally.add(PREFIX + name, value)

    @torch.no_grad()
    def measure(self, trainer: Trainer, thorough: bool = True) -> dict[str, Tensor]:
        """Statistics of scores, images and labels as scalars, by their log key without the prefix."""
        with preserve_state(trainer):
            batch = self.reals.at(0, self.count)
            probe = probe_batch(trainer, batch)
            if probe is None:
                return {}
            values = score_statistics(probe) | self._image_statistics(probe)
            if thorough and min(probe.real.shape[2:]) >= SMALLEST:
                values["feature_diversity"] = self._feature_diversity(probe)
            if self.reals.held_out:
                held = probe_batch(trainer, self.reals.held_out_batch(min(self.count, self.reals.held_out)))
                values |= overfitting_statistics(probe, held)
            if "label" in trainer.task.needs:
                label = batch["label"][: len(probe.real)]
                other = probe_batch(
                    trainer, {**batch, "image": batch["image"][: len(label)], "label": label.roll(1, 0)}
                )
                values |= label_statistics(label, probe, other)
        return values

    def _image_statistics(self, probe: Probe) -> dict[str, Tensor]:
        """Statistics of the generated images, alone and beside the real ones."""
        if self.clusters is None:
            self.clusters = self._cluster_reals()
            self.real_statistics = {f"real_{name}": value for name, value in value_statistics(probe.real).items()}
        nonfinite = ~torch.isfinite(probe.fake)
        clean = torch.nan_to_num(probe.fake, 0.0, 0.0, 0.0)
        real, fake = image_signals.downscale(probe.real), image_signals.downscale(clean)
        scale, before = image_signals.mean_distance(real).clamp_min(1e-12), self.fake_mean
        self.fake_mean = fake.mean(0)
        shift = {} if before is None else {"mean_shift": (self.fake_mean - before).norm() / scale}
        return {
            **value_statistics(clean),
            **self.real_statistics,
            **shift,
            "nonfinite_values": nonfinite.sum(),
            "mean_offset": (self.fake_mean - real.mean(0)).norm() / scale,
            "diversity": image_signals.mean_distance(fake) / scale,
            "missing_cluster_share": self.clusters.missing_share(fake),
            "nn_two_sample_accuracy": image_signals.nn_two_sample_accuracy(real, fake),
            "nearest_real_ratio": image_signals.nearest_real_ratio(real, fake),
        }

    def _feature_diversity(self, probe: Probe) -> Tensor:
        """The mean distance between samples in the features of the pocket network, over that of real images."""
        if self.network is None or self.real_feature_distance is None:
            self.network = features.pocket().to(probe.real.device)
            real = self._features(probe.real)
            self.real_feature_distance = image_signals.mean_distance(real).clamp_min(1e-12)
        fake = self._features(torch.nan_to_num(probe.fake, 0.0, 0.0, 0.0))
        return image_signals.mean_distance(fake) / self.real_feature_distance

    def _features(self, images: Tensor) -> Tensor:
        assert self.network is not None
        resized = features.clean(images[:, :3] if images.shape[1] != 2 else images[:, :1], features.SIZE)
        return self.network(resized.clamp(-1, 1))

    def _cluster_reals(self) -> image_signals.Clusters:
        """Clusters of real images, which are read a few at a time."""
        count = min(REFERENCE, len(self.reals))
        parts = range(0, count, self.count)
        rows = [image_signals.downscale(self.reals.images_at(k, min(self.count, count - k))) for k in parts]
        return image_signals.Clusters.fit(torch.cat(rows), min(CLUSTERS, -(-count // 8)))


def value_statistics(images: Tensor) -> dict[str, Tensor]:
    """Statistics of the pixel values of one set of images (N, C, H, W)."""
    low, high = image_signals.percentiles(images)
    values = {"percentile_1": low, "percentile_99": high, "saturated_share": image_signals.saturated_share(images)}
    if min(images.shape[2:]) >= 8:
        values["checkerboard_share"] = image_signals.checkerboard_share(images)
    return values


@torch.no_grad()
def networks_of(trainer: Trainer) -> dict[str, torch.nn.Module]:
    """The network of each player by its name in the log."""
    networks = {"g": trainer.task.generator, "d": trainer.task.discriminator}
    return {name: network for name, network in networks.items() if network}


def spectral_norms(trainer: Trainer) -> dict[str, Tensor]:
    """The largest singular value among each player's weights."""
    norms = {name: weights.largest_spectral_norm(network) for name, network in networks_of(trainer).items()}
    return {f"{name}_spectral_norm": norm for name, norm in norms.items() if norm is not None}


def score_statistics(probe: Probe) -> dict[str, Tensor]:
    """Statistics of the discriminator's scores, which are higher for more real images, whatever the loss.

    `d_auc` is the share of (real, generated) pairs in which the real image has the higher score, ties counting half.
    """
    real, fake = probe.real_score, probe.fake_score
    wins = (real[:, None] > fake[None]).float() + 0.5 * (real[:, None] == fake[None]).float()
    deviation = ((real.var() + fake.var()) / 2).sqrt().clamp_min(1e-12)
    return {
        "d_auc": wins.mean(),
        "score_gap": (real.mean() - fake.mean()) / deviation,
        "real_sign": real.sign().mean(),
        "fake_sign": fake.sign().mean(),
    }


def overfitting_statistics(probe: Probe, held: Probe | None) -> dict[str, Tensor]:
    """Scores of held-out images beside those of training images: `overfitting` is r_v of Karras et al. 2020, eq. 1."""
    if held is None:
        return {}
    real, unseen, fake = probe.real_score, held.real_score, probe.fake_score
    middle = (real.mean() + fake.mean()) / 2
    gap = real.mean() - fake.mean()
    overfitting = (real.mean() - unseen.mean()) / torch.where(gap.abs() < 1e-12, 1e-12, gap)
    return {
        "real_accuracy": (real > middle).float().mean(),
        "held_out_accuracy": (unseen > middle).float().mean(),
        "overfitting": overfitting.clamp(-10, 10),
    }


def label_statistics(label: Tensor, probe: Probe, other: Probe | None) -> dict[str, Tensor]:
    """The change that another label makes to samples of the same noise, and the contrast of classes in both kinds."""
    if other is None:
        return {}
    real, fake, relabelled = (image_signals.downscale(images) for images in (probe.real, probe.fake, other.fake))
    change, scale = (fake - relabelled).norm(dim=1), image_signals.mean_distance(fake).clamp_min(1e-12)
    if label.dim() > 1:
        return {"label_effect": change.mean() / scale}
    differs = (label != label.roll(1, 0)).float()
    return {
        "label_effect": (change * differs).sum() / differs.sum().clamp_min(1) / scale,
        "label_contrast": image_signals.label_contrast(fake, label, real, label),
        "real_label_contrast": image_signals.label_contrast(real, label, real, label),
    }


def probe_batch(trainer: Trainer, batch: Batch) -> Probe | None:
    """Images and scores of a batch with the same noise each time; as many images at once as in a training step."""
    torch.manual_seed(SEED)
    part, count = trainer.part, len(batch["image"])
    count = count if count <= part else count // part * part  # a rest of one image has no batch statistics
    probes = []
    for k in range(0, count, part):
        piece = {name: value[k : min(k + part, count)] for name, value in batch.items()}
        with trainer.policy.autocast():
            probe = trainer.task.probe(piece)
        if probe is not None:
            probes.append(probe)
    return Probe(*(torch.cat(parts).float() for parts in zip(*probes))) if probes else None


@contextmanager
def preserve_state(trainer: Trainer) -> Iterator[None]:
    """Restore buffers and random numbers at the end of the body; nothing in the body is compiled."""
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
