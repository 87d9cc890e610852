"""The CUDA benchmark without a GPU: its cases, its floor, its bookkeeping, and that wrong results are not timed."""

from __future__ import annotations

import json

import pytest
import torch

from dlka.cli import main
from dlka.jobs import bench_cuda as bench
from dlka.jobs import cuda_cases, cuda_timer
from dlka.jobs.cuda_cases import BASE, DTYPES, OURS, Case, Operator, cases, least_work

SMALL = Case(3, 6, 2, "5x5")
RATES = {"bytes": 1e9, "multiply_adds": 1e9}


@pytest.fixture
def timer(monkeypatch):
    """A clock that gives every implementation and mode a time of its own, on the CPU."""
    monkeypatch.setattr(bench.Operator, "__init__", lambda self, case, device: start(self, case, "cpu", "auto"))
    spent = {}

    def peak(run):
        run()
        spent[run] = 8.0 if len(spent) % 3 == 0 else 2.0  # the first of three runs is torchvision's
        return 1000

    def captured(run):
        def replay():
            return run()

        spent[replay] = spent[run] / 4
        return replay

    monkeypatch.setattr(cuda_timer, "peak", peak)
    monkeypatch.setattr(cuda_timer, "captured", captured)
    monkeypatch.setattr(cuda_timer, "turn", lambda run: spent[run])
    return spent


start = Operator.__init__


def test_cases():
    found = cases()
    assert len(found) == len(set(found)) == 4 * 4 * 3 * 2
    assert {c.side for c in found} == {20, 40, 80, 160}
    assert {c.channels for c in found} == {32, 64, 128, 256}
    assert {c.batch for c in found} == {1, 8, 32}
    assert {c.taps for c in found} == {25, 49}
    assert str(Case(32, 80, 8, "7x7 d3")) == "8 x 32 x 80x80, 7x7 d3"


def test_the_floor_counts_every_tensor_once():
    """Against tensors and loops: what a forward reads and writes, and its multiply-adds by name."""
    case = Case(4, 3, 2, "5x5")
    x = torch.empty(2, 4, 3, 3)
    offset, weight = torch.empty(2, 50, 3, 3), torch.empty(4, 1, 5, 5)
    tensors = 4 * (2 * x.numel() + offset.numel() + weight.numel())
    assert least_work(case, "fp32", "forward") == (tensors, 2 * 9 * 25 * 4 * 5)
    again = 4 * (3 * x.numel() + 2 * offset.numel() + 2 * weight.numel())
    assert least_work(case, "fp32", "forward_backward") == (tensors + again, 2 * 9 * 25 * 4 * 21)
    half = 2 * (2 * x.numel() + weight.numel()) + 4 * offset.numel()
    assert least_work(case, "bf16", "forward") == (half, 2 * 9 * 25 * 4 * 5)


@pytest.mark.parametrize("which", ["forward", "forward_backward"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_both_get_the_same_work(which, dtype):
    operator = Operator(SMALL, "cpu", "auto")
    operator.check(dtype, which)
    results = operator.run(OURS, dtype, which)()
    assert all(r.dtype == DTYPES[dtype] for r in results[:1])
    assert len(results) == (1 if which == "forward" else 3)
    assert operator.run(BASE, "fp32", which, 1)()[0].shape[0] == 1


@pytest.mark.parametrize("which", ["forward", "forward_backward"])
def test_a_wrong_result_is_not_timed(which, monkeypatch):
    operator = Operator(SMALL, "cpu", "auto")
    right = cuda_cases.deform_dwconv2d
    monkeypatch.setattr(cuda_cases, "deform_dwconv2d", lambda *a, **k: right(*a, **k) * 1.1)
    with pytest.raises(RuntimeError, match=r"2 x 3 x 6x6, 5x5, fp32 .*: triton does not compute what torchvision"):
        operator.check("fp32", which)


def test_the_check_takes_one_image_where_all_do_not_fit(monkeypatch):
    operator = Operator(SMALL, "cpu", "auto")
    images = []
    right = cuda_cases.deform_conv2d

    def limited(x, *rest, **options):
        images.append(len(x))
        if len(x) > 1:
            raise torch.cuda.OutOfMemoryError
        return right(x, *rest, **options)

    monkeypatch.setattr(cuda_cases, "deform_conv2d", limited)
    operator.check("fp32", "forward")
    assert images == [2, 1]


def test_rows(timer):
    rows = list(bench.measure(SMALL, 2, RATES))
    assert [(r["pass"], r["dtype"]) for r in rows] == [
        (which, dtype) for which in ("forward", "forward_backward") for dtype in ("fp32", "bf16")
    ]
    for row in rows:
        assert row["milliseconds"] == {BASE: {"eager": 8.0, "graph": 2.0}, OURS: {"eager": 2.0, "graph": 0.5}}
        assert row["ratio"] == {"eager": 4.0, "graph": 4.0}
        moved, operations = least_work(SMALL, row["dtype"], row["pass"])
        assert row["memory_share"] == pytest.approx(1000 * moved / 1e9 / 0.5)
        assert row["compute_share"] == pytest.approx(1000 * operations / 1e9 / 0.5)
        assert row["peak_bytes"] == {BASE: 1000, OURS: 1000}
        assert row["lacks_memory"] == []
    json.dumps(rows)
    line = bench.table_row(rows[1])
    assert line["case"] == "2 x 3 x 6x6 5x5"
    assert (line["pass"], line["dtype"], line["ratio graph"]) == ("forward", "bf16", 4.0)


def test_turns_alternate(timer, monkeypatch):
    order = []
    monkeypatch.setattr(cuda_timer, "turn", lambda run: order.append(run) or 1.0)
    list(bench.measure(SMALL, 3, RATES))
    first = order[: len(order) // 2]
    assert len(set(first)) == 6
    assert first == first[:6] * 3


@pytest.mark.parametrize("what", ["peak", "captured"])
def test_what_does_not_fit_is_named(timer, monkeypatch, what):
    """torchvision comes first: ours is measured all the same, without a ratio."""
    real, calls = getattr(cuda_timer, what), []

    def full(run):
        calls.append(run)
        if len(calls) == 1:
            timer.setdefault(run, 8.0)
            raise torch.cuda.OutOfMemoryError
        return real(run)

    monkeypatch.setattr(cuda_timer, what, full)
    row = next(bench.measure(SMALL, 1, RATES))
    assert row["lacks_memory"] == ["torchvision fp32" + (" graph" if what == "captured" else "")]
    assert row["ratio"] == ({} if what == "peak" else {"eager": 4.0})
    assert row["milliseconds"][OURS]["graph"] > 0
    line = bench.table_row(row)
    assert line["torchvision graph"] is None
    assert line["ratio graph"] is None


def test_what_does_not_fit_beside_the_graphs_is_named(timer, monkeypatch):
    real, calls = cuda_timer.turn, []

    def full(run):
        calls.append(run)
        if len(calls) == 7:  # torchvision, eager, in the second round
            raise torch.cuda.OutOfMemoryError
        return real(run)

    monkeypatch.setattr(cuda_timer, "turn", full)
    row = next(bench.measure(SMALL, 3, RATES))
    assert row["lacks_memory"] == ["torchvision fp32 eager"]
    assert row["ratio"] == {"graph": 4.0}
    assert row["milliseconds"] == {BASE: {"graph": 2.0}, OURS: {"eager": 2.0, "graph": 0.5}}
    assert len(calls) == 6 * 3 - 1


def test_a_dtype_whose_inputs_do_not_fit_is_named(timer, monkeypatch):
    right = Operator.run

    def limited(self, who, dtype, which, images=None):
        if dtype == "bf16" and timer:  # the check was before the first peak
            raise torch.cuda.OutOfMemoryError
        return right(self, who, dtype, which, images)

    monkeypatch.setattr(Operator, "run", limited)
    rows = list(bench.measure(SMALL, 1, RATES))[:2]
    assert [row["lacks_memory"] for row in rows] == [["triton bf16"]] * 2
    assert rows[1]["ratio"] == {}


def test_a_case_whose_inputs_do_not_fit_is_named(monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(bench.Operator, "__init__", full)
    rows = list(bench.measure(SMALL, 1, RATES))
    assert len(rows) == 4
    for row in rows:
        assert row["lacks_memory"] == ["torchvision fp32", "triton fp32", "triton bf16"]
        assert bench.table_row(row)["memory floor %"] is None
    assert bench.summary(rows) == []


def test_summary(timer):
    rows = list(bench.measure(SMALL, 1, RATES))
    rows[0]["ratio"]["eager"] = 3.0
    more = [{**rows[0], "ratio": {"eager": 7.0}}, {**rows[0], "ratio": {}}]
    lines = bench.summary([*rows, *more])
    assert lines[0] == {"pass": "forward", "batch": 2, "dtype": "fp32", "mode": "eager", "least": 3.0, "most": 7.0}
    assert len(lines) == 2 * 2 * 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_one_sentence(capsys):
    assert main(["bench", "ops", "--device", "cuda"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "dlka: bench ops --device cuda: torch finds no CUDA device; use a machine with one, or --device cpu\n"
    )


def test_command(timer, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda_timer, "rates", lambda rounds: RATES)
    monkeypatch.setattr(cuda_timer, "machine", lambda: {"gpu": "Card", "gpu_memory_gib": 80.0, "multiprocessors": 132})
    monkeypatch.setattr(bench, "cases", lambda: [SMALL])
    file = tmp_path / "cuda.json"
    assert main(["bench", "ops", "--device", "cuda", "--rounds", "1", "--json", str(file)]) == 0
    out, err = capsys.readouterr()
    assert sum(line.startswith("2 x 3 x 6x6 5x5") for line in out.splitlines()) == 4
    assert "Card" in out
    assert "Does not fit" not in out
    assert err.count("\n") == 4
    result = json.loads(file.read_text())
    assert len(result["rows"]) == 4
    assert result["machine"]["gpu"] == "Card"
    assert {"triton", "cuda", "torchvision"} <= set(result["versions"])


def test_no_rounds():
    with pytest.raises(ValueError, match="rounds: expected at least 1, got 0"):
        bench.bench_cuda(0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu():
    result = bench.bench_cuda(1, [Case(32, 20, 1, "5x5")])
    assert all(row["ratio"]["graph"] > 0 and not row["lacks_memory"] for row in result["rows"])
