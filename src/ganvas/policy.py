"""Speed and precision of a computation: device, number format, memory layout, compilation.

Chosen once, before a run.
"""

import contextlib
import ctypes
import inspect
import platform
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .errors import UsageError

PrecisionName = Literal["auto", "fp32", "bf16"]
COMPILE_AFTER = 500_000  # images; a shorter run on a GPU is over before compilation has saved its own time


def has_fast_bf16(device: torch.device) -> bool:
    """True if this processor multiplies bfloat16 matrices faster than float32 ones."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return has_amx() or _cpu_says("_is_avx512_bf16_supported")
    return False


def has_amx() -> bool:
    """True on an x86 processor with matrix tiles (AMX)."""
    return _cpu_says("_is_amx_tile_supported")


def _cpu_says(question: str) -> bool:
    return bool(getattr(torch.cpu, question, bool)())


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` takes a CUDA GPU, then Apple's, then the CPU.

    Raises `UsageError` if the device is not one torch knows or cannot be used here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(f"The device {name!r} cannot be used here; try --device cpu, or auto.") from None
    return device


@dataclass(frozen=True)
class Policy:
    """The device and the number format of a run."""

    device: torch.device
    bf16: bool = False
    compiled: bool = False

    @classmethod
    def choose(
        cls,
        device: str = "auto",
        precision: str = "auto",  # auto, fp32 or bf16
        compile: str = "auto",  # auto, on or off
        images: int = 0,
    ) -> "Policy":
        """bf16 where it is fast; compilation on a GPU when the run is long enough.

        On the CPU compiling was measured to gain nothing over bf16 in channels-last (benchmarks/README.md).
        """
        if precision not in ("auto", "fp32", "bf16"):
            raise UsageError(f"--precision is auto, fp32 or bf16, not {precision!r}.")
        if compile not in ("auto", "on", "off"):
            raise UsageError(f"--compile is auto, on or off, not {compile!r}.")
        place = pick_device(device)
        bf16 = precision == "bf16" or (precision == "auto" and has_fast_bf16(place))
        long = place.type == "cuda" and images >= COMPILE_AFTER
        return cls(place, bf16, compile == "on" or (compile == "auto" and long))

    def for_resolution(self, resolution: Sequence[int], precision: str) -> "Policy":
        """The policy for data of a size: points, which are images of one row, are float32 if `precision` is auto.

        A mode of `ring` is 0.008 wide at 0.8 from the centre, where neighbouring bf16 numbers are 0.004 apart.
        """
        return replace(self, bf16=False) if precision == "auto" and min(resolution) == 1 else self

    @property
    def precision(self) -> str:
        """`bf16` or `fp32`."""
        return "bf16" if self.bf16 else "fp32"

    def autocast(self) -> torch.autocast:
        """A context in which matrix products run in the chosen format; weights stay float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def place(self, module: nn.Module) -> nn.Module:
        """Move a module to the device, its convolutions channels-last."""
        return module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def full_precision(device: torch.device) -> torch.autocast:
    """A context in which everything is float32, also inside autocast."""
    return torch.autocast(device.type, enabled=False)


def wide(x: Tensor) -> Tensor:
    """Convert to float32 unless it is wider already, also inside autocast."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the global generators of the CPU and of a device, no others; numbers as after `torch.manual_seed`."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


class RandomNumbers:
    """The state of the global generators for one computation: inside `with` it is in force, outside the caller's."""

    def __init__(self, device: torch.device):
        self.device = device
        self.own = self._read()

    def __enter__(self) -> None:
        self.callers = self._read()
        self._write(self.own)

    def __exit__(self, *problem: object) -> None:
        self.own = self._read()
        self._write(self.callers)

    def _read(self) -> list[Tensor]:
        states = [torch.get_rng_state()]
        if self.device.type == "cuda":
            states.append(torch.cuda.get_rng_state(self.device))
        elif self.device.type == "mps":
            states.append(torch.mps.get_rng_state())
        return states

    def _write(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(states[1], self.device)
        elif self.device.type == "mps":
            torch.mps.set_rng_state(states[1])


def is_out_of_memory(problem: BaseException) -> bool:
    """True if a device, or the processor, ran out of memory."""
    return isinstance(problem, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(problem)


def free_memory(device: torch.device) -> int:
    """Bytes that a computation may take on a device now; a container's limit counts."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) + torch.cuda.memory_reserved(device)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory()) - int(torch.mps.driver_allocated_memory())
    free = [4 << 30]  # where the system does not say
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = [int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) << 10]
    with contextlib.suppress(OSError, ValueError):  # "max" is no number: there is no limit
        group = Path("/sys/fs/cgroup")
        most, used = (int((group / f"memory.{k}").read_text()) for k in ("max", "current"))
        free.append(max(most - used, 0))
    return min(free)


def fastest_options(optimizer: type, device: torch.device) -> dict[str, Any]:
    """Keyword arguments for the fastest implementation of an optimiser on a device."""
    if optimizer in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD) and device.type in ("cpu", "cuda"):
        return {"fused": True}
    return {"foreach": True} if optimizer is torch.optim.RMSprop else {}


def _has_glibc() -> bool:
    return platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"


def keep_large_buffers(*, one_heap: bool = False) -> bool:
    """Stop glibc from returning large temporaries to the kernel after every step; True where it was done.

    By default each tensor over 32 MB is mapped anew, page by page, every time it is allocated.
    Done once at the start of the command, on Linux with glibc only; it affects this process alone.  With `one_heap`
    threads share what they keep, which is less in all.
    """
    if not _has_glibc():
        return False
    m_trim_threshold, m_top_pad, m_mmap_threshold, m_arena_max = -1, -2, -3, -8  # malloc.h
    mallopt = ctypes.CDLL(None).mallopt
    settings = [(m_mmap_threshold, 2**31 - 1), (m_trim_threshold, 2**31 - 1), (m_top_pad, 64 << 20)]
    settings += [(m_arena_max, 1)] if one_heap else []
    return all(mallopt(name, value) == 1 for name, value in settings)


def give_back_buffers() -> None:
    """Return what glibc keeps and does not use to the kernel, on Linux: before what needs much memory otherwise."""
    if _has_glibc():
        ctypes.CDLL(None).malloc_trim(0)


@cache
def without_dynamo(optimizer: type) -> type:
    """An optimiser of PyTorch that works without torch._dynamo, whose import takes longer than torch's own.

    PyTorch decorates these methods for use inside `torch.compile`, and the decorators import dynamo on the first call.
    Steps are not compiled here, so a subclass with the plain methods does the same.  Other classes stay as they are.
    """
    methods = ("step", "add_param_group", "zero_grad", "state_dict", "load_state_dict")
    plain = {name: inspect.unwrap(getattr(optimizer, name)) for name in methods if hasattr(optimizer, name)}
    if not optimizer.__module__.startswith("torch.optim."):
        return optimizer
    step = torch.no_grad()(plain["step"])
    step.hooked = True  # as if it had the profiler's wrapper, which takes as long as a small network's step
    return type(optimizer.__name__, (optimizer,), {**plain, "step": step})


@contextlib.contextmanager
def spare_dynamo() -> Iterator[None]:
    """Call functions that PyTorch decorates for `torch.compile` without importing torch._dynamo (two seconds).

    The decorators ask torch._dynamo for a version of a function that is not compiled; outside `torch.compile` that is
    the function itself.  In the main thread only, and for a moment: nothing is left of it afterwards.
    """
    name, plain = "torch._dynamo", []
    if name in sys.modules or threading.current_thread() is not threading.main_thread():
        yield
        return

    def disable(function: Any, *_: Any, **__: Any) -> Any:
        plain.append(function)
        return function

    sys.modules[name] = module = types.ModuleType(name)
    module.disable = disable  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del sys.modules[name]
        for function in plain:
            vars(function).pop("__dynamo_disable", None)
