"""Networks: shapes for any size, published parameter counts, initialisation, the strided maps against autograd."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganvas import config
from ganvas.errors import UsageError
from ganvas.networks import dcgan, dcgan_variants, mlp
from ganvas.networks import strided_conv as strided
from ganvas.networks.layers import WEIGHTS, initialise


def count(module):
    return sum(p.numel() for p in module.parameters())


SIZES = [(8, 8), (28, 28), (32, 32), (64, 64), (112, 92), (48, 64), (9, 31), (8, 100), (65, 33)]


@pytest.mark.parametrize("resolution", SIZES)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("family", [dcgan, mlp])
def test_any_size_and_channels(family, resolution, channels):
    narrow = {"width": 8}
    generator = family.Generator(resolution=resolution, channels=channels, **narrow)
    discriminator = family.Discriminator(resolution=resolution, channels=channels, **narrow)
    image = generator(torch.randn(3, generator.latent))
    assert image.shape == (3, channels, *resolution)
    assert image.abs().max() <= 1
    assert discriminator(image).logits.shape == (3, 1)


@pytest.mark.parametrize(
    ("channels", "width", "generator", "discriminator"),
    # pytorch/examples dcgan at its defaults prints these (nz 100, 64x64, bias-free convolutions)
    [(3, 64, 3_576_704, 2_765_568)],
)
def test_dcgan_counts_are_the_published_ones(channels, width, generator, discriminator):
    assert count(dcgan.Generator(resolution=64, channels=channels, width=width)) == generator
    assert count(dcgan.Discriminator(resolution=64, channels=channels, width=width)) == discriminator


def test_mlp_counts_are_the_published_ones():
    """pylearn2's mnist model: 100-1200-1200-784 and maxout 784-(240x5)-(240x5)-1, biases included."""
    assert count(mlp.Generator(resolution=28)) == 101 * 1200 + 1201 * 1200 + 1201 * 784
    assert count(mlp.Discriminator(resolution=28)) == 785 * 1200 + 241 * 1200 + 241


def reference_dcgan(generator):
    """The same weights in the layers that the paper draws: every pixel from transposed convolutions."""
    project = nn.ConvTranspose2d(100, 512, 4, bias=False)
    weight = generator.project.weight.view(4, 4, 512, 100)  # our projection is channels-last
    project.weight.data = weight.permute(3, 2, 0, 1).contiguous()
    layers = [project]
    for layer in generator.body:
        if isinstance(layer, nn.ConvTranspose2d):
            plain = nn.ConvTranspose2d(layer.in_channels, layer.out_channels, 4, 2, 1, bias=False)
            plain.weight.data = layer.weight.data
            layer = plain
        layers.append(layer)
    return nn.Sequential(*layers, nn.Tanh())


def test_dcgan_is_the_published_network():
    generator = dcgan.Generator(resolution=64)
    z = torch.randn(4, 100)
    torch.testing.assert_close(generator(z), reference_dcgan(generator)(z[..., None, None]), rtol=1e-4, atol=1e-5)


def test_dcgan_has_the_papers_batch_norm():
    norms = [m for m in dcgan.Generator(resolution=64).modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m.num_features for m in norms] == [512, 256, 128, 64]
    assert {m.eps for m in norms} == {1e-5}
    critic = [m for m in dcgan.Discriminator(resolution=64).modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m.num_features for m in critic] == [128, 256, 512]  # none after the first stage


@pytest.mark.parametrize("resolution", [(7, 7), (7, 64), (1, 1)])
def test_too_small_is_a_sentence(resolution):
    for network in (dcgan.Generator, dcgan.Discriminator):
        with pytest.raises(UsageError, match="at least 8x8"):
            network(resolution=resolution)


def test_points_are_one_pixel_images_for_the_mlp():
    generator = mlp.Generator(resolution=(1, 1), channels=2, width=16)
    assert generator(torch.randn(5, 100)).shape == (5, 2, 1, 1)
    assert mlp.Discriminator(resolution=(1, 1), channels=2)(generator(torch.randn(5, 100))).logits.shape == (5, 1)


def test_maxout_takes_the_largest_piece():
    layer = mlp.Maxout(3, 4, 5)
    x = torch.randn(2, 3)
    pieces = layer.linear(x).view(2, 4, 5)
    torch.testing.assert_close(layer(x), pieces.max(2).values)


@pytest.mark.parametrize("name", WEIGHTS)
def test_initialisation_by_name(name):
    net = initialise(nn.Sequential(nn.Conv2d(64, 128, 3), nn.BatchNorm2d(128), nn.Linear(512, 256)), name)
    conv, norm, linear = net
    fan_in, fan_out = 64 * 9, 128 * 9
    expected = {
        "normal": 0.02,
        **dict.fromkeys(["kaiming", "he"], math.sqrt(2 / (1 + 0.2**2) / fan_in)),
        **dict.fromkeys(["xavier", "glorot", "xavier_uniform"], math.sqrt(2 / (fan_in + fan_out))),
        "orthogonal": 1 / math.sqrt(fan_in),
    }[name]
    assert conv.weight.std().item() == pytest.approx(expected, rel=0.05)
    assert not conv.bias.any()
    assert not linear.bias.any()
    assert not norm.bias.any()
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert (norm.weight.std().item() > 0.01) == (name == "normal")
    if name == "orthogonal":
        rows = conv.weight.flatten(1)
        torch.testing.assert_close(rows @ rows.t(), torch.eye(128), rtol=0, atol=1e-5)


# --- the strided maps -------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["library", "products"])
def by_product(request, monkeypatch):
    monkeypatch.setattr(strided, "_all_by_product", lambda: request.param)


def maps(n=2, inputs=3, outputs=5, h=3, w=4, dtype=torch.float64):
    x = torch.randn(n, inputs, 2 * h, 2 * w, dtype=dtype, requires_grad=True)
    g = torch.randn(n, outputs, h, w, dtype=dtype, requires_grad=True)
    weight = torch.randn(outputs, inputs, 4, 4, dtype=dtype, requires_grad=True)
    return x, g, weight


@pytest.mark.usefixtures("by_product")
def test_strided_maps_are_the_convolutions():
    x, g, w = maps()
    torch.testing.assert_close(strided.Down.apply(x, w), F.conv2d(x, w, stride=2, padding=1))
    torch.testing.assert_close(strided.Up.apply(g, w), F.conv_transpose2d(g, w, stride=2, padding=1))
    (wanted,) = torch.autograd.grad(F.conv2d(x, w, stride=2, padding=1), w, g)
    torch.testing.assert_close(strided.Weight.apply(x, g), wanted)


@pytest.mark.usefixtures("by_product")
@pytest.mark.parametrize("name", ["Down", "Up", "Weight"])
def test_strided_maps_differentiate_twice(name):
    x, g, w = maps(n=1, inputs=2, outputs=2, h=2, w=2)
    inputs = {"Down": (x, w), "Up": (g, w), "Weight": (x, g)}[name]
    function = getattr(strided, name).apply
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("resolution", [(64, 64), (28, 28), (112, 92)])
def test_bf16_products_and_library_agree(resolution, monkeypatch):
    """The same network with and without the products: equal to bf16 rounding."""
    net = dcgan.Discriminator(resolution=resolution)
    x = torch.randn(4, 3, *resolution)
    found = {}
    for used in (True, False):
        monkeypatch.setattr(strided, "product_is_faster", strided.product_is_faster if used else lambda *a: False)
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = net(x).logits.float().square().sum()
        loss.backward()
        found[used] = [p.grad.clone() for p in net.parameters()]
    for a, b in zip(found[True], found[False]):
        assert (a - b).norm() <= 0.03 * b.norm() + 1e-6


@pytest.mark.parametrize("norm", ["batch", "spectral", "virtual", "layer", "none"])
@pytest.mark.parametrize("resolution", [(8, 8), (32, 32)])
def test_the_discriminator_sees_contrast(norm, resolution):
    """Linear maps and LeakyReLU alone give D(s x) = s D(x), and fakes of half the contrast look as good as any."""
    net = dcgan_variants.Discriminator(resolution=resolution, channels=1, width=8, norm=norm, init="kaiming")
    for p in net.parameters():
        if p.ndim == 1:
            p.data += 0.1 * torch.randn_like(p)  # as after a little training
    x = torch.randn(4, 1, *resolution)
    net.eval()
    assert (net(0.5 * x).logits - 0.5 * net(x).logits).abs().max() > 1e-3


@pytest.mark.parametrize("norm", ["batch", "spectral", "virtual", "layer", "none"])
def test_a_fully_connected_layer_on_either_side(norm):
    """InfoGAN's: noise, 1024 units, the first map; the last map, 1024 units, the verdict; normalised as maps are."""
    d = dcgan_variants.Discriminator(resolution=16, channels=1, width=4, hidden=6, norm=norm, reference=4)
    scores = d(torch.randn(5, 1, 16, 16))
    assert scores.logits.shape == (5, 1)
    assert scores.features[-1].shape == (5, 6)
    assert d.hidden[0].in_features == 8 * 4 * 4
    assert (d.hidden[0].bias is None) == (norm in ("batch", "virtual", "layer"))
    scores.logits.sum().backward()
    if norm in ("batch", "virtual"):
        g = dcgan_variants.Generator(resolution=16, channels=1, width=4, hidden=7, norm=norm, reference=4, classes=3)
        assert g(torch.randn(5, 100), torch.tensor([0, 1, 2, 0, 1])).shape == (5, 1, 16, 16)
        assert (g.hidden[0].in_features, g.project.in_features) == (150, 7)


@pytest.mark.parametrize(
    "options", [{"hidden": 6}, {"norm": "virtual"}, {"hidden": 6, "norm": "virtual", "reference": 3}]
)
@pytest.mark.parametrize(("player", "kind"), [("generator", "Generator"), ("discriminator", "Discriminator")])
def test_options_that_dcgan_had_in_saved_configs_build_its_variants(player, kind, options):
    for name in (f"dcgan_{player}", f"ganvas.networks.dcgan:{kind}"):
        spec = config.decode({"()": name, "width": 4, **options})
        assert spec.target is getattr(dcgan_variants, kind)
        assert config.decode(spec.to_dict()) == spec
        spec.build(resolution=(16, 16))
        assert config.decode({"()": name, "width": 4}).target is getattr(dcgan, kind)


def test_a_label_beside_noise_is_no_longer_than_one():
    """As a one-hot vector would be: fifty numbers of N(0, 1) drown the noise, and every class becomes one image."""
    torch.manual_seed(0)
    g = dcgan.Generator(resolution=16, channels=1, width=4, classes=10)
    lengths = g.join.embed.weight.norm(dim=1)
    assert lengths.mean().item() == pytest.approx(1, rel=0.1)
    z = torch.randn(64, 100)
    of_noise = g(z, torch.zeros(64, dtype=torch.int64)).std(0).mean()
    of_label = g(z[:1].expand(10, -1), torch.arange(10)).std(0).mean()
    assert of_noise > 3 * of_label


@pytest.mark.parametrize("gain", [1.0, 16.0])
def test_a_plain_critic_sees_numbers_with_their_waves_times_a_gain(gain):
    critic = mlp.LeakyDiscriminator(resolution=1, channels=2, width=6, depth=2, frequencies=2, gain=gain)
    x = torch.rand(5, 2, 1, 1, dtype=torch.float64) * 2 - 1
    seen = x.flatten(1).numpy()
    h = [seen, np.sin(np.pi * seen), np.cos(np.pi * seen), np.sin(2 * np.pi * seen), np.cos(2 * np.pi * seen)]
    h = gain * np.concatenate(h, 1)
    weights = [p.detach().double().numpy() for p in critic.parameters()]
    for weight, bias in ((weights[0], weights[1]), (weights[2], weights[3])):
        h = h @ weight.T + bias
        h = np.where(h > 0, h, 0.2 * h)
    expected = h @ weights[4].T + weights[5]
    np.testing.assert_allclose(critic.double()(x).logits.detach().numpy(), expected, rtol=1e-10)
