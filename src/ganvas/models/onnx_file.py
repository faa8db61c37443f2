"""Upscalers in .onnx files, run by onnxruntime (extra `onnx`)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from .extras import Known

PROBE = 64  # side of the image by which the scale is measured
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


def read_onnx(file: Path) -> Known:
    """The network of a file: one image (1, C, H, W) in [0, 1] to one of another size.

    A network of a fixed size gets images padded to it.  Raises `UserError` without onnxruntime, and for a file that is
    damaged or does something else.
    """
    session = open_session(file)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shape = inputs[0].shape if len(inputs) == 1 else []
    if len(inputs) != 1 or len(outputs) != 1 or len(shape) != 4 or inputs[0].type not in TYPES:
        raise UserError(f"{file} is no network from one image (1, C, H, W) of floats to one.")
    channels = shape[1] if isinstance(shape[1], int) else 3
    sides = [n if isinstance(n, int) else 0 for n in shape[2:]]
    if sides[0] != sides[1]:
        raise UserError(f"{file} takes images of {sides[1]}x{sides[0]} alone; only squares or any size are run here.")
    symmetric = "[-1, 1]" in session.get_modelmeta().custom_metadata_map.get(f"about.{inputs[0].name}", "")  # ours
    run = Runner(session, inputs[0].name, TYPES[inputs[0].type], symmetric)
    try:
        result = run(torch.full((1, channels, *(side or PROBE for side in sides)), 0.5))
    except Exception as problem:  # onnxruntime raises its own errors, of many classes
        raise UserError(f"{file} cannot be run: {str(problem).splitlines()[0][:200]}.") from None
    scale = result.shape[-1] // (sides[1] or PROBE) if result.ndim == 4 else 0
    if result.ndim != 4 or scale < 1 or result.shape[-1] != scale * (sides[1] or PROBE):
        raise UserError(f"{file} gives {tuple(result.shape)}, which is no image of a whole multiple of its input.")
    return Known(run, "ONNX", scale, channels, result.shape[1], multiple=sides[0] or 1, minimum=sides[0])


def open_session(file: Path | bytes, threads: int = 0) -> Any:
    """A session of onnxruntime on the CPU with as many threads as torch has; raises `UserError` with its reason."""
    try:
        import onnxruntime
    except Exception as problem:
        raise UserError(f'ONNX needs onnxruntime: pip install "ganvas[onnx]" ({problem}).') from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 4  # its reasons are raised
    try:
        return onnxruntime.InferenceSession(
            file if isinstance(file, bytes) else str(file), options, providers=["CPUExecutionProvider"]
        )
    except Exception as problem:
        name = "The network" if isinstance(file, bytes) else file
        reason = str(problem).splitlines()[0].rpartition(":")[2].strip(" .")[:200]  # after codes and the path
        raise UserError(f"{name} is no ONNX file that onnxruntime opens: {reason}.") from None


class Runner:
    """A session as a function of one tensor."""

    def __init__(self, session: Any, name: str, dtype: Any, symmetric: bool = False):
        self.session, self.name, self.dtype, self.symmetric = session, name, dtype, symmetric

    def __call__(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W), one at a time: a file may have a fixed batch of one.

        With `symmetric` the file works in [-1, 1], and x and the result are in [0, 1] all the same.
        """
        x = 2 * x - 1 if self.symmetric else x
        parts = [self.session.run(None, {self.name: one.numpy().astype(self.dtype)})[0] for one in x.cpu().split(1)]
        y = torch.from_numpy(np.concatenate(parts)).float()
        return (y + 1) / 2 if self.symmetric else y
