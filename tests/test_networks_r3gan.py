"""R3GAN's networks against the paper's formulas, and the grouped convolutions and filters under them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, interpolate, leaky_relu

from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.game import Match, Progress
from ganvas.losses.gradient_penalties import R1
from ganvas.networks import grouped_conv as grouped
from ganvas.networks import r3gan
from ganvas.networks.blur_resample import Downsample, Upsample
from ganvas.networks.heads import Projection

WAYS = [  # inputs, outputs, kernel, stride, padding, groups, height, width
    (6, 4, 3, 1, 1, 2, 5, 7),
    (4, 4, 3, 2, 1, 4, 7, 6),
    (4, 4, 4, 2, 1, 4, 8, 7),
    (2, 6, 1, 1, 0, 2, 3, 3),
]


@pytest.mark.parametrize("way", WAYS)
def test_grouped_convolutions_are_the_librarys_with_all_their_derivatives(way):
    inputs, outputs, k, stride, padding, groups, h, w = way
    torch.manual_seed(0)
    x = torch.randn(3, inputs, h, w, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(outputs, inputs // groups, k, k, dtype=torch.float64, requires_grad=True)
    found = {}
    for name, f in (("ours", grouped.convolve), ("theirs", conv2d)):
        y = f(x, weight, stride=stride, padding=padding, groups=groups)
        first = torch.autograd.grad(y.pow(3).sum(), (x, weight), create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), (x, weight), create_graph=True)
        third = torch.autograd.grad(sum(g.square().sum() for g in second), (x, weight))
        found[name] = [y, *first, *second, *third]
    for ours, theirs in zip(found["ours"], found["theirs"]):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_transposed_convolution_of_a_size():
    """<conv(x), g> = <x, transpose(g)> for every x and g."""
    torch.manual_seed(0)
    for size in ((7, 8), (8, 7)):
        x, w = torch.randn(2, 4, *size), torch.randn(4, 1, 3, 3)
        y = conv2d(x, w, stride=2, padding=1, groups=4)
        g = torch.randn_like(y)
        back = grouped.transpose(g, w, size, stride=2, padding=1, groups=4)
        assert back.shape == x.shape
        torch.testing.assert_close((y * g).sum(), (x * back).sum(), rtol=1e-4, atol=1e-4)


def test_second_derivatives_of_groups_are_single_operations():
    """What this file is for: PyTorch's own take a convolution a group."""
    x = torch.randn(2, 32, 6, 6, requires_grad=True)
    layer = grouped.GroupedConv(32, 32, 3, 32)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as watched:
        (g,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        g.square().sum().backward()
    calls = sum(e.count for e in watched.key_averages() if e.key in ("aten::convolution", "aten::convolution_backward"))
    assert calls < 16


def test_grouped_layers_follow_autocast_and_keep_float32_weights():
    layer, x = grouped.GroupedConv(8, 8, 3, 4), torch.randn(2, 8, 5, 5, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert layer.weight.grad.dtype == x.grad.dtype == torch.float32
    assert layer.bias.grad.abs().sum() > 0


@pytest.mark.parametrize(("taps", "size"), [((1, 3, 3, 1), (6, 8)), ((1, 2, 1), (7, 6))])
def test_filters_keep_a_constant_inside(taps, size):
    flat = torch.ones(1, 2, *size)
    small, large = Downsample(taps)(flat), Upsample(taps)(flat)
    assert small.shape[2:] == tuple(-(-s // 2) for s in size)
    assert large.shape[2:] == tuple(2 * s for s in size)
    torch.testing.assert_close(small[..., 1:-1, 1:-1], torch.ones_like(small[..., 1:-1, 1:-1]))
    torch.testing.assert_close(large[..., 2:-2, 2:-2], torch.ones_like(large[..., 2:-2, 2:-2]))


def test_filters_are_the_ones_they_say():
    x = torch.randn(2, 3, 6, 8)
    bilinear = interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(Upsample((1, 3, 3, 1))(x)[..., 1:-1, 1:-1], bilinear[..., 1:-1, 1:-1])
    between = Upsample((1, 2, 1))(x)
    torch.testing.assert_close(between[..., ::2, ::2], x)
    torch.testing.assert_close(between[..., ::2, 1:-1:2], (x[..., :-1] + x[..., 1:]) / 2)
    point = torch.zeros(1, 1, 6, 6)
    point[..., 2, 2] = 1
    row = torch.tensor([1.0, 2, 1]) / 4
    assert Downsample((1, 2, 1))(point)[0, 0, 1, 1] == row[1] ** 2
    assert not list(Upsample().state_dict())


def test_a_block_is_the_papers():
    """x + W3 act(G(act(W1 x + b1)) + b2), grouped, with weights of gain sqrt(2 / 1.04) L^(-1/4), and zero at first."""
    torch.manual_seed(0)
    block, x = r3gan.Block(width=64, expansion=2, groups=4, blocks=16), torch.randn(2, 64, 5, 5)
    assert torch.equal(block(x), x)
    gain = math.sqrt(2 / 1.04) * 16 ** (-1 / 4)
    assert block.wider.weight.std().item() == pytest.approx(gain / math.sqrt(64), rel=0.03)
    assert block.across.weight.std().item() == pytest.approx(gain / math.sqrt(32 * 9), rel=0.03)
    for p in block.parameters():
        nn.init.normal_(p, std=0.1)
    h = leaky_relu(conv2d(x, block.wider.weight, block.wider.bias), 0.2)
    h = leaky_relu(conv2d(h, block.across.weight, block.across.bias, padding=1, groups=4), 0.2)
    torch.testing.assert_close(block(x), x + conv2d(h, block.back.weight))


def published(width, cardinality, channels=3, latent=64, stages=4, blocks=2, expansion=2):
    """Parameters counted from the paper's description of both players: config E with bases at 4x4."""
    inside = width * expansion
    block = 2 * width * inside + inside * (inside // cardinality) * 9 + 2 * inside
    body = stages * blocks * block + width * 16 + width * channels
    return body + latent * width, body + width  # the mixing of the bases; the last linear map


@pytest.mark.parametrize(("width", "cardinality"), [(768, 96), (32, 8)])
def test_parameter_counts(width, cardinality):
    g = r3gan.Generator(resolution=32, width=width, cardinality=cardinality)
    d = r3gan.Discriminator(resolution=32, width=width, cardinality=cardinality)
    counts = tuple(sum(p.numel() for p in net.parameters()) for net in (g, d))
    assert counts == published(width, cardinality)


def resampled(x, up):
    """The authors' resampling, of their taps, pixel by pixel: [1, 2, 1] convolved with [1, 1], zero beyond the edge."""
    row = np.convolve([1, 2, 1], [1, 1]) / 8
    kernel = torch.from_numpy(np.outer(row, row))
    n, c, h, w = x.shape
    if up:  # each pixel spreads four times its share over 4x4
        out = x.new_zeros(n, c, 2 * h + 2, 2 * w + 2)
        for i in range(h):
            for j in range(w):
                out[..., 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += 4 * x[..., i, j, None, None] * kernel
        return out[..., 1:-1, 1:-1]
    wide = nn.functional.pad(x, (1, 1, 1, 1))
    rows = [[(wide[..., i : i + 4, j : j + 4] * kernel).sum((2, 3)) for j in range(0, w, 2)] for i in range(0, h, 2)]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def along(h, stage):
    """The residual blocks of a stage in plain convolutions."""
    for b in stage:
        inside = leaky_relu(conv2d(h, b.wider.weight, b.wider.bias), 0.2)
        inside = leaky_relu(conv2d(inside, b.across.weight, b.across.bias, padding=1, groups=2), 0.2)
        h = h + conv2d(inside, b.back.weight)
    return h


def test_both_networks_are_the_authors_in_float64():
    torch.manual_seed(0)
    facts = {"resolution": 16, "width": 4, "growth": 2, "cardinality": 2, "blocks": 1}
    g, d = r3gan.Generator(latent=6, **facts).double(), r3gan.Discriminator(**facts).double()
    for p in [*g.parameters(), *d.parameters()]:
        nn.init.normal_(p, std=0.3)
    z = torch.randn(2, 6, dtype=torch.float64)
    h = along((z @ g.mix.weight.T)[:, :, None, None] * g.basis, g.body[0])
    for wide, stage in ((g.body[1], g.body[3]), (g.body[4], g.body[6])):
        h = along(resampled(wide(h), up=True), stage)
    image = conv2d(h, g.out.weight)
    torch.testing.assert_close(g(z), image, rtol=1e-12, atol=1e-12)
    h = along(conv2d(image, d.read.weight), d.body[0])
    for down, stage in d.body[1:]:
        h = along(down[1](resampled(h, up=False)), stage)
    logits = (h * d.basis).sum((2, 3)) @ d.head.state_dict()["score.weight"].T
    torch.testing.assert_close(d(image).logits, logits, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("taps", [(1, 2, 1), (1, 3, 3, 1), (1, 1)])
def test_any_filter_keeps_the_shapes(taps):
    g = r3gan.Generator(resolution=(17, 22), channels=1, width=4, cardinality=2, taps=taps)
    d = r3gan.Discriminator(resolution=(17, 22), channels=1, width=4, cardinality=2, taps=taps)
    assert d(g(torch.randn(2, 64))).logits.shape == (2, 1)
    for wrong in ((), (1,), (1, -1)):
        with pytest.raises(UsageError, match="at least two numbers with a positive sum"):
            r3gan.Generator(resolution=16, taps=wrong)


def test_there_is_no_normalisation_and_no_squashing():
    g = r3gan.Generator(resolution=16, channels=1, width=8, cardinality=2)
    names = {type(m).__name__ for net in (g, r3gan.Discriminator(resolution=16, width=8)) for m in net.modules()}
    assert not {n for n in names if "Norm" in n or "Tanh" in n}
    z = torch.randn(4, 64)
    torch.testing.assert_close(g(3 * z), 3 * g(z))  # at first every block is the identity, so all is linear


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (33, 20), (28, 28)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_size(size, channels):
    facts = {"resolution": size, "channels": channels, "width": 8, "cardinality": 2, "growth": 2, "blocks": 1}
    g, d = r3gan.Generator(classes=3, **facts), r3gan.Discriminator(classes=3, head=Spec(Projection), **facts)
    label = torch.tensor([0, 2])
    image = g(torch.randn(2, g.latent), label)
    assert image.shape == (2, channels, *size)
    scores = d(image, label)
    assert scores.logits.shape == (2, 1)
    assert len(d.stages()) == 1 + len(d.body)
    assert not torch.equal(scores.logits, d(image, torch.tensor([1, 1])).logits)  # the label is heard by both
    assert not torch.equal(image, g(torch.zeros(2, g.latent), torch.tensor([1, 1])))


def test_variance_is_kept_at_the_beginning():
    torch.manual_seed(0)
    g, d = r3gan.Generator(resolution=32), r3gan.Discriminator(resolution=32)
    assert 0.3 < g(torch.randn(64, 64)).std() < 1.5
    assert 0.05 < d(torch.randn(64, 3, 32, 32)).logits.std() < 2


def test_maps_double_their_channels_up_to_the_growth():
    assert r3gan.widths_for(4, 8, 4) == [8, 16, 32, 32]
    assert r3gan.widths_for(3, 8, 1) == [8, 8, 8]
    d = r3gan.Discriminator(resolution=32, width=8, cardinality=2, growth=4)
    assert [s[0].wider.in_channels for s in (d.body[0], *(part[1] for part in d.body[1:]))] == [8, 16, 32, 32]


def test_the_last_map_is_weighed_at_constant_variance():
    """The discriminator's basis sums over 16 pixels, so it begins at a quarter; the generator's is N(0, 1)."""
    torch.manual_seed(0)
    g, d = r3gan.Generator(resolution=32), r3gan.Discriminator(resolution=32)
    assert g.basis.std().item() == pytest.approx(1, rel=0.1)
    assert d.basis.std().item() == pytest.approx(1 / 4, rel=0.1)


def test_r1_of_the_discriminator_differentiates():
    torch.manual_seed(0)
    d = r3gan.Discriminator(resolution=16, channels=1, width=16, cardinality=4, growth=2).double()
    for p in d.parameters():
        p.data += 0.05 * torch.randn_like(p)
    real = torch.randn(3, 1, 16, 16, dtype=torch.float64)
    weight = d.body[0][0].across.weight

    def value():
        scores = d(real)
        return R1(gamma=1.0)(Match(real, real, scores, scores, lambda x, y=None: d(x)), Progress())

    value().backward()
    analytic, step = weight.grad[1, 2, 0, 1].item(), 1e-5
    with torch.no_grad():
        weight[1, 2, 0, 1] += step
    up = value().item()
    with torch.no_grad():
        weight[1, 2, 0, 1] -= 2 * step
    assert analytic == pytest.approx((up - value().item()) / (2 * step), rel=1e-4)


def test_what_does_not_fit_is_a_sentence():
    with pytest.raises(UsageError, match="at least 8x8 pixels, these are 2x1"):
        r3gan.Generator(resolution=(1, 2))
    with pytest.raises(UsageError, match="cardinality 5 does not divide the 16 channels"):
        r3gan.Discriminator(resolution=16, width=8, cardinality=5)
