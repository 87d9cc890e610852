"""The most memory that a call needs, counted by torch's allocator for the CPU."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile


def peak_bytes(call: Callable[[], object]) -> int:
    """Most bytes of tensors alive at once during the call, above those alive before it.

    What the call returns counts, what it was given does not. Scratch inside torch's and torchvision's operators counts
    too; memory that numpy or numba take by themselves does not.
    """
    os.environ["KINETO_LOG_LEVEL"] = "99"  # the profiler would tell on stderr when it starts and stops
    gc.collect()  # garbage of before must not be freed within
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        kept = call()
    assert profiled.profiler is not None
    alive = peak = 0
    for event in profiled.profiler.kineto_results.events():  # in the order of time
        if event.name() == "[memory]":
            alive += event.nbytes()
            peak = max(peak, alive)
    del kept
    return peak
