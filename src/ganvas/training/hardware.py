"""What machine a run was trained on, as its config writes it down."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch


def hardware(device: torch.device, processes: int = 1) -> dict[str, Any]:
    """Device, processor, cores, threads, memory and system, by names that a person reads."""
    found: dict[str, Any] = {"device": device.type}
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        found["device"] = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
    found |= {"processor": processor(), "cores": cores(), "threads": torch.get_num_threads()}
    if memory := memory_gib():
        found["memory"] = f"{memory:.0f} GiB"
    if processes > 1:
        found["processes"] = processes
    return {**found, "system": f"{platform.system()} {platform.release()}, {platform.machine()}"}


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name, as its system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine() or "unknown"


def memory_gib() -> float:
    """Main memory in GiB; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (AttributeError, ValueError, OSError):
        return 0.0
