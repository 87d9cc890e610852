"""The check of a card: every step is a row, whatever becomes of it; on a CPU all of it runs."""

from __future__ import annotations

import json

import pytest
import torch

from dlka.bench import gpu
from dlka.bench.gpu import STEPS, bench_gpu, finding, gpu_text, operator, take
from dlka.cli import main
from dlka.errors import DlkaError


@pytest.mark.slow
def test_on_a_cpu_every_step_runs(tmp_path, capsys):
    file = tmp_path / "gpu.json"
    assert main(["bench", "gpu", "--device", "cpu", "--json", str(file)]) == 0
    out, result = capsys.readouterr().out, json.loads(file.read_text())
    assert [(step["step"], step["error"]) for step in result["steps"]] == [(step, None) for step in STEPS]
    assert all(each["value"] > 0 for step in result["steps"] for each in step["findings"])
    assert {"dlka", "torch", "triton", "cuda"} <= set(result["versions"])
    assert out.startswith("| step | what | result | goal | |\n|---|---|---|---|---|\n| operator | ")
    for words in ("float16", "numba, forward + backward", "neck, offsets separable", "a comparison", "one epoch of"):
        assert words in out


def test_the_operator_is_right_in_three_dtypes():
    found = list(operator("cpu"))
    assert [each["what"].split()[1] for each in found] == ["float32:", "float16:", "bfloat16:"]
    assert all(0 < each["value"] <= limit and each["met"] for each, limit in zip(found, gpu.TOLERANCE.values()))


def test_an_operator_that_is_wrong_misses_its_goal(monkeypatch):
    right = gpu.Operator.run

    def wrong(self, backend, which, dtype="fp32", images=None):
        run = right(self, backend, which, dtype, images)
        return run if backend == "reference" else lambda: [each * 1.1 for each in run()]

    monkeypatch.setattr(gpu.Operator, "run", wrong)
    assert [each["met"] for each in operator("cpu")] == [False] * 3


@pytest.mark.slow
def test_a_step_that_fails_or_takes_too_long_costs_its_row(monkeypatch):
    taken = take("operator", "abacus")
    assert taken["findings"] == []
    assert "abacus" in taken["error"]
    monkeypatch.setitem(STEPS, "train", (STEPS["train"][0], 0.04))
    assert take("train", "cpu")["error"] == "it took longer than 0.2 s"


def test_goals_that_are_missed_are_told(monkeypatch):
    steps = {"ops": [finding("forward", 3.0, "x", least=4)], "page": [finding("a comparison", 0.05, "s", most=0.1)]}
    monkeypatch.setattr(gpu, "STEPS", {**steps, "train": None})
    told = {"ops": None, "page": None, "train": "no | memory"}

    def made(step, device):
        return {"step": step, "seconds": 1.0, "findings": steps.get(step, []), "error": told[step]}

    monkeypatch.setattr(gpu, "take", made)
    result = bench_gpu("cpu")
    assert result["failed"] == 2
    assert gpu_text(result).splitlines()[2:8] == [
        "| ops | forward | 3 x | at least 4 | **missed** |",
        "| ops | the whole step | 1 s | | |",
        "| page | a comparison | 0.05 s | at most 0.1 | met |",
        "| page | the whole step | 1 s | | |",
        "| train | no / memory | | | **failed** |",
        "| train | the whole step | 1 s | | |",
    ]
    assert main(["bench", "gpu", "--device", "cpu"]) == 1


def test_all_steps_together_end_within_ten_minutes():
    assert sum(limit for _, limit in STEPS.values()) < 600


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_card_it_says_so():
    with pytest.raises(DlkaError, match="device: expected cpu, which torch finds here; got 'cuda'"):
        bench_gpu("cuda")


def test_on_a_card_the_operators_of_the_neck_count_together(monkeypatch):
    """At batch 1 torchvision takes 30 and 50 ms for our 1 and 3: 20 times as long in all."""
    asked = []

    def rows(rounds, cases):
        asked.extend(cases)
        return {"rows": [row for case in cases for row in made(case)]}

    def made(case):
        small = case.channels == 32
        for which, dtype in [(which, dtype) for which in ("forward", "forward_backward") for dtype in ("fp32", "bf16")]:
            base, ours = (30.0, 1.0) if small else (50.0, 3.0)
            both = {
                name: dict.fromkeys(("eager", "graph"), spent)
                for name, spent in (("torchvision", base), ("triton", ours))
            }
            ratio = dict.fromkeys(("eager", "graph"), base / ours)
            yield {"batch": case.batch, "pass": which, "dtype": dtype, "milliseconds": both, "ratio": ratio}

    monkeypatch.setattr("dlka.bench.cuda.bench_cuda", rows)
    monkeypatch.setattr(gpu, "MAPS", {"P3": (32, 8), "P4": (64, 4)})
    found = {each["what"]: each for each in gpu.ops("cuda")}
    assert len(asked) == 2 * 2 * 2
    assert len(found) == 2 * 3 * 2
    assert found["batch 1, forward, fp32, eager"] == finding("batch 1, forward, fp32, eager", 20.0, "x", least=20.0)
    assert found["batch 32, forward, fp32, eager"]["goal"] == "at least 4"
    assert found["batch 1, forward + backward, fp32, graph"]["met"] is None
