"""A run that begins with a weight file: options and tensors that are taken, other scales, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import ganvas
from ganvas import catalog
from ganvas.config import Spec
from ganvas.errors import UsageError
from ganvas.export.pth import save_network
from ganvas.models.foreign import load_network
from ganvas.training.init_from import inherit_defaults, initialize
from ganvas.training.request import TrainRequest
from ganvas.training.session import prepare, resolve_recipe

NETWORKS = {  # by catalogue name: options of a small one, and a recipe that trains it
    "rrdb": ({"width": 8, "growth": 4, "blocks": 2}, "esrgan_psnr"),
    "compact": ({"width": 8, "convolutions": 3}, "compact"),
    "msrresnet": ({"width": 8, "blocks": 2, "scale": 4}, "face_sr"),
    "span": ({"width": 8}, "span"),
    "realplksr": ({"width": 8, "blocks": 1, "kernel": 5}, "realplksr"),
    "srresnet": ({"width": 8, "blocks": 2}, "srresnet"),
    "translation_generator": ({"width": 4, "blocks": 2}, "cyclegan"),
    "unet_generator": ({"resolution": 16, "width": 4}, "pix2pix"),
    "stargan_generator": ({"attributes": 2, "width": 4, "blocks": 2}, "stargan"),
    "transformer_net": ({"width": 4, "blocks": 2}, "fast_style"),
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    y, x = np.mgrid[:64, :80]
    for k in range(6):
        waves = [127 + 100 * np.sin(x / (3 + k) + c) * np.cos(y / (4 + c)) for c in range(3)]
        Image.fromarray(np.stack(waves, 2).astype(np.uint8)).save(folder / f"{k}.png")
    return folder


def weight_file(folder, network, **options):
    """A weight file of a network of the catalogue with random weights, and the network."""
    torch.manual_seed(1)
    net = catalog.NETWORKS[network](**options)
    save_network(net, folder / "weights.pth")
    return folder / "weights.pth", net


def generator_of(name, source, network="", scale=1):
    """The generator of a recipe as a run with `--init-from source` builds it, and the notices."""
    recipe = catalog.RECIPES[name]()
    recipe.set("generator", network or catalog.name_of(recipe.task.kwargs["generator"].target))
    inherit_defaults(recipe, source, replace=True)
    spec = recipe.task.kwargs["generator"]
    facts = {"resolution": (16, 16), "channels": 3, "scale": scale, "source_channels": 3, "attributes": 2}

    class Task:
        discriminator = None

    Task.generator = spec.build(**facts)
    if name == "cyclegan":
        Task.generator = nn.ModuleDict({way: spec.build(**facts) for way in ("ab", "ba")})
    return Task.generator, initialize(Task, source)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_of_the_loader_begins_as_its_file(network, tmp_path):
    options, recipe = NETWORKS[network]
    file, net = weight_file(tmp_path, network, **options)
    scale = getattr(net, "scale", 1)
    ours, notices = generator_of(recipe, file, network, scale)
    first = ours["ab"] if isinstance(ours, nn.ModuleDict) else ours
    state = net.state_dict()
    assert first.state_dict().keys() == state.keys()
    assert all(torch.equal(v, state[k]) for k, v in first.state_dict().items())
    assert f"takes {len(state)} of its {len(state)} tensors from {file}" in notices[0]
    assert (recipe == "cyclegan") == any("ba begins anew" in notice for notice in notices)


@pytest.mark.parametrize(
    ("network", "fresh", "unused"),
    [("rrdb", "", "not used: conv_up2"), ("compact", "anew: body.8", ""), ("srresnet", "", "not used: larger")],
)
def test_another_scale_takes_the_rest(network, fresh, unused, tmp_path):
    options, recipe = NETWORKS[network]
    file, net = weight_file(tmp_path, network, **options)
    ours, (notice,) = generator_of(recipe, file, scale=2)
    assert "(x4, and this run is x2)" in notice
    assert fresh in notice
    assert unused in notice
    state, equal = net.state_dict(), 0
    for key, value in ours.state_dict().items():
        equal += key in state and torch.equal(value, state[key])
    assert f"takes {equal} of its {len(ours.state_dict())} tensors" in notice
    assert equal >= len(ours.state_dict()) - 2


def small_request(tmp_path, photographs, **options):
    given = {"data": str(photographs), "resolution": 16, "batch": 4, "images": 8, "device": "cpu", "precision": "fp32"}
    return TrainRequest(**{"recipe": "compact", "outdir": tmp_path / "run", **given, **options})


def test_the_first_images_of_a_run_are_the_files(photographs, tmp_path):
    file, _ = weight_file(tmp_path, "compact", width=8, convolutions=3)
    session = prepare(small_request(tmp_path, photographs, init_from=file))
    x = torch.rand(1, 3, 12, 10) * 2 - 1
    with torch.inference_mode():
        for net in (session.trainer.task.generator, session.trainer.average):  # both are what evaluations measure
            torch.testing.assert_close(net(x), load_network(file)(x), rtol=0, atol=1e-6)
    session.close()


def test_options_of_the_user_win(tmp_path):
    file, _ = weight_file(tmp_path, "compact", width=8, convolutions=3)

    def resolved(recipe, **changes):
        request = TrainRequest(recipe, None, tmp_path / "run", init_from=file, set=changes)
        return resolve_recipe(request).task.get("generator")

    assert resolved("compact").kwargs == {"init": "kaiming", "width": 8, "convolutions": 3, "activation": "prelu"}
    assert resolved("compact", **{"generator.width": 16}).get("width") == 16
    assert resolved("srgan", generator="compact").get("convolutions") == 3
    assert resolved("srgan", generator="compact(convolutions=5)").get("convolutions") == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "esrgan_psnr"}, r"weights.pth is Compact .* recipe's generator is rrdb; give --set generator=comp"),
        ({"set": {"generator.width": 16}}, "takes 0% of its numbers"),
        ({"recipe": None}, "names no recipe: ganvas train RECIPE"),
        ({"init_raw": True}, "no training state"),
    ],
)
def test_what_does_not_fit_is_a_sentence(options, message, photographs, tmp_path):
    file, _ = weight_file(tmp_path, "compact", width=8, convolutions=3)
    with pytest.raises(UsageError, match=message):
        prepare(small_request(tmp_path, photographs, init_from=file, **options))
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_scale_is_taken(photographs, tmp_path):
    changes = {"generator.width": 8, "generator.convolutions": 2}
    first = ganvas.train(**vars_of(small_request(tmp_path, photographs, set=changes)))
    changes["degradation.scale"] = 2
    session = prepare(small_request(tmp_path, photographs, outdir=tmp_path / "b", init_from=first.path, set=changes))
    (notice,) = [n for n in session.notices if "takes" in n]
    assert "takes 7 of its 8 tensors" in notice or "anew: body" in notice
    session.close()


def vars_of(request):
    return {name: value for name, value in vars(request).items() if value is not None}


def test_a_generator_of_another_class_keeps_its_options():
    recipe = catalog.RECIPES["esrgan_psnr"]()
    before = recipe.to_dict()
    inherit_defaults(recipe, "x4", replace=True)
    assert recipe.to_dict() == before
    assert isinstance(recipe.task.kwargs["generator"], Spec)


@pytest.mark.slow
def test_a_x4_file_begins_a_x2_run_better_than_nothing(tmp_path):
    """After the same images; the embedded x4 model was trained on other photographs."""
    options = {"data": "photos", "resolution": 48, "batch": 8, "images": 1600, "device": "cpu", "precision": "fp32"}
    options["set"] = {"degradation.scale": 2, "generator.width": 48, "generator.convolutions": 8}
    ends = {}
    for name, source in (("nothing", None), ("x4", "x4")):
        run = ganvas.train("compact", outdir=tmp_path / name, init_from=source, **options)
        ends[name] = [line["g/psnr"] for line in run.log()][-1]
    assert ends["x4"] > ends["nothing"] + 0.5
