"""What made a result: weights, versions and machine, as plain data for the JSON beside every picture and table."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from dlka.errors import DlkaError, short
from dlka.models.catalog import find
from dlka.models.checkpoint import sha256
from dlka.models.weights import load_card
from dlka.versions import versions

__all__ = ["arithmetic", "machine", "use_threads", "versions", "weights"]
MOST = 512  # threads that any machine's torch has taken for a sum


def weights(model: str) -> dict[str, Any]:
    """File name, SHA-256 and card of a model id or weights file; the class names only as their number."""
    path = find(model)
    card = asdict(load_card(path))
    names = card.pop("names")
    return {"id": path.stem, "file": path.name, "sha256": sha256(path), "classes": len(names), **card}


def machine() -> dict[str, Any]:
    """CPU name, the vector instructions that torch uses on it, logical cores, and the threads that torch uses now."""
    info = Path("/proc/cpuinfo")
    told = info.read_text(errors="replace").splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in told if line.startswith("model name"))
    return {
        "cpu": next(names, platform.processor() or platform.machine()),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
    }


def arithmetic() -> dict[str, Any]:
    """What decides on the last bits of a result: threads that share a sum on the CPU, instructions ("AVX512")."""
    return {"threads": torch.get_num_threads(), "instructions": torch.backends.cpu.get_cpu_capability()}


def use_threads(count: int) -> None:
    """Split sums among so many threads from now on, but not more than this process has cores. Raises DlkaError."""
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST:
        raise DlkaError(f"threads: expected a whole number from 1 to {MOST}, got {short(count)}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(min(count, cores))
