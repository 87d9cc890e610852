"""How fast the backends run the six operators of a YOLOv8n neck at 640 pixels, and in how much memory, side by side.

Backends take turns within each round, so that whatever else the machine does meets all of them; the least time over
the rounds counts. Times are milliseconds; a ratio says how many times faster than torchvision. Memory is what a call
takes at its peak above what was alive before, results counted and inputs not; it stands beside the column buffer that
torchvision unrolls the map into: K * C * Ho * Wo numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from dlka import provenance
from dlka.errors import DlkaError
from dlka.jobs.peak_memory import peak_bytes
from dlka.ops import deform_dwconv2d
from dlka.ops.backends import BACKENDS

BASE = "torchvision"
# Level -> channels and side of the map; kernel -> padding and dilation.
MAPS = {"P3": (32, 80), "P4": (64, 40), "P5": (128, 20)}
KERNELS: dict[int, dict[str, int]] = {5: {"padding": 2, "dilation": 1}, 7: {"padding": 9, "dilation": 3}}
TOLERANCE = 1e-3
# A turn: the first calls still meet the caches of the backend before it, and its threads, which keep a core busy for
# some milliseconds before they sleep.
CALLS, SECONDS = 3, 0.02
PASSES = ("forward", "forward_backward")


def bench_ops(
    rounds: int = 5, threads: int | None = None, maps: dict[str, tuple[int, int]] | None = None
) -> dict[str, Any]:
    """Time every CPU backend that runs here, except the reference; batch 1, float32, offsets of about one cell.

    threads: for torch and the fused kernels, as torch has them by default. Returns what a JSON needs: "operators"
    (milliseconds and peak_bytes by backend and pass, column_bytes), "total" and "ratio" (to torchvision's) of the
    milliseconds, "peak_bytes" (the largest of the operators), rounds, machine, versions. Raises ValueError for counts
    below one and RuntimeError where a backend's result is not torchvision's.
    """
    if rounds < 1 or (threads is not None and threads < 1):
        raise DlkaError(f"rounds and threads: expected at least 1, got {rounds} and {threads}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        backends = [n for n, b in BACKENDS.items() if n != "reference" and b.supports(torch.device("cpu")) is None]
        operators = [_operator(level, *shape, kernel) for level, shape in (maps or MAPS).items() for kernel in KERNELS]
        for operator in operators:
            _check(operator, backends)
        for _ in range(rounds):
            for operator in operators:
                for which in PASSES:
                    for backend in backends:
                        operator.measure(which, backend)
        for operator in operators:  # after the times: the profiler stands in nobody's way
            for backend in backends:
                operator.weigh(backend)
        machine = provenance.machine()
    finally:
        torch.set_num_threads(before)
    total = {b: {w: sum(o.milliseconds[b][w] for o in operators) for w in PASSES} for b in backends}
    return {
        "operators": [
            {
                "name": o.name,
                "channels": o.channels,
                "map": o.side,
                "milliseconds": o.milliseconds,
                "peak_bytes": o.peak_bytes,
                "column_bytes": o.column_bytes,
            }
            for o in operators
        ],
        "total": total,
        "ratio": {b: {w: total[BASE][w] / total[b][w] for w in PASSES} for b in backends},
        "peak_bytes": {b: {w: max(o.peak_bytes[b][w] for o in operators) for w in PASSES} for b in backends},
        "rounds": rounds,
        "machine": machine,
        "versions": provenance.versions(),
    }


class Operator:
    """One deformable convolution with its inputs, the least time of each backend so far, and its peak memory."""

    def __init__(self, name: str, channels: int, side: int, kernel: int) -> None:
        self.name, self.channels, self.side, self.options = name, channels, side, KERNELS[kernel]
        random = torch.Generator().manual_seed(0)
        shapes = [(1, channels, side, side), (1, 2 * kernel**2, side, side), (channels, 1, kernel, kernel)]
        self.inputs = [torch.randn(shape, generator=random).requires_grad_() for shape in shapes]
        self.grad = torch.randn(shapes[0], generator=random)
        self.column_bytes = kernel**2 * self.grad.nbytes
        self.milliseconds: dict[str, dict[str, float]] = {}
        self.peak_bytes: dict[str, dict[str, int]] = {}

    def forward(self, backend: str) -> list[torch.Tensor]:
        """[output], without a graph."""
        with torch.no_grad():
            return [deform_dwconv2d(*self.inputs, **self.options, backend=backend)]  # type: ignore[arg-type]

    def forward_backward(self, backend: str) -> list[torch.Tensor]:
        """Gradients of map, offsets and weight."""
        out = deform_dwconv2d(*self.inputs, **self.options, backend=backend)  # type: ignore[arg-type]
        return list(torch.autograd.grad(out, self.inputs, self.grad))

    def measure(self, which: str, backend: str) -> None:
        """One turn of a backend: calls in a row, whose least time is kept if it is the least so far."""
        run: Callable[[str], Any] = getattr(self, which)
        times = self.milliseconds.setdefault(backend, {})
        calls, turn = 0, time.perf_counter()
        while calls < CALLS or time.perf_counter() - turn < SECONDS:
            begin = time.perf_counter()
            run(backend)
            spent = 1000 * (time.perf_counter() - begin)
            times[which] = min(spent, times.get(which, spent))
            calls += 1

    def weigh(self, backend: str) -> None:
        """Peak memory of both passes of a backend."""
        self.peak_bytes[backend] = {
            "forward": peak_bytes(lambda: self.forward(backend)),
            "forward_backward": peak_bytes(lambda: self.forward_backward(backend)),
        }


def _operator(level: str, channels: int, side: int, kernel: int) -> Operator:
    dilation = KERNELS[kernel]["dilation"]
    return Operator(f"{level} {kernel}x{kernel}" + (f" d{dilation}" if dilation > 1 else ""), channels, side, kernel)


def _check(operator: Operator, backends: list[str]) -> None:
    """The first run of each backend compiles what there is to compile; its result must be torchvision's."""
    expected = operator.forward(BASE) + operator.forward_backward(BASE)
    for backend in backends:
        for a, b in zip(expected, operator.forward(backend) + operator.forward_backward(backend)):
            if not torch.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * float(a.abs().max())):
                raise RuntimeError(f"{operator.name}: {backend} does not compute what {BASE} computes")
