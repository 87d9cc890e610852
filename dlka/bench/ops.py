"""How fast the backends run the six operators of a YOLOv8n neck at 640 pixels, and in how much memory, side by side.

Times are milliseconds; a ratio says how many times faster than torchvision. Memory is what a call takes at its peak
above what was alive before, results counted and inputs not; it stands beside the column buffer that torchvision unrolls
the map into: K * C * Ho * Wo numbers. With device "cuda" the bench is that of dlka.bench.cuda.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.utils.benchmark import set_torch_threads
from torchvision.ops import deform_conv2d

from dlka import provenance
from dlka.bench.timing import least_in_turns, peak_bytes, turn
from dlka.bench.volume import bench_volume, volume_text
from dlka.errors import DlkaError
from dlka.layers import LARGE, SMALL
from dlka.ops import deform_dwconv2d
from dlka.ops.backends import BACKENDS
from dlka.printing import table

BASE = "torchvision"
MAPS = {"P3": (32, 80), "P4": (64, 40), "P5": (128, 20)}  # level -> channels and side of the map
STAGES = {"5x5": SMALL, "7x7 d3": LARGE}
PASSES = ("forward", "forward_backward")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TOLERANCE = {"fp32": 1e-3, "bf16": 2e-2}  # of the largest number of a result

Run = Callable[[], Sequence[torch.Tensor]]


@dataclass(frozen=True)
class Case:
    """One operator: a square map of `side` cells with a padding that keeps its size; stage: of STAGES."""

    channels: int
    side: int
    batch: int
    stage: str

    def __str__(self) -> str:
        return f"{self.batch} x {self.channels} x {self.side}x{self.side} {self.stage}"

    @property
    def taps(self) -> int:
        return math.prod(STAGES[self.stage]["kernel_size"])


class Operator:
    """A case with seeded inputs on a device, offsets of about one cell; torchvision's operator and every backend run
    it."""

    def __init__(self, case: Case, device: str = "cpu") -> None:
        self.case = case
        random = torch.Generator(device).manual_seed(0)
        stage = STAGES[case.stage]
        self.options = {name: stage[name] for name in ("padding", "dilation")}

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=random, device=device)

        # Numbers that bfloat16 can hold, so that both dtypes have the same result to be compared with.
        shape = (case.batch, case.channels, case.side, case.side)
        self.x, self.grad = draw(*shape).bfloat16().float(), draw(*shape).bfloat16().float()
        self.weight = draw(case.channels, 1, *stage["kernel_size"]).bfloat16().float()
        self.offset = draw(case.batch, 2 * case.taps, case.side, case.side)

    def run(self, backend: str, which: str, dtype: str | torch.dtype = "fp32", images: int | None = None) -> Run:
        """() -> [out], or the gradients of x, offset and weight; of the first so many images."""
        kind = dtype if isinstance(dtype, torch.dtype) else DTYPES[dtype]
        offset = self.offset.double() if kind == torch.float64 else self.offset
        x, offset, grad = (t[:images] for t in (self.x.to(kind), offset, self.grad.to(kind)))
        leaves = [t.detach().requires_grad_(which != "forward") for t in (x, offset, self.weight.to(kind))]
        named = partial(deform_dwconv2d, backend=backend)
        function: Callable[..., torch.Tensor] = deform_conv2d if backend == BASE else named

        def forward() -> Sequence[torch.Tensor]:
            return [function(*leaves, **self.options)]

        def forward_backward() -> Sequence[torch.Tensor]:
            return torch.autograd.grad(function(*leaves, **self.options), leaves, grad)

        return forward if which == "forward" else forward_backward

    def check(self, backend: str, which: str, dtype: str = "fp32") -> None:
        """RuntimeError where the results are not torchvision's; of the first image where memory ends before."""
        images = None
        try:
            expected = self.run(BASE, which)()
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            images = 1
            expected = self.run(BASE, which, images=images)()
        for got, wanted in zip(self.run(backend, which, dtype, images)(), expected):
            if not torch.allclose(got.float(), wanted, rtol=0, atol=TOLERANCE[dtype] * float(wanted.abs().max())):
                raise RuntimeError(f"{self.case}, {dtype} {which}: {backend} does not compute what {BASE} computes")


def bench_ops(
    rounds: int = 5,
    threads: int | None = None,
    device: str = "cpu",
    maps: Mapping[str, tuple[int, int]] | None = None,
    volume: bool = False,
) -> dict[str, Any]:
    """Time every CPU backend that runs here, except the reference; batch 1, float32.

    threads: for torch and the fused kernels, as torch has them by default; maps: as MAPS, which they are by default;
    volume: deform_conv3d on the CPU instead, see dlka.bench.volume.
    Returns what a JSON needs: "operators" (milliseconds and peak_bytes by backend and pass, column_bytes), "total" and
    "ratio" (to torchvision's) of the milliseconds, "peak_bytes" (the largest of the operators), rounds, machine. Raises
    DlkaError for counts below one and RuntimeError where a backend's result is not torchvision's.
    """
    if device == "cuda":
        from dlka.bench import cuda

        if volume:
            raise DlkaError("--volume: it is measured on the CPU; leave --device cuda away.")
        if threads is not None:
            raise DlkaError("--threads: with --device cuda there are none to choose; leave it away.")
        return cuda.bench_cuda(rounds)
    if rounds < 1 or (threads is not None and threads < 1):
        raise DlkaError(f"rounds and threads: expected at least 1, got {rounds} and {threads}")
    if volume:
        return bench_volume(rounds, threads)
    backends = [n for n, b in BACKENDS.items() if n != "reference" and b.supports(torch.device("cpu")) is None]
    with set_torch_threads(threads or torch.get_num_threads()):
        operators = {
            f"{level} {stage}": Operator(Case(channels, side, 1, stage))
            for level, (channels, side) in (MAPS if maps is None else maps).items()
            for stage in STAGES
        }
        runs: dict[tuple[str, str, str], Run] = {}
        for name, operator in operators.items():
            for which in PASSES:
                for backend in backends:
                    operator.check(backend, which)
                    runs[name, backend, which] = operator.run(backend, which)
        times = least_in_turns({key: partial(turn, run) for key, run in runs.items()}, rounds)
        peaks = {key: peak_bytes(run) for key, run in runs.items()}
        machine = provenance.machine()

    total = {b: {w: sum(times[name, b, w] for name in operators) for w in PASSES} for b in backends}
    return {
        "operators": [
            {
                "name": name,
                "channels": operator.case.channels,
                "map": operator.case.side,
                "milliseconds": {b: {w: times[name, b, w] for w in PASSES} for b in backends},
                "peak_bytes": {b: {w: peaks[name, b, w] for w in PASSES} for b in backends},
                "column_bytes": operator.case.taps * operator.x.nbytes,
            }
            for name, operator in operators.items()
        ],
        "total": total,
        "ratio": {b: {w: total[BASE][w] / total[b][w] for w in PASSES} for b in backends},
        "peak_bytes": {b: {w: max(peaks[name, b, w] for name in operators) for w in PASSES} for b in backends},
        "rounds": rounds,
        "machine": machine,
    }


def ops_text(result: dict[str, Any]) -> str:
    """The result for people: times, totals and ratios, then memory."""
    if "size" in result:
        return volume_text(result)
    if result.get("device"):
        from dlka.bench import cuda

        return cuda.cuda_text(result)
    operators = result["operators"]
    timed = [(o["name"], o["milliseconds"]) for o in operators]
    rows = [
        {"operator": name, "pass": which.replace("_", " + "), **{b: t[which] for b, t in by_backend.items()}}
        for group in (timed, [("all six, ms", result["total"]), (f"{BASE} / it", result["ratio"])])
        for which in PASSES
        for name, by_backend in group
    ]
    memory = [
        {"peak memory, MB": o["name"], "pass": which.replace("_", " + "), "column buffer": o["column_bytes"] / 1e6}
        | {backend: peak[which] / 1e6 for backend, peak in o["peak_bytes"].items()}
        for which in PASSES
        for o in operators
    ]
    return (
        f"{table(rows)}\n\n{table(memory)}\n\n"
        f"Milliseconds, the least of {result['rounds']} rounds in which the backends take turns.\n"
        f"Memory beyond the inputs, results counted; the column buffer is what {BASE} unrolls the map into."
    )
