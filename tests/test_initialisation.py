"""Every network takes an initialisation by name; `he` and `glorot` are the names of their authors."""

import math

import pytest
import torch
from torch import nn

from ganvas import catalog
from ganvas.config import Spec, options
from ganvas.networks.layers import LINEAR, initialise
from ganvas.networks.stylegan2 import EqualConv, EqualLinear, Modulated

FROZEN = {"content", "perception", "normalised_vgg"}  # with weights of their own, which are never trained
THROUGH = {"colouriser": "net", "dehazer": "net", "inpainter": "net"}  # their weights are those of another network
TABLES = {"word_encoder"}  # of vectors alone, without a layer that a scheme is for
BODIES = sorted(catalog.NETWORKS.addresses.keys() - FROZEN - TABLES - THROUGH.keys())
FACTS = {"resolution": (16, 16), "channels": 3, "classes": 4, "source_channels": 3, "attributes": 0, "scale": 2}
SMALL = {
    "width": 8,
    "blocks": 1,
    "cardinality": 2,
    "max_width": 8,
    "widths": [8, 16],
    "growth": 2,
    "hidden": 16,
    "spectral": False,
    "mapping": 1,
    "heads": 2,
}


def build(name, init):
    target = catalog.NETWORKS[name]
    known = options(target)
    small = {k: v for k, v in SMALL.items() if k in known and not (k == "growth" and name.startswith(("res", "big")))}
    torch.manual_seed(0)
    return Spec(target, **small, **({"init": init} if init else {})).build(**FACTS)


def test_the_list_is_complete():
    assert all("init" in options(Spec(catalog.NETWORKS[n]).get(part).target) for n, part in THROUGH.items())
    assert not [name for name in BODIES if "init" not in options(catalog.NETWORKS[name])]


@pytest.mark.parametrize("name", BODIES)
def test_he_and_glorot_are_kaiming_and_xavier(name):
    he, kaiming, glorot, xavier = (build(name, init).state_dict() for init in ("he", "kaiming", "glorot", "xavier"))
    assert all(torch.equal(he[key], kaiming[key]) and torch.equal(glorot[key], xavier[key]) for key in he)
    assert any(not torch.equal(he[key], glorot[key]) for key in he)


@pytest.mark.parametrize("name", ["r3gan_generator", "rrdb", "stylegan2_generator", "stylegan2_discriminator"])
def test_the_weights_have_the_deviation_of_their_scheme(name):
    """He et al. 2015, eq. 14: variance 2 / ((1 + a^2) fan in) of the weights that multiply, a = 0.2."""
    count = 0
    for layer in build(name, "he").modules():
        if isinstance(layer, (*LINEAR, EqualLinear, EqualConv, Modulated)) and layer.weight.numel() > 500:
            weight = layer.weight.detach() * (
                layer.scale if isinstance(layer, (EqualLinear, EqualConv, Modulated)) else 1
            )
            expected = math.sqrt(2 / 1.04 / weight[0].numel())
            if weight.any():
                assert weight.std().item() == pytest.approx(expected, rel=0.15)
                count += 1
    assert count > 3


def test_identities_stay_identities():
    x = torch.randn(2, 3, 16, 16)
    net = build("overpainting_net", "orthogonal")
    torch.testing.assert_close(net(x), build("overpainting_net", None)(x))
    for block in build("r3gan_generator", "xavier").modules():
        assert not hasattr(block, "back") or not block.back.weight.any()
    zero = nn.Linear(3, 3)
    nn.init.zeros_(zero.weight)
    assert not initialise(zero, "normal").weight.any()
    assert initialise(zero, None) is zero
