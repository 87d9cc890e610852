"""Times, memory and rates of the current CUDA device."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

LASTING = 5.0  # milliseconds of one turn, so that the step of the device's clock does not count
MOST_CALLS = 50
COPIED = 2**30  # bytes
MATRIX = 8192  # rows and columns


def turn(run: Callable[[], Any]) -> float:
    """Milliseconds of one call, the mean of as many calls in a row as a turn holds, after one that is not counted."""
    first = _elapsed(run, 1)
    return _elapsed(run, min(MOST_CALLS, max(1, math.ceil(LASTING / max(first, 1e-3)))))


def _elapsed(run: Callable[[], Any], calls: int) -> float:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    begin.record()
    for _ in range(calls):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / calls


def captured(run: Callable[[], Any]) -> Callable[[], Any]:
    """The replay of a CUDA graph of one call; its memory is given back with it."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # what is done only once, as tuning, must be over before the capture
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def peak(run: Callable[[], Any]) -> int:
    """Bytes that one call takes at most beyond what is allocated already, its result included."""
    run()  # tuning needs memory of its own, once
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def rates(rounds: int) -> dict[str, float]:
    """What the device reaches: bytes a second of a copy, read and written ones, and float32 multiply-adds a second.

    The second from a matrix product without tensor cores, which leaves nothing but multiply-adds to wait for.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        copy, multiply = (min(turn(run) for _ in range(rounds)) for run in (_copy(), _multiply()))
    finally:
        torch.set_float32_matmul_precision(before)
    return {"bytes": 1000 * 2 * COPIED / copy, "multiply_adds": 1000 * MATRIX**3 / multiply}


def _copy() -> Callable[[], Any]:
    source = torch.ones(COPIED, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def _multiply() -> Callable[[], Any]:
    matrix = torch.ones(MATRIX, MATRIX, device="cuda")
    product = torch.empty_like(matrix)
    return lambda: torch.mm(matrix, matrix, out=product)


def machine() -> dict[str, Any]:
    """Name, memory and multiprocessors of the device."""
    found = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        "gpu": found.name,
        "gpu_memory_gib": round(found.total_memory / 2**30, 1),
        "multiprocessors": found.multi_processor_count,
    }
