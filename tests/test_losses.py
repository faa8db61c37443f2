"""Losses and penalties against the published equations, computed here in float64 by another way."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from scipy import stats

from ganvas import catalog
from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.game import Progress
from ganvas.losses.adversarial import Hinge, LeastSquares, NonSaturating
from ganvas.losses.energy import BoundaryEquilibrium, EnergyMargin
from ganvas.losses.realness import Realness
from ganvas.losses.relativistic import RelativisticPairing
from ganvas.losses.wrappers import TopK, Weighted
from ganvas.schedule import Anneal


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def log_sigmoid(x):
    return np.log(sigmoid(x))


def best(f, k=4):
    return np.sort(f, axis=0)[-k:]


def logistic_d(r, f):
    return -np.log(sigmoid(r)).mean() - np.log(1 - sigmoid(f)).mean()


K = 0.25  # BEGAN's, exact in float32


def softmax(x):
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def kl(p, q):
    """KL(p || q) of rows, one distribution each; 0 log 0 is 0."""
    return np.mean([sum(a * np.log(a / b) for a, b in zip(*rows) if a) for rows in zip(p, q)])


@cache
def anchors(count, n, skew=1.0):
    """RealnessGAN's A1 and A0 for n images: a uniform and a normal variable, moved, clipped and rounded to outcomes."""
    edges = np.array([-np.inf, *(2 * (k + 0.5) / (count - 1) - 1 for k in range(count - 1)), np.inf])
    one, zero = stats.uniform(-1 + skew, 2), stats.norm(-skew, 0.31)
    return [np.tile(np.diff(variable.cdf(edges)), (n, 1)) for variable in (one, zero)]


def realness_d(r, f, skew=1.0):
    one, zero = anchors(r.shape[1], len(r), skew)
    return kl(one, softmax(r)) + kl(zero, softmax(f))


def realness_g(f, r):
    return kl(softmax(r), softmax(f)) - kl(anchors(f.shape[1], len(f))[1], softmax(f))


def realness_alone(f, r, skew=0.5):
    one, zero = anchors(f.shape[1], len(f), skew)
    return kl(one, softmax(f)) - kl(zero, softmax(f))


# name: (discriminator's objective, generator's objective), with D = sigmoid(logit) where the paper has one;
# top_k is at the end of its run, where it keeps the best four of seven
EQUATIONS = {
    "non_saturating": (logistic_d, lambda f, r: -np.log(sigmoid(f)).mean()),
    "minimax": (logistic_d, lambda f, r: np.log(1 - sigmoid(f)).mean()),
    "least_squares": (
        lambda r, f: 0.5 * ((r - 1) ** 2).mean() + 0.5 * (f**2).mean(),
        lambda f, r: 0.5 * ((f - 1) ** 2).mean(),
    ),
    "wasserstein": (lambda r, f: -(r.mean() - f.mean()), lambda f, r: -f.mean()),
    "hinge": (
        lambda r, f: -np.minimum(0, -1 + r).mean() - np.minimum(0, -1 - f).mean(),
        lambda f, r: -f.mean(),
    ),
    "relativistic_pairing": (
        lambda r, f: np.mean([-log_sigmoid(a - b) for a, b in zip(r, f)]),
        lambda f, r: np.mean([-log_sigmoid(b - a) for a, b in zip(r, f)]),
    ),
    "relativistic_average": (
        lambda r, f: -log_sigmoid(r - f.mean()).mean() - np.log(1 - sigmoid(f - r.mean())).mean(),
        lambda f, r: -log_sigmoid(f - r.mean()).mean() - np.log(1 - sigmoid(r - f.mean())).mean(),
    ),
    "energy_margin": (lambda r, f: r.mean() + np.maximum(0, 10.0 - f).mean(), lambda f, r: f.mean()),
    "boundary_equilibrium": (lambda r, f: r.mean() - K * f.mean(), lambda f, r: f.mean()),
    "realness": (realness_d, realness_g),
    "top_k": (logistic_d, lambda f, r: -np.log(sigmoid(best(f))).mean()),
    "weighted": (logistic_d, lambda f, r: -np.log(sigmoid(f)).mean()),
}

# the same with options: name, options, and the pair as above
VARIANTS = [
    (
        "non_saturating",
        {"smoothing": 0.1},
        lambda r, f: -(0.9 * np.log(sigmoid(r)) + 0.1 * np.log(1 - sigmoid(r))).mean() - np.log(1 - sigmoid(f)).mean(),
        lambda f, r: -np.log(sigmoid(f)).mean(),
    ),
    (
        "least_squares",
        {"smoothing": 0.25},
        lambda r, f: 0.5 * ((r - 0.75) ** 2).mean() + 0.5 * (f**2).mean(),
        lambda f, r: 0.5 * ((f - 1) ** 2).mean(),
    ),
    (
        "energy_margin",
        {"margin": 0.5},
        lambda r, f: r.mean() + np.maximum(0, 0.5 - f).mean(),
        lambda f, r: f.mean(),
    ),
    (
        "weighted",
        {"loss": Spec(LeastSquares), "d": 0.5, "g": Spec(Anneal, start=1.0, end=0.25)},
        lambda r, f: 0.25 * ((r - 1) ** 2).mean() + 0.25 * (f**2).mean(),
        lambda f, r: 0.125 * ((f - 1) ** 2).mean(),
    ),
    (
        "realness",
        {"outcomes": 5, "skew": 0.5, "relativistic": False},
        lambda r, f: realness_d(r, f, 0.5),
        realness_alone,
    ),
    ("weighted", {"loss": Spec(Realness), "g": 0.5}, realness_d, lambda f, r: 0.5 * realness_g(f, r)),
    (
        "top_k",
        {"loss": Spec(EnergyMargin), "share": 0.4},
        lambda r, f: r.mean() + np.maximum(0, 10.0 - f).mean(),
        lambda f, r: -best(-f, 3).mean(),
    ),
    (
        "top_k",
        {"loss": Spec(RelativisticPairing)},
        lambda r, f: np.mean([-log_sigmoid(a - b) for a, b in zip(r, f)]),
        lambda f, r: np.mean([-log_sigmoid(b - a) for a, b in sorted(zip(r, f), key=lambda pair: pair[1])[-4:]]),
    ),
]
CASES = [(name, {}, *pair) for name, pair in EQUATIONS.items()] + VARIANTS


def numeric_gradient(function, x, step=1e-6):
    gradient = np.zeros_like(x)
    for k in range(x.size):
        up, down = x.copy(), x.copy()
        up.flat[k] += step
        down.flat[k] -= step
        gradient.flat[k] = (function(up) - function(down)) / (2 * step)
    return gradient


def test_every_loss_has_its_equation():
    assert EQUATIONS.keys() == catalog.LOSSES.keys()


def made(name, options):
    """A loss at the end of its run."""
    loss = catalog.LOSSES[name](**options)
    loss.follow(Progress(images=1, total=1))
    if name == "boundary_equilibrium":
        loss.k.fill_(K)
    return loss


@pytest.mark.parametrize(("name", "options", "d", "g"), CASES, ids=[f"{n}{list(o)}" for n, o, *_ in CASES])
def test_loss_is_its_equation(name, options, d, g):
    loss = made(name, options)
    source = np.random.default_rng(0)
    real, fake = (source.normal(mean, 2, (7, loss.outputs)) for mean in (0.3, -0.4))
    r, f = (torch.from_numpy(x).requires_grad_() for x in (real, fake))
    value = loss.d(r, f)
    value.backward()
    assert value.item() == pytest.approx(d(real, fake), rel=1e-9)
    np.testing.assert_allclose(r.grad, numeric_gradient(lambda x: d(x, fake), real), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(f.grad, numeric_gradient(lambda x: d(real, x), fake), rtol=1e-6, atol=1e-9)
    f.grad = None
    value = loss.g(f, r.detach())
    value.backward()
    assert value.item() == pytest.approx(g(fake, real), rel=1e-9)
    np.testing.assert_allclose(f.grad, numeric_gradient(lambda x: g(x, real), fake), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", EQUATIONS)
def test_only_relative_losses_need_the_real_logits(name):
    loss = made(name, {})
    fake = torch.randn(4, loss.outputs)
    if loss.relative:
        one, other = (loss.g(fake, torch.randn(4, loss.outputs)).item() for _ in range(2))
        assert one != other
    else:
        assert torch.isfinite(loss.g(fake))


@pytest.mark.parametrize("name", EQUATIONS)
def test_losses_take_patches(name):
    loss = made(name, {})
    real, fake = torch.randn(2, 5, loss.outputs, 3, 4, dtype=torch.float64).unbind(0)
    assert loss.d(real, fake).shape == loss.g(fake, real).shape == ()


@pytest.mark.parametrize("name", EQUATIONS)
def test_loss_is_finite_for_extreme_logits(name):
    loss = catalog.LOSSES[name]()
    extreme = torch.tensor([[-3e4], [3e4]]).repeat(1, loss.outputs)
    extreme[:, ::2] *= -1
    assert torch.isfinite(loss.d(extreme, extreme))
    assert torch.isfinite(loss.g(extreme, extreme))


def test_smoothing_moves_the_optimum_of_real_images_alone():
    """At the optimum a real image is judged 1 - smoothing, and a fake one has no optimum but 0."""
    loss, target = NonSaturating(smoothing=0.1), torch.tensor(0.9, dtype=torch.float64)
    real = torch.logit(target).requires_grad_()
    loss.d(real, torch.zeros(1)).backward()
    assert real.grad.abs().item() < 1e-12


@pytest.mark.parametrize("smoothing", [-0.1, 0.5, 1.0])
@pytest.mark.parametrize("name", ["non_saturating", "minimax", "least_squares"])
def test_smoothing_out_of_range_is_a_sentence(name, smoothing):
    with pytest.raises(UsageError, match="smoothing"):
        catalog.LOSSES[name](smoothing=smoothing)


def test_boundary_equilibrium_follows_its_controller():
    """k_{t+1} = clip(k_t + lambda (gamma L(x) - L(G(z)))), once for each step, and k_t pays for step t."""
    loss, k = BoundaryEquilibrium(gamma=0.5, rate=0.1).double(), 0.0
    source = np.random.default_rng(0)
    for step in range(40):
        real, fake = source.uniform(1, 3, (4, 1)), source.uniform(0, 0.5 if step < 20 else 4, (4, 1))
        value = loss.d(torch.from_numpy(real), torch.from_numpy(fake))
        assert value.item() == pytest.approx(real.mean() - k * fake.mean(), rel=1e-9)
        k = min(max(k + 0.1 * (0.5 * real.mean() - fake.mean()), 0), 1)
        assert loss.k.item() == pytest.approx(k, rel=1e-9, abs=1e-12)
        said = loss.stats(torch.from_numpy(real), torch.from_numpy(fake))
        assert said["convergence"].item() == pytest.approx(real.mean() + abs(0.5 * real.mean() - fake.mean()), rel=1e-6)
        assert said["k"].item() == loss.k.item()
    assert not loss.k.requires_grad
    assert "k" in loss.state_dict()


def test_top_k_falls_over_the_run():
    loss, fake = TopK(share=0.5, until=0.5), torch.arange(8.0)[:, None]
    kept = []
    for images in range(0, 101, 10):
        loss.follow(Progress(images=images, total=100))
        logits = fake.clone().requires_grad_()
        loss.g(logits).backward()
        kept.append(logits.grad.count_nonzero().item())
        assert logits.grad[-kept[-1] :].all()  # the best of them
    assert kept == [math.ceil(8 * 0.5 ** min(k / 5, 1)) for k in range(11)]
    assert (kept[0], kept[-1]) == (8, 4)


def test_top_k_ranks_images_by_their_mean_patch():
    loss = made("top_k", {"loss": Spec(Hinge)})
    logits = torch.randn(6, 1, 2, 2, requires_grad=True)
    loss.g(logits).backward()
    best = logits.detach().mean((1, 2, 3)).topk(3).indices
    paid = logits.grad.flatten(1).abs().sum(1).nonzero().flatten()
    assert set(paid.tolist()) == set(best.tolist())


def test_wrappers_pass_everything_on():
    loss = Weighted(loss=Spec(TopK, loss=Spec(BoundaryEquilibrium)), g=2.0)
    assert "loss.loss.k" in loss.state_dict()
    loss.follow(Progress(images=1, total=1))
    energies = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    assert torch.equal(loss.score(energies), -energies[:, 0])
    assert loss.g(energies).item() == pytest.approx(2 * 1.5)
    assert loss.stats(energies, energies).keys() == {"k", "convergence"}
    assert Weighted(loss=Spec(RelativisticPairing)).relative
    assert Weighted(loss=Spec(Realness, outcomes=4)).outputs == 4


@pytest.mark.parametrize("name", EQUATIONS)
def test_a_score_is_higher_for_what_is_more_real(name):
    """The mean over patches: of logits, of minus energies, of expected outcomes."""
    loss = made(name, {})
    logits = torch.randn(5, loss.outputs, 2, 3, dtype=torch.float64)
    found, x = loss.score(logits), logits.numpy()
    if name == "realness":
        outcomes = np.linspace(-1, 1, loss.outputs)
        x = np.einsum("nkij,k->nij", np.exp(x) / np.exp(x).sum(1, keepdims=True), outcomes)
    sign = -1 if name in ("energy_margin", "boundary_equilibrium") else 1
    np.testing.assert_allclose(found.numpy(), sign * x.reshape(5, -1).mean(1), rtol=1e-12)


def test_anchors_are_distributions_on_their_sides():
    for count in (2, 5, 51):
        real, fake = Realness(outcomes=count).anchors(torch.zeros(1, count, dtype=torch.float64))
        outcomes = torch.linspace(-1, 1, count, dtype=torch.float64)
        for anchor in (real, fake):
            assert anchor.sum().item() == pytest.approx(1)
            assert (anchor >= 0).all()
        assert (real * outcomes).sum() > 0.6
        assert (fake * outcomes).sum() < -0.6


@pytest.mark.parametrize("options", [{"outcomes": 1}, {"skew": -1.0}, {"skew": 3.0}])
def test_outcomes_that_make_no_sense_are_a_sentence(options):
    with pytest.raises(UsageError, match="outcomes is at least 2 and skew from 0 to 2"):
        Realness(**options)
