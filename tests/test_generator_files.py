"""Published StyleGAN2 generators: files of three projects compute as published, code is refused."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import sys
import types
from argparse import Namespace
from collections import OrderedDict

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import ganvas
import published_stylegan2 as published
from ganvas import cli
from ganvas.catalog import RECIPES
from ganvas.checkpoints.files import read_tensors
from ganvas.checkpoints.pickles import read_generator
from ganvas.errors import UserError
from ganvas.imaging.grid import to_pil_images
from ganvas.training.init_from import inherit_defaults, initialize

PERSISTENCE = "torch_utils.persistence"


@pytest.fixture
def published_modules(monkeypatch):
    """The modules that published pickles name, as far as writing such a pickle needs them."""

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("code of a pickle was run")

    class EasyDict(dict):
        pass

    class Network:
        def __getstate__(self):
            return self.__dict__

    members = {
        PERSISTENCE: {"_reconstruct_persistent_obj": _reconstruct_persistent_obj},
        "dnnlib.util": {"EasyDict": EasyDict},
        "dnnlib.tflib.network": {"Network": Network},
    }
    for name, objects in members.items():
        for part in (name.rpartition(".")[0], name):
            monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
        for key, value in objects.items():
            value.__module__, value.__qualname__ = name, key
            setattr(sys.modules[name], key, value)
    return types.SimpleNamespace(make=_reconstruct_persistent_obj, EasyDict=EasyDict, Network=Network)


class Module:
    """A module as `torch_utils.persistence` pickles it: the source of its class, and its state."""

    def __init__(self, modules, tensors, parts):
        self.modules, self.tensors, self.parts = modules, tensors, parts

    def __reduce__(self):
        buffers = ("const_", "w_avg", "noise_const", "resample_filter")
        groups = {"_parameters": OrderedDict(), "_buffers": OrderedDict()}
        for name, value in self.tensors.items():
            held = name.startswith(buffers)
            groups["_buffers" if held else "_parameters"][name] = value if held else torch.nn.Parameter(value)
        state = {"training": False, **groups, "_non_persistent_buffers_set": set(), "_backward_hooks": OrderedDict()}
        state |= {
            "_modules": OrderedDict(self.parts),
            "weight_gain": np.float64(0.5),
            "_init_kwargs": self.modules.EasyDict(a=1),
        }
        meta = {
            "type": "class",
            "version": 6,
            "module_src": "raise AssertionError",
            "class_name": "Any",
            "state": state,
        }
        return self.modules.make, (meta,), None


def as_module(modules, state):
    """A tree of modules of dotted names."""
    own = {k: v for k, v in state.items() if "." not in k}
    names = dict.fromkeys(k.partition(".")[0] for k in state if "." in k)
    parts = {
        n: as_module(modules, {k[len(n) + 1 :]: v for k, v in state.items() if k.startswith(f"{n}.")}) for n in names
    }
    return Module(modules, own, parts)


def write_ada(file, modules, state):
    content = {
        "G": None,
        "D": None,
        "G_ema": as_module(modules, state),
        "training_set_kwargs": modules.EasyDict(path="x"),
    }
    file.write_bytes(pickle.dumps(content, protocol=4))
    return file


def write_tensorflow(file, modules, state):
    def network(prefix, components):
        made = modules.Network()
        inside = {k: v for k, v in published.as_tensorflow(state).items() if k.startswith(prefix)}
        inside = {k: v for k, v in inside.items() if prefix or "/" not in k}
        made.version, made.static_kwargs, made.components = 4, {}, components
        made.variables = [(k.removeprefix(prefix), np.array(v.numpy(), order="F")) for k, v in inside.items()]
        return made

    whole = network("", {"mapping": network("mapping/", {}), "synthesis": network("synthesis/", {})})
    file.write_bytes(pickle.dumps((None, None, whole), protocol=3))
    return file


def write_rosinality(file, modules, state):
    torch.save({**published.as_rosinality(state), "args": Namespace(size=16), "g_optim": {"state": {}}}, file)
    return file


WRITERS = {
    "ada.pkl": write_ada,
    "tensorflow.pkl": write_tensorflow,
    "rosinality.pt": write_rosinality,
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("psi", [1.0, 0.6])
def test_images_are_those_of_the_published_computation(kind, psi, published_modules, tmp_path):
    state = published.ada_tensors()
    model = ganvas.load(WRITERS[kind](tmp_path / kind, published_modules, state), device="cpu", precision="fp32")
    z = model.task.latents([3, 4])
    expected = published.ada(state, z, psi=psi)
    ours = model.task.generator.truncated(z, None, psi)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    torch.testing.assert_close(model.sample_seeds([3, 4], trunc=psi), ours.clamp(-1, 1))
    assert model.config["data"]["resolution"] == [16, 16]


@pytest.mark.parametrize("kind", ["ada.pkl", "tensorflow.pkl"])
def test_labels_are_embedded_as_published(kind, published_modules, tmp_path):
    state = published.ada_tensors(classes=3, channels=1)
    model = ganvas.load(WRITERS[kind](tmp_path / kind, published_modules, state), device="cpu", precision="fp32")
    z, label = model.task.latents([1, 2]), torch.tensor([2, 0])
    expected = published.ada(state, z, label)
    torch.testing.assert_close(
        model.task.generator(z, label), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item()
    )
    assert model.sample(2, label=2).shape == (2, 1, 16, 16)


def test_the_average_style_is_computed_where_a_file_lacks_it(published_modules, tmp_path):
    state = published.ada_tensors()
    torch.save(published.as_rosinality(state, average=False), tmp_path / "g.pt")
    average = ganvas.load(tmp_path / "g.pt", device="cpu").task.generator.average
    z = torch.randn(20_000, 6, generator=torch.Generator().manual_seed(9))
    expected = published.ada_mapping(state, z).mean(0)
    assert (average - expected).abs().max() < 0.05 * published.ada_mapping(state, z).std()


def test_a_run_begins_with_a_published_generator(published_modules, tmp_path):
    state = published.ada_tensors()
    file = write_ada(tmp_path / "g.pkl", published_modules, state)
    recipe = RECIPES["stylegan2"]()
    inherit_defaults(recipe, file, replace=True)
    task = recipe.task.build(resolution=(16, 16), channels=3)
    (notice, *_) = initialize(task, file)
    tensors = len(task.generator.state_dict())
    assert f"takes {tensors} of its {tensors} tensors" in notice
    z = torch.randn(1, 6, generator=torch.Generator().manual_seed(1))
    expected = published.ada(state, z)
    images = task.generator.eval()(z)
    torch.testing.assert_close(images, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_the_command_samples_a_file(published_modules, tmp_path):
    file = write_ada(tmp_path / "g.pkl", published_modules, published.ada_tensors())
    out = CliRunner().invoke(cli.app, ["sample", str(file), "-o", str(tmp_path / "grid.png"), "--seeds", "0-3"])
    assert out.exit_code == 0, out.output
    assert (tmp_path / "grid.png").is_file()


@pytest.mark.parametrize("kind", ["ada.pkl", "tensorflow.pkl"])
def test_a_photo_is_projected_into_a_published_generator(kind, published_modules, tmp_path, command):
    """An image that the file drew is one that its codes can give; tuned, the model is a folder of ours."""
    state = {
        key: value * (0.2 if "torgb" in key else 1) for key, value in published.ada_tensors().items()
    }  # no clipping
    file = WRITERS[kind](tmp_path / kind, published_modules, state)
    own = ganvas.load(file, device="cpu", precision="fp32").sample(1, seed=1000)
    to_pil_images(own)[0].save(tmp_path / "photo.png")
    options = ("--steps", "60", "--loss", "pixel", "--json")
    code, out, err = command("project", file, tmp_path / "photo.png", "-o", tmp_path / "p", *options)
    assert code == 0, err
    (row,) = json.loads(out)["images"]
    assert row["psnr"] > 25
    images = tmp_path / "edited.png"
    code, _, err = command("edit", file, "--code", tmp_path / "p" / "codes.safetensors", "-o", images)
    assert (code, images.is_file()) == (0, True), err
    code, _, err = command(
        "project", file, tmp_path / "photo.png", "-o", tmp_path / "t", *options[:4], "--tune", "--tune-steps", "2"
    )
    assert code == 0, err
    tuned = ganvas.load(tmp_path / "t", device="cpu", precision="fp32").sample(1, seed=1000)
    assert (tuned - own).abs().mean() < 0.05  # two steps from the file's


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


HOSTILE = {
    "a command": lambda: Calls(os.system, "touch ran"),
    "eval": lambda: Calls(eval, "open('ran', 'w')"),
    "an attribute": lambda: Calls(getattr, "a", "upper"),
    "a module of torch": lambda: Calls(torch.hub.load, "a/b", "c"),
    "a loader of pickles": lambda: Calls(pickle.loads, b"."),
    "an object array": lambda: np.array([Calls(os.system, "touch ran")], dtype=object),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_runs_code_is_refused_not_run(name, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.pkl").write_bytes(pickle.dumps({"G_ema": HOSTILE[name]()}, protocol=protocol))
    with pytest.raises(UserError, match="holds more than weights .*not opened, because that could run code"):
        read_tensors(tmp_path / "g.pkl")
    assert not (tmp_path / "ran").exists()


def test_a_storage_inside_cannot_run_code_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.save(Calls(os.system, "touch ran"), buffer, _use_new_zipfile_serialization=False)
    content = Calls(torch.storage._load_from_bytes, buffer.getvalue())
    (tmp_path / "g.pkl").write_bytes(pickle.dumps({"G_ema": content}, protocol=4))
    with pytest.raises(UserError):
        read_generator(tmp_path / "g.pkl")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"G": None}, "pickle without a generator"),
        ([1, 2], "pickle without a generator"),
        ({"G_ema": {"a": 1}}, "pickle without a generator"),
    ],
)
def test_other_pickles_are_a_sentence(content, message, tmp_path):
    (tmp_path / "g.pkl").write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(UserError, match=message):
        read_generator(tmp_path / "g.pkl")


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    storage = torch.storage.TypedStorage(
        wrap_storage=torch.arange(4.0).untyped_storage(), dtype=torch.float32, _internal=True
    )
    fields = (storage, 0, (1 << 20,), (1,), False, OrderedDict())
    content = {"G_ema": Calls(torch._utils._rebuild_tensor_v2, *fields)}
    (tmp_path / "g.pkl").write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(UserError, match="beyond its storage"):
        read_generator(tmp_path / "g.pkl")


def test_damaged_pickles_are_sentences(published_modules, tmp_path):
    """Cut off, and with bytes changed at random: a sentence, or tensors, and nothing else."""
    whole = write_ada(tmp_path / "g.pkl", published_modules, published.ada_tensors()).read_bytes()
    source, refused = random.Random(0), 0
    for k in range(150):
        content = bytearray(whole[: source.randrange(20, len(whole))] if k % 3 == 0 else whole)
        for _ in range(source.randrange(1, 6) if k % 3 else 0):
            content[source.randrange(2, len(content))] = source.randrange(256)
        (tmp_path / "d.pkl").write_bytes(content)
        try:
            read_generator(tmp_path / "d.pkl")
        except UserError:
            refused += 1
    assert refused > 50
