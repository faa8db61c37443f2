"""FastGAN's and Projected GAN's networks against the authors' counts and the papers' equations."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import conv2d, interpolate

from ganvas.errors import UsageError
from ganvas.features import extractor
from ganvas.networks import fastgan as fast
from ganvas.networks import map_logits
from ganvas.networks import projected as through
from ganvas.recipes import few_images as recipes

PROJECTED = {"width": 128, "convolutions": "double", "tanh": False}


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("network", "options", "published"),
    [  # of the authors' code; FastGAN's generator without its second output: 3 x 64 weights
        (fast.Generator, {"resolution": 256}, 29_127_846 - 192),
        (fast.Generator, {"resolution": 1024}, 29_176_512 - 192),
        (fast.Discriminator, {"resolution": 256}, 11_526_160),
        (fast.Discriminator, {"resolution": 512}, 11_526_496),
        (fast.Discriminator, {"resolution": 1024}, 11_528_192),
        (fast.Generator, {"resolution": 256, **PROJECTED}, 105_684_175),
        (fast.Generator, {"resolution": 1024, **PROJECTED}, 105_884_483),
        (fast.Generator, {"resolution": 256, **PROJECTED, "convolutions": "single"}, 79_354_307),
        # without the biases of scales and shifts; the authors' blocks share one strength of noise
        (fast.Generator, {"resolution": 256, **PROJECTED, "classes": 1000}, 110_527_689 - 17_920 + 6),
        (through.Discriminator, {"resolution": 64}, 10_331_328),
        (through.Discriminator, {"resolution": 64, "classes": 1000}, 12_940_736),
    ],
)
def test_parameter_counts_are_the_authors(network, options, published, monkeypatch):
    for module in (fast, through, map_logits):  # spectral norm adds no parameters, and needs numbers
        monkeypatch.setattr(module, "spectral", lambda layer: layer)
    with torch.device("meta"):
        assert count(network(**options)) == published


@pytest.mark.parametrize("size", [(8, 8), (26, 32), (64, 64)])
@pytest.mark.parametrize("channels", [1, 4])
def test_sizes_and_channels(size, channels):
    facts = {"resolution": size, "channels": channels, "classes": 3, "width": 2}
    label, z = torch.tensor([0, 2]), torch.randn(2, 4)
    image = fast.Generator(latent=4, **facts)(z, label)
    assert image.shape == (2, channels, *size)
    for net in (fast.Discriminator(**facts), through.Discriminator(max_width=4, **facts)):
        scores = net(image, label)
        assert scores.logits.shape[:2] == (2, 1)
        assert scores.features[-1].shape[0] == 2
        assert scores.features[-1].ndim == 2
        (gradient,) = torch.autograd.grad(scores.logits.sum(), image, retain_graph=True)
        assert gradient.abs().sum() > 0
    with pytest.raises(UsageError, match="at least 8x8"):
        fast.Generator(resolution=4)


def test_excitation_is_its_equation():
    """y = F(x_low, W) x_high: pooling to 4x4, 4x4 convolution, swish, 1x1 convolution, sigmoid (eq. 1)."""
    layer = fast.Excitation(3, 5).double().eval()
    small, large = torch.randn(2, 3, 8, 8).double(), torch.randn(2, 5, 16, 16).double()
    pooled = small.view(2, 3, 4, 2, 4, 2).mean((3, 5))
    h = torch.einsum("ncij,ocij->no", pooled, layer.first.weight)
    weights = torch.sigmoid((h * torch.sigmoid(h)) @ layer.second.weight[:, :, 0, 0].t())
    torch.testing.assert_close(layer(small, large), large * weights[:, :, None, None], rtol=1e-6, atol=1e-6)
    assert list(fast.Generator(resolution=1024, width=8).excitations) == ["4", "5", "6", "7"]  # 64 to 512 pixels


def test_gate_is_a_gated_linear_unit_of_channels():
    x = torch.randn(2, 6, 3, 4)
    torch.testing.assert_close(fast.gate(x), x[:, :3] * torch.sigmoid(x[:, 3:]))


def test_quarters_of_images_and_maps_agree():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    corners = [fast.quadrant(x, k)[0, 0, 0, 0].item() for k in range(4)]
    assert corners == [0, 2, 8, 10]
    assert fast.quadrant(torch.zeros(1, 2, 7, 5), 3).shape == (1, 2, 3, 2)


def test_reconstruction_is_the_error_of_what_was_decoded():
    """The augmented image, its half and a quarter of it, from real images alone; it trains D's body and decoders."""
    net, x = fast.Discriminator(resolution=32, width=2).eval(), torch.rand(2, 3, 32, 32) * 2 - 1
    scores = net(x)
    assert net.own_terms(scores) == {}  # without the images that D saw
    scores = scores._replace(input=x)
    torch.manual_seed(3)
    which = int(torch.randint(4, ()))
    torch.manual_seed(3)
    term = net.own_terms(scores)["reconstruction"]
    half, middle, last, _ = scores.features
    small = fast.quadrant(x, which)
    pairs = [
        (net.decoders["whole"](last), x),
        (net.decoders["halved"](half), x),
        (net.decoders["quarter"](fast.quadrant(middle, which)), interpolate(small, (32, 32), mode="bilinear")),
    ]
    expected = sum((decoded - target).abs().mean() for decoded, target in pairs)
    assert term.item() == pytest.approx(expected.item(), rel=1e-5)
    term.backward()
    for part in (net.stem, net.downs, net.small, net.decoders):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters() if p.ndim > 1)
    assert all(p.grad is None for p in net.logits.parameters())
    assert not fast.Discriminator(resolution=32, width=2, reconstruction=0.0).own_terms(scores)


def test_projections_mix_from_the_smallest_map_up():
    net = through.RandomProjections([3, 4, 5, 6], 2).double()
    maps = [torch.randn(2, c, side, side).double() for c, side in zip((3, 4, 5, 6), (16, 8, 4, 2))]
    found = net(maps)
    assert [tuple(m.shape[1:]) for m in found] == [(2, 32, 32), (2, 16, 16), (4, 8, 8), (8, 4, 4)]
    below = None
    for k in (3, 2, 1, 0):
        h = torch.einsum("nchw,oc->nohw", maps[k], net.mix[k].weight[:, :, 0, 0])
        h = h if below is None else h + below
        h = interpolate(h, scale_factor=2, mode="bilinear", align_corners=True)
        below = conv2d(h, net.fuse[k].weight, padding=1)
        torch.testing.assert_close(found[k], below)


def test_fixed_networks_are_neither_trained_nor_saved_twice():
    net = through.Discriminator(resolution=16, width=4, max_width=8)
    net(torch.zeros(2, 3, 16, 16))
    names = set(net.state_dict())
    assert not any(key.startswith(("hidden", "stem", "stages", "fc")) for key in names)
    assert {key for key in names if key.startswith("project.")} == {
        f"project.{part}.{k}.weight" for part in ("mix", "fuse") for k in range(4)
    }
    assert not any(name.startswith("project") for name, _ in net.named_parameters())
    assert not any(p.requires_grad for p in net.hidden[0].parameters())
    assert net.train().hidden[0].training is False
    other = through.Discriminator(resolution=16, width=4, max_width=8)
    other.load_state_dict(net.state_dict())
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(other.eval()(x).logits, net.eval()(x).logits)


def test_loading_the_feature_network_draws_no_random_numbers():
    net, x = through.Discriminator(resolution=16, width=4, max_width=8), torch.zeros(2, 3, 16, 16)
    state = torch.get_rng_state()
    net(x)
    assert torch.equal(state, torch.get_rng_state())


def test_maps_are_those_of_the_network():
    """Their channels and strides by the table, for every network, and in the order of their names."""
    builders = {"pocket": extractor.Pocket, "inception": extractor.Inception}
    for name, table in through.MAPS.items():
        with torch.device("meta"):
            network = builders[name]() if name in builders else extractor.VGG(name)
        side = {"inception": 299}.get(name, 64)
        maps = network.maps(torch.zeros(1, 3, side, side, device="meta"), list(table))
        assert [m.shape[1] for m in maps.values()] == [channels for channels, _ in table.values()]
        for m, (_, stride) in zip(maps.values(), table.values()):
            assert abs(m.shape[2] - side / stride) <= 2.5


def test_a_missing_feature_network_is_a_sentence(monkeypatch, tmp_path):
    """The first images ask for it; a model that was trained through it needs it no more."""
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    recipe = recipes.projected()
    recipe.set("discriminator.network", "vgg16")
    recipe.set("discriminator.width", "2")
    recipe.set("discriminator.max_width", "4")
    recipe.set("generator.width", "2")
    task = recipe.task.build(resolution=(16, 16), channels=3)
    with pytest.raises(UsageError, match="vgg16"):
        task.discriminator.net(torch.zeros(1, 3, 16, 16))
    assert copy.deepcopy(task).generator(torch.zeros(1, 256)).shape == (1, 3, 16, 16)
