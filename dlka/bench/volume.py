"""How fast deform_conv3d is beside torch's own rigid conv3d, the reference and the torch backend: bench ops --volume.

The published 3D D-LKA's convolution: 3x3x3, all channels to all, 32 channels, 16x32x32 voxels, offsets of about a cell.
Times are milliseconds, of the operator alone, without what predicts its offsets.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.benchmark import set_torch_threads

from dlka.bench.timing import least_in_turns, turn
from dlka.ops import deform_conv3d
from dlka.printing import table

RIGID, ORACLE, BACKENDS = "conv3d", "reference", ("numba", "torch", "reference")
TOLERANCE = 1e-4  # of the largest number of a result


def bench_volume(
    rounds: int, threads: int | None, channels: int = 32, size: tuple[int, int, int] = (16, 32, 32)
) -> dict[str, Any]:
    """Time forward and backward, each by itself, of every backend and of conv3d; batch 1, float32.

    Returns "milliseconds" by pass and name, "ratio" by pass: the reference and conv3d over numba's, channels, size,
    rounds. Raises RuntimeError where a backend's result is not the reference's.
    """
    random = torch.Generator().manual_seed(0)
    shapes = [(1, channels, *size), (1, 81, *size), (channels, channels, 3, 3, 3)]
    leaves = [torch.randn(s, generator=random).requires_grad_() for s in shapes]
    x, weight = leaves[::2]
    grad = torch.randn(shapes[0], generator=random)
    forwards: dict[str, Callable[[], torch.Tensor]] = {
        RIGID: partial(F.conv3d, x, weight, padding=1),
        **{name: partial(deform_conv3d, *leaves, padding=1, backend=name) for name in BACKENDS},
    }
    with set_torch_threads(threads or torch.get_num_threads()):
        backwards = {
            name: partial(torch.autograd.grad, run(), [x, weight] if name == RIGID else leaves, grad, retain_graph=True)
            for name, run in forwards.items()
        }
        wanted = [forwards[ORACLE](), *backwards[ORACLE]()]
        for name in BACKENDS:
            for got, want in zip([forwards[name](), *backwards[name]()], wanted):
                if not torch.allclose(got, want, rtol=0, atol=TOLERANCE * float(want.detach().abs().max())):
                    raise RuntimeError(f"{name} does not compute what the {ORACLE} computes")
        runs = {(w, n): f for w, fs in (("forward", forwards), ("backward", backwards)) for n, f in fs.items()}
        with torch.no_grad():
            times = least_in_turns({key: partial(turn, run) for key, run in runs.items()}, rounds)
    passes = {w: {n: times[w, n] for n in forwards} for w in ("forward", "backward")}
    ratio = {w: {n: t[n] / t["numba"] for n in (ORACLE, RIGID)} for w, t in passes.items()}
    return {"milliseconds": passes, "ratio": ratio, "channels": channels, "size": list(size), "rounds": rounds}


def volume_text(result: dict[str, Any]) -> str:
    """The result for people."""
    rows = [
        {"pass": which, **times, **{f"{name} / numba": ratio for name, ratio in result["ratio"][which].items()}}
        for which, times in result["milliseconds"].items()
    ]
    size = "x".join(map(str, result["size"]))
    return (
        f"{table(rows)}\n\n"
        f"3x3x3, {result['channels']} channels to as many, {size} voxels; conv3d is torch's own, rigid.\n"
        f"Milliseconds, the least of {result['rounds']} rounds in which all take turns."
    )
