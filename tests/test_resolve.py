"""Models by every name they have; weights between two models; weights for other tools."""

from __future__ import annotations

import json
import os
import pickle

import pytest
import torch
from PIL import Image
from torch import nn

import ganvas
from ganvas import catalog
from ganvas.errors import UsageError, UserError
from ganvas.export.interpolate import interpolate
from ganvas.export.pth import checkpoint_of, save_network
from ganvas.imaging.resize import resize
from ganvas.inference.enhance import for_inference
from ganvas.models import cards
from ganvas.models.cards import EMBEDDED, pick_embedded
from ganvas.models.foreign import load_network
from ganvas.models.resolve import resolve, weight_file
from ganvas.policy import Policy

SMALL = {
    "rrdb": {"width": 8, "growth": 4, "blocks": 1},
    "compact": {"width": 8, "convolutions": 2},
    "msrresnet": {"width": 8, "blocks": 1},
    "srresnet": {"width": 8, "blocks": 1},
}


def made(name, **options):
    return catalog.NETWORKS[name](**{**SMALL[name], **options}).eval()


def saved(folder, name="rrdb", file="a.pth", **options):
    network = made(name, **options)
    save_network(network, folder / file)
    return network, folder / file


# --- by whatever it is called ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_a_weight_file(name, tmp_path):
    network, file = saved(tmp_path, name, "w.safetensors", scale=2, channels=1)
    found = resolve(file)
    assert (found.network.scale, found.channels) == (2, 1)
    assert not found.network.training
    x = torch.rand(1, 1, 9, 8)
    assert torch.equal(found.network(x), network(x))


def test_the_embedded_models_are_data(tmp_path, monkeypatch):
    facts = {"purpose": "Small.", "commands": ["upscale"], "default_for": "upscale", "license": "", "data": ""}
    for name, scale in (("small-x4", 4), ("small-x2", 2)):
        card = {**facts, "training": "", "measured": [], "limits": [], "scale": scale}
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.json").write_text(json.dumps(card))
    network, _ = saved(tmp_path / "small-x4", "compact", "weights.safetensors", scale=4)
    monkeypatch.setattr(cards, "FOLDER", tmp_path)
    monkeypatch.setattr(cards, "EMBEDDED", cards.read_cards(tmp_path))
    monkeypatch.setattr(cards, "NAMES", cards.EMBEDDED)
    assert pick_embedded() == "small-x4"
    assert [pick_embedded(s) for s in (1, 2, 2.1, 4, 7)] == ["small-x2", "small-x2", "small-x4", "small-x4", "small-x4"]
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(resolve("small-x4").network(x), network(x))
    with pytest.raises(UsageError, match="lacks the embedded model small-x2"):
        resolve("small-x2")
    with pytest.raises(UsageError, match="Did you mean 'small-x4'"):
        resolve("smal-x4")


@pytest.mark.parametrize("name", [name for name, card in EMBEDDED.items() if card.default_for == "upscale"])
def test_the_embedded_models_are_better_than_bicubic(name):
    """A photograph that none of them was trained on, made smaller, and larger again."""
    from skimage.data import chelsea

    found = resolve(name)
    image = torch.from_numpy(chelsea()[40:240, 100:340].copy()).permute(2, 0, 1)[None] / 255
    low = resize(image, scale=1 / found.network.scale).mul(255).round().div(255).clamp(0, 1)
    made = found.network(low * 2 - 1) / 2 + 0.5
    ours, plain = (
        (x.clamp(0, 1) - image).square().mean().log10() for x in (made, resize(low, scale=found.network.scale))
    )
    assert 10 * (plain - ours) > 0.5  # dB
    assert weight_file(name).stat().st_size <= 2_500_000


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One small run of every kind of model."""
    folder = tmp_path_factory.mktemp("runs")
    digits = {"resolution": 8, "batch": 8, "device": "cpu", "images": 8}
    width, two = ["generator.width=4"], ["generator.width=4", "discriminator.width=4"]
    options = {"data": "digits", **digits}
    pairs = {**options, "data": "a=digits,b=digits"}
    return {
        "dcgan": ganvas.train("dcgan", outdir=folder / "dcgan", set=two, **options).path,
        "cyclegan": ganvas.train("cyclegan", outdir=folder / "gan", set=[*two, "generator.blocks=1"], **pairs).path,
        "denoise": ganvas.train("denoise", outdir=folder / "denoise", set=width, **options).path,
        "classifier": ganvas.train("classifier", outdir=folder / "names", set=["classifier.width=4"], **options).path,
    }


COMMANDS = ("upscale", "restore", "translate", "stylize")


@pytest.mark.parametrize(
    ("verb", "kind", "sentence"),
    [
        *[(v, "dcgan", "{run} generates from noise and cannot {v}; ganvas sample {run}") for v in COMMANDS],
        *[(v, "cyclegan", "{run} translates images and cannot {v}; ganvas translate") for v in ("upscale", "restore")],
        ("translate", "denoise", "{run} restores images and cannot translate; ganvas restore"),
        *[(v, "classifier", "{run} classifies images and cannot {v}; in Python:") for v in ("upscale", "translate")],
    ],
)
def test_a_command_refuses_a_run_of_another_kind(verb, kind, sentence, runs, tmp_path, command):
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    source = [tmp_path / "a.png"] if verb == "stylize" else ["-i", tmp_path / "a.png"]
    code, _, err = command(verb, *source, "-o", tmp_path / "b.png", "--model", runs[kind])
    assert code == 2
    assert sentence.format(run=runs[kind], v=verb) in err
    assert "model." not in err.replace("model.classify", "")
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize("kind", ["dcgan", "cyclegan", "classifier"])
@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_a_run_without_a_layout_is_exported_as_a_folder(kind, name, runs, tmp_path, command):
    code, _, err = command("export", runs[kind], "-o", tmp_path / name)
    assert code == 2
    kinds = {"dcgan": "generation", "cyclegan": "translation", "classifier": "classification"}
    assert f"{runs[kind]} is a {kinds[kind]} model" in err
    assert f"ganvas export {runs[kind]} -o DIR" in err
    assert "ganvas sample" not in err
    assert not any(tmp_path.iterdir())
    with pytest.raises(UsageError, match="cannot upscale"):
        resolve(runs[kind])


def test_a_network_that_needs_more_than_a_image_is_refused(tmp_path):
    network = catalog.NETWORKS["stargan_generator"](width=8, blocks=1, attributes=5)
    save_network(network, tmp_path / "stargan.pth")
    with pytest.raises(UsageError, match="needs more than an image"):
        resolve(tmp_path / "stargan.pth")


@pytest.mark.parametrize("name", ["normalised_vgg", "adain_decoder"])
def test_a_network_that_gives_or_takes_maps_is_refused(name, tmp_path):
    save_network(catalog.NETWORKS[name](), tmp_path / "part.pth")
    with pytest.raises(UsageError, match="cannot be used here"):
        resolve(tmp_path / "part.pth")


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_a_pickle_that_runs_code_is_refused(tmp_path, monkeypatch, command):
    """Bad input: refused, not executed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    code, _, err = command("export", "evil.pth", "-o", "out.safetensors")
    assert code == 1
    assert "could run code" in err
    assert [f.name for f in tmp_path.iterdir()] == ["evil.pth"]


# --- weights between ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.8, 1.0])
def test_interpolation_is_the_papers(alpha, tmp_path):
    """Wang et al. 2018, equation 6, on every tensor, in float64."""
    (a, file_a), (b, file_b) = saved(tmp_path), saved(tmp_path, file="b.safetensors")
    between = interpolate(checkpoint_of(file_a), checkpoint_of(file_b), alpha)
    theirs = b.state_dict()
    for key, value in a.state_dict().items():
        assert torch.equal(between.state[key], ((1 - alpha) * value.double() + alpha * theirs[key].double()).float())


def test_interpolation_keeps_counters(tmp_path):
    """Batch norm counts batches in whole numbers, which have nothing in between."""
    (_, a), (_, b) = saved(tmp_path, "srresnet"), saved(tmp_path, "srresnet", "b.pth")
    state = interpolate(checkpoint_of(a), checkpoint_of(b), 0.5).state
    counters = [v for k, v in state.items() if k.endswith("num_batches_tracked")]
    assert counters
    assert all(v.dtype == torch.int64 for v in counters)


def test_only_the_same_network_is_interpolate(tmp_path, command):
    (_, a), (_, b) = saved(tmp_path), saved(tmp_path, file="b.pth", blocks=2)
    code, _, err = command("interpolate-weights", a, b, "-o", tmp_path / "out.pth")
    assert code == 2
    assert "blocks 1" in err
    assert "blocks 2" in err
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_out_of_range(alpha, tmp_path):
    _, a = saved(tmp_path)
    with pytest.raises(UsageError, match="--alpha must be"):
        interpolate(checkpoint_of(a), checkpoint_of(a), alpha)


def test_the_command_interpolates(tmp_path, command):
    """Pain 14: no control over smoothness and invention; one file between two, that any tool loads."""
    (a, file_a), (b, file_b) = saved(tmp_path), saved(tmp_path, file="b.safetensors")
    out = tmp_path / "between.pth"
    code, text, _ = command("interpolate-weights", file_a, file_b, "--alpha", 0.25, "-o", out, "--json")
    assert code == 0
    said = json.loads(text)
    assert (said["network"], said["alpha"], said["scale"]) == ("rrdb", 0.25, 4)
    first = "conv_first.weight"
    wanted = 0.75 * a.get_parameter(first) + 0.25 * b.get_parameter(first)
    assert torch.allclose(load_network(out).get_parameter(first), wanted)
    assert torch.load(out, weights_only=True)["params"][first].shape == wanted.shape


# --- for other tools ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layout", "key"), [("new", "conv_first.weight"), ("old", "model.0.weight"), ("middle", None)])
def test_export_in_every_layout(layout, key, tmp_path, command):
    """Pain 11: which loader, which flags?  Old and new architectures turn into each other."""
    network, file = saved(tmp_path)
    out = tmp_path / "out.pth"
    assert command("export", file, "-o", out, "--layout", layout)[0] == 0
    state = torch.load(out, weights_only=True)
    assert (key or "RRDB_trunk.0.RDB1.conv1.weight") in state.get("params", state)
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(load_network(out)(x), network(x))


@pytest.mark.parametrize("suffix", [".bin", ".ckpt"])
def test_export_to_another_suffix_is_wrong_usage(suffix, tmp_path, command):
    _, file = saved(tmp_path)
    code, _, err = command("export", file, "-o", tmp_path / f"out{suffix}")
    assert code == 2
    assert ".safetensors" in err


def test_export_a_folder(tmp_path, command):
    options = {"data": "digits", "resolution": 8, "batch": 8, "device": "cpu", "images": 8}
    run = ganvas.train("dcgan", outdir=tmp_path / "run", set=["generator.width=4", "discriminator.width=4"], **options)
    code, out, _ = command("export", run.path, "-o", tmp_path / "model", "--json")
    assert code == 0
    assert {os.path.basename(f) for f in json.loads(out)["files"]} >= {"config.json", "generator.safetensors"}
    assert torch.equal(ganvas.load(tmp_path / "model").sample(2), ganvas.load(run.path).sample(2))
    code, _, err = command("export", run.path, "-o", tmp_path / "model")
    assert code == 2
    assert "exists already" in err


def test_export_of_nothing(tmp_path, command):
    code, _, err = command("export", tmp_path / "nothing", "-o", tmp_path / "out.pth")
    assert code == 2
    assert "There is no model" in err
    (tmp_path / "empty").mkdir()
    assert command("export", tmp_path / "empty", "-o", tmp_path / "out")[0] == 2
    assert sorted(f.name for f in tmp_path.iterdir()) == ["empty"]


def test_a_damaged_file_is_a_sentence(tmp_path):
    _, file = saved(tmp_path)
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(UserError, match="damaged"):
        resolve(file)


# --- as fast as the machine allows ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_quick_networks_say_the_same(name):
    network = made(name)
    x = torch.rand(1, 3, 24, 24) * 2 - 1
    exact, policy = network(x), Policy(torch.device("cpu"), bf16=True)
    fast = for_inference(network, policy)
    with torch.no_grad(), policy.autocast():
        y = fast(x)
    assert y.dtype == torch.float32
    assert (y - exact).abs().max() < 0.05 * exact.abs().max()
    assert next(p for n, p in fast.named_parameters() if p.ndim == 4).dtype == torch.bfloat16
    assert all(p.dtype == torch.float32 for p in network.parameters()), "the original stays as it was"
    assert all(m.weight.dtype == torch.float32 for m in fast.modules() if isinstance(m, nn.BatchNorm2d))
    assert for_inference(network, Policy(torch.device("cpu"))) is network
