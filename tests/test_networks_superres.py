"""Networks of super-resolution: published counts, the published computation, every scale, how weights begin."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import published
from ganvas import catalog
from ganvas.errors import UsageError
from ganvas.game import Match, Progress
from ganvas.losses.gradient_penalties import R1
from ganvas.networks import superres_base as enlarge
from ganvas.networks import superres_discriminators as critics
from ganvas.networks.compact import Compact
from ganvas.networks.realplksr import RealPLKSR
from ganvas.networks.rrdb import RRDBNet
from ganvas.networks.span import SPAN, Conv3XC
from ganvas.networks.srresnet import MSRResNet, SRResNet
from ganvas.networks.superres_discriminators import UNetDiscriminator, VGGDiscriminator

WIDE = torch.float64
GENERATORS = {
    "srresnet": {"width": 8, "blocks": 2},
    "msrresnet": {"width": 8, "blocks": 2},
    "rrdb": {"width": 8, "growth": 4, "blocks": 1},
    "compact": {"width": 8, "convolutions": 2},
    "span": {"width": 8},
    "realplksr": {"width": 8, "blocks": 1, "kernel": 5},
}


def count(module):
    return sum(p.numel() for p in module.parameters())


def filled(network, seed=0):
    """A network in float64 with weights as after some training, none of them zero."""
    source = torch.Generator().manual_seed(seed)
    for p in network.parameters():
        p.data = torch.randn(p.shape, generator=source, dtype=WIDE) * 0.15
    return network.double().eval()


def random_image(channels=3, height=6, width=9, n=2):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(1), dtype=WIDE)


def agree(network, expected, x):
    """The network, asked in [-1, 1], says what the published computation says in [0, 1]."""
    torch.testing.assert_close(network(2 * x - 1), 2 * expected - 1, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("network", "options", "parameters"),
    [
        (RRDBNet, {}, 16_697_987),
        (RRDBNet, {"scale": 2}, 16_703_171),  # Real-ESRGAN x2plus: the first convolution reads 12 channels
        (RRDBNet, {"blocks": 6}, 4_467_779),  # x4plus_anime_6B
        (MSRResNet, {}, 1_517_571),
        (MSRResNet, {"scale": 2}, 1_369_859),
        (MSRResNet, {"scale": 3}, 1_554_499),
        (Compact, {}, 621_424),
        (Compact, {"convolutions": 32}, 1_213_296),  # realesr-general-x4v3
        (RealPLKSR, {}, 7_389_680),
        (RealPLKSR, {"scale": 2}, 7_368_908),
        (SRResNet, {}, 1_547_350),  # counted from figure 4: 9x9 ends, 16 blocks, one slope a PReLU
        (UNetDiscriminator, {}, 4_376_897),
        (VGGDiscriminator, {"resolution": 96}, 23_563_649),  # counted from figure 4
        (VGGDiscriminator, {"resolution": 128, "kernel": 4, "hidden": 100}, 14_499_401),  # ESRGAN's
    ],
)
def test_published_counts(network, options, parameters):
    with torch.device("meta"):
        assert count(network(**options) if network is not UNetDiscriminator else plain_unet()) == parameters


def plain_unet():
    """Without the power iterations that spectral norm begins with, which a meta device cannot do."""
    kept, critics.spectral = critics.spectral, lambda module: module
    try:
        return UNetDiscriminator()
    finally:
        critics.spectral = kept


@pytest.mark.parametrize(("width", "scale", "merged"), [(48, 4, 426_288), (52, 4, 498_208), (48, 2, 410_700)])
def test_span_has_the_published_count_once_its_branches_are_merged(width, scale, merged):
    network = SPAN(width=width, scale=scale)
    numbers = sum(v.numel() for k, v in network.state_dict().items() if "sk." not in k and ".conv." not in k)
    assert numbers == merged + network.no_norm.numel()


@pytest.mark.parametrize("norm", [False, True])
def test_span_is_the_published_network(norm):
    network, x = filled(SPAN(width=8, norm=norm)), random_image()
    agree(network, published.span(network.state_dict(), x, norm=norm), x)


def test_the_branches_of_span_are_trained_and_written_merged():
    """Gradients reach every branch as through the branches themselves; `eval_conv` follows them when it is saved."""
    conv = Conv3XC(3, 4).double()
    x = random_image()
    state = {f"c.{k}": v for k, v in conv.named_parameters()}
    ours = torch.autograd.grad(conv(x).square().sum(), list(state.values()))
    theirs = torch.autograd.grad(published.span_branches(state, "c", x).square().sum(), list(state.values()))
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        conv.sk.bias += 1
    saved = conv.state_dict()
    y = F.conv2d(x, saved["eval_conv.weight"], saved["eval_conv.bias"], padding=1)
    torch.testing.assert_close(y, conv(x))


def test_realplksr_is_the_published_network():
    network, x = filled(RealPLKSR(width=8, blocks=2, kernel=5)), random_image()
    agree(network, published.realplksr(network.state_dict(), x), x)


@pytest.mark.parametrize("options", [{"kernel": 4}, {"part": 100}, {"groups": 3}])
def test_realplksr_refuses_what_it_cannot_be(options):
    with pytest.raises(UsageError, match="kernel is odd"):
        RealPLKSR(**options)


def test_spans_mean_colour_is_that_of_rgb():
    with pytest.raises(UsageError, match="these images have 1"):
        SPAN(channels=1, norm=True)


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("scale", enlarge.SCALES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_scale_size_and_channels(name, scale, channels):
    network = catalog.NETWORKS[name](scale=scale, channels=channels, **GENERATORS[name]).eval()
    assert network.scale == scale
    for height, width in ((5, 7), (1, 1), (1, 6), (8, 4)):
        assert network(torch.zeros(2, channels, height, width)).shape == (2, channels, scale * height, scale * width)


@pytest.mark.parametrize("name", GENERATORS)
def test_an_unknown_scale_is_a_sentence(name):
    with pytest.raises(UsageError, match="1, 2, 3, 4 or 8 times, not 5"):
        catalog.NETWORKS[name](scale=5)


FOLDS = [(4, 1, 2), (2, 2, 2), (1, 4, 2), (2, 1, 1), (8, 1, 3), (1, 1, 0)]


@pytest.mark.parametrize(("scale", "unshuffle", "ups"), FOLDS)
def test_rrdb_is_the_published_network(scale, unshuffle, ups):
    network = filled(RRDBNet(scale=scale, unshuffle=unshuffle, width=8, growth=4, blocks=2))
    x = random_image(height=8, width=12)
    expected = published.esrgan(network.state_dict(), x, "new", ups=ups, unshuffle=unshuffle)
    assert expected.shape[2:] == (8 * scale, 12 * scale)
    agree(network, expected, x)


def test_rrdb_folds_by_default_what_real_esrgan_folds():
    assert [RRDBNet(scale=s, width=4, growth=2, blocks=1).multiple for s in enlarge.SCALES] == [4, 2, 1, 1, 1]
    for scale, unshuffle in ((3, 2), (4, 3), (2, 0)):
        with pytest.raises(UsageError, match="folds squares"):
            RRDBNet(scale=scale, unshuffle=unshuffle)


def test_three_times_is_one_step():
    network, x = filled(RRDBNet(scale=3, width=8, growth=4, blocks=2)), random_image()
    agree(network, published.esrgan(network.state_dict(), x, "new", ups=1, step=3), x)


def test_a_size_that_does_not_fold_is_mirrored_and_cropped():
    network, x = filled(RRDBNet(scale=2, width=8, growth=4, blocks=1)), random_image(height=5, width=7)
    mirrored = torch.cat([x, x[:, :, 3:4]], 2)
    mirrored = torch.cat([mirrored, mirrored[..., 5:6]], 3)
    expected = published.esrgan(network.state_dict(), mirrored, "new", blocks=1, unshuffle=2)
    agree(network, expected[..., :10, :14], x)


@pytest.mark.parametrize("scale", enlarge.SCALES)
@pytest.mark.parametrize("channels", [1, 3])
def test_msrresnet_is_the_published_network(scale, channels):
    network, x = filled(MSRResNet(scale=scale, channels=channels, width=8, blocks=2)), random_image(channels)
    agree(network, published.msrresnet(network.state_dict(), x, "basicsr", scale=scale), x)


@pytest.mark.parametrize("activation", ["prelu", "relu", "leakyrelu"])
@pytest.mark.parametrize("scale", enlarge.SCALES)
def test_compact_is_the_published_network(activation, scale):
    network, x = filled(Compact(scale=scale, width=8, convolutions=3, activation=activation)), random_image()
    agree(network, published.compact(network.state_dict(), x, scale=scale, activation=activation), x)


@pytest.mark.parametrize("scale", enlarge.SCALES)
def test_srresnet_is_the_papers(scale):
    """Figure 4, with [0, 1] read and [-1, 1] written (section 3.2)."""
    network, x = filled(SRResNet(scale=scale, width=4, blocks=2)), random_image()
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    s = network.state_dict()

    def norm(h, name):
        mean, variance = s[f"{name}.running_mean"], s[f"{name}.running_var"]
        factor = s[f"{name}.weight"] / torch.sqrt(variance + 1e-5)
        return h * factor.view(1, -1, 1, 1) + (s[f"{name}.bias"] - mean * factor).view(1, -1, 1, 1)

    def prelu(h, name):
        assert s[f"{name}.weight"].shape == (1,)
        return torch.where(h > 0, h, s[f"{name}.weight"] * h)

    def conv(h, name):
        weight = s[f"{name}.weight"]
        return F.conv2d(h, weight, s.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    first = h = prelu(conv(x, "first.0"), "first.1")
    for i in range(2):
        y = norm(conv(h, f"body.{i}.conv1"), f"body.{i}.norm1")
        h = h + norm(conv(prelu(y, f"body.{i}.act"), f"body.{i}.conv2"), f"body.{i}.norm2")
    h = first + norm(conv(h, "after.0"), "after.1")
    for u, r in enumerate(published.STEPS[scale]):
        h = prelu(published.shuffled(conv(h, f"larger.{3 * u}"), r), f"larger.{3 * u + 2}")
    assert s["first.0.weight"].shape[-1] == s["last.weight"].shape[-1] == 9
    torch.testing.assert_close(network(2 * x - 1), conv(h, "last"), rtol=1e-9, atol=1e-9)


def test_residues_begin_at_a_tenth_of_kaiming():
    torch.manual_seed(0)
    dense = RRDBNet(width=32, growth=16, blocks=1).body[0].rdb2
    for k in range(1, 6):
        layer = dense.get_submodule(f"conv{k}")
        assert layer.weight.std().item() == pytest.approx(0.1 * math.sqrt(2 / (layer.in_channels * 9)), rel=0.05)
        assert not layer.bias.any()
    first = RRDBNet(width=32, growth=16, blocks=1).conv_first  # PyTorch's own, as in BasicSR
    assert first.weight.std().item() == pytest.approx(1 / math.sqrt(3 * 27), rel=0.1)
    assert first.bias.any()
    for layer in (m for m in MSRResNet(width=32, blocks=2, scale=8).modules() if isinstance(m, nn.Conv2d)):
        assert layer.weight.std().item() == pytest.approx(0.1 * math.sqrt(2 / (layer.in_channels * 9)), rel=0.1)
        assert not layer.bias.any()


@pytest.mark.parametrize("name", ["rrdb", "msrresnet"])
def test_what_enlarges_begins_near_the_plain_image(name):
    """Small residues: MSRResNet begins as a bilinear enlargement; an untrained RRDB stays bounded."""
    torch.manual_seed(0)
    network, x = catalog.NETWORKS[name](width=16, blocks=2), torch.rand(1, 3, 12, 12) * 2 - 1
    y = network(x)
    plain = F.interpolate(x, scale_factor=4, mode="bilinear")
    assert (y - plain).abs().max() < (0.1 if name == "msrresnet" else 3)


@pytest.mark.parametrize("name", GENERATORS)
def test_training_reaches_every_weight_and_bf16_comes_out_float32(name):
    network = catalog.NETWORKS[name](scale=2, **GENERATORS[name])
    with torch.autocast("cpu", torch.bfloat16):
        y = network(torch.rand(2, 3, 6, 6) * 2 - 1)
    assert y.dtype == torch.float32
    y.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


# --- discriminators ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(8, 8), (96, 96), (33, 20), (17, 100), (128, 128)])
@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
def test_vgg_discriminators_take_any_crop(size, kernel, norm):
    d = VGGDiscriminator(resolution=size, width=2, max_width=8, kernel=kernel, hidden=5, norm=norm)
    scores = d(torch.randn(2, 3, *size))
    assert scores.logits.shape == (2, 1)
    assert scores.features[-1].shape == (2, 5)
    convolutions = [m for m in d.body if isinstance(m, nn.Conv2d)]
    assert [m.stride[0] for m in convolutions] == [1, 2] * (len(convolutions) // 2)
    assert len(d.stages()) == len(convolutions)
    scores.logits.sum().backward()
    with pytest.raises(UsageError, match="at least 8x8 pixels, these are 7x9"):
        VGGDiscriminator(resolution=(9, 7))


def test_the_vgg_discriminator_is_srgans():
    """Figure 4: eight convolutions of 64 to 512 channels, norms after all but the first, LeakyReLU 0.2, 1024 units."""
    d = VGGDiscriminator(resolution=96)
    convolutions = [m for m in d.body if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert not isinstance(d.body[1], nn.BatchNorm2d)
    assert {type(m) for m in d.body[2:5]} == {nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU}
    assert {m.negative_slope for m in d.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}
    x = torch.randn(2, 3, 96, 96)
    h, k = x, 0
    d.eval()
    for layer in convolutions:
        h = F.conv2d(h, layer.weight, layer.bias, stride=1 if k % 2 == 0 else 2, padding=1)
        if k:
            norm = d.body[3 * k]
            h = F.batch_norm(h, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        h, k = published.leaky(h), k + 1
    h = published.leaky(F.linear(h.flatten(1), d.hidden[0].weight, d.hidden[0].bias))
    torch.testing.assert_close(d(x).logits, h @ d.head.score.weight.t() + d.head.score.bias, rtol=1e-4, atol=1e-5)


def test_the_unet_discriminator_is_real_esrgans():
    d = UNetDiscriminator(width=4).double().eval()
    x = torch.randn(2, 3, 16, 24, dtype=WIDE)

    def normed(layer):
        raw = layer.parametrizations.weight.original
        return raw / torch.linalg.matrix_norm(raw.flatten(1), 2)

    def double(h):
        return F.interpolate(h, scale_factor=2, mode="bilinear", align_corners=False)

    x0 = published.leaky(F.conv2d(x, d.conv0.weight, d.conv0.bias, padding=1))
    x1 = published.leaky(F.conv2d(x0, normed(d.down[0]), stride=2, padding=1))
    x2 = published.leaky(F.conv2d(x1, normed(d.down[1]), stride=2, padding=1))
    x3 = published.leaky(F.conv2d(x2, normed(d.down[2]), stride=2, padding=1))
    h = published.leaky(F.conv2d(double(x3), normed(d.up[0]), padding=1)) + x2
    h = published.leaky(F.conv2d(double(h), normed(d.up[1]), padding=1)) + x1
    h = published.leaky(F.conv2d(double(h), normed(d.up[2]), padding=1)) + x0
    for layer in d.after:
        h = published.leaky(F.conv2d(h, normed(layer), padding=1))
    expected = F.conv2d(h, d.conv9.weight, d.conv9.bias, padding=1)
    scores = d(x)
    torch.testing.assert_close(scores.logits, expected, rtol=1e-4, atol=1e-5)  # the largest singular value, iterated
    assert scores.features[-1].shape == (2, 32)


@pytest.mark.parametrize("size", [(8, 8), (9, 15), (21, 33), (64, 8)])
def test_unet_verdicts_have_the_images_size(size):
    d = UNetDiscriminator(width=2, channels=1)
    assert d(torch.randn(2, 1, *size)).logits.shape == (2, 1, *size)
    with pytest.raises(UsageError, match="at least 8x8 pixels, these are 7x20"):
        d(torch.randn(1, 1, 20, 7))


def test_skips_can_be_left_out():
    d = UNetDiscriminator(width=2, skip=False).eval()
    x = torch.randn(1, 3, 16, 16)
    before = d(x).logits
    d.skip = True
    assert (d(x).logits - before).abs().max() > 1e-4


@pytest.mark.parametrize("network", [VGGDiscriminator, UNetDiscriminator])
def test_both_can_be_differentiated_twice(network):
    facts = {"resolution": 16} if network is VGGDiscriminator else {}
    d = network(width=4, **facts)
    real = torch.randn(3, 3, 16, 16)
    scores = d(real)
    value = R1()(Match(real, real, scores, scores, lambda x, y=None: d(x)), Progress())
    value.backward()
    assert value > 0
    assert all(torch.isfinite(p.grad).all() for p in d.parameters() if p.grad is not None)


def test_a_residual_unet_begins_as_the_image_and_has_the_weights_of_its_layers():
    """By hand for widths 8 and 16: convolutions of 3x3 and 2x2 with bias, one block down, one at the bottom, one up."""
    network, x = catalog.NETWORKS["residual_unet"](widths=[8, 16], blocks=1), torch.rand(2, 3, 13, 22) * 2 - 1
    assert torch.equal(network(x), x)
    first, block, bottom, last = 12 * 8 * 9 + 8, 2 * (8 * 8 * 9 + 8), 2 * (16 * 16 * 9 + 16), 8 * 12 * 9 + 12
    assert count(network) == first + 2 * block + bottom + (8 * 16 * 4 + 16) + (16 * 8 * 4 + 8) + last
    chroma = catalog.NETWORKS["residual_unet"](widths=[8], blocks=1, channels=2, source_channels=1)
    assert (chroma(x[:, :1]) == 0).all()
    filled(network)
    wide = (torch.rand(1, 3, 96, 96) * 2 - 1).to(next(network.parameters()).dtype)
    moved = network(torch.roll(wide, (4, 4), (2, 3)))
    assert torch.allclose(moved[..., 44:56, 44:56], network(wide)[..., 40:52, 40:52], atol=1e-5)
