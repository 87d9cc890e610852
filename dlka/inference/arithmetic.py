"""What decides on the last bits of a result, beside model, picture and versions: sums are split among threads."""

from __future__ import annotations

import os
from typing import Any

import torch

from dlka.errors import DlkaError, short

MOST = 512  # threads that any machine's torch has taken for a sum


def arithmetic() -> dict[str, Any]:
    """threads that share a sum on the CPU, and the instructions of this processor that torch uses ("AVX512")."""
    return {"threads": torch.get_num_threads(), "instructions": torch.backends.cpu.get_cpu_capability()}


def use_threads(count: int) -> None:
    """Split sums among so many threads from now on, but not more than this process has cores. Raises DlkaError."""
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST:
        raise DlkaError(f"threads: expected a whole number from 1 to {MOST}, got {short(count)}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(min(count, cores))
