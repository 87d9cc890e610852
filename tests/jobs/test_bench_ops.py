"""The benchmark's bookkeeping: what runs, in which order, and that wrong results are not timed. No time is judged."""

from __future__ import annotations

import json

import pytest
import torch

from dlka.inference.probe import stages
from dlka.jobs import bench_ops as bench
from dlka.jobs.bench_ops import KERNELS, MAPS, PASSES, Operator, bench_ops
from dlka.models.build import build_model
from dlka.ops.backends import BACKENDS

TINY = {"P3": (3, 7), "P4": (2, 5)}


def test_the_operators_are_those_of_the_neck():
    wanted = {
        (s.level, s.channels, 640 // s.stride, s.kernel[0], s.padding[0], s.dilation[0])
        for s in stages(build_model("neck", "n"))
    }
    found = {
        (level, channels, side, kernel, options["padding"], options["dilation"])
        for level, (channels, side) in MAPS.items()
        for kernel, options in KERNELS.items()
    }
    assert found == wanted


def test_result():
    result = bench_ops(rounds=2, threads=1, maps=TINY)
    assert [(o["name"], o["channels"], o["map"]) for o in result["operators"]] == [
        ("P3 5x5", 3, 7),
        ("P3 7x7 d3", 3, 7),
        ("P4 5x5", 2, 5),
        ("P4 7x7 d3", 2, 5),
    ]
    backends = {"numba", "torch", "torchvision"}
    assert backends <= set(result["total"])
    assert "reference" not in result["total"]
    for name, total in result["total"].items():
        for which in ("forward", "forward_backward"):
            times = [o["milliseconds"][name][which] for o in result["operators"]]
            assert min(times) > 0
            assert total[which] == pytest.approx(sum(times))
            assert result["ratio"][name][which] == pytest.approx(result["total"]["torchvision"][which] / total[which])
            peaks = [o["peak_bytes"][name][which] for o in result["operators"]]
            assert result["peak_bytes"][name][which] == max(peaks)
            assert min(peaks) > 0
    assert [o["column_bytes"] for o in result["operators"]] == [
        4 * taps * channels * side**2 for channels, side in TINY.values() for taps in (25, 49)
    ]
    assert result["machine"]["threads"] == 1
    assert result["machine"]["vectors"]
    assert result["machine"]["cpu"]
    assert "numba" in result["versions"]
    json.dumps(result)


@pytest.mark.parametrize("kernel", KERNELS)
def test_memory_against_the_column_buffer(kernel):
    """torchvision's peak is the column buffer and little else; the other backends stay far below it."""
    channels, side = MAPS["P5"]
    operator = Operator("P5", channels, side, kernel)
    for backend in ("torchvision", "numba", "torch"):
        operator.weigh(backend)
    columns, peak = operator.column_bytes, operator.peak_bytes
    map_bytes, offset_bytes = (4 * count * side**2 for count in (channels, 2 * kernel**2))
    assert columns == kernel**2 * map_bytes
    for which in PASSES:  # beside the columns: results, gradients, guarded offsets, working copies
        assert columns < peak["torchvision"][which] <= columns + 4 * (map_bytes + offset_bytes)
    assert peak["numba"]["forward"] < columns / 8
    assert peak["torch"]["forward"] < columns / 3
    for backend in ("numba", "torch"):
        assert peak[backend]["forward"] < peak[backend]["forward_backward"] < 0.6 * columns


def test_backends_take_turns(monkeypatch):
    order = []

    def measure(self, which, backend):
        order.append((self.name, which, backend))
        self.milliseconds.setdefault(backend, {})[which] = 1.0

    monkeypatch.setattr(Operator, "measure", measure)
    bench_ops(rounds=3, maps={"P3": (2, 5)})
    backends = [b for b in BACKENDS if b != "reference" and BACKENDS[b].supports(torch.device("cpu")) is None]
    turn = [
        (name, which, b)
        for name in ("P3 5x5", "P3 7x7 d3")
        for which in ("forward", "forward_backward")
        for b in backends
    ]
    assert order == turn * 3


def test_the_least_time_counts(monkeypatch):
    operator = Operator("P3 5x5", 2, 5, 5)
    # a turn's begin, a call's begin and end, a look at whether the turn is over
    clock = iter([0.0, 0.0, 0.005, 0.1, 1.0, 1.0, 1.003, 1.1, 2.0, 2.0, 2.004, 2.1])
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(Operator, "forward", lambda *_: [])
    monkeypatch.setattr(bench, "CALLS", 1)
    monkeypatch.setattr(bench, "SECONDS", 0)
    for _ in range(3):
        operator.measure("forward", "torch")
    assert operator.milliseconds == {"torch": {"forward": pytest.approx(3)}}


@pytest.mark.parametrize("which", ["forward", "forward_backward"])
def test_a_wrong_result_is_not_timed(monkeypatch, which):
    right = getattr(Operator, which)

    def wrong(self, backend):
        results = right(self, backend)
        return [r + 0.1 for r in results] if backend == "torch" else results

    monkeypatch.setattr(Operator, which, wrong)
    with pytest.raises(RuntimeError, match="P3 5x5: torch does not compute what torchvision computes"):
        bench_ops(rounds=1, maps=TINY)


def test_threads_are_given_back():
    before = torch.get_num_threads()
    assert bench_ops(rounds=1, threads=before + 1, maps={"P3": (2, 5)})["machine"]["threads"] == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("arguments", [{"rounds": 0}, {"threads": 0}, {"threads": -1}])
def test_counts_below_one(arguments):
    with pytest.raises(ValueError, match="rounds and threads: expected at least 1"):
        bench_ops(maps=TINY, **arguments)
