"""Engines on the same network and image, in turn, in one process: float32, on the processor.

It is called by `python benchmarks/enhance.py engines`; an engine that is not installed is left out.
"""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.inference.engines import choose_engine, convert
from ganvas.inference.enhance import EnhanceOptions, Enhancer
from ganvas.models.resolve import ImageModel
from ganvas.policy import Policy

CPU = Policy(torch.device("cpu"))
WHOLE = EnhanceOptions(tile=0)


def by_engine(network: nn.Module, engine: str, name: str) -> Callable[[Tensor], Tensor] | None:
    """An enhancer with an engine; none, and the reason, if it is not there."""
    try:
        return Enhancer(convert(ImageModel(network, 3, name), choose_engine(engine, CPU)), CPU, WHOLE)
    except UserError as problem:
        print(f"{engine}: {problem}")
        return None


def by_ncnn(network: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor] | None:
    """The network by ncnn, converted by pnnx; none if they are not installed."""
    if not importlib.util.find_spec("ncnn") or not importlib.util.find_spec("pnnx"):
        print("ncnn: not installed (pip install ncnn pnnx)")
        return None
    import ncnn
    import pnnx

    folder = tempfile.mkdtemp()
    with contextlib.chdir(folder), contextlib.redirect_stdout(None):
        pnnx.export(network, "net.pt", inputs=x)
    net = ncnn.Net()
    net.opt.num_threads, net.opt.use_vulkan_compute = torch.get_num_threads(), False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
    net.load_param(str(Path(folder) / "net.ncnn.param"))
    net.load_model(str(Path(folder) / "net.ncnn.bin"))

    def run(x: Tensor) -> Tensor:
        with net.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(x[0].numpy()).clone())
            _, out = extractor.extract("out0")
        return torch.from_numpy(np.array(out))[None]

    return run


def compare(name: str, network: nn.Module, x: Tensor, rounds: int) -> None:
    """Seconds of every engine, medians of rounds in which each has its turn, and differences from the plain way."""
    network.eval().requires_grad_(False)
    auto = choose_engine("auto", CPU)
    runs: dict[str, Callable[[Tensor], Tensor] | None] = {
        "plain loop": network,
        "ours (torch)": by_engine(network, "torch", name),
    }
    runs |= {engine: by_engine(network, engine, name) for engine in ("onnxruntime", "openvino")}
    runs["ncnn"] = by_ncnn(network, x)
    ready = {key: run for key, run in runs.items() if run is not None}
    print(f"{name} at {x.shape[3]}x{x.shape[2]}, {torch.get_num_threads()} threads; auto is {auto}", flush=True)
    with torch.inference_mode():
        plain = network(x)
        off = {key: (run(x) - plain).abs().max().item() * 127.5 for key, run in ready.items()}
        times: dict[str, list[float]] = {key: [] for key in ready}
        for _ in range(rounds):
            for key, run in ready.items():
                begun = time.perf_counter()
                run(x)
                times[key].append(time.perf_counter() - begun)
    medians = {key: float(np.median(values)) for key, values in times.items()}
    fastest = min(medians.values())
    print("| engine | seconds | of the fastest | levels of 255 from the plain loop |\n|---|---|---|---|")
    for key, seconds in sorted(medians.items(), key=lambda item: item[1]):
        print(f"| {key} | {seconds:.3f} | x {seconds / fastest:.2f} | {off[key]:.4f} |", flush=True)


def engines(
    networks: dict[str, tuple[nn.Module, int]], scene: Callable[..., np.ndarray], rounds: int, threads: int
) -> None:
    """A table for each network."""
    torch.set_num_threads(threads)
    for name, (network, side) in networks.items():
        x = torch.from_numpy(scene(side, side)).permute(2, 0, 1)[None].float() / 127.5 - 1
        compare(name, network, x.contiguous(), rounds)
