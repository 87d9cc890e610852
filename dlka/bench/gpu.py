"""All that is asked of a CUDA card, in under ten minutes on a bare machine: python -m dlka bench gpu.

Every step runs in a process of its own with a time limit, so that one that fails costs its own row. On a CPU the same
steps run on small cases without goals: that says that they run, not how fast anything is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import torch

from dlka.bench.ops import BASE, MAPS, PASSES, STAGES, Case, Operator, bench_ops
from dlka.errors import DlkaError, last_line
from dlka.ops.backends import resolve
from dlka.versions import versions

SEED = 0
CUDA, CPU = "cuda", "cpu"
# Largest error of outputs and gradients, of the largest number of each.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 3e-2}
FASTER = {1: 20.0, 32: 4.0}  # batch -> how many times faster than torchvision the forward is to be, at least
SLOWER = 5  # times the limits, on a CPU: one that others share still comes to an end
ANSWERED = 0.1  # seconds of a comparison on the page, at most

Finding = dict[str, Any]


def finding(what: str, value: float, unit: str = "", least: float | None = None, most: float | None = None) -> Finding:
    """One line of the table. least, most: the goal, if there is one."""
    goal = None if least is most is None else f"at least {least:g}" if least is not None else f"at most {most:g}"
    met = None if goal is None else (least is None or value >= least) and (most is None or value <= most)
    return {"what": what, "value": value, "unit": unit, "goal": goal, "met": met}


def operator(device: str) -> Iterator[Finding]:
    """The backend that models take against the oracle in float64: outputs and all gradients, in three dtypes."""
    backend = resolve("auto", torch.device(device))
    for dtype, limit in TOLERANCE.items():
        worst = 0.0
        for case in (Case(32, 20, 2, "5x5"), Case(20, 9, 3, "5x5"), Case(130, 7, 1, "7x7 d3")):
            given = Operator(case, device)
            for which in PASSES:
                wanted = given.run("reference", which, torch.float64)()
                for got, want in zip(given.run(backend, which, dtype)(), wanted):
                    worst = max(worst, float((got.double() - want).abs().max() / want.abs().max()))
        yield finding(f"{backend}, {str(dtype).removeprefix('torch.')}: largest error", worst, most=limit)


def ops(device: str) -> Iterator[Finding]:
    """bench ops: times of torchvision over ours, the neck's six operators together."""
    if device == CPU:
        ratios = bench_ops(rounds=1, maps={"P5": (16, 10)})["ratio"]
        for backend, by_pass in ratios.items():
            yield from (finding(f"{backend}, {name(which)}", ratio, "x") for which, ratio in by_pass.items())
        return
    from dlka.bench.cuda import MODES, OURS, bench_cuda

    cases = [Case(c, side, batch, stage) for batch in FASTER for c, side in MAPS.values() for stage in STAGES]
    rows = [row for row in bench_cuda(3, cases)["rows"] if all(row["ratio"].get(mode) for mode in MODES)]
    for batch, least in FASTER.items():
        for kind in (("forward", "fp32"), ("forward", "bf16"), ("forward_backward", "fp32")):
            timed = [row["milliseconds"] for row in rows if (row["batch"], row["pass"], row["dtype"]) == (batch, *kind)]
            for mode in MODES:
                base, ours = (sum(each[who][mode] for each in timed) for who in (BASE, OURS))
                goal = least if (*kind, mode) == ("forward", "fp32", "eager") else None
                yield finding(f"batch {batch}, {name(kind[0])}, {kind[1]}, {mode}", base / ours, "x", least=goal)


def name(which: str) -> str:
    """A pass in words."""
    return which.replace("_", " + ")


def model(device: str) -> Iterator[Finding]:
    """bench model: whole models, and how many times as long as stock's they take."""
    from dlka.bench.model import bench_model

    large: dict[str, Any] = {"offsets": ("dense", "separable"), "sizes": (640,), "batches": (1, 32), "rounds": 3}
    small: dict[str, Any] = {"offsets": ("separable",), "sizes": (64,), "batches": (1,), "rounds": 1}
    rows = bench_model(models=("control", "neck"), device=device, **(large if device == CUDA else small))["rows"]
    for row in rows:
        what = f"{row['placement']}, offsets {row['offsets']}, {row['size']} px, batch {row['batch']}"
        yield finding(what, row["milliseconds"], "ms")
        if row is not rows[0]:
            yield finding(f"{what}, / stock", row["ratio"], "x")


def page(device: str) -> Iterator[Finding]:
    """bench page: a comparison of a photograph at 640 px, from the request to the finished answer."""
    from dlka.bench.page import bench_page

    taken = bench_page(*((5, True) if device == CUDA else (1, False)))
    most = ANSWERED if device == CUDA else None
    yield finding("a start, to the first answer", taken["start"] / 1000, "s")
    yield finding("a comparison, median", taken["compare"]["median"] / 1000, "s", most=most)
    yield finding("a change in What if, median", taken["what if"]["median"] / 1000, "s")


def train(device: str) -> Iterator[Finding]:
    """An epoch on drawn scenes from scratch; what it made looks at a picture, so that its numbers are finite."""
    from dlka.drawn.scenes import write_data_set
    from dlka.images import read_image
    from dlka.inference.predictor import load_predictor
    from dlka.train.recipe import Recipe
    from dlka.train.training import fit

    count, batch = (512, 32) if device == CUDA else (8, 4)
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder, "scenes"), Path(folder, "trained.safetensors")
        write_data_set(data, count, SEED, 0)
        net: dict[str, Any] = {"placement": "one-level", "offsets": "separable", "start": "none"}
        recipe = Recipe(data=str(data), epochs=1, seed=SEED, size=320, batch=batch, **net)
        begun = time.perf_counter()
        fit(recipe, out, Path(folder, "run"), device)
        seconds = time.perf_counter() - begun
        load_predictor(str(out), device)[0].predict(read_image(next(data.rglob("*.png"))), size=320)
    yield finding(f"one epoch of {count} pictures, its start included", seconds, "s")


STEPS: dict[str, tuple[Callable[[str], Iterator[Finding]], float]] = {  # and its limit in seconds: 590 together
    **{"operator": (operator, 100.0), "ops": (ops, 190.0), "model": (model, 110.0)},
    **{"page": (page, 120.0), "train": (train, 70.0)},
}


def bench_gpu(device: str | None = None) -> dict[str, Any]:
    """Take all steps. device: cuda or cpu, by default cuda where it is there.

    Returns what a JSON needs: "steps" (step, seconds, findings as of `finding`, error: a sentence or None), "failed"
    (how many have an error or miss a goal), seed, device, versions. Raises DlkaError for a device that is not there.
    """
    there = [CUDA, CPU] if torch.cuda.is_available() else [CPU]
    device = device or there[0]
    if device not in there:
        raise DlkaError(f"device: expected {' or '.join(there)}, which torch finds here; got {device!r:.60}")
    steps = [take(step, device) for step in STEPS]
    missed = [step for step in steps if step["error"] or any(each["met"] is False for each in step["findings"])]
    return {
        "steps": steps,
        "failed": len(missed),
        "seed": SEED,
        "device": torch.cuda.get_device_name() if device == CUDA else CPU,
        "versions": versions(["triton"]) | {"cuda": str(torch.version.cuda)},
    }


def take(step: str, device: str) -> dict[str, Any]:
    """One step in a process of its own, which is ended with all that it started when its time is over."""
    print(f"{step} ...", file=sys.stderr, flush=True)
    limit, begun = STEPS[step][1] * (1 if device == CUDA else SLOWER), time.perf_counter()
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == CPU else {}
    command = [sys.executable, "-m", "dlka.bench.gpu", step, device]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | hidden
    )
    findings, error = [], None
    try:
        said, complaint = process.communicate(timeout=limit)
        if process.returncode:
            error = last_line(complaint)
        else:
            findings = json.loads(said.splitlines()[-1])
    except subprocess.TimeoutExpired:
        error = f"it took longer than {limit:g} s"
    finally:
        if process.poll() is None:
            for each in [*psutil.Process(process.pid).children(recursive=True), process]:
                each.kill()
            process.communicate()
    return {"step": step, "seconds": time.perf_counter() - begun, "findings": findings, "error": error}


def gpu_text(result: dict[str, Any]) -> str:
    """The result as a table in Markdown."""
    lines = ["| step | what | result | goal | |", "|---|---|---|---|---|"]
    for step in result["steps"]:
        for each in step["findings"]:
            met = {None: "", True: "met", False: "**missed**"}[each["met"]]
            value = f"{each['value']:.3g} {each['unit']}".strip()
            lines.append(f"| {step['step']} | {each['what']} | {value} | {each['goal'] or ''} | {met} |")
        if step["error"]:
            lines.append(f"| {step['step']} | {step['error'].replace('|', '/')} | | | **failed** |")
        lines.append(f"| {step['step']} | the whole step | {step['seconds']:.0f} s | | |")
    said = f"Seed {result['seed']}; x: torchvision's time over ours, in the step `model` ours over stock's."
    return "\n".join([*lines, "", said])


if __name__ == "__main__":
    print(json.dumps(list(STEPS[sys.argv[1]][0](sys.argv[2]))), flush=True)
