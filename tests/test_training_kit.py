"""Image terms, schedules and the optimiser of the training kit, against equations written anew in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import ganvas
from ganvas.catalog import OPTIMIZERS, SCHEDULES, TERMS
from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.features.vgg import VGG
from ganvas.losses.hsluv import HSLuv, hsluv_disc
from ganvas.losses.similarity import DISTS
from ganvas.metrics.ssim import ms_ssim
from ganvas.run import weights_hash
from ganvas.schedule import Cosine, PauseAhead, Warmup, per_step
from ganvas.training.players import Player
from ganvas.training.schedule_free import ScheduleFreeAdamW


def images(seed, size=16, count=2, channels=3):
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, size, size, generator=random, dtype=torch.float64) * 2 - 1


def unit(x):
    return x.numpy() / 2 + 0.5


def spectra(a, b):
    return (np.fft.fft2(unit(x)) / math.sqrt(x.shape[2] * x.shape[3]) for x in (a, b))


def fft(a, b):
    d = np.subtract(*spectra(a, b))
    return (np.abs(d.real).mean() + np.abs(d.imag).mean()) / 2


def focal_frequency(a, b, alpha=1.0):
    d = np.abs(np.subtract(*spectra(a, b)))
    w = d**alpha / (d**alpha).max((2, 3), keepdims=True)
    return (w * d**2).mean()


def blocks(a, b):
    x, y = (unit(v).reshape(2, 3, 4, 4, 4, 4).mean((3, 5)) for v in (a, b))
    return np.abs(x - y).mean()


def one_minus_ms_ssim(a, b):
    """By the metric, which is tested against published code: levels to 255, here one scale of 16 pixels."""
    return 1 - ms_ssim((a + 1) * 127.5, (b + 1) * 127.5, scales=1).mean().item()


KNOWN = {
    "fft": (TERMS["fft"], {}, fft),
    "focal_frequency": (TERMS["focal_frequency"], {}, focal_frequency),
    "focal_frequency of 2": (TERMS["focal_frequency"], {"alpha": 2.0}, lambda a, b: focal_frequency(a, b, 2.0)),
    "downscale_consistency": (TERMS["downscale_consistency"], {"factor": 4}, blocks),
    "ms_ssim": (TERMS["ms_ssim"], {}, one_minus_ms_ssim),
}


@pytest.mark.parametrize("name", KNOWN)
def test_terms_are_their_equations(name):
    term, options, expected = KNOWN[name]
    a = images(0)
    b = 0.8 * a + 0.2 * images(1)  # similar enough for SSIM's structure to be positive
    assert term(weight=3.0, **options)(a, b).item() == pytest.approx(3 * expected(a, b), rel=1e-9)


@pytest.mark.parametrize("name", ["fft", "downscale_consistency", "ms_ssim", "dists", "hsluv"])
def test_gradients_are_differences(name):
    a, b = images(0, 12, 1) * 0.9, images(1, 12, 1) * 0.9
    b = 0.7 * a + 0.3 * b
    term = TERMS[name]().double() if name != "dists" else dists_in_double()
    leaf = a.clone().requires_grad_(True)
    term(leaf, b).backward()
    for place in [(0, 0, 2, 3), (0, 1, 7, 7), (0, 2, 11, 0)]:
        sides = []
        for sign in (1, -1):
            moved = a.clone()
            moved[place] += sign * 1e-5
            sides.append(term(moved, b).item())
        assert leaf.grad[place].item() == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=2e-4, abs=1e-8)


def test_ms_ssim_over_several_scales_is_the_metric():
    a = images(0, 88)
    b = 0.8 * a + 0.2 * images(1, 88)
    expected = 1 - ms_ssim((a + 1) * 127.5, (b + 1) * 127.5, scales=4).mean().item()
    assert TERMS["ms_ssim"]()(a, b).item() == pytest.approx(expected, rel=1e-6)  # as many scales as fit
    with pytest.raises(UsageError, match="5 scales needs 176 pixels a side, got 88"):
        TERMS["ms_ssim"](scales=5)(a, b)


def dists_in_double(**options):
    term = DISTS(**options)
    term.hidden[0].double()
    return term


def dists_by_hand(maps_a, maps_b, alpha, beta):
    """Ding et al. 2020, eq. 4 to 6, channel by channel."""
    total, place, score = (alpha + beta).sum(), 0, 0.0
    for x, y in zip(maps_a, maps_b):
        for k in range(x.shape[1]):
            p, q = x[0, k], y[0, k]
            texture = (2 * p.mean() * q.mean() + 1e-6) / (p.mean() ** 2 + q.mean() ** 2 + 1e-6)
            covariance = ((p - p.mean()) * (q - q.mean())).mean()
            structure = (2 * covariance + 1e-6) / (p.var() + q.var() + 1e-6)
            score += (alpha[place] * texture + beta[place] * structure) / total
            place += 1
    return 1 - score


def test_dists_is_its_arithmetic():
    a, b = images(0, 16, 1), images(1, 16, 1)
    term = dists_in_double()
    sides = [[unit(x), *(m.numpy() for m in term.hidden[0].maps(x, term.stages).values())] for x in (a, b)]
    ones = np.ones(sum(m.shape[1] for m in sides[0]))
    assert term(a, b).item() == pytest.approx(dists_by_hand(*sides, ones, ones), rel=1e-6)
    assert term(a, a).item() == pytest.approx(0, abs=1e-9)


def test_dists_of_vgg_pools_by_squares_and_reads_the_authors_weights(tmp_path, monkeypatch):
    torch.manual_seed(0)
    with torch.device("meta"):  # its dense layers take seconds to draw
        network = VGG("vgg16").eval()
    network.classifier = nn.Identity()
    network.to_empty(device="cpu").double()
    for weight in network.parameters():
        nn.init.normal_(weight, 0, 0.05)
    network.mean.fill_(0.45)
    network.std.fill_(0.22)
    monkeypatch.setattr("ganvas.losses.similarity.features.load_network", lambda name: network)
    random = np.random.default_rng(0)
    shares = random.random((2, 3 + 64 + 128 + 256 + 512 + 512))
    alpha, beta = (torch.from_numpy(s).float().view(1, -1, 1, 1) for s in shares)
    torch.save({"alpha": alpha, "beta": beta}, tmp_path / "weights.pt")
    term, a, b = DISTS(network="vgg16", weights=str(tmp_path / "weights.pt")), images(0, 32, 1), images(1, 32, 1)
    sides = []
    with torch.no_grad():
        for x in (a, b):
            h, maps = network.normalize(x), [unit(x)]
            for layer in network.features[:30]:
                if isinstance(layer, nn.MaxPool2d):
                    maps.append(h.numpy())
                    window = np.outer([0.5, 1, 0.5], [0.5, 1, 0.5]) / 4
                    padded = np.pad(h.numpy() ** 2, ((0, 0), (0, 0), (1, 1), (1, 1)))
                    size = h.shape[2] // 2
                    rows = [
                        [padded[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] for j in range(size)] for i in range(size)
                    ]
                    pooled = [[np.sqrt((r * window).sum((2, 3)) + 1e-12) for r in row] for row in rows]
                    h = torch.from_numpy(np.array(pooled)).permute(2, 3, 0, 1)
                else:
                    h = layer(h.clone())
            sides.append([*maps, h.numpy()])
        expected = dists_by_hand(*sides, *shares.astype(np.float32).astype(np.float64))
        assert term(a, b).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("rgb", "hue", "saturation", "lightness"),
    [  # of the reference implementation, revision 4
        ((1, 0, 0), 12.177050630061776, 100, 53.23711559542936),
        ((0, 1, 0), 127.71501294924046, 100, 87.73551910966002),
        ((0, 0, 1), 265.8743202181779, 100, 32.30087290398002),
        ((1, 0.8, 0.9), 336.0450824721859, 100.00000000001114, 87.06168799109285),
        ((0.7, 0.95, 0.85), 157.16740499271347, 48.40017540065106, 90.8586075430602),
        ((1, 1, 1), 0, 0, 100),
        ((0, 0, 0), 0, 0, 0),
        ((0x88 / 255, 0x44 / 255, 0x22 / 255), 27.057885015325063, 81.12148386715697, 36.90132370775224),
    ],
)
def test_hsluv_is_the_published_colour_space(rgb, hue, saturation, lightness):
    x, y, light = hsluv_disc(torch.tensor(rgb, dtype=torch.float64).view(1, 3, 1, 1)).flatten().tolist()
    angle = math.radians(hue)
    assert (x, y) == pytest.approx((math.cos(angle) * saturation / 100, math.sin(angle) * saturation / 100), abs=1e-6)
    assert light == pytest.approx(lightness / 100, abs=1e-6)


def test_hsluv_is_finite_at_grey_black_and_white():
    leaf = torch.tensor([-1.0, 0.0, 1.0]).repeat_interleave(3).view(3, 3, 1, 1).requires_grad_(True)
    HSLuv()(leaf, torch.zeros(3, 3, 1, 1) + torch.tensor([0.5, 0.1, -0.3]).view(3, 1, 1)).backward()
    assert leaf.grad.isfinite().all()
    assert HSLuv(colour=0)(leaf[:, :1], leaf[:, :1] * 0).item() > 0  # grey images


# --- the rate, the game and the optimiser ---------------------------------------------------------------------


def test_a_warm_up_rises_and_then_follows():
    rate, cosine = Warmup(share=0.1, start=0.01, then=Spec(Cosine, to=0.1)), Cosine(to=0.1)
    for t in (0.0, 0.05, 0.1, 0.5, 1.0):
        assert rate(t) == pytest.approx((0.01 + 0.99 * min(t / 0.1, 1)) * cosine(t))
    assert Warmup()(1.0) == 1.0


def test_the_discriminator_pauses_while_the_generator_falls_behind():
    rule, mean, losses = PauseAhead(margin=0.1, decay=0.9), None, [1.0, 1.05, 1.5, 1.4, 0.9, 1.3]
    steps = []
    for loss in losses:
        steps.append(rule.steps(0))
        rule.observe(loss)
        mean = loss if mean is None else 0.9 * mean + 0.1 * loss
        assert rule.steps(0) == (0 if loss > 1.1 * mean else 1)
    assert steps == [1, 1, 1, 0, 0, 1]
    again = PauseAhead(margin=0.1, decay=0.9)
    again.load_state_dict(rule.state_dict())
    assert (again.steps(0), again.mean) == (rule.steps(0), rule.mean)
    assert per_step(3).steps(7) == 3


def test_no_pause_is_endless():
    rule = PauseAhead(longest=3, decay=0.5)
    counts = []
    for k in range(8):
        counts.append(rule.steps(k))
        rule.observe(2.0**k)  # always above its mean
    assert counts == [1, 1, 0, 0, 0, 1, 0, 0]


TINY = {"resolution": 8, "batch": 16, "device": "cpu", "precision": "fp32", "snapshot_images": 32}
SMALL = {"generator.width": 4, "discriminator.width": 4}
KIT = {
    "pause": {"d_steps": "pause_ahead(margin=0.0,decay=0.5)"},
    "warm-up": {"lr_schedule": "warmup(share=0.5,then=linear)"},
    "schedule-free": {"g_optimizer": "schedule_free_adamw(lr=0.002)", "d_optimizer": "schedule_free_adamw"},
}


@pytest.mark.parametrize("name", KIT)
def test_a_resumed_run_is_the_whole_run(name, tmp_path):
    options = {**TINY, "set": {**SMALL, **KIT[name]}}
    whole = ganvas.train("dcgan_small", data="digits", outdir=tmp_path / "whole", images=96, **options)

    def die(event):
        if type(event).__name__ == "Snapshot" and event.images == 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ganvas.train("dcgan_small", data="digits", outdir=tmp_path / "half", images=96, on_event=die, **options)
    assert weights_hash(ganvas.train(outdir=tmp_path / "half", resume=True)) == weights_hash(whole)


def test_the_discriminator_rests_in_a_run(tmp_path):
    """With a margin below every loss it never moves after its first step."""
    changes = {"d_steps": "pause_ahead(margin=0.0,decay=0.5)"}
    run = ganvas.train(
        "dcgan_small", data="digits", outdir=tmp_path / "run", images=160, set={**SMALL, **changes}, **TINY
    )
    counts = {
        name: part["state"][0]["step"] for name, part in run.load_state()["trainer"].items() if name in ("g", "d")
    }
    assert counts["d"] < counts["g"] == 10


def test_schedule_free_adamw_is_its_algorithm():
    """Defazio et al. 2024, algorithm 1, with x, y and z written out."""
    torch.manual_seed(0)
    start, target, scale = (torch.randn(5, dtype=torch.float64) for _ in range(3))
    lr, beta1, beta2, decay, warmup = 0.05, 0.9, 0.99, 0.1, 4
    weight = nn.Parameter(start.clone())
    optimizer = ScheduleFreeAdamW([weight], lr=lr, betas=(beta1, beta2), weight_decay=decay, warmup=warmup)
    x, z, v, total, largest = start.clone(), start.clone(), torch.zeros(5, dtype=torch.float64), 0.0, 0.0
    for t in range(1, 21):
        y = (1 - beta1) * z + beta1 * x
        torch.testing.assert_close(weight.detach(), y, rtol=1e-12, atol=1e-12)
        weight.grad = 2 * scale**2 * (weight.detach() - target)
        g = 2 * scale**2 * (y - target)
        v = beta2 * v + (1 - beta2) * g**2
        rate = lr * math.sqrt(1 - beta2**t) * min(1, t / warmup)
        z = z - rate * (g / (v.sqrt() + 1e-8) + decay * y)
        largest = max(largest, rate)
        total += largest**2
        c = largest**2 / total
        x = (1 - c) * x + c * z
        optimizer.step()
        torch.testing.assert_close(optimizer.evaluation_point(weight).detach(), x)


def test_the_averaged_generator_follows_the_average_of_the_steps():
    layer = nn.Linear(3, 2)
    player = Player(layer, Spec(ScheduleFreeAdamW, lr=0.1), torch.device("cpu"))
    for _ in range(3):
        player.clear()
        loss = layer(torch.ones(1, 3)).square().sum()
        loss.backward()
        player.step(loss)
    points = player.evaluation_points(player.weights)
    assert not torch.equal(points[0], player.weights[0])
    torch.testing.assert_close(points[0], player.optimizer.evaluation_point(player.weights[0]))


def test_the_catalogue_has_the_kit():
    assert {"ms_ssim", "focal_frequency", "fft", "hsluv", "dists", "downscale_consistency"} <= set(TERMS)
    assert {"warmup", "pause_ahead"} <= set(SCHEDULES)
    assert "schedule_free_adamw" in OPTIMIZERS
