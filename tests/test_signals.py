"""The signals: each number is what its definition says, every task can be heard, and listening changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics import roc_auc_score
from torch import nn

import ganvas
import ganvas.doctor.signals
from ganvas import api, catalog
from ganvas.doctor import image_signals
from ganvas.doctor import weight_signals as weights
from ganvas.doctor.signals import Signals, overfitting_statistics, score_statistics
from ganvas.game import Probe
from ganvas.networks.norms import spectral
from small import narrow, source

SMALL = {"generator.width": 4, "discriminator.width": 4}
TINY = {"data": "digits", "resolution": 8, "batch": 8, "device": "cpu", "precision": "fp32", "set": SMALL}


def rows(*shape, seed=0):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def session(name, folder, **options):
    return api.prepare(api.TrainRequest(name, outdir=folder / "run", images=10_000, **(TINY | options)))


# --- every number, against its definition ----------------------------------------------------------------


def test_scaled_down():
    images = rows(3, 2, 16, 32)
    expected = images.numpy().reshape(3, 2, 4, 4, 8, 4).mean((3, 5)).reshape(3, -1)
    np.testing.assert_allclose(image_signals.downscale(images), expected, atol=1e-6)
    assert image_signals.downscale(rows(3, 1, 1, 2)).shape == (3, 2)
    assert image_signals.downscale(rows(3, 1, 5, 7)).shape == (3, 35)


def test_distances():
    real, fake = rows(20, 6), 2 * rows(20, 6, seed=1) + 0.5
    own = cdist(real, real) + np.diag([np.inf] * 20)
    nearness = np.median(cdist(fake, real).min(1)) / np.median(own.min(1))
    assert image_signals.mean_distance(real).item() == pytest.approx(pdist(real).mean(), rel=1e-5)
    found = image_signals.nearest_real_ratio(real, fake).item()
    assert found == pytest.approx(nearness, rel=0.06)  # torch's median is the lower one of the two
    both = np.concatenate([real, fake])
    nearest = (cdist(both, both) + np.diag([np.inf] * 40)).argmin(1)
    assert image_signals.nn_two_sample_accuracy(real, fake).item() == pytest.approx(
        ((nearest < 20) == (np.arange(40) < 20)).mean()
    )
    assert image_signals.nn_two_sample_accuracy(real, fake + 100) == 1


def test_a_lost_group_is_missed():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    real = centres.repeat_interleave(torch.tensor([40, 30, 10]), 0) + 0.1 * rows(80, 2)
    groups = image_signals.Clusters.fit(real, 3)
    assert sorted(groups.shares.tolist()) == pytest.approx([10 / 80, 30 / 80, 40 / 80])
    assert groups.missing_share(real) == 0
    assert groups.missing_share(centres[:2].repeat(20, 1)).item() == pytest.approx(10 / 80)
    assert groups.missing_share(centres[:1].repeat(40, 1)).item() == pytest.approx(40 / 80)
    assert groups.missing_share(centres[:2].repeat(5, 1)) == 0  # so few samples may miss the smallest group by chance


def test_checkerboard():
    y, x = torch.meshgrid(torch.arange(8), torch.arange(10), indexing="ij")
    noise = rows(500, 1, 8, 10)
    for pattern in ((-1.0) ** (x + y), (-1.0) ** x, (-1.0) ** y):
        assert image_signals.checkerboard_share(pattern[None, None] + 5).item() == pytest.approx(1, abs=1e-4)
        variance = (0.5 * pattern).square().mean() / (noise + 0.5 * pattern).square().mean()
        white = 3 / 79 * (1 - variance)  # of noise, each frequency has its share
        found = image_signals.checkerboard_share(noise + 0.5 * pattern).item()
        assert found == pytest.approx((variance + white).item(), rel=0.05)
    assert image_signals.checkerboard_share(torch.cos(x / 2)[None, None]) < 0.02
    assert image_signals.checkerboard_share(torch.ones(1, 1, 9, 9)) == 0


def test_ends_and_saturation():
    images = torch.linspace(-1, 1, 5000).view(2, 1, 50, 50)
    low, high = image_signals.percentiles(images)
    assert (low.item(), high.item()) == pytest.approx((-0.98, 0.98), abs=2e-3)
    assert image_signals.saturated_share(images).item() == pytest.approx(0.01, abs=1e-3)
    assert image_signals.saturated_share(3 * images).item() == pytest.approx(0.67, abs=1e-2)


def test_label_contrast():
    label = torch.arange(60) % 3
    real = 4 * nn.functional.one_hot(label, 3).float() + 0.1 * rows(60, 3)
    apart = cdist(real, real, "sqeuclidean")
    same = (label[:, None] == label[None]).numpy()
    different = apart[~same].mean()
    within = apart[same & ~np.eye(60, dtype=bool)].mean()
    contrast = image_signals.label_contrast(real, label, real, label).item()
    assert contrast == pytest.approx(1 - within / different, rel=1e-4)
    assert 1 - contrast == pytest.approx(within / different, rel=1e-2)  # no image counts as its own neighbour
    shuffled = real.roll(1, 0)
    assert image_signals.label_contrast(shuffled, label, real, label) < 0


def test_verdicts():
    real, fake = rows(30) + 0.5, rows(30, seed=1)
    found = score_statistics(Probe(rows(30, 1), rows(30, 1), real, fake))
    both, kind = torch.cat([real, fake]), [1] * 30 + [0] * 30
    assert found["d_auc"].item() == pytest.approx(roc_auc_score(kind, both))
    pooled = ((real.numpy().var(ddof=1) + fake.numpy().var(ddof=1)) / 2) ** 0.5
    assert found["score_gap"].item() == pytest.approx((real.mean() - fake.mean()).item() / pooled, rel=1e-5)
    assert found["real_sign"].item() == pytest.approx(np.sign(real.numpy()).mean())
    assert found["fake_sign"].item() == pytest.approx(np.sign(fake.numpy()).mean())
    same = Probe(real, real, torch.zeros(30), torch.zeros(30))
    assert score_statistics(same)["d_auc"] == 0.5
    u = stats.mannwhitneyu(real, fake).statistic
    assert found["d_auc"].item() == pytest.approx(u / 900)


def test_overfitting():
    look = Probe(rows(4, 1), rows(4, 1), torch.tensor([3.0, 4, 5, 4]), torch.tensor([-1.0, -1, 1, 1]))
    held = Probe(rows(4, 1), rows(4, 1), torch.tensor([1.5, 0, -1, 3.5]), torch.zeros(4))
    found = {name: value.item() for name, value in overfitting_statistics(look, held).items()}
    assert found == pytest.approx({"real_accuracy": 1, "held_out_accuracy": 0.25, "overfitting": (4 - 1) / (4 - 0)})
    assert overfitting_statistics(look, None) == {}


def test_weights():
    before, after = [torch.tensor([3.0, 4.0]), torch.zeros(2)], [torch.tensor([3.0, 4.5]), torch.tensor([0.0, 1.2])]
    assert weights.update_ratio(before, after).item() == pytest.approx(1.3 / 5)
    layer = nn.Linear(5, 4)
    layer.weight.grad = torch.ones(4, 5)
    layer.weight.grad[1] = 0
    layer.bias.grad = torch.zeros(4)
    assert weights.dead_unit_share(layer).item() == 0.25
    table = nn.Embedding(100, 5)  # of whose rows a batch needs few
    layer(table(torch.tensor([1]))).sum().backward()
    assert weights.dead_unit_share(nn.ModuleList([layer, table])).item() == 0
    assert weights.dead_unit_share(nn.LayerNorm(3)) is None
    layer.zero_grad(set_to_none=False)
    assert weights.dead_unit_share(layer) is None  # a player that sits out
    layer.bias.grad[0] = 1
    assert weights.dead_unit_share(layer).item() == 1


def test_spectral_norms():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(20, 30), nn.BatchNorm1d(30))
    with torch.no_grad():
        net[1].weight.mul_(3)
    expected = np.linalg.norm(net[1].weight.detach().numpy().astype(np.float64), 2)
    found = weights.largest_spectral_norm(net).item()
    assert 0.9 * expected < found <= expected * 1.0001  # from below
    assert weights.largest_spectral_norm(nn.BatchNorm2d(3)) is None
    assert weights.largest_spectral_norm(spectral(nn.Sequential(nn.Linear(4, 4)))) is None


# --- listening -------------------------------------------------------------------------------------------


KINDS = ["dcgan", "wgan_gp", "stylegan2", "biggan", "infogan", "semigan", "textgan", "cyclegan", "real_esrgan", "adain"]
KINDS += ["gan_points", "ebgan", "realness", "projected_conditional"]


@pytest.mark.parametrize(
    "name", [name if name in KINDS else pytest.param(name, marks=pytest.mark.slow) for name in catalog.RECIPES]
)
def test_every_recipe_can_be_listened_to(name, tmp_path):
    options = {**TINY, "data": source(name, tmp_path), "set": narrow(name)}
    with_held = {} if "points" in name else {"hold_out": 10}
    opened = session(name, tmp_path, **options, **with_held)
    trainer = opened.trainer
    trainer.advance()
    found = opened.signals.measure(trainer)
    assert all(value.dim() == 0 and torch.isfinite(value) for value in found.values())
    if trainer.d is None:
        return
    assert found.keys() >= {
        "d_auc",
        "score_gap",
        "diversity",
        "missing_cluster_share",
        "nn_two_sample_accuracy",
        "nearest_real_ratio",
        "saturated_share",
        "percentile_1",
    }
    assert ("overfitting" in found) == bool(with_held)
    assert ("label_effect" in found) == ("label" in trainer.task.needs)


@pytest.mark.parametrize("name", ["dcgan_small", "stylegan2", "sngan", "textgan"])
def test_listening_changes_nothing(name, tmp_path, monkeypatch):
    monkeypatch.setattr(ganvas.doctor.signals, "STEPS", 1)
    monkeypatch.setattr(ganvas.doctor.signals, "THOROUGH", 1)
    states = []
    for listens in (True, False):
        options = {**TINY, "data": source(name, tmp_path), "set": narrow(name)}
        opened = session(name, tmp_path / str(listens), **options)
        trainer = opened.trainer
        signals = Signals(opened.batches, 1)
        with opened.random:
            for _ in range(3):
                if listens:
                    assert signals.due(trainer)
                    with signals.around_step(trainer):
                        trainer.advance()
                else:
                    trainer.advance()
            states.append(trainer.state_dict())
    told = states[0].pop("tally")["sums"].keys() - states[1].pop("tally")["sums"].keys()
    assert {"diagnostics/d_update_ratio", "diagnostics/d_auc", "diagnostics/g_spectral_norm"} <= told
    assert same(*states)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return all(map(same, a, b)) if isinstance(a, (list, tuple)) else a == b


@pytest.mark.parametrize(("name", "sign"), [("ebgan", -1), ("began", -1), ("lsgan", 1), ("wgan_gp", 1)])
def test_a_verdict_is_higher_for_what_looks_real(name, sign):
    recipe = catalog.RECIPES[name]()
    for path, value in narrow(name).items():
        recipe.set(path, str(value))
    judge = recipe.task.build(resolution=(8, 8), channels=1).eval().discriminator
    images = rows(5, 1, 8, 8).clamp(-1, 1)
    logits = judge.discriminate_fp32(images).logits.flatten(1).mean(1)
    assert torch.equal(judge.score(images), sign * logits)


def test_when_it_is_time(tmp_path):
    assert (ganvas.doctor.signals.STEPS, ganvas.doctor.signals.THOROUGH) == (32, 8)
    opened = session("dcgan_small", tmp_path)
    trainer, signals = opened.trainer, Signals(opened.batches, 100)
    due = []
    for step in range(600):
        trainer.images = 8 * step
        due.append((signals.due(trainer), signals.due(trainer, 8)))
    assert [step for step, (often, _) in enumerate(due) if often] == [0, *range(31, 600, 32)]  # 32 steps of 8 images
    assert [step for step, (_, rarely) in enumerate(due) if rarely] == [0, 255, 511]
    trainer.images = 976
    assert Signals(opened.batches, 1000).due(trainer) is False
    trainer.images = 996
    assert Signals(opened.batches, 1000).due(trainer)


def test_what_a_log_says(tmp_path):
    options = {**TINY, "resolution": 16, "set": {**SMALL, "conditional": "true"}}
    run = ganvas.train("dcgan_small", outdir=tmp_path / "run", images=8 * 260, hold_out=100, **options)
    said = set().union(*run.log())
    for name in (
        "feature_diversity",
        "g_spectral_norm",
        "d_spectral_norm",
        "overfitting",
        "held_out_accuracy",
        "label_effect",
        "gradient_ratio",
    ):
        assert f"diagnostics/{name}" in said, name
    for line in run.log():
        if "diagnostics/d_auc" in line:
            assert 0 <= line["diagnostics/d_auc"] <= 1
            assert line["diagnostics/nonfinite_values"] == 0
            ratio = line["d/gradient_norm"] / line["g/gradient_norm"]
            assert line["diagnostics/gradient_ratio"] == pytest.approx(ratio)


def test_no_more_images_than_fit(tmp_path):
    opened = session("dcgan_small", tmp_path, hold_out=1788)
    assert opened.signals.count == 9  # trained on: 1,797 less those held out
    assert set(opened.signals.measure(opened.trainer)) >= {"overfitting", "d_auc"}
