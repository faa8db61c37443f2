"""What style is measured by: Gram matrices, losses, colours; against equations in float64, written independently."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ganvas.errors import UsageError
from ganvas.features import extractor as features
from ganvas.features.gram import (
    Perception,
    StyleFeatures,
    choose_network,
    gram,
    gram_loss,
    mix_styles,
    parse_layer,
    receptive_field,
    total_variation,
)
from ganvas.features.pocket import WIDTHS
from ganvas.features.vgg import VGG
from ganvas.imaging.channels import luma
from ganvas.imaging.colour import match_colours, match_luma, with_luma


def maps(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).rand(*shape))


def slow_gram(f):
    """Gatys et al. 2016, eq. 3, over the number of places."""
    n, c, h, w = f.shape
    out = np.zeros((n, c, c))
    for k in range(n):
        for i in range(c):
            for j in range(c):
                out[k, i, j] = sum(f[k, i, y, x] * f[k, j, y, x] for y in range(h) for x in range(w)) / (h * w)
    return out


@pytest.fixture(scope="module")
def pocket():
    return Perception()


def test_gram_matrices_are_those_of_the_paper():
    f = maps(0, 2, 3, 4, 5)
    np.testing.assert_allclose(gram(f), slow_gram(f.numpy()), rtol=1e-12)
    assert gram(f.float().bfloat16()).dtype == torch.float32


def test_the_gradient_of_a_gram_matrix():
    f = maps(4, 2, 3, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(gram, f)
    weights = maps(5, 2, 3, 3)  # not symmetric
    (found,) = torch.autograd.grad((weights * gram(f)).sum(), f)
    rows = f.detach().flatten(2)
    (expected,) = torch.autograd.grad((weights * (rows.requires_grad_() @ rows.transpose(1, 2) / 6)).sum(), rows)
    torch.testing.assert_close(found.flatten(2), expected)


def test_a_gram_matrix_forgets_places_and_not_channels():
    f = maps(1, 1, 3, 4, 6)
    places = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gram(f.flatten(2)[..., places].view_as(f)), gram(f))
    assert not torch.allclose(gram(f.flip(1)), gram(f))


def test_the_gram_loss_is_eq_4_of_a_network_whose_maps_are_scaled():
    """Divided by the trace: the maps of the style scaled so that the mean of their squares over channels is one."""
    f, p = maps(2, 2, 3, 4, 4), maps(3, 1, 3, 5, 7)
    scale = 1 / np.sqrt(np.trace(slow_gram(p.numpy())[0]) / 3)
    g, a = slow_gram(scale * f.numpy()), slow_gram(scale * p.numpy())
    expected = np.mean([((g[k] - a[0]) ** 2).sum() / (4 * 3**2) for k in range(2)])
    assert gram_loss(gram(f), gram(p)).item() == pytest.approx(expected, rel=1e-10)


def test_losses_weigh_their_layers(pocket):
    seen = Perception(content=["relu3", "relu2=0.5"], style=["relu1=3", "relu2"])
    x, content, style = (maps(k, 1, 3, 24, 24).float() * 2 - 1 for k in range(3))
    wanted = StyleFeatures(seen(content).content, seen(style).style)
    found = pocket.hidden[0].maps(x, ["relu1", "relu2", "relu3"])
    other = pocket.hidden[0].maps(content, ["relu2", "relu3"])
    paint = pocket.hidden[0].maps(style, ["relu1", "relu2"])
    expected = sum(
        w * 0.5 * ((found[k] - other[k]).double() ** 2).mean() / (other[k].double() ** 2).mean()
        for k, w in (("relu3", 1.0), ("relu2", 0.5))
    )
    assert seen.content_loss(seen(x), wanted).item() == pytest.approx(expected.item(), rel=1e-5)
    terms = {}
    for k in ("relu1", "relu2"):
        rows = [m[0].double().flatten(1).numpy() for m in (found[k], paint[k])]
        g, a = (r @ r.T / r.shape[1] for r in rows)
        terms[k] = ((g - a) ** 2).sum() / (4 * np.trace(a) ** 2)
    expected = 0.75 * terms["relu1"] + 0.25 * terms["relu2"]
    assert seen.style_loss(seen(x), wanted).item() == pytest.approx(expected, rel=1e-4)


def test_several_styles_are_averaged_by_their_shares():
    a, b = StyleFeatures([maps(0, 1, 2, 3, 3)], [maps(1, 1, 4, 4)]), StyleFeatures([], [maps(2, 1, 4, 4)])
    both = mix_styles([a, b], [3, 1])
    torch.testing.assert_close(both.style[0], 0.75 * a.style[0] + 0.25 * b.style[0])
    assert both.content is a.content


def test_total_variation():
    x = maps(0, 2, 3, 5, 6)
    a = x.numpy()
    expected = np.mean(np.diff(a, axis=2) ** 2) + np.mean(np.diff(a, axis=3) ** 2)
    assert total_variation(x).item() == pytest.approx(expected, rel=1e-12)


# --- layers -------------------------------------------------------------------------------------------------


def test_layers_and_their_weights():
    assert parse_layer("relu3") == ("relu3", 1.0)
    assert parse_layer("relu3=0.5") == ("relu3", 0.5)
    with pytest.raises(UsageError, match="a name and a weight such as"):
        parse_layer("relu3=high")
    with pytest.raises(UsageError, match="Did you mean 'relu4'"):
        Perception(style=["relu44"])


def test_what_a_layer_looks_at():
    """Against the gradient of a place in the middle, with every weight positive so that nothing cancels out."""
    network = features.pocket().double()
    for p in network.parameters():
        p.data.fill_(1e-3 if p.ndim > 1 else 1.0)
    for name in ("relu1", "relu2", "relu3", "relu4"):
        x = torch.ones(1, 3, 160, 160, dtype=torch.float64, requires_grad=True)
        middle = network.maps(x, [name])[name]
        (g,) = torch.autograd.grad(middle[0, 0, middle.shape[2] // 2, middle.shape[3] // 2], x)
        rows = g[0, 0].abs().sum(1).nonzero()
        assert receptive_field(network, name) == rows.max() - rows.min() + 1


def test_what_a_layer_of_vgg_looks_at():
    """As worked out by hand: 3 + 2, a pool, ..., for relu3_1: ((1 + 2) * 2 + 4) * 2 + 4 ... = 24 pixels."""
    with torch.device("meta"):
        network = VGG("vgg19")
    network.to_empty(device="cpu")
    assert [receptive_field(network, name) for name in ("relu1_1", "relu1_2", "relu2_1", "relu3_1")] == [3, 5, 10, 24]


@pytest.mark.parametrize(("layer", "least"), [("relu1_2", 1), ("relu2_2", 2), ("relu4_2", 8), ("relu5_1", 16)])
def test_images_of_which_vgg_leaves_nothing(layer, least):
    """Every pool halves, rounding down."""
    with torch.device("meta"):
        network = VGG("vgg19")
    network.to_empty(device="cpu")
    assert network.maps(torch.zeros(1, 3, least, least + 3), [layer])[layer].shape[2] == 1
    if least > 1:
        sentence = f"{layer} of vgg19 needs at least {least}x{least} pixels, got {least + 3}x{least - 1}"
        with pytest.raises(UsageError, match=sentence):
            network.maps(torch.zeros(1, 3, least - 1, least + 3), [layer])


def test_a_style_smaller_than_what_is_looked_at(pocket):
    side = pocket.reach["relu4"]
    pocket.check(torch.zeros(1, 3, side, side), "a.png")
    with pytest.raises(UsageError, match=rf"a\.png has 90x{side - 1} pixels .* relu4 of pocket looks at {side}x{side}"):
        pocket.check(torch.zeros(1, 3, side - 1, 90), "a.png")


def test_the_network_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    assert choose_network("auto")[0] == "pocket"
    assert choose_network("vgg16")[0] == "vgg16"
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "vgg19-dcbb9e9d.pth").write_bytes(b"")
    assert choose_network("auto") == ("vgg19", "its file is here")
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="weights 'vgg19' are not here"):
        Perception(network="vgg19")


def test_the_network_is_no_part_of_the_state(pocket):
    assert not pocket.state_dict()
    assert not list(pocket.parameters())
    assert [len(g[0]) for g in pocket(torch.zeros(1, 1, 16, 16)).style] == list(WIDTHS)


# --- colours ------------------------------------------------------------------------------------------------


def colours(seed, h=9, w=7):
    random = np.random.RandomState(seed)
    mixing = random.rand(3, 3) * 0.3
    return torch.from_numpy(np.einsum("ij,njhw->nihw", mixing, random.randn(1, 3, h, w)) + random.rand(1, 3, 1, 1))


def statistics(x):
    rows = x[0].flatten(1).numpy()
    return rows.mean(1), np.cov(rows, bias=True)


def test_matched_colours_have_the_mean_and_the_covariance():
    style, content = colours(0), colours(1, 5, 11)
    mean, covariance = statistics(match_colours(style, content))
    expected = statistics(content)
    np.testing.assert_allclose(mean, expected[0], atol=1e-9)
    np.testing.assert_allclose(covariance, expected[1], rtol=1e-3, atol=1e-5)


def test_colours_that_match_stay():
    style = colours(0)
    torch.testing.assert_close(match_colours(style, style), style, rtol=1e-6, atol=1e-6)


def test_a_flat_style_has_no_colours_to_match():
    made = match_colours(torch.zeros(1, 3, 4, 4), colours(1))
    assert torch.isfinite(made).all()
    np.testing.assert_allclose(made[0, :, 0, 0], statistics(colours(1))[0], atol=1e-6)


def test_luma():
    x = colours(2)
    r, g, b = x[0].numpy()
    np.testing.assert_allclose(luma(x)[0, 0], 0.299 * r + 0.587 * g + 0.114 * b, rtol=1e-12)
    grey = luma(colours(3))
    other = with_luma(x, grey)
    torch.testing.assert_close(luma(other), grey)
    for k in (0, 2):  # R - Y and B - Y are what they were
        torch.testing.assert_close(other[:, k] - luma(other)[:, 0], x[:, k] - luma(x)[:, 0])


def test_matched_luma_has_the_mean_and_the_deviation():
    style, content = colours(0), colours(1)
    made = match_luma(style, content)
    assert made.shape == (1, 1, 9, 7)
    assert made.mean().item() == pytest.approx(luma(content).mean().item())
    assert made.std().item() == pytest.approx(luma(content).std().item())


def test_a_module_of_ones_is_looked_through_as_it_is():
    """`Perception` gives what its network gives, on grey images too."""
    seen = Perception(content=["relu1"])

    class Twice(nn.Module):
        def maps(self, x, names):
            return {name: 2 * x.expand(-1, 3, -1, -1) for name in names}

    seen.hidden = [Twice()]
    x = maps(0, 1, 1, 4, 4)
    torch.testing.assert_close(seen(x).content[0], 2 * x.expand(-1, 3, -1, -1))
