"""Losses and penalties against the published equations, computed here in float64 by another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ganvas import catalog
from ganvas.game import Match, Progress, Scores
from ganvas.losses.penalties import R1


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# name: (discriminator's objective, generator's objective), with D = sigmoid(logit) where the paper has one
EQUATIONS = {
    "non_saturating": (
        lambda r, f: -np.log(sigmoid(r)).mean() - np.log(1 - sigmoid(f)).mean(),
        lambda f: -np.log(sigmoid(f)).mean(),
    ),
    "minimax": (
        lambda r, f: -np.log(sigmoid(r)).mean() - np.log(1 - sigmoid(f)).mean(),
        lambda f: np.log(1 - sigmoid(f)).mean(),
    ),
    "least_squares": (
        lambda r, f: 0.5 * ((r - 1) ** 2).mean() + 0.5 * (f**2).mean(),
        lambda f: 0.5 * ((f - 1) ** 2).mean(),
    ),
    "wasserstein": (lambda r, f: -(r.mean() - f.mean()), lambda f: -f.mean()),
    "hinge": (
        lambda r, f: -np.minimum(0, -1 + r).mean() - np.minimum(0, -1 - f).mean(),
        lambda f: -f.mean(),
    ),
}


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


@pytest.mark.parametrize("name", EQUATIONS)
def test_loss_is_its_equation(name):
    loss, (d, g) = catalog.LOSSES[name](), EQUATIONS[name]
    source = np.random.default_rng(0)
    real, fake = source.normal(0.3, 2, (7, 1)), source.normal(-0.4, 2, (7, 1))
    r, f = (torch.from_numpy(x).requires_grad_() for x in (real, fake))
    value = loss.d(r, f)
    value.backward()
    assert value.item() == pytest.approx(d(real, fake), rel=1e-9)
    np.testing.assert_allclose(r.grad, numeric_gradient(lambda x: d(x, fake), real), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(f.grad, numeric_gradient(lambda x: d(real, x), fake), rtol=1e-6, atol=1e-9)
    f.grad = None
    value = loss.g(f, r.detach())
    value.backward()
    assert value.item() == pytest.approx(g(fake), rel=1e-9)
    np.testing.assert_allclose(f.grad, numeric_gradient(g, fake), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", EQUATIONS)
def test_loss_is_finite_for_extreme_logits(name):
    loss = catalog.LOSSES[name]()
    extreme = torch.tensor([[-3e4], [3e4]])
    assert torch.isfinite(loss.d(extreme, extreme))
    assert torch.isfinite(loss.g(extreme, extreme))


class Quadratic(nn.Module):
    """D(x) = x' A x / 2, whose gradient is known: A x."""

    def __init__(self):
        super().__init__()
        a = torch.randn(12, 12, dtype=torch.float64)
        self.a = nn.Parameter(a + a.t())

    def forward(self, x):
        x = x.flatten(1)
        return Scores(((x @ self.a) * x).sum(1, keepdim=True) / 2)


def test_r1_is_its_equation():
    net, x = Quadratic(), torch.randn(5, 3, 2, 2, dtype=torch.float64)
    match = Match(x, x, net(x), net(x), net)
    value = R1(gamma=3.0)(match, Progress())
    gradients = x.flatten(1) @ (net.a + net.a.t()) / 2  # (N, 12)
    expected = 3.0 / 2 * gradients.square().sum(1).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    (found,) = torch.autograd.grad(value, net.a)
    (wanted,) = torch.autograd.grad(expected, net.a)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_lazy_r1_rests_and_makes_up_for_it():
    net, x = Quadratic(), torch.randn(5, 3, 2, 2, dtype=torch.float64)
    match = Match(x, x, net(x), net(x), net)
    every_step = R1(gamma=1.0)(match, Progress())
    lazy = R1(gamma=1.0, every=4)
    values = [lazy(match, Progress(step=k)) for k in range(4)]
    assert values[1:] == [None, None, None]
    assert values[0].item() == pytest.approx(4 * every_step.item())


def test_r1_looks_at_the_real_images_only():
    net, x = Quadratic(), torch.randn(5, 3, 2, 2, dtype=torch.float64)
    one = R1()(Match(x, 100 * x, net(x), net(x), net), Progress())
    two = R1()(Match(x, -x, net(x), net(x), net), Progress())
    assert one.item() == two.item()
