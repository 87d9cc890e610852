"""How fast the fused operator is on a GPU, side by side with torchvision's and with what the work needs at least.

Cases: 32 to 256 channels on the maps of P3, P4 and P5 of inputs of 640 and 1280 pixels, both deform stages of D-LKA,
batches of 1, 8 and 32. Maps are [N, C, H, W] in torch's usual order for both, so what turning them costs is counted.
torchvision's operator takes offsets of the map's dtype only, and half offsets are too coarse; so the rows of bfloat16
stand beside its float32. A time includes the host's part ("eager") or leaves it out ("graph": calls in a CUDA graph).

The floor is the larger of two times, each from rates that are measured in the same run:
- memory: every tensor of the work moved once, over the rate of a copy of 1 GiB. Forward: x, offset, weight and out;
  backward: x, offset, weight and out's gradient read, the gradients of x, offset and weight written.
- compute: multiply-adds, over the rate of a float32 matrix product without tensor cores. For every cell, tap and
  channel the forward needs 5 (4 to interpolate, 1 for the weight), the backward 16 (4 differences, 4 to interpolate and
  slope, 1 for the weight's gradient, 1 to scale, 2 for the offset's, 4 for the four neighbours').
Neither counts what any gather costs on the way: four neighbours a tap out of the first cache.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from typing import Any

import torch

from dlka.bench.ops import BASE, DTYPES, PASSES, STAGES, Case, Operator
from dlka.bench.timing import least_in_turns, turn
from dlka.errors import DlkaError
from dlka.printing import table
from dlka.versions import versions

OURS = "triton"
RUNS = ((BASE, "fp32"), *((OURS, dtype) for dtype in DTYPES))
MODES = ("eager", "graph")
GRAPH_MILLISECONDS = 5  # of calls in one graph, so that the step of the device's clock does not count
OPERATIONS = {"forward": 5, "forward_backward": 5 + 16}  # multiply-adds per cell, tap and channel
COPIED = 2**30  # bytes
MATRIX = 8192  # rows and columns
FULL = float("inf")  # the time of what does not fit into memory


def bench_cuda(rounds: int = 5, chosen: Sequence[Case] | None = None) -> dict[str, Any]:
    """Time all cases, or those chosen, on the current CUDA device; each row is told on stderr when it is ready.

    Returns what a JSON needs: "rows" (see `measure`), "rates" (bytes and multiply-adds a second), rounds, device with
    its memory and multiprocessors, versions. DlkaError without CUDA or for rounds below one; RuntimeError where a
    result is wrong.
    """
    if rounds < 1:
        raise DlkaError(f"rounds: expected at least 1, got {rounds}")
    if not torch.cuda.is_available():
        raise DlkaError("bench ops --device cuda: torch finds no CUDA device; use a machine with one, or --device cpu")
    measured, rows = rates(rounds), []
    for case in cases() if chosen is None else chosen:
        for row in measure(case, rounds, measured):
            rows.append(row)
            print(f"{case}, {row['pass']}, {row['dtype']} ...", file=sys.stderr, flush=True)
    device = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        "rows": rows,
        "rates": measured,
        "rounds": rounds,
        "device": device.name,
        "gpu_memory_gib": round(device.total_memory / 2**30, 1),
        "multiprocessors": device.multi_processor_count,
        "versions": versions(["triton"]) | {"cuda": str(torch.version.cuda)},
    }


def cases() -> list[Case]:
    """All of them, the largest maps last within each number of channels."""
    sides = sorted({size // stride for size in (640, 1280) for stride in (8, 16, 32)})
    return [Case(c, side, n, stage) for c, n, side, stage in product((32, 64, 128, 256), (1, 8, 32), sides, STAGES)]


def rates(rounds: int) -> dict[str, float]:
    """What the device reaches: bytes a second of a copy, read and written ones, and float32 multiply-adds a second.

    The second from a matrix product without tensor cores, which leaves nothing but multiply-adds to wait for.
    """
    source = torch.ones(COPIED, dtype=torch.uint8, device="cuda")
    matrix = torch.ones(MATRIX, MATRIX, device="cuda")
    target, result = torch.empty_like(source), torch.empty_like(matrix)
    runs = {"bytes": lambda: target.copy_(source), "multiply_adds": lambda: torch.mm(matrix, matrix, out=result)}
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        times = least_in_turns({name: partial(turn, run) for name, run in runs.items()}, rounds)
    finally:
        torch.set_float32_matmul_precision(before)
    return {"bytes": 1000 * 2 * COPIED / times["bytes"], "multiply_adds": 1000 * MATRIX**3 / times["multiply_adds"]}


def least_work(case: Case, dtype: str, which: str) -> tuple[int, int]:
    """(bytes to move, multiply-adds) that the case needs at least; see the top of this file."""
    cells = case.batch * case.side**2
    size = DTYPES[dtype].itemsize
    maps, offsets, weights = cells * case.channels * size, cells * 2 * case.taps * 4, case.channels * case.taps * size
    moved = 2 * maps + offsets + weights
    if which == "forward_backward":
        moved += 3 * maps + 2 * (offsets + weights)
    return moved, cells * case.taps * case.channels * OPERATIONS[which]


def measure(case: Case, rounds: int, rates: dict[str, float]) -> Iterator[dict[str, Any]]:
    """One row per pass and dtype: milliseconds, ratio, shares of the floor and peak memory, as far as memory reaches.

    "ratio": how many times faster than torchvision, by mode; "memory_share" and "compute_share": the least time for
    that part of the work over the time in a graph; "peak_bytes": beyond the inputs, results included; "lacks_memory":
    what did not fit, and is left out of the others.
    """
    for which in PASSES:
        peaks: dict[tuple[str, str], int] = {}
        turns: dict[tuple[str, str, str], Callable[[], float]] = {}
        try:
            operator = Operator(case, "cuda")
            for dtype in DTYPES:
                operator.check(OURS, which, dtype)
            for who, dtype in RUNS:
                torch.cuda.empty_cache()
                try:
                    run = operator.run(who, which, dtype)
                    peaks[who, dtype] = peak(run)
                except torch.OutOfMemoryError:
                    continue
                turns[who, dtype, "eager"] = partial(_unless_full, partial(turn, run))
                turns[who, dtype, "graph"] = partial(_unless_full, partial(graph_turn, run))
        except torch.OutOfMemoryError:
            pass  # nothing of the case was started
        times = least_in_turns(turns, rounds)
        lacking = [f"{who} {dtype}" for who, dtype in RUNS if (who, dtype) not in peaks]
        lacking += [" ".join(key) for key, spent in times.items() if spent == FULL]
        fitting = {key: spent for key, spent in times.items() if spent < FULL}
        for dtype in DTYPES:
            base = {mode: fitting[BASE, "fp32", mode] for mode in MODES if (BASE, "fp32", mode) in fitting}
            ours = {mode: fitting[OURS, dtype, mode] for mode in MODES if (OURS, dtype, mode) in fitting}
            moved, operations = least_work(case, dtype, which)
            in_graph = ours.get("graph")
            yield {
                **asdict(case),
                "dtype": dtype,
                "pass": which,
                "milliseconds": {BASE: base, OURS: ours},
                "ratio": {mode: base[mode] / ours[mode] for mode in MODES if mode in base and mode in ours},
                "memory_share": in_graph and 1000 * moved / rates["bytes"] / in_graph,
                "compute_share": in_graph and 1000 * operations / rates["multiply_adds"] / in_graph,
                "peak_bytes": {BASE: peaks.get((BASE, "fp32")), OURS: peaks.get((OURS, dtype))},
                "lacks_memory": lacking,
            }


def graph_turn(run: Callable[[], object]) -> float:
    """Milliseconds of a call within a CUDA graph of several, without the host's part."""
    from triton.testing import do_bench_cudagraph

    return do_bench_cudagraph(run, rep=GRAPH_MILLISECONDS, return_mode="min")


def peak(run: Callable[[], object]) -> int:
    """Bytes that one call takes at most beyond what is allocated already, its result included."""
    run()  # tuning needs memory of its own, once
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _unless_full(take: Callable[[], float]) -> float:
    try:
        return take()
    except torch.OutOfMemoryError:
        return FULL


def cuda_text(result: dict[str, Any]) -> str:
    """The result for people: a line a row, the ratios' range, and what did not fit."""
    lines = []
    for row in result["rows"]:  # percentages of the floor, mebibytes
        case = Case(*(row[field] for field in Case.__dataclass_fields__))
        line = {"case": str(case), "pass": row["pass"].replace("_", " + "), "dtype": row["dtype"]}
        for mode in MODES:
            line |= {f"{who} {mode}": row["milliseconds"][who].get(mode) for who in (BASE, OURS)}
            line[f"ratio {mode}"] = row["ratio"].get(mode)
        for part in ("memory", "compute"):
            line[f"{part} floor %"] = row[f"{part}_share"] and 100 * row[f"{part}_share"]
        lines.append(line | {f"MiB {who}": peak and peak / 2**20 for who, peak in row["peak_bytes"].items()})
    parts = [table(lines)]
    if ranges := ratio_ranges(result["rows"]):
        parts.append(f"\n{table(ranges)}")
    for row, line in zip(result["rows"], lines):
        if row["lacks_memory"]:
            named = ", ".join(row["lacks_memory"])
            parts.append(f"Does not fit: {line['case']}, {line['pass']}, {line['dtype']}: {named}.")
    copied, multiplied = result["rates"]["bytes"] / 1e9, result["rates"]["multiply_adds"] / 1e12
    parts += [
        f"\nMilliseconds, the least of {result['rounds']} rounds in turns; bf16 stands beside torchvision's fp32.",
        f"Floor: {copied:.0f} GB/s and {multiplied:.1f} T multiply-adds/s, measured; {result['gpu_memory_gib']} GiB.",
    ]
    return "\n".join(parts)


def ratio_ranges(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The least and the largest ratio of float32 and of bfloat16 by pass, batch and mode, over all other cases."""
    groups: dict[tuple[str, int, str, str], list[float]] = defaultdict(list)
    for row in rows:
        for mode, ratio in row["ratio"].items():
            groups[row["pass"].replace("_", " + "), row["batch"], row["dtype"], mode].append(ratio)
    return [
        {**dict(zip(("pass", "batch", "dtype", "mode"), group)), "least": min(ratios), "most": max(ratios)}
        for group, ratios in groups.items()
    ]
