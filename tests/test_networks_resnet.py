"""Residual networks, BigGAN, attention, heads that compare a batch: sizes, counts, each against its definition."""

from __future__ import annotations

import math
from itertools import cycle

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.networks import biggan, dcgan, resnet
from ganvas.networks.attention import SelfAttention
from ganvas.networks.heads import AuxiliaryClassifier, Plain, Projection
from ganvas.networks.label_inputs import JoinImage
from ganvas.networks.minibatch_heads import MinibatchDiscrimination, MinibatchStddev
from ganvas.networks.norms import ConditionalBatchNorm2d

SIZES = [(8, 8), (28, 28), (32, 32), (48, 64), (9, 31), (8, 100), (65, 33)]
FAMILIES = {"resnet": resnet, "biggan": biggan}


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("resolution", "channels"), zip(SIZES, cycle([1, 3, 4])))
@pytest.mark.parametrize("family", FAMILIES)
def test_any_size_and_channels(family, resolution, channels):
    options = {"resolution": resolution, "channels": channels, "classes": 3, "width": 8, "attention": 8}
    generator = FAMILIES[family].Generator(**options)
    discriminator = FAMILIES[family].Discriminator(**options, head=Spec(Projection))
    label = torch.tensor([0, 1, 2])
    image = generator(torch.randn(3, generator.latent), label)
    assert image.shape == (3, channels, *resolution)
    assert image.abs().max() <= 1
    scores = discriminator(image, label)
    assert scores.logits.shape == (3, 1)
    assert scores.features[-1].shape == (3, 8)


@pytest.mark.parametrize("facts", [{}, {"classes": 3}, {"attributes": 2}])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_generator_hears_the_label(family, facts):
    generator = FAMILIES[family].Generator(resolution=16, channels=1, width=8, **facts)
    label, other = {"classes": (torch.tensor([0, 1]), torch.tensor([2, 1]))}.get(
        next(iter(facts), ""), (torch.randn(2, 2), torch.randn(2, 2))
    )
    for p in generator.parameters():
        p.data += 0.1 * torch.randn_like(p)  # tables of labels begin at zero
    generator.eval()
    z = torch.randn(2, generator.latent)
    difference = (generator(z, label) - generator(z, other)).abs().amax((1, 2, 3))
    assert (difference > 0).tolist() == [bool(facts), "attributes" in facts]


@pytest.mark.parametrize("kind", ["classes", "attributes"])
def test_a_vector_begins_as_loud_as_a_class(kind):
    """Whatever initialises the layers: what the critic sees beside the image is as bright, and norms begin without."""
    torch.manual_seed(0)
    label = torch.arange(64) if kind == "classes" else torch.randn(64, 64)
    critic = dcgan.Discriminator(resolution=(16, 16), width=4, join=True, **{kind: 64})
    (joined,) = (m for m in critic.modules() if isinstance(m, JoinImage))
    assert joined.embed(label).std().item() == pytest.approx(1, rel=0.2)
    maps = resnet.Generator(resolution=16, channels=1, width=8, **{kind: 64})
    tables = [t for m in maps.modules() if isinstance(m, ConditionalBatchNorm2d) for t in m.tables]
    assert tables
    assert not any(t.weight.any() for t in tables)


@pytest.mark.parametrize("network", [resnet.Generator, resnet.Discriminator, biggan.Generator, biggan.Discriminator])
@pytest.mark.parametrize("resolution", [(7, 7), (7, 64), (1, 1)])
def test_too_small_is_a_sentence(network, resolution):
    with pytest.raises(UsageError, match="at least 8x8"):
        network(resolution=resolution)


# --- counts, from the papers' tables ----------------------------------------------------------------------


def conv(inputs, outputs, side=3):
    return inputs * outputs * side**2 + outputs


def linear(inputs, outputs):
    return inputs * outputs + outputs


def g_table(width, latent=128):
    """z - dense 4x4 - three ResBlocks up - BN, ReLU, 3x3 conv 3; a block: BN conv BN conv and a 1x1 shortcut."""
    block = 2 * (2 * width + conv(width, width)) + conv(width, width, 1)
    return linear(latent, 16 * width) + 3 * block + 2 * width + conv(width, 3)


def d_table(width):
    """Two ResBlocks down with a 1x1 shortcut each, two that keep the size with none, ReLU, pooling, dense 1."""
    first = conv(3, width) + conv(width, width) + conv(3, width, 1)
    return first + 6 * conv(width, width) + conv(width, width, 1) + linear(width, 1)


def test_counts_are_the_published_ones():
    assert count(resnet.Generator(resolution=32)) == g_table(256) == 4_276_739  # SNGAN, CIFAR-10
    assert count(resnet.Discriminator(resolution=32)) == d_table(128) == 1_053_825
    assert count(resnet.Generator(resolution=32, width=128)) == g_table(128)  # WGAN-GP, CIFAR-10
    assert count(resnet.Discriminator(resolution=32, spectral=False)) == d_table(128)
    assert count(biggan.Discriminator(resolution=32)) == d_table(256)
    conditional = g_table(256) + 3 * 2 * (10 * 2 * 256 - 2 * 256)  # tables for 10 classes instead of scale and shift
    assert count(resnet.Generator(resolution=32, classes=10)) == conditional


def test_biggan_counts():
    """Shared embedding 10 x 128; noise in four parts of 32; gain and shift from 128 + 32, without bias."""
    wanted = g_table(256, latent=32) + 10 * 128 + 3 * 2 * (2 * 160 * 256 - 2 * 256)
    assert count(biggan.Generator(resolution=32, classes=10)) == wanted


def test_larger_images_are_the_imagenet_networks():
    """SNGAN's table for 128x128: 1024, 512, 256, 128, 64 up from 4x4x1024, and the same down and once more."""
    with torch.device("meta"):
        generator = resnet.Generator(resolution=128, width=64, growth=16)
        discriminator = resnet.Discriminator(
            resolution=128, width=64, growth=16, smallest=4, flat=1, spectral=False, init="normal"
        )
    assert generator.body.project.out_features == 4 * 4 * 1024
    assert [b.conv2.out_channels for b in generator.body.blocks] == [1024, 512, 256, 128, 64]
    assert [b.conv2.out_channels for b in discriminator.body] == [64, 128, 256, 512, 1024, 1024]
    assert [b.down for b in discriminator.body] == [True] * 5 + [False]


# --- the published layers, one by one ---------------------------------------------------------------------


def norm(layer, x):
    mean = x.mean((0, 2, 3), keepdim=True)
    x = (x - mean) / ((x - mean).square().mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()
    return x * layer.weight[:, None, None] + layer.bias[:, None, None]


def test_generator_is_the_published_network():
    """Upsample, then convolve, in the block and in its shortcut, as Gulrajani et al. and Miyato et al. write it."""
    net = resnet.Generator(resolution=32, width=8).double()
    for p in net.parameters():
        p.data += 0.05 * torch.randn_like(p)
    z = torch.randn(3, 128, dtype=torch.float64)
    h = net.body.project(z).view(3, 4, 4, 8).permute(0, 3, 1, 2)
    for block in net.body.blocks:
        up = F.interpolate(F.relu(norm(block.norm1.norm, h)), scale_factor=2)
        a = F.conv2d(up, block.conv1.weight, block.conv1.bias, padding=1)
        a = F.conv2d(F.relu(norm(block.norm2.norm, a)), block.conv2.weight, block.conv2.bias, padding=1)
        h = a + F.conv2d(F.interpolate(h, scale_factor=2), block.skip.weight, block.skip.bias)
    image = F.conv2d(F.relu(norm(net.body.norm, h)), net.body.out.weight, net.body.out.bias, padding=1)
    torch.testing.assert_close(net(z), image.tanh(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pooling", ["sum", "mean"])
@pytest.mark.parametrize("resolution", [(32, 32), (19, 35)])
def test_discriminator_is_the_published_network(pooling, resolution):
    """Convolve, then pool; the first block has no rectifier in front and pools its shortcut before the convolution."""
    net = resnet.Discriminator(resolution=resolution, width=8, pooling=pooling, spectral=False).double()
    for p in net.parameters():
        p.data += 0.05 * torch.randn_like(p)
    h = x = torch.randn(3, 3, *resolution, dtype=torch.float64)
    for k, block in enumerate(net.body):
        a = F.conv2d(h if k == 0 else F.relu(h), block.conv1.weight, block.conv1.bias, padding=1)
        a = F.conv2d(F.relu(a), block.conv2.weight, block.conv2.bias, padding=1)
        if block.down:
            a = F.avg_pool2d(a, 2)
            if k == 0:
                h = F.conv2d(F.avg_pool2d(h, 2), block.skip.weight, block.skip.bias)
            else:
                h = F.avg_pool2d(F.conv2d(h, block.skip.weight, block.skip.bias), 2)
        h = a + h
    h = F.relu(h).sum((2, 3)) if pooling == "sum" else F.relu(h).mean((2, 3))
    wanted = h @ net.head.score.weight.t() + net.head.score.bias
    torch.testing.assert_close(net(x).logits, wanted, rtol=1e-9, atol=1e-9)


def test_blocks_begin_with_the_gain_of_the_papers():
    net = resnet.Generator(resolution=32, width=64)
    fan = 64 * 9
    assert net.body.blocks[0].conv1.weight.std().item() == pytest.approx(math.sqrt(2 / fan), rel=0.03)
    assert net.body.blocks[0].skip.weight.std().item() == pytest.approx(math.sqrt(1 / 64), rel=0.05)
    assert net.body.out.weight.std().item() == pytest.approx(math.sqrt(2 / (fan + 27)), rel=0.06)


# --- attention --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
def test_attention_is_a_softmax_over_the_map(size):
    layer = SelfAttention(16).double()
    layer.gamma.data.fill_(0.7)
    x = torch.randn(2, 16, *size, dtype=torch.float64)
    maps = {name: getattr(layer, name).weight[:, :, 0, 0] for name in ("query", "key", "value", "out")}

    def pooled(image):
        rows = range(0, size[0], 2), range(0, size[1], 2)
        return torch.stack([image[:, a : a + 2, b : b + 2].amax((1, 2)) for a in rows[0] for b in rows[1]])  # (K, C)

    wanted = torch.empty_like(x)
    for n, image in enumerate(x):
        q, k, v = (torch.einsum("oc,chw->ohw", maps[name], image) for name in ("query", "key", "value"))
        keys, values = pooled(k), pooled(v)
        for a in range(size[0]):
            for b in range(size[1]):
                e = (keys @ q[:, a, b]).exp()
                wanted[n, :, a, b] = image[:, a, b] + 0.7 * maps["out"] @ (e @ values / e.sum())
    torch.testing.assert_close(layer(x), wanted, rtol=1e-9, atol=1e-9)
    assert [m.shape[0] for m in maps.values()] == [2, 2, 8, 16]


def test_attention_begins_as_nothing():
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(SelfAttention(16)(x), x)


@pytest.mark.parametrize(
    ("resolution", "wanted", "g", "d"),
    # maps of the generator: 8, 16, 32 from 32; of the discriminator: 16, 8, 8, 8
    [(32, 16, 1, 0), (32, 8, 0, 1), (32, 0, None, None), ((28, 40), 16, 0, 0), (8, 32, 0, 0)],
)
def test_attention_is_at_the_map_asked_for_or_the_nearest(resolution, wanted, g, d):
    options = {"resolution": resolution, "width": 8, "attention": wanted}
    places = [
        next((k for k, block in enumerate(blocks) if block.attention is not None), None)
        for blocks in (resnet.Generator(**options).body.blocks, resnet.Discriminator(**options).body)
    ]
    assert places == [g, d]


# --- BigGAN -----------------------------------------------------------------------------------------------


def test_every_part_of_the_noise_steers_one_block():
    net = biggan.Generator(resolution=32, channels=1, width=8, latent=22, init="normal").eval()
    assert net.sizes == [7, 5, 5, 5]
    seen = {}
    for k, block in enumerate(net.body.blocks):
        block.register_forward_hook(lambda m, given, out, k=k: seen.__setitem__(k, out))
    z = torch.randn(1, 22)
    net(z)
    before = dict(seen)
    for part, places in {0: range(7), 1: range(7, 12), 2: range(12, 17), 3: range(17, 22)}.items():
        moved = z.clone()
        moved[:, list(places)] += 1
        net(moved)
        changed = [k for k in seen if not torch.equal(seen[k], before[k])]
        assert changed == list(range(max(part - 1, 0), 3))


def test_biggan_without_hierarchy_or_labels():
    net = biggan.Generator(resolution=16, width=8, hierarchical=False)
    assert net.sizes == [128, 0, 0]
    assert net(torch.randn(2, 128)).shape == (2, 3, 16, 16)
    labelled = biggan.Generator(resolution=16, width=8, hierarchical=False, classes=3)
    assert labelled(torch.randn(2, 128), torch.tensor([0, 1])).shape == (2, 3, 16, 16)
    with pytest.raises(UsageError, match="4 parts"):
        biggan.Generator(resolution=32, latent=3)


def test_biggan_begins_orthogonal():
    net = biggan.Generator(resolution=16, width=8, classes=5, spectral=False)
    rows = net.body.blocks[0].conv1.weight.flatten(1)
    torch.testing.assert_close(rows @ rows.t(), torch.eye(8), rtol=0, atol=1e-5)
    torch.testing.assert_close(net.embed.weight @ net.embed.weight.t(), torch.eye(5), rtol=0, atol=1e-5)


@pytest.mark.parametrize("trunc", [0.05, 0.5, 1.0, 2.0])
def test_truncation_is_the_truncated_normal(trunc):
    from scipy.stats import norm as normal
    from scipy.stats import truncnorm

    z = torch.linspace(-6, 6, 101, dtype=torch.float64)
    found = biggan.Generator.truncate(z, trunc)
    wanted = truncnorm.ppf(normal.cdf(-z.abs().numpy()), -2 * trunc, 2 * trunc) * -np.sign(z.numpy())
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)
    assert (found.diff() >= 0).all()
    assert found.abs().max() <= 2 * trunc
    assert biggan.Generator.truncate(z.float(), trunc).dtype == torch.float32


def test_truncation_at_its_ends():
    z = torch.randn(1000)
    assert biggan.Generator.truncate(z, 0.0).abs().max() == 0
    torch.testing.assert_close(biggan.Generator.truncate(z, 20.0), z)
    with pytest.raises(UsageError, match="trunc"):
        biggan.Generator.truncate(z, -1.0)


# --- heads that compare a batch ---------------------------------------------------------------------------


def test_minibatch_discrimination_is_its_equations():
    head = MinibatchDiscrimination(features=6, kernels=4, dims=3).double()
    h = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    rows = []
    for i in range(5):
        sums = []
        for b in range(4):
            m = [h[j] @ head.tensor[:, b] for j in range(5)]
            sums.append(sum(torch.exp(-(m[i] - m[j]).abs().sum()) for j in range(5) if j != i))
        rows.append(torch.stack(sums))
    wanted = torch.stack(rows)
    found = head.compare(h)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    g = torch.randn_like(wanted)
    for a, b in zip(torch.autograd.grad(found, (h, head.tensor), g), torch.autograd.grad(wanted, (h, head.tensor), g)):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
    joined = torch.cat([h, wanted], 1)
    torch.testing.assert_close(head(h).logits, joined @ head.head.score.weight.t() + head.head.score.bias)
    assert count(MinibatchDiscrimination(features=6)) == 6 * 100 * 5 + 106 + 1


@pytest.mark.parametrize(("n", "group"), [(8, 4), (4, 4), (6, 3), (10, 2), (7, 7), (2, 2), (3, 3)])
def test_minibatch_deviation_is_that_of_its_group(n, group):
    head = MinibatchStddev(features=5).double()
    h = torch.randn(n, 5, dtype=torch.float64) * torch.arange(1, n + 1)[:, None]
    found = head.compare(h)
    apart = n // group  # images of a group are so far apart, as in the authors' code
    for i in range(n):
        members = h[[j for j in range(n) if j % apart == i % apart]]
        assert len(members) == group
        wanted = members.std(0, correction=0).mean()
        assert found[i].item() == pytest.approx(wanted.item(), rel=1e-7)


@pytest.mark.parametrize("kind", [MinibatchDiscrimination, MinibatchStddev])
def test_any_head_goes_inside(kind):
    label, h = torch.tensor([0, 2, 1, 1]), torch.randn(4, 6)
    head = kind(features=6, classes=3, head=Spec(AuxiliaryClassifier, weight=2.0))
    scores = head(h, label)
    assert head.loss(scores, label)["class"].item() == pytest.approx(
        2 * F.cross_entropy(scores.label_logits, label).item()
    )
    assert kind(features=6, classes=3, head=Spec(Projection))(h, label).logits.shape == (4, 1)
    assert kind(features=6)(h).features[-1].shape[0] == 4
    with pytest.raises(UsageError, match="needs at least two"):
        head(h[:1], label[:1])


def test_identical_images_are_noticed_and_their_gradient_is_finite():
    same = torch.ones(4, 6, requires_grad=True)
    for kind, wanted in ((MinibatchDiscrimination, 3.0), (MinibatchStddev, 1e-4)):
        found = kind(features=6).compare(same)
        torch.testing.assert_close(found, torch.full_like(found, wanted))
        assert torch.isfinite(torch.autograd.grad(found.sum(), same)[0]).all()
    with pytest.raises(UsageError, match="group"):
        MinibatchStddev(features=6, group=1)


def test_plain_is_the_head_inside():
    assert isinstance(MinibatchStddev(features=2).head, Plain)
