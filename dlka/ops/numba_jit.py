"""How the CPU kernels are compiled, and how their machine code is kept on disk from one start to the next.

numba by itself recompiles a kernel when its own file changes. A kernel takes constants, memory layout and instructions
from other files too; kept machine code that knows the old ones would write beside its arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

SOURCES = ("numba_chunk.py", "numba_columns.py", "numba_jit.py", "numba_kernels.py", "simd.py")
# No fastmath: its licence to ignore NaN would turn offsets that are not numbers into ordinary ones, and a coordinate
# depends on the order of its sum.
_FLAGS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def sources() -> str:
    """A hash of all that kernels are made of."""
    here = Path(__file__)
    return hashlib.sha256(b"".join(here.with_name(name).read_bytes() for name in SOURCES)).hexdigest()


class KernelCache(FunctionCache):
    """Machine code on disk, for one version of the sources."""

    stamp = sources()

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), self.stamp)


def kernel(function: Callable[..., Any]) -> Any:
    """A function compiled at its first call, on a machine only once for a version of the sources."""
    compiled = numba.njit(**_FLAGS)(function)
    with suppress(RuntimeError):  # there is no folder to write to: it is compiled at every start
        compiled._cache = KernelCache(function)
    return compiled


def inlined(function: Callable[..., Any]) -> Any:
    """A part of a kernel, compiled into it."""
    return numba.njit(inline="always", **_FLAGS)(function)
