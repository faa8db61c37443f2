"""Spectral, conditional and virtual norms against their definitions, computed here in float64 by another way."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganvas.networks import biggan, dcgan, dcgan_variants, mlp, resnet, virtual_norm
from ganvas.networks import strided_conv as strided
from ganvas.networks.norms import ConditionalBatchNorm2d, SpectralNorm, spectral
from ganvas.networks.virtual_norm import ReferenceBatch, VirtualBatchNorm2d
from ganvas.training import distributed

LAYERS = {
    "first": lambda: nn.Conv2d(3, 64, 3),
    "conv": lambda: nn.Conv2d(64, 128, 3),
    "down": lambda: strided.DownConv(32, 64),
    "up": lambda: strided.UpConv(32, 16),
    "pool": lambda: strided.ConvPool(24, 40),
    "upsample": lambda: strided.UpsampleConv(40, 24),
    "linear": lambda: nn.Linear(100, 300),
    "embedding": lambda: nn.Embedding(10, 64),
}


def original(layer):
    return layer.parametrizations.weight.original


def largest(layer, weight):
    """The largest singular value, exactly, of the weight as a matrix (outputs, everything else)."""
    if isinstance(layer, nn.ConvTranspose2d):
        weight = weight.transpose(0, 1)
    return torch.linalg.svdvals(weight.detach().double().reshape(len(weight), -1))[0].item()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", LAYERS)
def test_spectral_norm_is_the_largest_singular_value(name, layout):
    layer = LAYERS[name]()
    nn.init.normal_(layer.weight, 0, 0.1)
    spectral(layer)
    assert largest(layer, layer.eval().weight) == pytest.approx(1, rel=0.01)
    layer.train().to(memory_format=layout) if original(layer).ndim == 4 else layer.train()
    for _ in range(30):  # as training does: every look is one power iteration, every step moves the weights a little
        with torch.no_grad():
            original(layer).add_(0.002 * torch.randn_like(original(layer)).sign())
        used = layer.weight
    estimate = (original(layer) / used).flatten()[0].item()
    assert estimate == pytest.approx(largest(layer, original(layer)), rel=0.01)


def test_power_iteration_is_algorithm_1():
    layer = spectral(nn.Linear(7, 5).double())
    part = layer.parametrizations.weight[0]
    w, u = original(layer).detach(), part.u.clone()
    v = w.t() @ u / (w.t() @ u).norm()
    u = w @ v / (w @ v).norm()
    torch.testing.assert_close(layer.weight, w / (u @ w @ v), rtol=1e-12, atol=0)
    torch.testing.assert_close(part.u, u, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(part.v, v, rtol=1e-12, atol=1e-12)


def test_one_iteration_a_look_in_training_and_none_otherwise():
    layer = spectral(nn.Linear(40, 30))
    original(layer).data.normal_()
    part = layer.parametrizations.weight[0]
    calls = []
    iterate = part.iterate
    part.iterate = lambda matrix: (calls.append(1), iterate(matrix))
    x = torch.randn(2, 40)
    layer(x), layer(x)
    assert len(calls) == 2
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    assert len(calls) == 2


@pytest.mark.parametrize("name", ["conv", "up", "linear"])
def test_gradient_of_spectral_norm_is_the_papers(name):
    """Equation 12 of Miyato et al.: (G - <G, W / sigma> u v') / sigma, by autograd through W and u' W v alone."""
    layer = spectral(LAYERS[name]().double()).eval()
    part, w = layer.parametrizations.weight[0], original(layer)
    g = torch.randn_like(w)
    (found,) = torch.autograd.grad(layer.weight, w, g)
    rows = part.matrix(w.detach())
    sigma = part.u @ rows @ part.v
    lam = (g * w.detach()).sum() / sigma
    wanted = (part.matrix(g) - lam * torch.outer(part.u, part.v)) / sigma
    torch.testing.assert_close(part.matrix(found), wanted, rtol=1e-9, atol=1e-12)


def test_spectral_norm_is_float32_inside_autocast():
    layer = spectral(nn.Conv2d(16, 32, 3)).eval()
    outside = layer.weight
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.weight, outside)
        assert layer(torch.randn(2, 16, 8, 8)).dtype == torch.bfloat16


@pytest.mark.parametrize("products", [True, False])
def test_strided_layers_keep_their_fast_path(products, monkeypatch):
    monkeypatch.setattr(strided, "product_is_faster", lambda *a: products)
    used = []
    for function in (strided.Down, strided.Up):
        apply = function.apply
        monkeypatch.setattr(function, "apply", lambda *a, apply=apply: (used.append(1), apply(*a))[1])
    layers = [strided.DownConv(8, 16), strided.UpConv(16, 8), strided.ConvPool(8, 16), strided.UpsampleConv(16, 8)]
    for layer in layers:
        spectral(layer).eval()
    x, h = torch.randn(2, 8, 8, 8), torch.randn(2, 16, 4, 4)
    w = [layer.weight for layer in layers]
    torch.testing.assert_close(layers[0](x), F.conv2d(x, w[0], stride=2, padding=1))
    torch.testing.assert_close(layers[1](h), F.conv_transpose2d(h, w[1], stride=2, padding=1))
    torch.testing.assert_close(layers[2](x), F.avg_pool2d(F.conv2d(x, w[2], layers[2].bias, padding=1), 2))
    up = F.interpolate(h, scale_factor=2.0)
    torch.testing.assert_close(layers[3](h), F.conv2d(up, w[3], layers[3].bias, padding=1), rtol=1e-4, atol=1e-5)
    assert len(used) == 4 * products


@pytest.mark.parametrize("products", [True, False])
@pytest.mark.parametrize("kind", [strided.DownConv, strided.ConvPool, strided.UpsampleConv])
def test_strided_layers_with_spectral_norm_differentiate_twice(kind, products, monkeypatch):
    monkeypatch.setattr(strided, "product_is_faster", lambda *a: products)
    layer = spectral(kind(2, 2).double()).eval()
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    w = original(layer).detach().clone().requires_grad_()
    key = "parametrizations.weight.original"

    def function(x, w):
        return torch.func.functional_call(layer, {key: w}, (x,))

    assert torch.autograd.gradcheck(function, (x, w))
    assert torch.autograd.gradgradcheck(function, (x, w))


def test_two_looks_and_a_backward():
    """The second look's power iteration must not spoil the first look's gradient (real and fake images)."""
    layer = spectral(nn.Linear(8, 8))
    (layer(torch.randn(2, 8)).sum() + layer(torch.randn(2, 8)).sum()).backward()
    assert torch.isfinite(original(layer).grad).all()


def test_a_weight_of_zeros_stays_a_number():
    layer = nn.Linear(4, 4)
    nn.init.zeros_(layer.weight)
    assert torch.equal(spectral(layer)(torch.zeros(1, 4)), layer.bias[None])


def test_spectral_norm_survives_a_copy_and_a_restart():
    layer = spectral(nn.Linear(20, 10))
    original(layer).data.normal_()  # far from what the vectors know
    again, copied = spectral(nn.Linear(20, 10)), copy.deepcopy(layer)
    again.load_state_dict(layer.state_dict())
    for _ in range(3):
        used = layer.weight
        assert torch.equal(copied.weight, used)
        assert torch.equal(again.weight, used)
    original(copied).data.zero_()
    assert original(layer).abs().sum() > 0


def normalised(module):
    return {name for name, m in module.named_modules() if isinstance(m, SpectralNorm)}


def test_what_has_spectral_norm():
    critic = dcgan.Discriminator(resolution=16, channels=1, width=8, norm="spectral", join=True, classes=3)
    assert len(normalised(critic)) == 2 + 1  # two convolutions and the head, not the label's image
    assert not any(name.startswith("join") for name in normalised(critic))
    assert len(normalised(mlp.Discriminator(resolution=4, width=8, spectral=True))) == 3
    assert len(normalised(mlp.LeakyDiscriminator(resolution=4, width=8, spectral=True))) == 4
    player = resnet.Generator(resolution=16, width=8, classes=3, spectral=True)
    assert not any("gain" in name or "shift" in name for name in normalised(player))
    assert len(normalised(player)) == 1 + 2 * 3 + 1
    big = biggan.Generator(resolution=16, width=8, classes=3)
    assert sum("gain" in name or "shift" in name for name in normalised(big)) == 8  # maps of the embedding are maps
    assert not any(name.startswith("embed") for name in normalised(big))


# --- conditional batch norm -------------------------------------------------------------------------------


def plain_batch_norm(x, eps=1e-5):
    mean = x.mean((0, 2, 3), keepdim=True)
    return (x - mean) / ((x - mean).square().mean((0, 2, 3), keepdim=True) + eps).sqrt()


@pytest.mark.parametrize("kind", ["classes", "attributes", "vector"])
def test_conditional_batch_norm_is_its_equation(kind):
    layer = ConditionalBatchNorm2d(5, **{kind: 3}).double()
    for p in layer.parameters():
        nn.init.normal_(p)
    x = torch.randn(6, 5, 3, 4, dtype=torch.float64) * 2 + 3
    condition = torch.tensor([0, 2, 1, 1, 0, 2]) if kind == "classes" else torch.randn(6, 3).double()
    rows = F.one_hot(condition, 3).double() if kind == "classes" else condition
    maps = []
    for part in (layer.gain, layer.shift):
        matrix = part.weight if kind == "classes" else part.weight.t()
        maps.append(rows @ matrix + (part.bias if kind == "attributes" else 0))
    wanted = plain_batch_norm(x) * (1 + maps[0])[..., None, None] + maps[1][..., None, None]
    torch.testing.assert_close(layer(x, condition), wanted, rtol=1e-10, atol=1e-10)


def test_conditional_batch_norm_by_class_begins_as_batch_norm():
    x = torch.randn(6, 5, 3, 4)
    layer = ConditionalBatchNorm2d(5, classes=3)
    torch.testing.assert_close(layer(x, torch.arange(6) % 3), nn.BatchNorm2d(5)(x))
    assert layer.norm.eps == 1e-5
    assert [n for n, _ in ConditionalBatchNorm2d(5).named_parameters()] == ["norm.weight", "norm.bias"]


def test_conditional_batch_norm_samples_by_running_statistics():
    layer = ConditionalBatchNorm2d(5, classes=3)
    for _ in range(5):
        layer(torch.randn(8, 5, 4, 4) * 3 + 1, torch.zeros(8, dtype=torch.int64))
    layer.eval()
    x, label = torch.randn(4, 5, 2, 2), torch.tensor([0, 1, 2, 0])
    torch.testing.assert_close(layer(x, label)[1:2], layer(x[1:2], label[1:2]))


def test_conditional_batch_norm_over_processes(monkeypatch):
    monkeypatch.setattr(distributed.dist, "get_world_size", lambda: 1)
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda x: None)
    x, label = torch.randn(6, 5, 3, 4), torch.arange(6) % 3
    for layer in (ConditionalBatchNorm2d(5, classes=3), ConditionalBatchNorm2d(5)):
        together = distributed.synchronise_batch_norm(copy.deepcopy(layer))
        assert isinstance(together.norm, distributed.SyncBatchNorm2d)
        torch.testing.assert_close(together(x, label), layer(x, label))
        torch.testing.assert_close(together.norm.running_var, layer.norm.running_var)


# --- virtual batch norm -----------------------------------------------------------------------------------


def test_virtual_batch_norm_is_the_reference_plus_the_example():
    layer = VirtualBatchNorm2d(4, 5).double()
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = torch.randn(5 + 3, 4, 3, 2, dtype=torch.float64) * torch.linspace(0.1, 3, 8).double()[:, None, None, None] + 7
    found, reference = layer(x), x[:5]
    affine = [p.detach()[None, :, None, None] for p in (layer.weight, layer.bias)]
    for k in range(3):
        own = x[5 + k : 6 + k]
        together = torch.cat([reference, own])
        mean = together.mean((0, 2, 3), keepdim=True)
        variance = (together - mean).square().mean((0, 2, 3), keepdim=True)
        wanted = (own - mean) / (variance + 1e-5).sqrt() * affine[0] + affine[1]
        torch.testing.assert_close(found[5 + k : 6 + k], wanted, rtol=1e-9, atol=1e-9)
    wanted = plain_batch_norm(reference) * affine[0] + affine[1]
    torch.testing.assert_close(found[:5], wanted, rtol=1e-9, atol=1e-9)


def test_virtual_batch_norm_keeps_its_digits_far_from_zero():
    layer, x = VirtualBatchNorm2d(2, 4), torch.randn(7, 2, 5, 5)
    torch.testing.assert_close(layer(x + 1000), layer(x), rtol=0, atol=2e-3)


PLAYERS = {
    "g": lambda **o: dcgan_variants.Generator(resolution=16, channels=1, width=4, norm="virtual", reference=6, **o),
    "d": lambda **o: dcgan_variants.Discriminator(resolution=16, channels=1, width=4, norm="virtual", reference=6, **o),
}


def shown(net, n):
    return torch.randn(n, net.latent) if hasattr(net, "latent") else torch.randn(n, 1, 16, 16)


def verdict(net, *given):
    out = net(*given)
    return out if isinstance(out, torch.Tensor) else out.logits


@pytest.mark.parametrize("player", PLAYERS)
def test_the_reference_is_the_first_batch_of_training(player):
    net = PLAYERS[player]()
    net.eval()(shown(net, 8))
    assert not net.reference.chosen
    first = shown(net, 8)
    net.train()(first)
    assert torch.equal(net.reference.input, first[:6])
    net(shown(net, 8))
    assert torch.equal(net.reference.input, first[:6])
    other = PLAYERS[player]()
    other.load_state_dict(net.state_dict())
    x = shown(net, 5)
    assert torch.equal(verdict(other.train(), x), verdict(net.train(), x))
    assert torch.equal(other.reference.input, first[:6])
    blank = PLAYERS[player]().state_dict()  # back to before the first step
    other.load_state_dict(blank)
    other(x)
    assert torch.equal(other.reference.input[:5], x)
    assert torch.equal(other.reference.input[5], x[0])  # a small batch goes round


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("player", PLAYERS)
def test_nothing_depends_on_the_neighbours(player, training):
    net = PLAYERS[player]()
    net(shown(net, 6))
    net.train(training)
    x = shown(net, 5)
    together = verdict(net, x)
    assert len(together) == 5
    alone = torch.cat([verdict(net, row[None]) for row in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


def test_the_reference_follows_the_weights_and_the_labels():
    net = PLAYERS["g"](classes=3)
    z, label = torch.randn(6, 100), torch.tensor([2, 1, 0, 2, 1, 0])
    net(z, label)
    assert torch.equal(net.reference.label, label)
    before = net(z, label)
    loss = net(z[:1], label[:1]).square().sum()
    loss.backward()  # gradients pass through the reference batch too
    assert (net.join.embed.weight.grad.abs().sum(1) > 0).all()
    net.project.weight.data += 0.1
    assert not torch.equal(net(z, label), before)
    vectors = PLAYERS["d"](attributes=2, join=True)
    y = torch.randn(6, 2)
    vectors(torch.randn(6, 1, 16, 16), y)
    assert torch.equal(vectors.reference.label, y)


def test_a_compiled_network_chooses_its_reference_outside_the_graph(monkeypatch):
    choices = []
    choose = ReferenceBatch._choose

    def watched(self, *batch):
        choices.append(torch.compiler.is_compiling())
        choose(self, *batch)

    plain = dcgan_variants.Generator(resolution=8, width=4, norm="virtual", reference=4)
    compiled = copy.deepcopy(plain)
    monkeypatch.setattr(ReferenceBatch, "_choose", watched)
    compiled.compile(backend="eager")
    z = torch.randn(6, 100)
    for _ in range(2):
        assert torch.equal(compiled(z), plain(z))
    assert choices == [False, False]  # once by either network


def test_processes_agree_on_the_reference(monkeypatch):
    """Each has its part of the batch; all take the first rows of the whole."""
    parts = [torch.arange(3.0)[:, None], torch.arange(3.0, 6.0)[:, None]]

    def gather(out, mine):
        for place, part in zip(out, parts):
            place.copy_(part)

    for name, value in {"is_initialized": lambda: True, "get_world_size": lambda: 2, "all_gather": gather}.items():
        monkeypatch.setattr(virtual_norm.dist, name, value)
    reference = ReferenceBatch(4, (1,))
    reference(parts[1], None)
    assert reference.input.flatten().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("norm", ["layer", "spectral", "none"])
def test_norms_without_a_batch_judge_each_image_alone(norm):
    net = dcgan.Discriminator(resolution=16, channels=1, width=8, norm=norm, init="kaiming").eval()
    x = torch.randn(4, 1, 16, 16)
    torch.testing.assert_close(net(x).logits[2:3], net(x[2:3]).logits)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())


def test_layer_norm_is_over_a_whole_image():
    net = dcgan.Discriminator(resolution=32, channels=1, width=8, norm="layer")
    layer = net.body[3]
    x = torch.randn(3, 16, 5, 5) * 4 + 2
    centred = x - x.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(layer(x), centred / (centred.square().mean((1, 2, 3), keepdim=True) + 1e-5).sqrt())
