"""Inception and VGG against the published counts and layouts, and against a second way to compute them."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch.nn.functional import avg_pool2d, batch_norm, conv2d, max_pool2d, relu

from ganvas.errors import UsageError
from ganvas.features.inception import Inception
from ganvas.features.vgg import VGG


@pytest.fixture(scope="module")
def inception():
    torch.manual_seed(0)
    net = Inception().eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.requires_grad_(False)


def test_inceptions_size_is_the_published_one(inception):
    """21,785,568 without classes, as torchvision's inception_v3 has; the port's file has 1,008 of these."""
    body = sum(p.numel() for name, p in inception.named_parameters() if not name.startswith("fc"))
    assert body == 21_785_568
    assert inception.fc.weight.shape == (1008, 2048)
    state = inception.state_dict()
    shapes = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_4a_3x3.bn.running_var": (192,),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
        "Mixed_6a.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
        "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
        "Mixed_6e.branch7x7dbl_5.conv.weight": (192, 192, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch3x3dbl_3a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch1x1.conv.weight": (320, 2048, 1, 1),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    convolutions = [name for name in state if name.endswith("conv.weight")]
    assert len(convolutions) == 94


class Written:
    """The same network once more, each layer called by its name, from the published tables."""

    def __init__(self, state):
        self.state = state

    def conv(self, name, x, stride=1, padding=0):
        part = {k: self.state[f"{name}.{k}"] for k in ("conv.weight", "bn.weight", "bn.bias")}
        x = conv2d(x, part["conv.weight"], stride=stride, padding=padding)
        mean, var = self.state[f"{name}.bn.running_mean"], self.state[f"{name}.bn.running_var"]
        return relu(batch_norm(x, mean, var, part["bn.weight"], part["bn.bias"], eps=0.001))

    def a(self, n, x):
        five = self.conv(f"{n}.branch5x5_2", self.conv(f"{n}.branch5x5_1", x), padding=2)
        double = self.conv(f"{n}.branch3x3dbl_2", self.conv(f"{n}.branch3x3dbl_1", x), padding=1)
        double = self.conv(f"{n}.branch3x3dbl_3", double, padding=1)
        pool = self.conv(f"{n}.branch_pool", avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        return torch.cat([self.conv(f"{n}.branch1x1", x), five, double, pool], 1)

    def b(self, n, x):
        double = self.conv(f"{n}.branch3x3dbl_2", self.conv(f"{n}.branch3x3dbl_1", x), padding=1)
        double = self.conv(f"{n}.branch3x3dbl_3", double, stride=2)
        return torch.cat([self.conv(f"{n}.branch3x3", x, stride=2), double, max_pool2d(x, 3, 2)], 1)

    def c(self, n, x):
        wide, tall = (0, 3), (3, 0)
        once = self.conv(f"{n}.branch7x7_2", self.conv(f"{n}.branch7x7_1", x), padding=wide)
        once = self.conv(f"{n}.branch7x7_3", once, padding=tall)
        twice = self.conv(f"{n}.branch7x7dbl_1", x)
        for k, padding in ((2, tall), (3, wide), (4, tall), (5, wide)):
            twice = self.conv(f"{n}.branch7x7dbl_{k}", twice, padding=padding)
        pool = self.conv(f"{n}.branch_pool", avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        return torch.cat([self.conv(f"{n}.branch1x1", x), once, twice, pool], 1)

    def d(self, n, x):
        three = self.conv(f"{n}.branch3x3_2", self.conv(f"{n}.branch3x3_1", x), stride=2)
        long = self.conv(f"{n}.branch7x7x3_2", self.conv(f"{n}.branch7x7x3_1", x), padding=(0, 3))
        long = self.conv(f"{n}.branch7x7x3_4", self.conv(f"{n}.branch7x7x3_3", long, padding=(3, 0)), stride=2)
        return torch.cat([three, long, max_pool2d(x, 3, 2)], 1)

    def e(self, n, x, pooled):
        wide, tall = (0, 1), (1, 0)
        once = self.conv(f"{n}.branch3x3_1", x)
        once = [self.conv(f"{n}.branch3x3_2a", once, padding=wide), self.conv(f"{n}.branch3x3_2b", once, padding=tall)]
        twice = self.conv(f"{n}.branch3x3dbl_2", self.conv(f"{n}.branch3x3dbl_1", x), padding=1)
        ends = [self.conv(f"{n}.branch3x3dbl_3{k}", twice, padding=p) for k, p in (("a", wide), ("b", tall))]
        return torch.cat([self.conv(f"{n}.branch1x1", x), *once, *ends, self.conv(f"{n}.branch_pool", pooled)], 1)

    def __call__(self, x):
        x = self.conv("Conv2d_2a_3x3", self.conv("Conv2d_1a_3x3", x, stride=2))
        x = max_pool2d(self.conv("Conv2d_2b_3x3", x, padding=1), 3, 2)
        x = max_pool2d(self.conv("Conv2d_4a_3x3", self.conv("Conv2d_3b_1x1", x)), 3, 2)
        x = self.b("Mixed_6a", self.a("Mixed_5d", self.a("Mixed_5c", self.a("Mixed_5b", x))))
        for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            x = self.c(name, x)
        x = self.d("Mixed_7a", x)
        x = self.e("Mixed_7b", x, avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        return self.e("Mixed_7c", x, max_pool2d(x, 3, 1, 1)).mean((2, 3))


def test_inception_computes_what_its_tables_say(inception):
    x = torch.randn(2, 3, 139, 107, generator=torch.Generator().manual_seed(1)).clamp(-1, 1)
    expected = Written(inception.state_dict())(x)
    assert expected.std() > 0
    features, logits = inception(x)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits, inception.fc(features))
    assert [m.shape[1] for m in inception.maps(x).values()] == [64, 192, 768, 2048]


def test_folding_inceptions_statistics_changes_nothing(inception):
    x = torch.randn(2, 3, 107, 107, generator=torch.Generator().manual_seed(2)).clamp(-1, 1)
    expected = inception(x)[1]
    folded = deepcopy(inception).fold()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    torch.testing.assert_close(folded(x)[1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "count", "convolutions"), [("vgg16", 138_357_544, 13), ("vgg19", 143_667_240, 16)])
def test_vggs_size_is_the_published_one(name, count, convolutions):
    with torch.device("meta"):
        net = VGG(name)
    assert sum(p.numel() for p in net.parameters()) == count
    assert sum(isinstance(m, torch.nn.Conv2d) for m in net.modules()) == convolutions
    last = {"vgg16": "features.28.weight", "vgg19": "features.34.weight"}[name]  # torchvision's places
    assert net.state_dict()[last].shape == (512, 512, 3, 3)
    assert net.state_dict()["classifier.6.weight"].shape == (1000, 4096)


def test_vggs_maps():
    torch.manual_seed(0)
    net = VGG("vgg19").requires_grad_(False)
    x = torch.rand(1, 3, 32, 48) * 2 - 1
    found = net.maps(x, ["relu1_1", "conv1_1", "relu4_2", "conv5_4", "pool5"])
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    h = (x / 2 + 0.5 - mean[:, None, None]) / std[:, None, None]
    first = conv2d(h, net.features[0].weight, net.features[0].bias, padding=1)
    torch.testing.assert_close(found["conv1_1"], first)
    assert found["conv1_1"].min() < 0  # before the rectifier, and left so
    torch.testing.assert_close(found["relu1_1"], relu(first))
    assert found["relu4_2"].shape == (1, 512, 4, 6)
    torch.testing.assert_close(found["relu4_2"], net.features[:23](h), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found["conv5_4"], net.features[:35](h), rtol=1e-4, atol=1e-6)
    assert found["pool5"].shape == (1, 512, 1, 1)
    grey = x[:, :1]
    torch.testing.assert_close(net.maps(grey, ["relu1_1"]), net.maps(grey.repeat(1, 3, 1, 1), ["relu1_1"]))
    with pytest.raises(UsageError, match=r"vgg19 has no layer 'relu4_9'. Did you mean"):
        net.maps(x, ["relu4_9"])
