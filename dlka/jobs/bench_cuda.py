"""How fast the fused operator is on a GPU, side by side with torchvision's and with what the work needs at least.

Cases: 32 to 256 channels on the maps of P3, P4 and P5 of inputs of 640 and 1280 pixels, both deform stages of D-LKA,
batches of 1, 8 and 32. Maps are [N, C, H, W] in torch's usual order for both, so what turning them costs is counted.
torchvision's operator takes offsets of the map's dtype only, and half offsets are too coarse; so the rows of bfloat16
stand beside its float32. The two take turns; the least time of the rounds counts, and it includes the host's part
("eager") or leaves it out ("graph": one replay of a CUDA graph).

The floor is the larger of two times, each from rates that are measured in the same run:
- memory: every tensor of the work moved once, over the rate of a copy of 1 GiB. Forward: x, offset, weight and out;
  backward: x, offset, weight and out's gradient read, the gradients of x, offset and weight written.
- compute: multiply-adds, over the rate of a float32 matrix product without tensor cores. For every cell, tap and
  channel the forward needs 5 (4 to interpolate, 1 for the weight), the backward 16 (4 differences, 4 to interpolate and
  slope, 1 for the weight's gradient, 1 to scale, 2 for the offset's, 4 for the four neighbours').
Neither counts what any gather costs on the way: four neighbours a tap out of the first cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import torch

from dlka import provenance
from dlka.errors import DlkaError
from dlka.jobs import cuda_timer
from dlka.jobs.cuda_cases import BASE, DTYPES, OURS, PASSES, Case, Operator, cases, least_work

MODES = ("eager", "graph")
FULL = torch.cuda.OutOfMemoryError


def bench_cuda(
    rounds: int = 5, chosen: Sequence[Case] | None = None, report: Callable[[dict[str, Any]], None] = lambda row: None
) -> dict[str, Any]:
    """Time the cases on the current CUDA device; report gets each row when it is ready.

    Returns what a JSON needs: "rows" (see `measure`), "rates" (bytes and multiply-adds a second), rounds, machine and
    versions. ValueError without CUDA or for rounds below one; RuntimeError where a result is wrong.
    """
    if rounds < 1:
        raise DlkaError(f"rounds: expected at least 1, got {rounds}")
    if not torch.cuda.is_available():
        raise DlkaError("bench ops --device cuda: torch finds no CUDA device; use a machine with one, or --device cpu")
    measured = cuda_timer.rates(rounds)
    rows = []
    for case in chosen or cases():
        for row in measure(case, rounds, measured):
            rows.append(row)
            report(row)
    return {
        "rows": rows,
        "rates": measured,
        "rounds": rounds,
        "machine": provenance.machine() | cuda_timer.machine(),
        "versions": provenance.versions() | {"triton": version("triton"), "cuda": str(torch.version.cuda)},
    }


def measure(case: Case, rounds: int, rates: dict[str, float], device: str = "cuda") -> Iterator[dict[str, Any]]:
    """One row per pass and dtype: milliseconds, ratio, shares of the floor and peak memory, as far as memory reaches.

    "ratio": how many times faster than torchvision, by mode; "memory_share" and "compute_share": the least time for
    that part of the work over the time of a graph's replay; "peak_bytes": beyond the inputs, results included;
    "lacks_memory": what did not fit, and is left out of the others.
    """
    runs = [(BASE, "fp32"), *((OURS, dtype) for dtype in DTYPES)]
    for which in PASSES:
        times: dict[tuple[str, str, str], float] = {}
        peaks: dict[tuple[str, str], int] = {}
        lacking: list[str] = []
        turns: dict[tuple[str, str, str], Callable[[], Any]] = {}
        operator: Operator | None
        try:
            operator = Operator(case, device)
            for dtype in DTYPES:
                operator.check(dtype, which)
        except FULL:
            operator, lacking = None, [f"{who} {dtype}" for who, dtype in runs]
        for who, dtype in runs:
            if operator is None:
                break
            torch.cuda.empty_cache()
            try:
                run = operator.run(who, dtype, which)
                peaks[who, dtype] = cuda_timer.peak(run)
                turns[who, dtype, "eager"] = run
                turns[who, dtype, "graph"] = cuda_timer.captured(run)
            except FULL:
                lacking.append(f"{who} {dtype}" + (" graph" if (who, dtype) in peaks else ""))
        for _ in range(rounds):
            for key, turn in list(turns.items()):
                try:
                    spent = cuda_timer.turn(turn)
                except FULL:  # it fits alone, but not beside what the graphs hold
                    lacking.append(" ".join(key))
                    del turns[key]
                    times.pop(key, None)
                else:
                    times[key] = min(spent, times.get(key, spent))
        turns.clear()
        for dtype in DTYPES:
            yield _row(case, dtype, which, times, peaks, rates) | {"lacks_memory": lacking}


def _row(
    case: Case,
    dtype: str,
    which: str,
    times: dict[tuple[str, str, str], float],
    peaks: dict[tuple[str, str], int],
    rates: dict[str, float],
) -> dict[str, Any]:
    base = {mode: times[BASE, "fp32", mode] for mode in MODES if (BASE, "fp32", mode) in times}
    ours = {mode: times[OURS, dtype, mode] for mode in MODES if (OURS, dtype, mode) in times}
    moved, operations = least_work(case, dtype, which)

    def share(least: float) -> float | None:
        return 1000 * least / ours["graph"] if "graph" in ours else None

    return {
        **asdict(case),
        "dtype": dtype,
        "pass": which,
        "milliseconds": {BASE: base, OURS: ours},
        "ratio": {mode: base[mode] / ours[mode] for mode in MODES if mode in base and mode in ours},
        "memory_share": share(moved / rates["bytes"]),
        "compute_share": share(operations / rates["multiply_adds"]),
        "peak_bytes": {BASE: peaks.get((BASE, "fp32")), OURS: peaks.get((OURS, dtype))},
    }


def table_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the result as one line of a table; percentages of the floor, mebibytes."""
    line = {
        "case": f"{row['batch']} x {row['channels']} x {row['side']}x{row['side']} {row['stage']}",
        "pass": row["pass"].replace("_", " + "),
        "dtype": row["dtype"],
    }
    for mode in MODES:
        line |= {f"{who} {mode}": row["milliseconds"][who].get(mode) for who in (BASE, OURS)}
        line[f"ratio {mode}"] = row["ratio"].get(mode)
    for part in ("memory", "compute"):
        share = row[f"{part}_share"]
        line[f"{part} floor %"] = None if share is None else 100 * share
    for who in (BASE, OURS):
        peak = row["peak_bytes"][who]
        line[f"MiB {who}"] = None if peak is None else peak / 2**20
    return line


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The least and the largest ratio of float32 and of bfloat16 by pass, batch and mode, over all other cases."""
    groups: dict[tuple[str, int, str, str], list[float]] = {}
    for row in rows:
        for mode in MODES:
            if mode in row["ratio"]:
                groups.setdefault((row["pass"], row["batch"], row["dtype"], mode), []).append(row["ratio"][mode])
    return [
        {
            "pass": which.replace("_", " + "),
            "batch": batch,
            "dtype": dtype,
            "mode": mode,
            "least": min(ratios),
            "most": max(ratios),
        }
        for (which, batch, dtype, mode), ratios in groups.items()
    ]
