"""Whether Triton can start a kernel on a device. Importing it says little: it also needs a driver that knows the card,
and a C compiler with Python's headers for the few lines of C by which a kernel is started.
"""

from __future__ import annotations

from functools import cache

import torch
import triton
import triton.language as tl


@triton.jit
def write_one(out):
    tl.store(out, 1)


@cache
def start_error(device: torch.device) -> str | None:
    """None, or why the smallest of kernels does not run there. Tried once for every device."""
    try:
        out = torch.zeros(1, dtype=torch.int32, device=device)
        with torch.cuda.device_of(out):  # Triton launches on the current device
            write_one[(1,)](out)
        written = out.item()
    except Exception as error:  # compilers, linkers and drivers fail in many ways
        return f"Triton cannot start a kernel there ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    return None if written == 1 else f"Triton's kernels compute something else there (1 became {written})"
