"""Export a model to ONNX: one file that other runtimes execute, compared with PyTorch before it is written."""

import contextlib
import copy
import importlib.util
import io
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import atomic_write

OPSET = 18
TOLERANCE = 1e-4  # of the range of the output, in float32
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
WAY_OUT = "Export a model folder instead (ganvas export RUN -o DIR) and use it with ganvas or PyTorch."
AXES = {0: "N", 2: "height", 3: "width"}
QUIET = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export", "torch._export")


@dataclass
class Signature:
    """The function that an exported model computes: its tensors by name, and their descriptions for the file."""

    call: Callable[..., Any]
    inputs: dict[str, Any]  # an example of each, (N, ...)
    output: str
    about: dict[str, str]  # range and meaning of the inputs and the output
    notes: list[str] = field(default_factory=list)  # sentences for the user
    images: tuple[str, ...] = ()  # inputs whose height and width may change
    sequences: tuple[str, ...] = ()  # inputs whose length may change


def check_packages() -> None:
    """Raise `UserError` unless the packages of the extra are installed; imports none of them."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"ONNX needs the package {missing[0]}: pip install 'ganvas[onnx]'.")


def export_onnx(model: Path | str, output: Path, *, fp16: bool = False) -> dict[str, Any]:
    """Write a model as ONNX and return what `ganvas export` prints: inputs, output, opset, difference from PyTorch.

    A generator takes `z` (N, latent), beside it `label` or `text` where it is conditional, and gives `image`
    (N, C, H, W) in [-1, 1]; a network from images to images takes `source`.  `fp16` stores and computes in half
    precision; inputs and outputs stay float32.  Raises `UserError` without the extra, for an operator that ONNX lacks,
    and where the file's numbers are not those of PyTorch.
    """
    check_packages()
    from ..models.model import load

    return write_onnx(load(model, device="cpu", precision="fp32"), output, name=str(model), fp16=fp16)


def write_onnx(model: Any, output: Path, *, name: str, fp16: bool = False) -> dict[str, Any]:
    """Write a loaded `Model` as ONNX; as `export_onnx`."""
    check_packages()
    from .onnx_signature import Exported, signature

    called = signature(model)
    reference = network = Exported(model.task, called.call).eval()
    if fp16:
        half = copy.deepcopy(model)
        network = Exported(half.task, signature(half).call, half=True).eval()
    allowed = float("inf") if fp16 else TOLERANCE
    for dynamic in (True, False) if called.images else (False,):  # the second: its shapes are those of one size
        proto = convert(network, called, name, dynamic=dynamic)
        problem = difference(proto, reference, called, other_size=dynamic)
        if not isinstance(problem, str) and problem <= allowed:
            break
    else:
        if not isinstance(problem, str):
            problem = f"its output differs by {problem:.1e} of the range, and {TOLERANCE:.0e} is allowed."
        raise UserError(f"{name} is not the same network in ONNX: {problem} {WAY_OUT}")
    facts = {"inputs": shapes(proto.graph.input), "outputs": shapes(proto.graph.output), "opset": OPSET}
    facts |= {"precision": "fp16" if fp16 else "fp32", "difference": problem, "dynamic_size": dynamic}
    facts["notes"] = called.notes
    describe(proto, called, facts, model)
    with atomic_write(output) as part:
        part.write_bytes(proto.SerializeToString())
    return {"output": str(output), **facts, "bytes": output.stat().st_size}


def convert(network: Any, called: Signature, name: str, *, dynamic: bool) -> Any:
    """The ONNX model of a network; the batch is dynamic, with `dynamic` also the height and width of its images."""
    import torch
    from torch.export import Dim

    def free(key: str) -> list[int]:
        sides = [2, 3] if dynamic and key in called.images else []
        return [0, *sides, *([1] if key in called.sequences else [])]

    axes = tuple(dict.fromkeys(free(key), Dim.AUTO) for key in called.inputs)
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                network,
                tuple(called.inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes={"tensors": axes},
                input_names=[*called.inputs],
                output_names=[called.output],
                verbose=False,
            )
    except Exception as problem:  # of the exporter, which has many kinds
        raise UserError(f"{name} cannot be exported to ONNX: {reason(problem)}") from None
    assert program is not None
    proto = program.model_proto
    rename_axes(proto, called)
    return proto


def reason(problem: BaseException) -> str:
    """One sentence about a failed export: the operator that has no ONNX counterpart, else the exporter's own words."""
    text, chain = "", problem
    while chain is not None:
        text += f"\n{chain}"
        chain = chain.__cause__ or chain.__context__  # type: ignore[assignment]
    way_out = "Export a model folder instead (ganvas export RUN -o DIR) and use it with ganvas or PyTorch."
    if operator := re.search(
        r"No (?:ONNX function found for|decompos\w+ .*?for) .*?((?:aten|prims|torchvision)[.:\w]+)", text
    ):
        return f"ONNX has no counterpart of the operator {operator[1]}. {way_out}"
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return f"{lines[0].rstrip('.') if lines else type(problem).__name__}. {way_out}"


def difference(proto: Any, network: Any, called: Signature, *, other_size: bool = False) -> float | str:
    """Largest difference from PyTorch as a share of the output's range, over batches of 1 and 3; or a failure's words.

    With `other_size` also for images of another height and width.
    """
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, torch.get_num_threads()
    largest = 0.0
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
        for count in (1, 3):
            given = {key: example(value, count, 0, 0) for key, value in called.inputs.items()}
            if other_size and count == 3:
                given |= {key: example(called.inputs[key], count, 13, 6) for key in called.images}
            with torch.no_grad():
                expected = network(*given.values())
            result = torch.from_numpy(session.run(None, {key: value.numpy() for key, value in given.items()})[0])
            if result.shape != expected.shape:
                return f"for {tuple(next(iter(given.values())).shape)} it gives {tuple(result.shape)}."
            span = 2.0 if called.output == "image" else float(expected.max() - expected.min()) or 1.0
            largest = max(largest, (result - expected).abs().max().item() / span)
    except Exception as problem:  # onnxruntime's errors share no class
        return f"{str(problem).splitlines()[0].rstrip('.')}."
    return largest


def example(value: Any, count: int, more_rows: int, more_columns: int) -> Any:
    """An input like another one for `count` items, for images also larger: reflected."""
    import torch

    rows = value.repeat(-(-count // len(value)), *[1] * (value.ndim - 1))[:count]
    if not more_rows:
        return rows
    return torch.nn.functional.pad(rows, (0, more_columns, 0, more_rows), mode="replicate")


def shapes(values: Any) -> dict[str, list[int | str]]:
    """The shape of each input or output of a graph; a name stands for what may change."""
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def rename_axes(proto: Any, called: Signature) -> None:
    """Call the batch `N` and the sides of images by the input that has them, in place of the exporter's numbers."""
    names: dict[str, str] = {}
    for value in proto.graph.input:
        for k, axis in enumerate(value.type.tensor_type.shape.dim):
            if axis.dim_param:
                side = AXES.get(k, "length")
                first = not k or called.images[:1] == (value.name,)
                names.setdefault(axis.dim_param, side if first else f"{value.name}_{side}")
    for k, axis in enumerate(proto.graph.output[0].type.tensor_type.shape.dim):
        if axis.dim_param and not re.fullmatch(r"(\d+\*)?s\d+", axis.dim_param):  # such as a side padded and cropped
            axis.dim_param = f"{called.output}_{AXES.get(k, 'length')}"
    everything = [*proto.graph.input, *proto.graph.output, *proto.graph.value_info]
    for axis in (axis for value in everything for axis in value.type.tensor_type.shape.dim):
        if axis.dim_param:
            axis.dim_param = re.sub(r"\w+", lambda word: names.get(word[0], word[0]), axis.dim_param)


def describe(proto: Any, called: Signature, facts: dict[str, Any], model: Any) -> None:
    """Write names, ranges, layout and labels into the file's metadata."""
    from ..version import __version__

    proto.producer_name, proto.producer_version = "ganvas", __version__
    about = {f"about.{key}": text for key, text in called.about.items()}
    about |= {"layout": "NCHW", "precision": facts["precision"], "difference_from_torch": f"{facts['difference']:.2e}"}
    if names := model.class_names:
        about["labels"] = json.dumps(names, ensure_ascii=False)
    for key, text in about.items():
        proto.metadata_props.add(key=key, value=text)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's notes on stdout and in its logs."""
    levels = {name: logging.getLogger(name).level for name in QUIET}
    try:
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
