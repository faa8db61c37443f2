"""The terms of restoration against their equations in float64, and what a network compares."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ganvas.errors import UsageError
from ganvas.features import extractor as features
from ganvas.losses.perceptual import Perceptual
from ganvas.losses.pixel import L1, LDL, MSE, Charbonnier, Colour, TotalVariation


def random_images(seed, n=2, channels=3, size=12):
    source = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, size, size, generator=source, dtype=torch.float64) * 2 - 1


def arrays(*tensors):
    return [t.numpy() / 2 + 0.5 for t in tensors]


def artefacts(made, wanted, steady, side=7):
    """Liang et al. 2022, eq. 4-7, place by place."""
    error, calm = np.abs(wanted - made).sum(1), np.abs(wanted - steady).sum(1)
    reach = side // 2
    padded = np.pad(error, ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    found = np.zeros_like(error)
    for n, y, x in np.ndindex(error.shape):
        local = padded[n, y : y + side, x : x + side].var(ddof=1)
        found[n, y, x] = local * error[n].var(ddof=1) ** 0.2 if error[n, y, x] >= calm[n, y, x] else 0
    return found[:, None]


YUV = np.array([[0.299, 0.587, 0.114], [-0.147, -0.289, 0.436], [0.615, -0.515, -0.100]])  # BT.601, three digits


def expected(name, made, wanted, steady):
    a, b, c = arrays(made, wanted, steady)
    if name == "l1":
        return 3 * np.abs(a - b).mean()
    if name == "mse":
        return 3 * ((a - b) ** 2).mean()
    if name == "charbonnier":
        return 3 * np.sqrt((a - b) ** 2 + 0.01**2).mean()
    if name == "variation":
        return 3 * (np.abs(np.diff(a, axis=2)).mean() + np.abs(np.diff(a, axis=3)).mean())
    if name == "colour":
        (y, u, v) = np.einsum("kc,nchw->knhw", YUV, a - b)
        chroma = [np.where(np.abs(x) < 1, x**2 / 2, np.abs(x) - 0.5).mean() for x in (u, v)]
        return 3 * (np.abs(y).mean() + sum(chroma))
    weights = artefacts(a, b, c)
    return 3 * np.abs(weights * a - weights * b).mean()


TERMS = {
    "l1": L1(weight=3.0),
    "mse": MSE(weight=3.0),
    "charbonnier": Charbonnier(weight=3.0, eps=0.01),
    "variation": TotalVariation(weight=3.0),
    "ldl": LDL(weight=3.0),
    "colour": Colour(weight=3.0),
}


@pytest.mark.parametrize("name", TERMS)
def test_terms_are_what_is_published(name):
    made, wanted, steady = random_images(0), random_images(1), random_images(2)
    found = TERMS[name](made, wanted, steady)
    assert found.dim() == 0
    assert found.item() == pytest.approx(expected(name, made, wanted, steady), rel=1e-9)


@pytest.mark.parametrize("name", ["l1", "mse", "charbonnier", "variation", "colour"])
def test_gradients_are_those_of_the_equation(name):
    """Central differences of the equation; LDL's weights are constants, so it is another matter."""
    made, wanted = random_images(0, size=8), random_images(1, size=8)
    leaf = made.clone().requires_grad_(True)
    TERMS[name](leaf, wanted).backward()
    for place in [(0, 0, 0, 0), (1, 2, 5, 3), (0, 1, 7, 7)]:
        step, sides = 1e-6, []
        for sign in (1, -1):
            moved = made.clone()
            moved[place] += sign * step
            sides.append(expected(name, moved, wanted, wanted))
        assert leaf.grad[place].item() == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-5, abs=1e-9)


def test_artefacts_are_weights_without_gradient():
    made, wanted, steady = random_images(0).requires_grad_(True), random_images(1), random_images(2)
    LDL()(made, wanted, steady).backward()
    where = artefacts(*arrays(made.detach(), wanted, steady))
    expected_gradient = where * np.sign((made.detach() - wanted).numpy()) / made.numel() / 2
    np.testing.assert_allclose(made.grad.numpy(), expected_gradient, rtol=1e-6, atol=1e-15)


def test_without_an_average_nothing_is_left_out():
    made, wanted = random_images(0), random_images(1)
    a, b = arrays(made, wanted)
    where = artefacts(a, b, a)
    assert (where > 0).all()
    assert LDL()(made, wanted).item() == pytest.approx(np.abs(where * a - where * b).mean(), rel=1e-9)


class Maps(nn.Module):
    """Two maps of an image by hand."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def maps(self, x, names):
        known = {"twice": self.factor * x, "square": x.square()}
        return {name: known[name] for name in names}


def test_layers_have_their_shares():
    made, wanted = random_images(0), random_images(1)
    a, b = made.numpy(), wanted.numpy()
    options = {"network": Maps(), "layers": ["twice", "square"], "shares": [1.0, 0.25]}
    one = Perceptual(weight=0.5, **options)(made, wanted).item()
    assert one == pytest.approx(0.5 * (2 * np.abs(a - b).mean() + 0.25 * np.abs(a**2 - b**2).mean()), rel=1e-9)
    two = Perceptual(weight=0.5, norm="l2", **options)(made, wanted).item()
    assert two == pytest.approx(0.5 * (4 * ((a - b) ** 2).mean() + 0.25 * ((a**2 - b**2) ** 2).mean()), rel=1e-9)


def test_the_network_that_looks_does_not_learn():
    made, term = random_images(0, size=32).float().requires_grad_(True), Perceptual()
    term(made, random_images(1, size=32).float()).backward()
    assert made.grad.abs().sum() > 0
    assert not list(term.parameters())
    assert not any(p.requires_grad for p in term.hidden[0].parameters())
    assert not term.state_dict()


def test_pocket_is_compared_in_all_its_maps():
    made, wanted, network = random_images(0, size=32).float(), random_images(1, size=32).float(), features.pocket()
    names = ["relu1", "relu2", "relu3", "relu4"]
    with torch.no_grad():
        ours, theirs = network.maps(made, names), network.maps(wanted, names)
    by_hand = sum((ours[k] - theirs[k]).abs().mean() for k in names)
    torch.testing.assert_close(Perceptual()(made, wanted), by_hand)


def test_grey_and_transparent_images_are_looked_at():
    grey = random_images(0, channels=1, size=32).float()
    assert Perceptual()(grey, random_images(1, channels=1, size=32).float()) > 0
    clear = random_images(0, channels=4, size=32).float()
    clear[:, 3] = -1  # nothing shows, whatever the colours
    other = clear.clone()
    other[:, :3] = random_images(1, size=32).float()
    assert Perceptual()(clear, other) == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Perceptual(layers=["relu9"]), "relu9"),
        (lambda: Perceptual(shares=[1.0]), "4 layers and 1 shares"),
        (lambda: Perceptual(network="vgg19"), "vgg19"),
        (lambda: LDL(side=4), "got 4"),
        (lambda: Charbonnier(eps=0.0), "more than 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(make, words, monkeypatch, tmp_path):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match=words):
        make()
