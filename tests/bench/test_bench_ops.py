"""What the bench of the operator runs, in which order, and that wrong results are not timed. No time is judged."""

from __future__ import annotations

import json

import pytest
import torch

from dlka.bench import ops
from dlka.bench.ops import BASE, DTYPES, MAPS, PASSES, STAGES, Case, Operator, bench_ops
from dlka.bench.timing import peak_bytes
from dlka.inference.probe import stages
from dlka.models.build import build_model
from dlka.ops.backends import BACKENDS

TINY = {"P3": (3, 7), "P4": (2, 5)}
HERE = [b for b in BACKENDS if b != "reference" and BACKENDS[b].supports(torch.device("cpu")) is None]


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(ops, "MAPS", TINY)


def test_the_operators_are_those_of_the_neck():
    wanted = {
        (s.level, s.channels, 640 // s.stride, s.kernel, s.padding[0], s.dilation[0])
        for s in stages(build_model("neck", "n"))
    }
    found = {
        (level, channels, side, stage["kernel_size"], stage["padding"], stage["dilation"])
        for level, (channels, side) in MAPS.items()
        for stage in STAGES.values()
    }
    assert found == wanted


@pytest.mark.slow
def test_result(tiny):
    before = torch.get_num_threads()
    result = bench_ops(rounds=1, threads=before + 1)
    assert [(o["name"], o["channels"], o["map"]) for o in result["operators"]] == [
        ("P3 5x5", 3, 7),
        ("P3 7x7 d3", 3, 7),
        ("P4 5x5", 2, 5),
        ("P4 7x7 d3", 2, 5),
    ]
    assert list(result["total"]) == HERE
    for name, total in result["total"].items():
        for which in PASSES:
            times = [o["milliseconds"][name][which] for o in result["operators"]]
            assert min(times) > 0
            assert total[which] == pytest.approx(sum(times))
            assert result["ratio"][name][which] == pytest.approx(result["total"][BASE][which] / total[which])
            peaks = [o["peak_bytes"][name][which] for o in result["operators"]]
            assert result["peak_bytes"][name][which] == max(peaks)
            assert min(peaks) > 0
    assert [o["column_bytes"] for o in result["operators"]] == [
        4 * taps * channels * side**2 for channels, side in TINY.values() for taps in (25, 49)
    ]
    assert (result["machine"]["threads"], torch.get_num_threads()) == (before + 1, before)
    json.dumps(result)


@pytest.mark.slow
def test_backends_take_turns(tiny, monkeypatch):
    """Within a round every backend once for each operator and pass."""
    order = []
    monkeypatch.setattr(ops, "turn", lambda run: order.append(run) or 1.0)
    bench_ops(rounds=3)
    once = order[: len(order) // 3]
    assert len(set(once)) == len(once) == len(TINY) * len(STAGES) * len(PASSES) * len(HERE)
    assert order == once * 3


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_memory_against_the_column_buffer(stage):
    """torchvision's peak is the column buffer and little else; the other backends stay far below it."""
    operator = Operator(Case(*MAPS["P5"], 1, stage))
    map_bytes, offset_bytes = operator.x.nbytes, operator.offset.nbytes
    columns = operator.case.taps * map_bytes
    peak = {b: {w: peak_bytes(operator.run(b, w)) for w in PASSES} for b in (BASE, "numba", "torch")}
    for which in PASSES:  # beside the columns: results, gradients, working copies
        assert columns < peak[BASE][which] <= columns + 4 * (map_bytes + offset_bytes)
    assert peak["numba"]["forward"] < columns / 8
    assert peak["torch"]["forward"] < columns / 3
    for backend in ("numba", "torch"):
        assert peak[backend]["forward"] < peak[backend]["forward_backward"] < 0.6 * columns


@pytest.mark.parametrize("which", PASSES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_all_get_the_same_work(which, dtype):
    operator = Operator(Case(3, 6, 2, "5x5"))
    operator.check("auto", which, dtype)
    results = operator.run("auto", which, dtype)()
    assert results[0].dtype == DTYPES[dtype]
    assert len(results) == (1 if which == "forward" else 3)
    assert operator.run(BASE, which, images=1)()[0].shape[0] == 1


@pytest.mark.parametrize("which", PASSES)
def test_a_wrong_result_is_not_timed(tiny, monkeypatch, which):
    right = ops.deform_dwconv2d
    kept = operator_sign(which)
    monkeypatch.setattr(ops, "deform_dwconv2d", lambda *a, **k: kept(right(*a, **k)))
    monkeypatch.setattr(ops, "turn", lambda run: pytest.fail("a wrong result was timed"))
    with pytest.raises(RuntimeError, match=f"1 x 3 x 7x7 5x5, fp32 {which}: .* does not compute what torchvision"):
        bench_ops(rounds=1)


def operator_sign(which):
    """A wrong result for the forward; for the backward one whose gradients alone are wrong."""
    return (lambda out: 1.1 * out) if which == "forward" else (lambda out: out.detach() + 1.1 * (out - out.detach()))


def test_the_check_takes_one_image_where_all_do_not_fit(monkeypatch):
    images = []
    right = ops.deform_conv2d

    def limited(x, *rest, **options):
        images.append(len(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError
        return right(x, *rest, **options)

    monkeypatch.setattr(ops, "deform_conv2d", limited)
    Operator(Case(3, 6, 2, "5x5")).check("torch", "forward")
    assert images == [2, 1]


@pytest.mark.parametrize("arguments", [{"rounds": 0}, {"threads": 0}, {"threads": -1}])
def test_counts_below_one(arguments):
    with pytest.raises(ValueError, match="rounds and threads: expected at least 1"):
        bench_ops(**arguments)
