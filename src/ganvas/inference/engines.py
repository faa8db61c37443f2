"""Engines that compute a network on the processor: PyTorch, OpenVINO or onnxruntime, in float32.

Measured by `benchmarks/enhance.py engines`.  The network is converted once, for images of any size; its operations are
traced as those of PyTorch's network, so that tiles stay exact.
"""

import importlib.util
import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UsageError, UserError, did_you_mean
from ..game import ImageToImage
from ..models.onnx_file import Runner, open_session
from ..models.resolve import ImageModel
from ..policy import Policy

PACKAGES = {"torch": "torch", "openvino": "openvino", "onnxruntime": "onnx onnxscript onnxruntime"}  # of each engine
EXTRAS = {"openvino": "openvino", "onnxruntime": "onnx"}
AUTO = "auto"
FASTER = ("openvino",)  # than PyTorch in float32 on the processor, the fastest first
EXAMPLE = 32  # side of the image that is followed through the network
QUIET = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")

Run = Callable[[Tensor], Tensor]


class Converted(ImageToImage):
    """A network that an engine computes; without numbers, as for tracing, it is PyTorch's."""

    float32_only = True

    def __init__(self, network: ImageToImage, run: Run):
        super().__init__()
        self.network, self.run = network, run
        for name in ("scale", "masked", "guide", "colours", "keeps_alpha", "tileable", "multiple"):
            setattr(self, name, getattr(network, name))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.network(x) if x.is_meta else self.run(x.contiguous())
        return y


def choose_engine(name: str, policy: Policy) -> str:
    """The engine of that name; `auto` is the fastest installed one on the processor in float32, elsewhere PyTorch.

    Raises `UsageError` for another name, a device or a precision that the engine does not have, and without its extra.
    """
    if name not in (AUTO, *PACKAGES):
        raise UsageError(f"--engine is auto, {', '.join(PACKAGES)}, not {name!r}.{did_you_mean(name, PACKAGES)}")
    plain = policy.device.type == "cpu" and not policy.bf16
    if name == AUTO:
        fast = (engine for engine in FASTER if importlib.util.find_spec(PACKAGES[engine]))
        return next(fast, "torch") if plain else "torch"
    if name == "torch":
        return name
    if policy.device.type != "cpu":
        raise UsageError(f"--engine {name} computes on the processor; add --device cpu.")
    missing = [p for p in PACKAGES[name].split() if importlib.util.find_spec(p) is None]
    if missing:
        raise UsageError(f'--engine {name} needs {missing[0]}: pip install "ganvas[{EXTRAS[name]}]".')
    return name


def convert(model: ImageModel, engine: str) -> ImageModel:
    """The model with its network computed by an engine; raises `UserError` for a network that it does not take."""
    if engine == "torch" or model.loader == "onnxruntime":  # which is converted already
        return model
    example = torch.zeros(1, model.channels, EXAMPLE, EXAMPLE)
    network = model.network.float().eval()
    try:
        with warnings.catch_warnings(action="ignore"), torch.no_grad(), _quiet():
            run = (_openvino if engine == "openvino" else _onnxruntime)(network, example)
            off = (run(example) - network(example)).abs().max().item()
    except UserError:
        raise
    except Exception as problem:  # of a converter, which has many kinds
        reason = (str(problem).strip() or type(problem).__name__).splitlines()[0][:200]
        raise UserError(f"{model.name} cannot be converted for --engine {engine}: {reason}. Take torch.") from None
    if not off <= 2 / 255:
        raise UserError(f"{model.name} gives other images by --engine {engine}, {off:.1e} off; take --engine torch.")
    return replace(model, network=Converted(network, run).eval())


def _openvino(network: nn.Module, example: Tensor) -> Run:
    import openvino

    whole = openvino.convert_model(network, example_input=example, input=[-1, example.shape[1], -1, -1])
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(torch.get_num_threads())}
    compiled = openvino.compile_model(whole, "CPU", settings)

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(np.array(compiled(x.numpy())[0]))

    return run


def _onnxruntime(network: nn.Module, example: Tensor) -> Run:
    sides = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.onnx.export(network, (example,), dynamo=True, dynamic_shapes=(sides,), verbose=False)
    assert program is not None
    buffer = io.BytesIO()
    buffer.write(program.model_proto.SerializeToString())
    session = open_session(buffer.getvalue())
    return Runner(session, session.get_inputs()[0].name, np.float32)


class _quiet:
    """Silences what converters log about packages that are not needed."""

    def __enter__(self) -> None:
        self.levels = {name: logging.getLogger(name).level for name in QUIET}
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def __exit__(self, *problem: object) -> None:
        for name, level in self.levels.items():
            logging.getLogger(name).setLevel(level)
