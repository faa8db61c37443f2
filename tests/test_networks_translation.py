"""Networks from images to images: published counts and computation, any size, files of other projects."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import published_translation as published
from ganvas.errors import UsageError, UserError
from ganvas.export.pth import save_network
from ganvas.models import recognise as checkpoints
from ganvas.models.foreign import load_network
from ganvas.networks import cyclegan as translation
from ganvas.networks import patchgan as patch
from ganvas.networks import stargan, unet
from ganvas.networks.norms import ImageBatchNorm2d


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("network", "options", "parameters"),
    [
        (unet.Generator, {"resolution": 256}, 54_413_955),  # unet_256
        (unet.Generator, {"resolution": 128}, 41_828_995),  # unet_128
        (translation.Generator, {}, 11_378_179),  # resnet_9blocks
        (translation.Generator, {"blocks": 6}, 7_837_699),  # resnet_6blocks
        (patch.Discriminator, {"resolution": 256, "norm": "instance"}, 2_764_737),
        (patch.Discriminator, {"resolution": 256, "channels": 6}, 2_768_705),
        (stargan.Generator, {"attributes": 5}, 8_430_528),
        (stargan.Discriminator, {"resolution": 128, "attributes": 5}, 44_762_048),
    ],
)
def test_published_counts(network, options, parameters):
    with torch.device("meta"):
        assert count(network(**options)) == parameters


@pytest.mark.parametrize("field", [1, 16, 34, 70, 142, 286])
def test_a_verdict_sees_a_patch_of_the_published_size(field):
    net = patch.Discriminator(resolution=512, field=field, width=2, norm="none", init="kaiming")
    side = 3 * field + 40
    x = torch.randn(1, 3, side, side, requires_grad=True)
    verdicts = net(x).logits
    verdicts[0, 0, verdicts.shape[2] // 2, verdicts.shape[3] // 2].backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero()
    assert rows.max() - rows.min() + 1 == field == net.receptive_field


def test_small_images_get_smaller_patches():
    net = patch.Discriminator(resolution=(8, 30), width=4)
    assert net(torch.zeros(2, 3, 8, 30)).logits.shape[1] == 1
    assert net.receptive_field < 70


SIZES = [(8, 8), (13, 22), (32, 17)]
GENERATORS = {
    "unet": lambda **o: unet.Generator(resolution=32, width=4, **o),
    "unet instance": lambda **o: unet.Generator(resolution=32, width=4, norm="instance", **o),
    "residual": lambda **o: translation.Generator(width=4, blocks=1, **o),
    "residual batch": lambda **o: translation.Generator(width=4, blocks=1, norm="batch", **o),
    "residual resized": lambda **o: translation.Generator(width=4, blocks=1, up="resize", **o),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", GENERATORS)
def test_any_size_and_channels(name, size):
    net = GENERATORS[name](channels=4, source_channels=1).eval()
    made = net(torch.rand(2, 1, *size))
    assert made.shape == (2, 4, *size)
    assert made.abs().max() <= 1


@pytest.mark.parametrize("name", GENERATORS)
def test_in_use_a_image_is_translated_alone(name):
    net, x = GENERATORS[name]().eval(), torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["unet", "residual batch"])
def test_batch_norm_in_use_is_that_of_a_batch_of_one(name):
    """pix2pix tests with the statistics of the image at hand, which in training were the batch's."""
    net, x = GENERATORS[name](dropout=0.0), torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(net.eval()(x), net.train()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (unet.Generator, {"resolution": 32}),
        (translation.Generator, {}),
        (patch.Discriminator, {"resolution": 32}),
    ],
)
def test_running_batch_norm_is_pytorchs_own_with_the_same_weights(make, options):
    options |= {"width": 4}
    layers = [m for m in make(**options, norm="batch_running").modules() if isinstance(m, nn.BatchNorm2d)]
    assert layers
    assert {type(m) for m in layers} == {nn.BatchNorm2d}
    names = [set(make(**options, norm=norm).state_dict()) for norm in ("batch", "batch_running")]
    assert names[0] == names[1]


def test_running_batch_norm_draws_in_use_what_it_drew_in_training():
    net = unet.Generator(resolution=32, width=4, norm="batch_running", dropout=0.0)
    x = torch.randn(8, 3, 32, 32) + torch.arange(8).view(8, 1, 1, 1) / 4
    for _ in range(100):
        trained = net(x)
    torch.testing.assert_close(net.eval()(x), trained, rtol=1e-2, atol=0.05)


def test_running_batch_norm_is_not_written_for_tools_that_have_none(tmp_path):
    options = {"resolution": 32, "width": 4, "norm": "batch_running"}
    for k, network in enumerate((unet.Generator(**options), translation.Generator(width=4, norm="batch_running"))):
        with pytest.raises(UsageError, match="statistics of each image"):
            save_network(network, tmp_path / f"{k}.pth")
    assert not list(tmp_path.iterdir())


def test_batch_norm_still_remembers_for_the_files_of_others():
    norm = ImageBatchNorm2d(2)
    norm(torch.randn(4, 2, 5, 5) + 3)
    assert (norm.running_mean > 0.2).all()


def test_dropout_is_where_pix2pix_has_it():
    with torch.device("meta"):
        net = unet.Generator(resolution=256)
    assert [isinstance(d, torch.nn.Dropout) for d in net.dropouts] == [False] * 4 + [True] * 3 + [False]


def test_the_same_image_twice_differs_while_training():
    net, x = unet.Generator(resolution=64, width=4).train(), torch.randn(2, 3, 64, 64)
    assert not torch.equal(net(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


def test_resizing_leaves_no_checkerboard():
    """Ones through equal weights: transposed 3x3 kernels of stride 2 overlap unevenly, a repeated image does not."""

    def spread(net):
        doubling = net.ups[0].conv
        torch.nn.init.ones_(doubling.weight)
        inside = doubling(torch.ones(1, 16, 8, 8))[0, 0, 4:-4, 4:-4]
        return (inside.max() - inside.min()).item()

    assert spread(GENERATORS["residual resized"]().float()) == 0
    assert spread(GENERATORS["residual"]()) > 1


def test_stargan_is_told_the_domain():
    torch.manual_seed(0)
    net, x = stargan.Generator(classes=3, width=4, blocks=1).eval(), torch.randn(1, 3, 10, 13)
    made = [net(x, torch.tensor([k])) for k in range(3)]
    assert made[0].shape == x.shape
    assert not torch.allclose(made[0], made[1])
    assert not torch.allclose(made[1], made[2])


def test_stargans_critic_needs_domains():
    with pytest.raises(UsageError, match="classifies domains, but the data have no labels"):
        stargan.Discriminator(resolution=32)


def test_names_of_domains_cost_what_is_published():
    """Cross entropy for classes; for attributes the binary ones, summed over them and averaged over images."""
    logits = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    attributes = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    p = 1 / (1 + torch.exp(-logits))
    expected = -(attributes * p.log() + (1 - attributes) * (1 - p).log()).sum() / 2
    scores = stargan.Scores(torch.zeros(2, 1), logits)
    assert stargan.DomainLoss(0).loss(scores, attributes)["class"].item() == pytest.approx(expected.item())
    label = torch.tensor([1, 0])
    expected = -torch.log_softmax(logits, 1)[torch.arange(2), label].mean()
    assert stargan.DomainLoss(2).loss(scores, label)["class"].item() == pytest.approx(expected.item())


# --- files of other projects --------------------------------------------------------------------------------


FILES = {
    "resnet": (published.resnet_shapes(), lambda s, x: published.resnet(s, x)),
    "resnet dropout": (published.resnet_shapes(dropout=True), lambda s, x: published.resnet(s, x, dropout=True)),
    "resnet old": (published.resnet_shapes(tracked=True), lambda s, x: published.resnet(s, x)),
    "resnet batch": (published.resnet_shapes(norm="batch"), lambda s, x: published.resnet(s, x)),
    "resnet grey to RGB": (published.resnet_shapes(inputs=1), lambda s, x: published.resnet(s, x[:, :1])),
    "resnet nine": (published.resnet_shapes(blocks=9), lambda s, x: published.resnet(s, x, blocks=9)),
    "unet": (published.unet_shapes(), lambda s, x: published.unet(s, x)),
    "unet deep": (published.unet_shapes(depth=7, width=2), lambda s, x: published.unet(s, x, depth=7)),
    "unet instance": (published.unet_shapes(norm="instance"), lambda s, x: published.unet(s, x)),
    "unet instance old": (published.unet_shapes(norm="instance", tracked=True), lambda s, x: published.unet(s, x)),
    "stargan": (published.stargan_shapes(), None),
    "stargan new": (published.stargan_shapes(tracked=False), None),
}
LABEL = torch.tensor([[1.0, 0, 0, 1, 0], [0, 1, 0, 0, 1]])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", FILES)
def test_files_of_others_compute_as_published(name, suffix, tmp_path):
    shapes, expected = FILES[name]
    state, file = published.filled(shapes), tmp_path / f"latest_net_G{suffix}"
    if suffix == ".pth":
        torch.save(state, file)
    else:
        from safetensors.torch import save_file

        save_file(state, file)
    network = load_network(file)
    size = {"unet": (128, 128) if "deep" in name else (32, 32)}.get(name.split()[0], (36, 44))  # what theirs can halve
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    if name.startswith("stargan"):
        found, wanted = network(x, LABEL), published.stargan(state, x, LABEL)
    else:
        found, wanted = network(x[:, :1] if "grey" in name else x), expected(state, x)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("name", FILES)
def test_files_of_others_are_written_back(name, tmp_path):
    state = published.filled(FILES[name][0])
    torch.save(state, tmp_path / "theirs.pth")
    found = checkpoints.read(tmp_path / "theirs.pth")
    layout = {"resnet": "cyclegan", "unet": "pix2pix", "stargan": "stargan"}[name.split()[0]]
    layout += "_dropout" if "dropout" in name else ""
    save_network(load_network(tmp_path / "theirs.pth"), tmp_path / "ours.pth", layout=layout)
    written = torch.load(tmp_path / "ours.pth", weights_only=True)
    batch = found.options.get("norm") == "batch"
    assert written.keys() == {k for k in state if batch or not k.endswith(("_mean", "_var", "_tracked"))}
    for key, value in written.items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0, msg=key)


def test_ours_are_read_again(tmp_path):
    for net in (translation.Generator(width=4, blocks=2, up="resize", norm="batch"), unet.Generator(resolution=16)):
        save_network(net, tmp_path / "ours.safetensors")
        again, x = load_network(tmp_path / "ours.safetensors"), torch.randn(1, 3, 16, 16)
        torch.testing.assert_close(again(x), net.eval()(x), rtol=0, atol=0)
    with pytest.raises(UsageError, match="transposed convolutions"):
        save_network(translation.Generator(width=4, up="resize"), tmp_path / "o.pth", layout="cyclegan")


def test_what_differs_is_named(tmp_path):
    state = published.filled(published.resnet_shapes())
    del state["model.11.conv_block.5.bias"]
    torch.save(state, tmp_path / "g.pth")
    with pytest.raises(UserError, match=r"nearest is CycleGAN's ResNet.*lacks model.11.conv_block.5.bias"):
        load_network(tmp_path / "g.pth")
    torch.save({f"model.{k}.weight": torch.ones(4, 4, 4, 4) for k in (0, 2, 5, 8, 11)}, tmp_path / "d.pth")
    with pytest.raises(UserError, match="discriminator, which scores images"):
        load_network(tmp_path / "d.pth")


def ours(network, names):
    """Our network filled from a file's tensors: convolutions and norms in their order."""
    kinds = (torch.nn.Conv2d, torch.nn.BatchNorm2d)
    layers = [m for m in network.modules() if isinstance(m, kinds)]
    state = {}
    for name, layer in zip(names, layers, strict=True):
        for kind, p in layer.named_parameters():
            p.data = torch.randn(p.shape, dtype=torch.float64) * 0.2
            state[f"{name}.{kind}"] = p.data
    return network.double(), state


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_patch_critic_computes_as_published(norm):
    names = [f"model.{k}" for k in ((0, 2, 3, 5, 6, 8, 9, 11) if norm == "batch" else (0, 2, 5, 8, 11))]
    net, state = ours(patch.Discriminator(resolution=64, width=4, norm=norm), names)
    x = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(net(x).logits, published.patch(state, x))


def test_stargans_critic_computes_as_published():
    names = ["main.0", "main.2", "main.4", "conv1", "conv2"]
    net, state = ours(stargan.Discriminator(resolution=32, classes=4, width=4, depth=3), names)
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    logits, label_logits = published.critic(state, x)
    torch.testing.assert_close(net(x).logits, logits)
    torch.testing.assert_close(net(x).label_logits, label_logits.float())
