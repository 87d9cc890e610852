"""The CUDA bench without a GPU: its cases, its floor, its bookkeeping, and what does not fit."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from dlka.bench import cuda, ops
from dlka.bench.cuda import OURS, cases, least_work, measure
from dlka.bench.ops import BASE, DTYPES, PASSES, Case, Operator
from dlka.cli import main

TINY = Case(3, 6, 2, "5x5")
RATES = {"bytes": 1e9, "multiply_adds": 1e9}


@pytest.fixture
def full(monkeypatch):
    """Runs on the CPU; torchvision takes 8 ms, ours 2 ms, in a graph a quarter. Who is in the set finds no memory:
    (what is measured, who)."""
    names, lacking, right = {}, set(), ops.deform_dwconv2d

    class Named(Operator):
        def __init__(self, case, device):
            if "inputs" in lacking:
                raise torch.OutOfMemoryError
            super().__init__(case, "cpu")

        def run(self, who, which, dtype="fp32", images=None):
            run = super().run(who, which, dtype, images)
            names[run] = who
            return run

    def measured(what, value):
        def take(run):
            if (what, names[run]) in lacking:
                raise torch.OutOfMemoryError
            return value(names[run])

        return take

    monkeypatch.setattr(ops, "deform_dwconv2d", lambda *a, backend, **k: right(*a, **k))
    monkeypatch.setattr(cuda, "Operator", Named)
    monkeypatch.setattr(cuda, "peak", measured("peak", lambda who: 1000))
    monkeypatch.setattr(cuda, "turn", measured("eager", lambda who: 8.0 if who == BASE else 2.0))
    monkeypatch.setattr(cuda, "graph_turn", measured("graph", lambda who: 2.0 if who == BASE else 0.5))
    return lacking


def test_cases():
    found = cases()
    assert len(found) == len(set(found)) == 4 * 4 * 3 * 2
    assert {c.side for c in found} == {20, 40, 80, 160}
    assert {c.channels for c in found} == {32, 64, 128, 256}
    assert {c.batch for c in found} == {1, 8, 32}
    assert {c.taps for c in found} == {25, 49}


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


def test_rows(full):
    rows = list(measure(TINY, 2, RATES))
    assert [(r["pass"], r["dtype"]) for r in rows] == [(which, dtype) for which in PASSES for dtype in DTYPES]
    for row in rows:
        assert row["milliseconds"] == {BASE: {"eager": 8.0, "graph": 2.0}, OURS: {"eager": 2.0, "graph": 0.5}}
        assert row["ratio"] == {"eager": 4.0, "graph": 4.0}
        moved, operations = least_work(TINY, row["dtype"], row["pass"])
        assert row["memory_share"] == pytest.approx(1000 * moved / 1e9 / 0.5)
        assert row["compute_share"] == pytest.approx(1000 * operations / 1e9 / 0.5)
        assert row["peak_bytes"] == {BASE: 1000, OURS: 1000}
        assert row["lacks_memory"] == []
    json.dumps(rows)


@pytest.mark.parametrize(
    ("lacks", "named", "ratio"),
    [
        (("peak", BASE), ["torchvision fp32"], {}),
        (("eager", BASE), ["torchvision fp32 eager"], {"graph": 4.0}),
        (("graph", BASE), ["torchvision fp32 graph"], {"eager": 4.0}),
        (("graph", OURS), ["triton fp32 graph", "triton bf16 graph"], {"eager": 4.0}),
        ("inputs", ["torchvision fp32", "triton fp32", "triton bf16"], {}),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(full, lacks, named, ratio):
    """The others are measured all the same, and the row is shown."""
    full.add(lacks)
    rows = list(measure(TINY, 1, RATES))
    assert len(rows) == 4
    for row in rows:
        assert (row["lacks_memory"], row["ratio"]) == (named, ratio)
        if lacks != "inputs":
            assert row["milliseconds"][OURS]["eager"] == 2.0
        assert (row["memory_share"] is None) == ("graph" not in row["milliseconds"][OURS])
    text = cuda.cuda_text({"rows": rows, "rates": RATES, "rounds": 1, "gpu_memory_gib": 80.0})
    assert f"Does not fit: 2 x 3 x 6x6 5x5, forward + backward, bf16: {', '.join(named)}." in text


def test_ranges_of_the_ratios(full):
    rows = list(measure(TINY, 1, RATES))
    rows[0]["ratio"]["eager"] = 3.0
    more = [{**rows[0], "ratio": {"eager": 7.0}}, {**rows[0], "ratio": {}}]
    lines = cuda.ratio_ranges([*rows, *more])
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


def test_command(full, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "rates", lambda rounds: RATES)
    card = SimpleNamespace(name="Card", total_memory=80 * 2**30, multi_processor_count=132)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: card)
    monkeypatch.setattr(cuda, "cases", lambda: [TINY])
    file = tmp_path / "cuda.json"
    assert main(["bench", "ops", "--device", "cuda", "--rounds", "1", "--json", str(file)]) == 0
    out, err = capsys.readouterr()
    assert sum(line.startswith("2 x 3 x 6x6 5x5") for line in out.splitlines()) == 4
    assert "Card; " in out
    assert "Does not fit" not in out
    assert err.count("\n") == 4
    result = json.loads(file.read_text())
    assert len(result["rows"]) == 4
    assert result["device"] == "Card"
    assert {"triton", "cuda", "torchvision"} <= set(result["versions"])


def test_no_rounds():
    with pytest.raises(ValueError, match="rounds: expected at least 1, got 0"):
        cuda.bench_cuda(0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu(monkeypatch):
    monkeypatch.setattr(cuda, "cases", lambda: [Case(32, 20, 1, "5x5")])
    result = cuda.bench_cuda(1)
    assert all(row["ratio"]["graph"] > 0 and not row["lacks_memory"] for row in result["rows"])
