"""What the CUDA benchmark runs: the cases, what each needs at least, and the operator with its inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torchvision.ops import deform_conv2d

from dlka.layers import LARGE, SMALL
from dlka.ops import deform_dwconv2d

CHANNELS = (32, 64, 128, 256)
SIDES = tuple(sorted({size // stride for size in (640, 1280) for stride in (8, 16, 32)}, reverse=True))
BATCHES = (1, 8, 32)
STAGES = {"5x5": SMALL, "7x7 d3": LARGE}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
PASSES = ("forward", "forward_backward")
BASE, OURS = "torchvision", "triton"
OPERATIONS = {"forward": 5, "forward_backward": 5 + 16}  # multiply-adds per cell, tap and channel
TOLERANCE = {"fp32": 1e-3, "bf16": 2e-2}  # of the largest number of the result

Run = Callable[[], Sequence[torch.Tensor]]


@dataclass(frozen=True)
class Case:
    """One operator: a square map of `side` cells with a padding that keeps its size."""

    channels: int
    side: int
    batch: int
    stage: str

    def __str__(self) -> str:
        return f"{self.batch} x {self.channels} x {self.side}x{self.side}, {self.stage}"

    @property
    def taps(self) -> int:
        return math.prod(STAGES[self.stage]["kernel_size"])


def cases() -> list[Case]:
    """All of them, the largest maps last within each number of channels."""
    return [Case(c, s, n, k) for c, n, s, k in product(CHANNELS, BATCHES, sorted(SIDES), STAGES)]


def least_work(case: Case, dtype: str, which: str) -> tuple[int, int]:
    """(bytes to move, multiply-adds) that the case needs at least; see dlka.jobs.bench_cuda."""
    cells = case.batch * case.side**2
    size = DTYPES[dtype].itemsize
    maps, offsets, weights = cells * case.channels * size, cells * 2 * case.taps * 4, case.channels * case.taps * size
    moved = 2 * maps + offsets + weights
    if which == "forward_backward":
        moved += 3 * maps + 2 * (offsets + weights)
    return moved, cells * case.taps * case.channels * OPERATIONS[which]


class Operator:
    """A case with its inputs on a device, runnable by both implementations."""

    def __init__(self, case: Case, device: str = "cuda", backend: str = OURS) -> None:
        self.case, self.backend = case, backend
        random = torch.Generator(device).manual_seed(0)
        stage = STAGES[case.stage]
        self.options = {name: stage[name] for name in ("padding", "dilation")}
        shape = (case.batch, case.channels, case.side, case.side)

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=random, device=device)

        # Numbers that bfloat16 can hold, so that both dtypes have the same result to be compared with.
        self.x, self.grad = draw(*shape).bfloat16().float(), draw(*shape).bfloat16().float()
        self.weight = draw(case.channels, 1, *stage["kernel_size"]).bfloat16().float()
        self.offset = draw(case.batch, 2 * case.taps, case.side, case.side)

    def run(self, who: str, dtype: str, which: str, images: int | None = None) -> Run:
        """() -> [out], or the gradients of x, offset and weight; of the first so many images."""
        kind = DTYPES[dtype]
        x, offset, grad = (t[:images] for t in (self.x.to(kind), self.offset, self.grad.to(kind)))
        leaves = [t.detach().requires_grad_(which != "forward") for t in (x, offset, self.weight.to(kind))]
        more: dict[str, Any] = {"backend": self.backend} if who == OURS else {}
        function: Callable[..., torch.Tensor] = deform_dwconv2d if who == OURS else deform_conv2d

        def forward() -> Sequence[torch.Tensor]:
            return [function(*leaves, **self.options, **more)]

        def forward_backward() -> Sequence[torch.Tensor]:
            return torch.autograd.grad(function(*leaves, **self.options, **more), leaves, grad)

        return forward if which == "forward" else forward_backward

    def check(self, dtype: str, which: str) -> None:
        """RuntimeError where the results are not torchvision's; of the first image if all do not fit for it."""
        images = None
        try:
            wanted = self.run(BASE, "fp32", which)()
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            images = 1
            wanted = self.run(BASE, "fp32", which, images)()
        for got, want in zip(self.run(OURS, dtype, which, images)(), wanted):
            if not torch.allclose(got.float(), want, rtol=0, atol=TOLERANCE[dtype] * float(want.abs().max())):
                raise RuntimeError(f"{self.case}, {dtype} {which}: {OURS} does not compute what {BASE} computes")
