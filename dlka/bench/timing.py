"""How the benches time and weigh: everything in turns, the least time of the rounds, and the most memory of a call."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import Timer

# Of a turn, after calls that count nothing: those still meet the caches and threads of whoever was before.
SECONDS = 0.02
Key = TypeVar("Key")


def turn(run: Callable[[], object]) -> float:
    """Milliseconds of a call: the least of a turn, in which quick calls are timed in blocks."""
    one = Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads())
    return 1000 * min(one.blocked_autorange(min_run_time=SECONDS).times)


def least_in_turns(turns: Mapping[Key, Callable[[], float]], rounds: int) -> dict[Key, float]:
    """The least result of each over so many rounds; all take their turn within each round, so that whatever else the
    machine does meets all of them."""
    least = dict.fromkeys(turns, float("inf"))
    for _ in range(rounds):
        for key, take in turns.items():
            least[key] = min(least[key], take())
    return least


def peak_bytes(call: Callable[[], object]) -> int:
    """Most bytes of tensors alive at once during a call on the CPU, above those alive before it.

    What the call returns counts, what it was given does not. Scratch inside torch's and torchvision's operators counts
    too; memory that numpy or numba take by themselves does not.
    """
    os.environ["KINETO_LOG_LEVEL"] = "99"  # the profiler would tell on stderr when it starts and stops
    gc.disable()  # garbage of before must not be freed within
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            kept = call()
    finally:
        gc.enable()
    assert profiled.profiler is not None
    alive = peak = 0
    for event in profiled.profiler.kineto_results.events():  # in the order of time
        if event.name() == "[memory]":
            alive += event.nbytes()
            peak = max(peak, alive)
    del kept
    return peak
