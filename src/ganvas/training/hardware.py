"""Description of the machine that a run was trained on, for its config.json."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch


def hardware(device: torch.device, processes: int = 1) -> dict[str, Any]:
    """Device, processor, cores, threads, memory and system, by their usual names."""
    machine: dict[str, Any] = {"device": device.type}
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        machine["device"] = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
    machine |= {"processor": processor(), "cores": cores(), "threads": torch.get_num_threads()}
    if memory := memory_gib():
        machine["memory"] = f"{memory:.0f} GiB"
    if processes > 1:
        machine["processes"] = processes
    return {**machine, "system": f"{platform.system()} {platform.release()}, {platform.machine()}"}


def cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Name of the processor, from the operating system."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "unknown"


def memory_gib() -> float:
    """Main memory in GiB; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (AttributeError, ValueError, OSError):
        return 0.0
