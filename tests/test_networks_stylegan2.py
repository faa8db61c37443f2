"""StyleGAN2's networks and path length against the paper's equations and the published counts."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import conv2d, interpolate, leaky_relu, pad

from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.game import Draw, Match, Progress
from ganvas.losses.gradient_penalties import R1
from ganvas.losses.path_length import PathLength
from ganvas.networks import dcgan
from ganvas.networks import stylegan2 as style
from ganvas.networks.heads import Projection

SMALL = {"latent": 8, "style": 6, "mapping": 2, "width": 4, "max_width": 8}


def generator(size=(16, 16), channels=3, **more):
    torch.manual_seed(0)
    return style.Generator(resolution=size, channels=channels, **{**SMALL, **more})


def discriminator(size=(16, 16), channels=3, **more):
    torch.manual_seed(0)
    return style.Discriminator(resolution=size, channels=channels, width=4, max_width=8, **more)


def test_parameter_counts_are_the_published_ones():
    """Config F at 1024 pixels as its authors print it: 30,370,060 and 29,012,513."""
    with torch.device("meta"):
        facts = {"resolution": 1024, "width": 32, "max_width": 512}
        g = style.Generator(latent=512, style=512, mapping=8, **facts)
        d = style.Discriminator(**facts)
    assert sum(p.numel() for p in g.parameters()) == 30_370_060
    assert sum(p.numel() for p in d.parameters()) == 29_012_513


@pytest.mark.parametrize("divide", [True, False])
def test_modulation_is_the_papers(divide):
    """Eq. 1 to 3: weights s_i w_oik for each image, divided by the root of their squares' sum for each output."""
    torch.manual_seed(0)
    layer = style.Modulated(5, 4, 3, 6, divide=divide).double()
    x, w = torch.randn(3, 5, 7, 8).double(), torch.randn(3, 6).double()
    s = w @ layer.style.weight.t() / math.sqrt(6) + layer.style.bias
    assert torch.equal(layer.style.bias, torch.ones(5).double())
    found = layer(x, w)
    for k in range(3):
        weight = layer.weight / math.sqrt(5 * 9) * s[k][None, :, None, None]
        if divide:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        torch.testing.assert_close(found[k : k + 1], conv2d(x[k : k + 1], weight, padding=1), rtol=1e-6, atol=1e-6)


def test_enlarging_convolves_the_filtered_enlargement():
    """Zeros between pixels, the filter (1 3 3 1), the convolution: in any order, away from the edges."""
    torch.manual_seed(0)
    layer = style.Modulated(3, 4, 3, 6, up=True).double()
    x, w = torch.randn(2, 3, 8, 9).double(), torch.randn(2, 6).double()
    plain = style.Modulated(3, 4, 3, 6).double()
    plain.load_state_dict(layer.state_dict())
    large = plain(interpolate(x, scale_factor=2, mode="bilinear", align_corners=False), w)
    torch.testing.assert_close(layer(x, w)[..., 3:-3, 3:-3], large[..., 3:-3, 3:-3], rtol=1e-5, atol=1e-6)


def test_halving_filters_first():
    torch.manual_seed(0)
    layer, x = style.EqualConv(3, 4, 3, down=True).double(), torch.randn(2, 3, 8, 10).double()
    row = torch.tensor([1.0, 3, 3, 1]).double() / 8
    kernel = torch.outer(row, row).expand(3, 1, 4, 4)
    blurred = conv2d(pad(x, (2, 2, 2, 2)), kernel, groups=3)
    expected = conv2d(blurred, layer.weight / math.sqrt(27), layer.bias, stride=2)
    assert expected.shape[2:] == (4, 5)
    torch.testing.assert_close(layer(x), expected, rtol=1e-6, atol=1e-6)


def test_a_residual_block_keeps_the_variance():
    """(two convolutions + the filtered half of what came in) / sqrt 2: appendix of the paper."""
    torch.manual_seed(0)
    block, x = style.Residual(3, 5).double(), torch.randn(2, 3, 8, 10).double()
    for bias in (block.same.bias, block.down.bias):
        torch.nn.init.normal_(bias)
    h = conv2d(x, block.same.weight / math.sqrt(27), block.same.bias, padding=1)
    h = block.down(leaky_relu(h, 0.2) * math.sqrt(2))  # against the equation in the test above
    row = torch.tensor([1.0, 3, 3, 1]).double() / 8
    half = conv2d(pad(x, (1, 1, 1, 1)), torch.outer(row, row).expand(3, 1, 4, 4), stride=2, groups=3)
    expected = (leaky_relu(h, 0.2) * math.sqrt(2) + conv2d(half, block.skip.weight / math.sqrt(3))) / math.sqrt(2)
    torch.testing.assert_close(block(x), expected, rtol=1e-6, atol=1e-6)


def test_slow_layers_are_as_slow_in_their_bias():
    torch.manual_seed(0)
    layer, x = style.EqualLinear(4, 3, speed=0.01, start=0.5).double(), torch.randn(2, 4).double()
    torch.testing.assert_close(layer(torch.zeros(1, 4).double()), torch.full((1, 3), 0.5).double())
    torch.nn.init.normal_(layer.bias)
    expected = 0.01 * (x @ layer.weight.t() / 2 + layer.bias)
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_mapping_sees_the_direction_of_the_latent_alone_and_learns_slowly():
    net = style.Mapping(8, 6, 2, 0, 0)
    z = torch.randn(4, 8)
    torch.testing.assert_close(net(z, None), net(7 * z, None))
    assert net.layers[0].weight.std().item() == pytest.approx(100, rel=0.3)
    x = z / z.square().mean(1, keepdim=True).sqrt()
    for layer in net.layers:
        x = leaky_relu(x @ layer.weight.t() * 0.01 / math.sqrt(x.shape[1]), 0.2) * math.sqrt(2)
    torch.testing.assert_close(net(z, None), x, rtol=1e-4, atol=1e-5)


def test_activations_keep_their_size():
    torch.manual_seed(0)
    g = style.Generator(resolution=32, latent=64, style=64, width=32, max_width=64).eval()
    w, h = g.mapping(torch.randn(16, 64)), g.start.expand(16, -1, -1, -1)
    for k, layer in enumerate(g.layers):
        h = layer(h, w[:, k])
        assert 0.3 < h.square().mean().sqrt() < 1.5, k  # filters and edges take some of it


def test_samples_do_not_depend_on_chance_and_training_does():
    g, z = generator(), torch.randn(4, 8)
    for layer in g.layers:
        layer.noise.strength.data.fill_(0.5)
    g.eval()
    assert torch.equal(g(z), g(z))
    torch.testing.assert_close(g(z)[:1], g(z[:1]))
    still = g(z)
    for layer in g.layers:
        layer.noise.fixed.zero_()
    assert not torch.allclose(still, g(z))  # noise is there, only fixed
    g.train()
    assert not torch.equal(g(z), g(z))


def test_noise_is_one_image_for_all_channels():
    noise, x = style.Noise((5, 6)), torch.zeros(3, 4, 5, 6)
    noise.strength.data.fill_(2.0)
    y = noise(x)
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert not torch.equal(y[0], y[1])  # another one for each image, while training
    assert torch.equal(noise.eval()(x), 2 * noise.fixed.expand_as(x))


def test_styles_are_mixed_in_training():
    g, z = generator(mixing=1.0), torch.randn(200, 8)
    w = g.mapping(z)
    own = g.map(z, None)
    same = (w == own[:, None]).all(2)  # (N, layers + 1): whose style it is
    assert same[:, 0].all()  # the first layer keeps its own
    assert not same[:, -1].any()  # the last one never does
    assert (same.int().diff(dim=1) <= 0).all()  # one change, at a place
    assert set(same.sum(1).tolist()) == set(range(1, len(g.layers) + 1))  # drawn for each image
    g.mixing = 0.0
    assert torch.equal(g.mapping(z), own[:, None].expand_as(w))
    g.mixing = 0.5
    share = (g.mapping(z)[:, -1] != own).any(1).float().mean()
    assert 0.35 < share < 0.65
    g.eval()
    assert torch.equal(g.mapping(z), own[:, None].expand_as(w))


def test_truncation_goes_to_the_average_style():
    g, z = generator(), torch.randn(64, 8)
    for _ in range(2):
        g.mapping(z)
    torch.testing.assert_close(g.average, g.map(z, None).mean(0) * (1 - 0.995**2), rtol=1e-4, atol=1e-6)
    g.eval()
    before = g.average.clone()
    assert g.truncated(z, None, 0.0).std(0).max() < 1e-5
    torch.testing.assert_close(g.truncated(z, None, 1.0), g(z))
    between = g.synthesis(g.average + 0.5 * (g.mapping(z) - g.average))
    torch.testing.assert_close(g.truncated(z, None, 0.5), between)
    assert torch.equal(before, g.average)  # looking moves nothing


def test_images_are_the_sum_over_sizes():
    """The skip generator: what each size adds is enlarged bilinearly and summed."""
    g = generator(size=(8, 8)).eval()
    w, h = torch.randn(2, len(g.layers) + 1, 6), g.start.expand(2, -1, -1, -1)  # another style for each layer
    h = g.layers[0](h, w[:, 0])
    first = g.to_image[0](h, w[:, 1])
    h = g.layers[2](g.layers[1](h, w[:, 1]), w[:, 2])
    second = g.to_image[1](h, w[:, 3])
    torch.testing.assert_close(g.synthesis(w), g.enlarge(first) + second)


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (33, 20), (28, 28)])
@pytest.mark.parametrize("channels", [1, 4])
def test_any_size_and_label(size, channels):
    g, label = generator(size, channels, classes=3).eval(), torch.tensor([0, 2])
    d = discriminator(size, channels, classes=3, head=Spec(Projection))
    z = torch.randn(2, 8)
    image = g(z, label)
    assert image.shape == (2, channels, *size)
    assert not torch.equal(image, g(z, torch.tensor([1, 1])))
    scores = d(image, label)
    assert scores.logits.shape == (2, 1)
    assert not torch.equal(scores.logits, d(image, torch.tensor([1, 1])).logits)
    assert len(d.stages()) == 1 + len(d.body)
    with pytest.raises(UsageError, match="at least 8x8"):
        generator((4, 16))


def test_the_discriminator_compares_the_images_of_a_group():
    d = discriminator()
    x = torch.randn(1, 3, 16, 16)
    alone, together = d(x.repeat(4, 1, 1, 1)).logits, d(torch.cat([x, torch.randn(3, 3, 16, 16)])).logits
    assert not torch.allclose(alone[0], together[0])
    plain = discriminator(group=0)
    torch.testing.assert_close(plain(x).logits, plain(x.repeat(3, 1, 1, 1)).logits[:1])


def test_r1_differentiates_the_discriminator_twice():
    d, real = discriminator().double(), torch.randn(4, 3, 16, 16).double()
    weight = d.body[0].down.weight

    def value():
        scores = d(real)
        return R1(gamma=1.0)(Match(real, real, scores, scores, lambda x, y=None: d(x)), Progress())

    value().backward()
    analytic = weight.grad[1, 2, 0, 1].item()
    found = []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            weight[1, 2, 0, 1] += step
        found.append(value().item())
    assert analytic == pytest.approx((found[0] - found[1]) / 2e-5, rel=1e-4)


class Lines:
    """A generator whose images are linear in the style, so that eq. 4 can be written down."""

    def __init__(self, slope):
        self.slope = slope

    def mapping(self, z, label=None):
        return z[:, None].expand(-1, 2, -1)

    def synthesis(self, w):
        return (w.sum(1) @ self.slope).view(-1, 1, 2, 2)


def match(net, z):
    return Match(None, None, None, None, None, net=net, draw=Draw(None, None, z))


def test_path_length_is_equation_4():
    torch.manual_seed(0)
    slope = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    z = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    penalty = PathLength(weight=2.0, every=4, decay=0.1).double()
    penalty.mean.fill_(1.5)
    torch.manual_seed(3)
    value = penalty(match(Lines(slope), z), Progress())
    torch.manual_seed(3)
    y = torch.randn(3, 1, 2, 2, dtype=torch.float64) / 2
    by_style = y.flatten(1) @ slope.t()  # the same for both layers
    length = by_style.square().sum(1).sqrt()
    mean = 0.9 * 1.5 + 0.1 * length.mean()
    expected = 2.0 * 4 * (length - mean).square().mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-10)
    assert penalty.mean.item() == pytest.approx(mean.item(), rel=1e-10)
    ours, theirs = torch.autograd.grad(value, slope)[0], torch.autograd.grad(expected, slope)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def test_path_length_rests_between_and_needs_styles():
    penalty, z = PathLength(every=4), torch.randn(4, 8)
    rests = [penalty(match(generator(), z), Progress(step=k)) is None for k in range(5)]
    assert rests == [False, True, True, True, False]
    with pytest.raises(UsageError, match="generator=stylegan2_generator"):
        penalty(match(dcgan.Generator(resolution=8), torch.randn(4, 100)), Progress())


def test_path_length_reaches_every_layer_of_the_generator():
    g = generator()
    for layer in g.layers:
        layer.bias.data.normal_(std=0.1)
    PathLength()(match(g, torch.randn(8, 8)), Progress()).backward()
    silent = {n for n, p in g.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    assert not {n for n in silent if "conv.weight" in n or "style.weight" in n or n.startswith("map")}


def test_bf16_keeps_statistics_in_float32():
    g, d = generator(), discriminator()
    with torch.autocast("cpu", torch.bfloat16):
        image = g(torch.randn(4, 8))
        logits = d(image).logits
    (logits.float().mean() + image.float().mean()).backward()
    assert g.average.dtype == torch.float32
    assert all(torch.isfinite(p.grad).all() for p in g.parameters() if p.grad is not None)
    assert g.layers[0].conv.weight.grad.dtype == torch.float32
