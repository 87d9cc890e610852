"""What decides on the last bits of a result, beside model, picture and versions: sums are split among threads."""

from __future__ import annotations

from typing import Any

import torch

MOST = 1024


def arithmetic() -> dict[str, Any]:
    """threads that share a sum on the CPU, and the instructions of this processor that torch uses ("AVX512")."""
    return {"threads": torch.get_num_threads(), "instructions": torch.backends.cpu.get_cpu_capability()}


def use_threads(count: int) -> None:
    """Split sums among so many threads from now on, however many cores there are. Raises ValueError."""
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST:
        raise ValueError(f"threads: expected a whole number from 1 to {MOST}, got {count!r:.40}")
    torch.set_num_threads(count)
