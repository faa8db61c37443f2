"""ONNX files: opened by onnxruntime, they give PyTorch's images; names, ranges and labels are in them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from ganvas import catalog
from ganvas.errors import UserError
from ganvas.game import ImageToImage
from ganvas.models.model import Model
from ganvas.networks.cyclegan import Generator
from ganvas.policy import Policy
from ganvas.tasks.translation import Applied
from small import facts, narrow

onnx = pytest.importorskip("onnx", reason="ONNX needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX needs the extra onnx")
pytest.importorskip("onnxscript", reason="ONNX needs the extra onnx")
from ganvas.export.onnx import write_onnx  # noqa: E402

QUICK = ("dcgan",)  # of each other kind: make test-reach


def tiny(name):
    """A model of a recipe with weights that are not those of the beginning, where many networks give zeros."""
    recipe = catalog.RECIPES[name]()
    for path, value in narrow(name).items():
        recipe.set(path, str(value))
    data = facts(name) | ({"resolution": (1, 1), "channels": 2} if "points" in name else {})
    torch.manual_seed(0)
    task = recipe.task.build(**data)
    with torch.no_grad():
        for weight in task.generator.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return loaded(task, class_names=["a", "b", "c"], **data)


def loaded(task, **data):
    return Model(task.eval().requires_grad_(False), Policy.choose("cpu", "fp32"), {"data": {"class_names": [], **data}})


def run(file, **inputs):
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (image,) = session.run(["image"], {key: np.asarray(value) for key, value in inputs.items()})
    return torch.from_numpy(image)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in catalog.RECIPES]
)
def test_every_recipe_is_the_same_in_onnx(name, tmp_path):
    """By a session of its own, on inputs that the export has not seen."""
    model, file = tiny(name), tmp_path / "m.onnx"
    result = write_onnx(model, file, name=name)
    assert [f.name for f in tmp_path.iterdir()] == ["m.onnx"]
    assert result["difference"] <= 1e-4
    onnx.checker.check_model(file)
    if not model.task.draws_images:
        image = torch.rand(5, 1, 8, 8) * 2 - 1
        session = onnxruntime.InferenceSession(str(file))
        (logits,) = session.run(["logits"], {"image": image.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), model.predict(image), rtol=1e-4, atol=1e-4)
        return
    if model.task.translates:
        return check_translation(model, file, result)
    given = model.task.inputs(range(40, 45))
    image = run(file, **{k: model.task.generator["text"].tokens(v) if k == "text" else v for k, v in given.items()})
    assert image.abs().max() <= 1
    assert (image - model.generate(given)).abs().max() <= 2e-4
    assert {*result["inputs"]} == {*given}
    latent = given["z"].shape[1]
    assert (result["inputs"]["z"], result["outputs"]["image"]) == (["N", latent], ["N", *image.shape[1:]])


def check_translation(model, file, result):
    """Another batch and another size."""
    shape = result["inputs"]["source"]
    assert shape[0] == "N"
    assert shape[2:] == ["height", "width"]
    assert result["dynamic_size"]
    image = torch.rand(1, shape[1], 45, 58) * 2 - 1
    if "style" in result["inputs"]:
        style = torch.rand(1, shape[1], 40, 66) * 2 - 1
        expected, found = model.task.stylize(image, [style]).clamp(-1, 1), run(file, source=image, style=style)
    elif "label" in result["inputs"]:
        label = model.task.target_labels(1, 1)
        expected, found = model.task.translate(image, label).clamp(-1, 1), run(file, source=image, label=label)
    else:
        network = model.task.generator.on_images() if model.task.restores else model.task.translate
        expected, found = network(image).clamp(-1, 1), run(file, source=image)
    assert (found - expected).abs().max() <= 2e-4


def test_what_is_in_the_file(tmp_path):
    model, file = tiny("acgan"), tmp_path / "m.onnx"
    result = write_onnx(model, file, name="acgan", fp16=True)
    assert (result["precision"], result["opset"]) == ("fp16", 18)
    assert 0 < result["difference"] < 0.02
    proto = onnx.load(file)
    assert [(o.domain, o.version) for o in proto.opset_import if not o.domain] == [("", 18)]
    about = {p.key: p.value for p in proto.metadata_props}
    assert json.loads(about["labels"]) == ["a", "b", "c"]
    assert about["layout"] == "NCHW"
    assert about["about.z"] == "(N, 100), standard normal"
    assert "[-1, 1]" in about["about.image"]
    types = {onnx.TensorProto.DataType.Name(i.data_type) for i in proto.graph.initializer if "weight" in i.name}
    assert types == {"FLOAT16"}
    given = model.task.inputs(range(4))
    assert (run(file, **given) - model.generate(given)).abs().max() < 0.05


@pytest.mark.slow
def test_a_network_of_another_file_takes_any_size(tmp_path):
    network = Generator(channels=3, width=4, blocks=1)
    file = tmp_path / "m.onnx"
    result = write_onnx(loaded(Applied(network), channels=3), file, name="net.pth")
    assert result["inputs"] == {"source": ["N", 3, "height", "width"]}
    image = torch.rand(2, 3, 33, 50) * 2 - 1
    assert (run(file, source=image) - network(image)).abs().max() <= 2e-4


class Bessel(ImageToImage):
    def forward(self, x):
        return torch.special.bessel_j0(x)


class Fickle(ImageToImage):
    """Its graph is not what it computes."""

    def forward(self, x):
        return x * (0.5 if torch.compiler.is_exporting() else 0.25)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Bessel, r"ONNX has no counterpart of the operator \S*bessel_j0.* model folder"),
        (Fickle, r"its output differs by 1\.\de-01 of the range"),
    ],
)
def test_what_cannot_be_exported_is_a_sentence(network, said, tmp_path):
    with pytest.raises(UserError, match=said):
        write_onnx(loaded(Applied(network()), channels=3), tmp_path / "m.onnx", name="mine")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command(tmp_path, command):
    code, out, err = command("export", "bicubic", "-o", tmp_path / "m.onnx", "--layout", "old")
    assert (code, "--layout is for weight files" in err) == (2, True)
    code, out, err = command("export", "compact-x2", "-o", tmp_path / "m.pth", "--fp16")
    assert (code, "--fp16 is for .onnx files" in err) == (2, True)
    code, out, err = command("export", "compact-x2", "-o", tmp_path / "m.onnx", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["outputs"] == {"image": ["N", 3, "2*height", "2*width"]}
    assert result["bytes"] == (tmp_path / "m.onnx").stat().st_size
    assert not err


def test_without_the_extra(tmp_path, command, monkeypatch):
    monkeypatch.setattr("ganvas.export.onnx.PACKAGES", ("onnx_that_is_not_here",))
    code, out, err = command("export", "compact-x2", "-o", tmp_path / "m.onnx")
    assert (code, out) == (1, "")
    assert "pip install 'ganvas[onnx]'" in err
