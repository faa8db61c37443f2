"""Architectures of other packages: stand-ins of resselt and spandrel, and .onnx files; sizes, tiles, refusals."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from ganvas import cli
from ganvas.errors import UsageError, UserError
from ganvas.inference.enhance import EnhanceOptions, Enhancer
from ganvas.models.resolve import resolve
from ganvas.policy import Policy

CPU = Policy(torch.device("cpu"))
NETWORK = '''
import torch
class Twice(torch.nn.Module):
    """Twice as large, for sides that are multiples of 4; it sees the whole image a little."""
    def __init__(self, state):
        super().__init__()
        self.conv, self.mean = torch.nn.Conv2d(3, 3, 3, padding=1), torch.zeros(1)
        self.conv.load_state_dict({"weight": state["odd.weight"], "bias": state["odd.bias"]})
    def forward(self, x):
        self.mean = self.mean.type_as(x)
        assert WHOLE or (x.shape[2] % 4 == 0 and x.shape[3] % 4 == 0 and x.shape[2] >= 8 and x.shape[3] >= 8), x.shape
        y = x + 0.1 * torch.tanh(self.conv(x)) + 0.001 * torch.softmax(x.flatten(2), 2).view(x.shape) + self.mean
        return y.repeat_interleave(2, 2).repeat_interleave(2, 3)
'''
RESSELT = """
class Info:
    name, upscale, in_channels, out_channels = "Odd", 2, 3, 3
def load_from_state_dict(state):
    from .registry import ArchitectureNotFound
    from .network import Twice
    if "odd.weight" not in state:
        raise ArchitectureNotFound
    network = Twice(state)
    network.parameters_info = Info
    return network
"""
SPANDREL = """
import enum, types
from .network import Twice
class UnsupportedModelError(Exception): pass
class ModelTiling(enum.Enum):
    SUPPORTED, DISCOURAGED, INTERNAL = 1, 2, 3
class ImageModelDescriptor:
    def __init__(self, state):
        self.model, self._call_fn = Twice(state), lambda model, image: model(image)
        self.architecture = types.SimpleNamespace(name="Odd")
        self.scale, self.input_channels, self.output_channels = 2, 3, 3
        self.size_requirements = types.SimpleNamespace(minimum=8, multiple_of=4, square=False)
        self.tiling = ModelTiling.SUPPORTED
class ModelLoader:
    def __init__(self, device): pass
    def load_from_state_dict(self, state):
        if "odd.weight" not in state:
            raise UnsupportedModelError
        return ImageModelDescriptor(state)
"""
PACKAGES = {
    "resselt": {
        "__init__.py": RESSELT,
        "registry.py": "class ArchitectureNotFound(Exception): pass",
        "network.py": f"WHOLE = True\n{NETWORK}",
    },
    "spandrel": {"__init__.py": SPANDREL, "network.py": f"WHOLE = False\n{NETWORK}"},
    "broken resselt": {"__init__.py": "raise RuntimeError('operator torchvision::nms does not exist\\nmore')"},
    "broken spandrel": {"__init__.py": "import nothing_of_that_name"},
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that puts stand-ins of packages on the path; those that are really there are hidden."""
    folder = tmp_path / "packages"
    for name in list(sys.modules):
        if name.partition(".")[0] in ("resselt", "spandrel"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(folder))

    def put(*names):
        for name in names:
            place = folder / name.split()[-1]
            place.mkdir(parents=True)
            for file, text in PACKAGES[name].items():
                (place / file).write_text(text)

    yield put
    for name in list(sys.modules):
        if name.partition(".")[0] in ("resselt", "spandrel"):
            monkeypatch.delitem(sys.modules, name)


@pytest.fixture
def odd(tmp_path):
    """A file of an architecture that is not built here; it has a table of integers, as transformers do."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 3, 3)
    state = {"odd.weight": conv.weight.data, "odd.bias": conv.bias.data, "table": torch.arange(5)}
    torch.save({"params": state}, tmp_path / "odd.pth")
    return tmp_path / "odd.pth"


def image(height, width, seed=1):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("package", ["resselt", "spandrel"])
def test_a_package_that_knows_the_file_builds_it(package, install, odd):
    install(package)
    model = resolve(odd)
    assert (model.loader, model.architecture, model.network.scale, model.channels) == (package, "Odd", 2, 3)
    for height, width in ((16, 24), (5, 7), (1, 30)):  # padded to what the package says, and cropped
        x = image(height, width)
        y = Enhancer(model, CPU)(x)
        assert y.shape == (1, 3, 2 * height, 2 * width)
        assert (y[:, :, ::2, ::2] - x).abs().max() < 0.3  # nothing is moved


def test_resselt_is_asked_before_spandrel(install, odd):
    install("resselt", "spandrel")
    assert resolve(odd).loader == "resselt"


def test_a_broken_package_does_not_hide_the_other(install, odd):
    install("broken resselt", "spandrel")
    assert resolve(odd).loader == "spandrel"


def test_its_tiles_are_blended_and_said(install, odd):
    install("spandrel")
    enhancer = Enhancer(resolve(odd), CPU, EnhanceOptions(tile=32))
    x = image(80, 100)
    whole = Enhancer(resolve(odd), CPU)(x)
    tiled = enhancer(x)
    assert (tiled - whole).abs().max() < 0.02
    (note,) = [n for n in enhancer.tilers[0].notes if "blend" in n]
    assert note.startswith("the network sees the whole image (")
    assert "off by 0.0" in note


def test_bf16_is_left_to_our_own_networks(install, odd):
    install("resselt")
    enhancer = Enhancer(resolve(odd), Policy(torch.device("cpu"), bf16=True))
    assert not enhancer.policy.bf16


@pytest.mark.parametrize(
    ("packages", "message"),
    [
        ((), r"network known here.*; pip install \"ganvas\[spandrel\]\" or \"ganvas\[resselt\]\" reads more"),
        (("broken resselt",), "resselt fails: operator torchvision::nms does not exist."),
        (("broken spandrel",), "spandrel cannot be imported: No module named 'nothing_of_that_name'."),
        (("resselt", "spandrel"), "resselt does not know it; spandrel does not know it."),
    ],
)
def test_what_no_package_reads_is_a_sentence(packages, message, install, tmp_path):
    install(*packages)
    torch.save({"encoder.a": torch.ones(2), "decoder.b": torch.ones(3)}, tmp_path / "strange.pth")
    with pytest.raises(UserError, match=message) as problem:
        resolve(tmp_path / "strange.pth")
    assert "\n" not in str(problem.value)


def test_the_command_names_the_package(install, odd, tmp_path):
    install("spandrel")
    Image.fromarray(np.random.default_rng(0).integers(0, 65536, (20, 30), np.uint16)).save(tmp_path / "in.png")
    line = [
        "upscale",
        "-i",
        tmp_path / "in.png",
        "-o",
        tmp_path / "out.png",
        "--model",
        odd,
        "--device",
        "cpu",
        "--json",
    ]
    result = CliRunner().invoke(cli.app, list(map(str, line)))
    assert result.exit_code == 0, result.output
    about = json.loads(result.stdout)
    assert (about["loader"], about["architecture"], about["scale"]) == ("spandrel", "Odd", 2.0)
    assert "Odd, x2, read by spandrel" in result.stderr
    with Image.open(tmp_path / "out.png") as out:
        assert (out.size, out.mode) == ((60, 40), "I;16")


# --- .onnx -----------------------------------------------------------------------------------------------------------


class Grow(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(channels, channels * 4, 3, padding=1)

    def forward(self, x):
        return nn.functional.pixel_shuffle(self.conv(x), 2) * 0.2 + x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def write_onnx(file, side=None, channels=3):
    """A network in a file for one size, or for any."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    network = Grow(channels)
    weight, bias = (numpy_helper.from_array(t.detach().numpy(), n) for t, n in zip(network.conv.parameters(), "wb"))
    fifth = numpy_helper.from_array(np.float32(0.2), "fifth")
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    sides = [side, side] if side else ["h", "w"]
    larger = [2 * side, 2 * side] if side else ["hh", "ww"]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["maps"], ["detail"], blocksize=2, mode="CRD"),
        helper.make_node("Mul", ["detail", "fifth"], ["little"]),
        helper.make_node("Resize", ["x", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("Add", ["little", "large"], ["y"]),
    ]
    infos = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, channels, *s]) for n, s in (("x", sides), ("y", larger))
    ]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], [weight, bias, fifth, scales])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(file))
    return network.eval()


@pytest.mark.parametrize("side", [None, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_onnx_file_upscales(side, channels, tmp_path):
    network = write_onnx(tmp_path / "grow.onnx", side, channels)
    model = resolve(tmp_path / "grow.onnx")
    assert (model.loader, model.network.scale, model.channels) == ("onnxruntime", 2, channels)
    x = image(16, 16)[:, :channels]
    with torch.no_grad():
        torch.testing.assert_close((model.network(x) + 1) / 2, network((x + 1) / 2), rtol=1e-4, atol=1e-4)
    small = image(9, 14)[:, :channels]
    assert Enhancer(model, CPU)(small).shape == (1, channels, 18, 28)


def test_an_onnx_file_in_tiles(tmp_path):
    network, x = write_onnx(tmp_path / "grow.onnx"), image(90, 70)
    tiled = Enhancer(resolve(tmp_path / "grow.onnx"), CPU, EnhanceOptions(tile=32))(x)
    with torch.no_grad():
        torch.testing.assert_close((tiled + 1) / 2, network((x + 1) / 2), rtol=1e-4, atol=1e-4)


def test_our_own_exports_work_between_minus_one_and_one(tmp_path):
    """The metadata say so; the file computes as the one between 0 and 1, on other numbers."""
    onnx = pytest.importorskip("onnx")
    write_onnx(tmp_path / "grow.onnx")
    proto = onnx.load(tmp_path / "grow.onnx")
    proto.metadata_props.add(key="about.x", value="(N, C, H, W), RGB or grey, in [-1, 1]")
    onnx.save(proto, str(tmp_path / "ours.onnx"))
    network, x = Grow().eval(), image(12, 8)
    with torch.no_grad():
        torch.testing.assert_close(resolve(tmp_path / "ours.onnx").network(x), network(x), rtol=1e-4, atol=1e-4)


def test_strange_onnx_files_are_sentences(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match="is no ONNX file that onnxruntime opens"):
        resolve(tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r'needs onnxruntime: pip install "ganvas\[onnx\]"'):
        resolve(tmp_path / "a.onnx")
    with pytest.raises(UsageError, match="There is no model"):
        resolve(tmp_path / "b.onnx")
