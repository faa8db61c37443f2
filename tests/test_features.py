"""Feature networks: what they compute, how images reach them, what they say of themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import conv2d, relu

from ganvas.checkpoints import download as weights
from ganvas.data.builtin import open_photos
from ganvas.errors import UsageError, UserError
from ganvas.features import extractor as module
from ganvas.features.extractor import Features, bilinear, clean, rgb
from ganvas.features.inception import Inception
from ganvas.features.pocket import Pocket
from ganvas.features.vgg import VGG
from ganvas.metrics.lpips import LPIPS


@pytest.fixture(scope="module")
def pocket():
    return Features("pocket")


def random_images(n=6, channels=3, size=32, seed=0):
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def written(state, x):
    """The pocket network from its file, tensor by tensor: every map."""

    def conv(name, x, stride=1):
        return conv2d(x, state[f"{name}.conv.weight"].float(), state[f"{name}.conv.bias"].float(), stride, 1)

    found = [relu(conv("stem", x))]
    for k in range(3):
        h = relu(conv(f"stages.{k}.down", found[-1], 2))
        found.append(relu(h + conv(f"stages.{k}.second", relu(conv(f"stages.{k}.first", h)))))
    return found


def test_pocket_is_what_its_file_says(pocket):
    state, x = load_file(module.POCKET), random_images()
    maps = written(state, x)
    expected = torch.cat([m.mean((2, 3)) for m in maps[1:]], 1)
    torch.testing.assert_close(pocket(x), expected, rtol=1e-4, atol=1e-5)
    assert expected.shape == (6, 336)
    assert pocket.width == 336
    logits = maps[-1].mean((2, 3)) @ state["fc.weight"].float().t() + state["fc.bias"].float()
    torch.testing.assert_close(pocket.logits(x), logits, rtol=1e-4, atol=1e-4)
    found = pocket.network.maps(x, ["relu1", "relu4"])
    torch.testing.assert_close(found["relu1"], maps[0], rtol=1e-4, atol=1e-5)
    assert list(found) == ["relu1", "relu4"]


def test_pocket_fits_into_a_pocket():
    assert module.POCKET.stat().st_size <= 4e6
    assert sum(p.numel() for p in Pocket().parameters()) == 1_092_250


def test_folding_batch_norm_changes_nothing():
    net = Pocket(learning=True)
    for _ in range(3):
        net.logits(random_images(16, seed=1))
    before = net.eval().logits(random_images())
    torch.testing.assert_close(net.fold().logits(random_images()), before, rtol=1e-4, atol=1e-5)
    assert net.state_dict().keys() == Pocket().state_dict().keys()


def test_pocket_sees_what_is_in_a_image(pocket):
    """Photographs against themselves mirrored, blurred, noisy: damage is farther than a mirror."""
    data = open_photos((32, 32))
    images = torch.from_numpy(np.array(data.images[:256])).permute(0, 3, 1, 2).float() / 127.5 - 1
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    from kornia.filters import gaussian_blur2d

    changed = {
        "mirrored": images.flip(3),
        "noisy": (images + 0.1 * noise).clamp(-1, 1),
        "blurred": gaussian_blur2d(images, (7, 7), (1.0, 1.0)),
    }
    away = {k: (pocket(v) - pocket(images)).square().mean().item() for k, v in changed.items()}
    assert away["mirrored"] < away["noisy"]
    assert away["mirrored"] < away["blurred"]


def test_the_clean_resizer_is_pillows():
    """Bicubic with antialiasing, every channel in floating point, nothing rounded or cut off (Parmar et al. 2022)."""
    x = random_images(1, size=50)
    for size in (32, 80):
        expected = [
            np.asarray(Image.fromarray(c.numpy(), "F").resize((size, size), Image.Resampling.BICUBIC)) for c in x[0]
        ]
        np.testing.assert_allclose(clean(x, size)[0].numpy(), np.stack(expected), atol=2e-5)


def test_the_ports_resizer_is_bilinear_between_two_pixels():
    """Half-pixel centres, no antialiasing: every pixel from its four neighbours, however small the result."""
    x, size = random_images(1, size=64).double(), 20
    where = ((torch.arange(size).double() + 0.5) * 64 / size - 0.5).clamp(min=0)
    low = where.long().clamp(max=62)
    share = where - low

    def along(x, dim):
        a, b = x.index_select(dim, low), x.index_select(dim, low + 1)
        shape = [1] * 4
        shape[dim] = size
        return a + (b - a) * share.view(shape)

    torch.testing.assert_close(bilinear(x, size), along(along(x, 2), 3))


@pytest.mark.parametrize("size", [(32, 32), (640, 480)])
@pytest.mark.parametrize("name", ["inception", "vgg16"])
def test_pixels_reach_a_network_by_the_resizer_it_is_published_with(name, size, monkeypatch):
    """Bilinear without antialiasing for the network of FID, Pillow's bicubic for VGG, without any weight file."""
    seen = []

    class Recorder(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x.flatten(1)[:, :4]

    entry = module.NETWORKS[name]
    monkeypatch.setitem(module.NETWORKS, name, replace(entry, build=Recorder))
    monkeypatch.setattr(weights, "path", lambda _: module.POCKET)
    x = torch.from_numpy(np.random.default_rng(5).random((1, 3, *size), np.float32)) * 2 - 1
    features = Features(name)
    features(x)
    side = {"inception": 299, "vgg16": 224}[name]

    def bilinear(row):
        where = (np.arange(side) + 0.5) * len(row) / side - 0.5
        return np.interp(where, np.arange(len(row)), row)

    if name == "inception":
        expected = np.apply_along_axis(bilinear, 3, np.apply_along_axis(bilinear, 2, x.double().numpy()))
    else:
        bicubic = Image.Resampling.BICUBIC
        planes = [Image.fromarray(c.numpy(), "F").resize((side, side), bicubic) for c in x[0]]
        expected = np.stack([np.asarray(plane) for plane in planes])[None]
    np.testing.assert_allclose(seen[0].numpy(), expected, atol=3e-4)
    way = "bilinear" if name == "inception" else "antialiased bicubic"
    assert features.protocol["resizer"] == f"{way} to {side}x{side}"


def test_grey_and_transparent_images():
    grey, colour = random_images(2, 1), random_images(2, 4)
    assert torch.equal(rgb(grey), grey.repeat(1, 3, 1, 1))
    hidden = colour.clone()
    hidden[:, 3] = -1
    assert torch.equal(rgb(hidden), torch.ones(2, 3, 32, 32))
    hidden[:, 3] = 1
    torch.testing.assert_close(rgb(hidden), hidden[:, :3])


def test_the_size_of_batches_changes_nothing(pocket, monkeypatch):
    x = random_images(9)
    whole = pocket(x)
    monkeypatch.setattr(module, "BATCH", 2)
    torch.testing.assert_close(pocket(x), whole, rtol=1e-5, atol=1e-6)


def test_what_it_says(pocket):
    assert pocket.protocol == {"features": "pocket", "resizer": "antialiased bicubic to 32x32"}
    assert Features("pocket", bf16=True).protocol["precision"] == "bf16"
    assert pocket.key != Features("pocket", bf16=True).key
    own = Features(nn.Flatten(), name="mine")
    assert own.protocol == {"features": "mine"}
    assert own.key == ""  # it may change: nothing of it is kept


def test_a_module_of_yours():
    x = random_images(3, size=8)
    assert torch.equal(Features(nn.Flatten())(x), x.flatten(1))
    torch.testing.assert_close(Features(nn.Identity())(x), x.mean((2, 3)))  # maps: the mean over places
    with pytest.raises(UsageError, match="no row of features for every image"):
        Features(nn.Flatten(0))(x)
    with pytest.raises(UsageError, match="names no classes"):
        Features(nn.Flatten()).logits(x)


@pytest.mark.parametrize(
    ("name", "network"), [("inception", Inception), pytest.param("vgg16", VGG, marks=pytest.mark.slow)]
)
def test_public_weights_are_read_from_their_file(name, network, tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match=rf"ganvas weights fetch {name}.*or offline"):
        Features(name)
    torch.manual_seed(3)
    net = network() if network is Inception else network(name)
    weights.folder().mkdir(parents=True)
    torch.save(net.state_dict(), weights.folder() / weights.FILES[name].file)
    x = random_images(1, size=40)
    resized = bilinear(x, 299) if name == "inception" else clean(x, 224)
    with torch.no_grad():
        out = net.eval()(resized)
    torch.testing.assert_close(Features(name)(x), out[0] if isinstance(out, tuple) else out, rtol=1e-3, atol=1e-4)


def test_the_logits_of_the_inception_score_have_no_bias():
    """As the published code and torch-fidelity's `logits_unbiased`: a bias, however large, changes nothing."""
    net, x = Inception().eval(), random_images(2, size=80)
    with torch.no_grad():
        before = net.logits(x)
        net.fc.bias += 100 * torch.arange(1008.0)
        torch.testing.assert_close(before, net(x)[0] @ net.fc.weight.T)
        assert torch.equal(net.logits(x), before)


def test_names_that_are_not_known(pocket):
    with pytest.raises(UsageError, match="Did you mean 'pocket'"):
        Features("poket")
    with pytest.raises(UsageError, match="no layer 'relu5'"):
        pocket.network.maps(random_images(), ["relu5"])


def test_a_damaged_installation_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "POCKET", tmp_path / "pocket.safetensors")
    with pytest.raises(UserError, match="install ganvas again"):
        Features("pocket")
    save_file({"stem.conv.weight": torch.zeros(1)}, tmp_path / "pocket.safetensors")
    with pytest.raises(UserError, match="pocket"):
        Features("pocket")


def test_lpips_is_its_equation():
    """Zhang et al. 2018, eq. 1, written with the published scaling of images, in float64."""
    torch.manual_seed(0)
    vgg = VGG("vgg16").eval()
    widths = (64, 128, 256, 512, 512)
    linear = [torch.rand(1, w, 1, 1) for w in widths]
    a, b = random_images(2, size=32), random_images(2, size=32, seed=1)

    def maps(x):
        h = (x.double() - torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)) / torch.tensor(
            [0.458, 0.448, 0.450]
        ).view(3, 1, 1)
        found, places = [], [vgg.places[f"relu{k}"] for k in ("1_2", "2_2", "3_3", "4_3", "5_3")]
        for place, layer in enumerate(vgg.features):
            if isinstance(layer, nn.Conv2d):
                h = conv2d(h, layer.weight.double(), layer.bias.double(), padding=1)
            else:
                h = layer(h) if isinstance(layer, nn.MaxPool2d) else relu(h)
            if place in places:
                found.append(h / (h.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    with torch.no_grad():
        expected = sum(((x - y).square() * w.double()).sum(1).mean((1, 2)) for x, y, w in zip(maps(a), maps(b), linear))
        found = LPIPS(vgg, linear)(a, b)
        assert LPIPS(vgg, linear)(a, a).abs().max() == 0
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)
