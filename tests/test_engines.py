"""Engines: which is chosen, what they compute, tiles, refusals.  OpenVINO where it is installed."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn

from ganvas import catalog
from ganvas.errors import UsageError, UserError
from ganvas.game import ImageToImage
from ganvas.inference import engines
from ganvas.inference.engines import choose_engine, convert
from ganvas.inference.enhance import EnhanceOptions, Enhancer
from ganvas.models.resolve import ImageModel
from ganvas.policy import Policy

CPU, FAST = Policy(torch.device("cpu")), Policy(torch.device("cpu"), bf16=True)
NETWORKS = {
    "compact": {"width": 8, "convolutions": 2, "scale": 2},
    "rrdb": {"width": 8, "growth": 4, "blocks": 1, "scale": 2},
}


def model(name):
    torch.manual_seed(0)
    return ImageModel(catalog.NETWORKS[name](**NETWORKS[name]).eval().requires_grad_(False), 3, name)


def installed(monkeypatch, *names):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: name if name in names else None)


def test_auto_takes_the_fastest_that_is_installed(monkeypatch):
    installed(monkeypatch, "torch", "onnx", "onnxscript", "onnxruntime")
    assert choose_engine("auto", CPU) == "torch"
    installed(monkeypatch, "torch", "openvino")
    assert choose_engine("auto", CPU) == "openvino"
    assert choose_engine("auto", FAST) == "torch"  # its bf16 is faster than any float32
    assert choose_engine("auto", Policy(torch.device("meta"))) == "torch"


@pytest.mark.parametrize(
    ("name", "policy", "message"),
    [
        ("openvin", CPU, "Did you mean 'openvino'"),
        ("openvino", CPU, r'needs openvino: pip install "ganvas\[openvino\]"'),
        ("onnxruntime", CPU, r'needs onnx: pip install "ganvas\[onnx\]"'),
        ("openvino", Policy(torch.device("meta")), "add --device cpu"),
    ],
)
def test_what_cannot_be_chosen_is_a_sentence(name, policy, message, monkeypatch):
    installed(monkeypatch, "torch")
    with pytest.raises(UsageError, match=message):
        choose_engine(name, policy)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", NETWORKS)
def test_an_engine_gives_the_same_images_in_any_size_and_in_tiles(engine, name):
    if not importlib.util.find_spec(engine):
        pytest.skip(f"{engine} is not installed")
    ours = model(name)
    converted = convert(ours, engine)
    x = torch.rand(1, 3, 45, 62, generator=torch.Generator().manual_seed(1)) * 2 - 1
    whole = Enhancer(ours, CPU, EnhanceOptions(tile=0))(x)
    for options in (EnhanceOptions(tile=0), EnhanceOptions(tile=20, overlap=None)):
        enhancer = Enhancer(converted, CPU, options)
        assert not enhancer.tilers[0].field.is_global
        assert (enhancer(x) - whole).abs().max() < 2 / 255


class Stubborn(ImageToImage):
    """A network that gives other images the second time."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.conv(x)


def test_other_pixels_and_failures_are_refused(monkeypatch):
    one = ImageModel(Stubborn(), 3, "one")
    monkeypatch.setattr(engines, "_openvino", lambda network, example: lambda x: network(x) + 0.1)
    with pytest.raises(UserError, match="gives other images by --engine openvino, 1.0e-01 off"):
        convert(one, "openvino")
    monkeypatch.setattr(engines, "_openvino", lambda network, example: 1 / 0)
    with pytest.raises(UserError, match="cannot be converted for --engine openvino: division by zero. Take torch."):
        convert(one, "openvino")
    assert convert(one, "torch") is one


def test_an_engine_computes_what_it_is_given(monkeypatch):
    """The converted network is traced as PyTorch's and computed by the engine."""
    calls = []

    def stand_in(network, example):
        return lambda x: (calls.append(x.shape), network(x))[1]

    monkeypatch.setattr(engines, "_openvino", stand_in)
    ours = model("compact")
    enhancer = Enhancer(convert(ours, "openvino"), FAST, EnhanceOptions(tile=20, overlap=None))
    assert enhancer.tilers[0].field.radius == Enhancer(ours, CPU).tilers[0].field.radius
    assert not enhancer.policy.bf16
    before = len(calls)
    enhancer(torch.zeros(1, 3, 40, 40))
    assert len(calls) == before + 4
