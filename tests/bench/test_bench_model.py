"""The benchmark of whole models: what runs, in which order, and that its parts and laws add up. No time is judged."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from deforming import hooks
from torch import nn

from dlka.bench import model as module
from dlka.bench.model import PARTS, Entrant, Subject, bench_model, law, laws, lively, pictures, subjects
from dlka.inference.predictor import Predictor
from dlka.inference.prepared import as_input
from dlka.inference.probe import probe
from dlka.layers import DeformConv, RigidConv
from dlka.models.build import build_model
from dlka.models.cost import multiply_adds, parameters
from dlka.ops.backends import BACKENDS

CPU = torch.device("cpu")
TINY = {"models": ["neck"], "offsets": ["separable", "none"], "sizes": [32, 64], "batches": [1, 2], "rounds": 1}


@pytest.fixture(scope="module")
def result():
    return bench_model(**TINY, threads=1)


@pytest.mark.slow
def test_rows(result):
    kinds = [("control", "none", "-"), ("neck", "separable", "numba"), ("neck", "none", "-")]
    cases = [(32, 1), (64, 1), (32, 2)]
    assert [(r["placement"], r["offsets"], r["backend"], r["size"], r["batch"]) for r in result["rows"]] == [
        (*kind, *case) for case in cases for kind in kinds
    ]
    for index, row in enumerate(result["rows"]):
        model = build_model(row["placement"], offsets=row["offsets"])
        stock = result["rows"][index // 3 * 3]
        assert row["parameters"] == parameters(model)
        assert row["multiply_adds"] == multiply_adds(model, row["size"])["total"]
        assert row["ratio"] == pytest.approx(row["milliseconds"] / stock["milliseconds"])
        assert row["milliseconds"] > 0
        assert list(row["parts"]) == list(PARTS)
        assert sum(row["parts"].values()) == pytest.approx(row["milliseconds"])
        deforms = row["offsets"] == "separable"
        assert all((row["parts"][part] > 0) == deforms for part in ("offset convolutions", "deformable step"))
        assert row["parts"]["backbone"] > 0
        assert row["parts"]["rest"] > 0
    assert result["machine"]["threads"] == 1
    assert result["device"] == "cpu"
    json.dumps(result)


@pytest.mark.slow
def test_the_law_of_every_model_over_all_inputs(result):
    assert [(found["placement"], found["offsets"]) for found in result["laws"]] == [
        ("control", "none"),
        ("neck", "separable"),
        ("neck", "none"),
    ]
    first = [r for r in result["rows"] if r["placement"] == "control"]
    wanted = law([32**2 / 1e6, 64**2 / 1e6, 2 * 32**2 / 1e6], [r["milliseconds"] for r in first])
    assert {k: result["laws"][0][k] for k in wanted} == pytest.approx(wanted)


def test_a_line_is_found_again():
    x = [0.1, 0.4, 0.8, 1.6]
    assert law(x, [5 + 80 * v for v in x]) == pytest.approx({"overhead": 5, "slope": 80, "deviation": 0}, abs=1e-9)


def test_small_inputs_count_as_much_as_large_ones():
    """The line that is off by 10 % everywhere, not the one that is right for the large inputs."""
    found = law([1, 1, 100, 100], [9, 11, 900, 1100])
    assert found["overhead"] + found["slope"] == pytest.approx(2 * (1 / 9 + 1 / 11) / (2 / 81 + 2 / 121), rel=1e-6)
    assert found["deviation"] < 0.12


@pytest.mark.slow
def test_two_inputs_make_no_law(result):
    assert laws([r for r in result["rows"] if r["size"] == 32]) == []


def test_models_take_turns_and_parts_are_timed_apart(monkeypatch):
    order = []

    def measure(run):
        order.append((run.func.__self__.subject.offsets, tuple(run.args[0].shape[::2])))
        return 2.0 if len(order) > 3 else 7.0

    def parts(self, x):
        order.append((f"parts of {self.subject.offsets}", tuple(x.shape[::2])))
        return dict.fromkeys(PARTS, 1.0)

    monkeypatch.setattr(module, "turn", measure)
    monkeypatch.setattr(Entrant, "parts", parts)
    monkeypatch.setattr(Entrant, "run", lambda self, x: None)
    rows = bench_model(["neck"], offsets=["dense"], sizes=[64], batches=[3], rounds=2)["rows"]
    turn = [("none", (3, 64)), ("dense", (3, 64))]
    assert order == turn * 2 + [(f"parts of {name}", shape) for name, shape in turn] * 2
    assert [row["milliseconds"] for row in rows] == [7.0, 2.0]  # the least of its own turns
    assert rows[0]["parts"] == dict.fromkeys(PARTS, 7 / 4)


@pytest.mark.slow
def test_every_model_once():
    found = subjects(["control", "neck", "neck"], "s", ["dense", "none"], ["numba", "torch"])
    assert found == [
        Subject("control", "s", "none", "-"),
        Subject("neck", "s", "dense", "numba"),
        Subject("neck", "s", "dense", "torch"),
        Subject("neck", "s", "none", "-"),
    ]
    both = subjects(["neck"], "n", ["none"], ["numba"], bfloat16=True)
    assert [(s.placement, s.bfloat16) for s in both] == [
        ("control", False),
        ("neck", False),
        ("control", True),
        ("neck", True),
    ]


@pytest.mark.slow
def test_what_is_timed_is_what_the_predictor_runs():
    entrant, predicts = Entrant(Subject("neck", "n", "dense", "torch"), CPU), Predictor(build_model("neck"), CPU)
    model = entrant.model
    assert entrant.parameters == predicts.parameters

    def form(net):
        return [(type(m).__name__, [(p.shape, p.stride(), p.dtype) for p in m.parameters()]) for m in net.modules()]

    assert form(model) == form(predicts.model)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert {m.backend for m in model.modules() if isinstance(m, DeformConv)} == {"torch"}


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_subject_runs_in_its_precision(bfloat16):
    entrant, seen = Entrant(Subject("control", "n", "none", "-", bfloat16), CPU), set()
    entrant.model.model[0].register_forward_hook(lambda m, i, o: seen.add((o.dtype, o.is_inference())))
    entrant.run(torch.zeros(1, 3, 32, 32))
    assert seen == {(torch.bfloat16 if bfloat16 else torch.float32, True)}


@pytest.mark.slow
@pytest.mark.parametrize("offsets", ["dense", "separable"])
@pytest.mark.parametrize("placement", ["neck", "residual", "head"])
def test_random_models_have_signals_and_offsets_like_trained_ones(placement, offsets):
    entrant, x = Entrant(Subject(placement, "n", offsets, "auto"), CPU), as_input(pictures(2, 320), CPU)
    entrant.deform(x)
    model = entrant.model
    with torch.no_grad(), probe(model) as captures:
        model(x[:1])
    assert len(captures.offsets) == 6
    for capture in captures.offsets:
        assert capture.offset.std() == pytest.approx(1, rel=0.4)  # of one picture of the two
        assert np.abs(np.diff(capture.offset, axis=2)).mean() > 0.2  # cells, from one cell to the next
    for gate in captures.gates:
        assert np.abs(gate.values).mean() > 1e-2
    assert hooks(model) == 0


def test_pictures_are_seeded_and_have_squares():
    batch = pictures(2, 64)
    assert batch.shape == (2, 64, 64, 3)
    assert batch.dtype == np.uint8
    assert (batch[:, :16, :16] == batch[:, :1, :1]).all()
    assert (batch[0, 0, 15] != batch[0, 0, 16]).any()
    assert np.array_equal(batch, pictures(2, 64))


def test_a_random_model_is_seeded_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    one, other = (lively("control", "n", "none").model[0].conv.weight for _ in range(2))
    assert torch.equal(torch.rand(3), wanted)
    assert torch.equal(one, other)


class Slow(nn.Module):
    """A module that takes a known time on a clock of its own."""

    def __init__(self, inner, clock, milliseconds):
        super().__init__()
        self.inner, self.clock, self.milliseconds = inner, clock, milliseconds

    def forward(self, *args, **kwargs):
        self.clock[0] += self.milliseconds
        return self.inner(*args, **kwargs)


def test_parts_are_where_the_time_went(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module, "timer", lambda: clock[0] / 1000)
    entrant = Entrant(Subject("neck", "n", "dense", "auto"), CPU)
    model = entrant.model
    for layer in [m for m in model.modules() if isinstance(m, DeformConv)]:
        layer.offset_net = Slow(layer.offset_net, clock, 10)
        forward = layer.forward
        layer.forward = lambda x, forward=forward: (clock.__setitem__(0, clock[0] + 1), forward(x))[1]
    model.model[3].conv = Slow(model.model[3].conv, clock, 100)
    model.model[21].cv1 = Slow(model.model[21].cv1, clock, 1000)
    times = entrant.parts(torch.zeros(1, 3, 32, 32))
    assert times == pytest.approx({"backbone": 100, "offset convolutions": 60, "deformable step": 6, "rest": 1000})
    monkeypatch.setattr(Entrant, "run", lambda self, x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        entrant.parts(torch.zeros(1, 3, 32, 32))
    assert hooks(model) == 0, "after an error neither"


def test_rigid_twins_deform_nothing():
    model = Entrant(Subject("neck", "n", "none", "-"), CPU).model
    assert not any(isinstance(m, DeformConv) for m in model.modules())
    assert sum(isinstance(m, RigidConv) for m in model.modules()) == 6


def test_what_is_named_twice_is_timed_once(monkeypatch):
    timed = []
    monkeypatch.setattr(module, "measure", lambda entrants, *case: timed.append(case[:2]) or [])
    bench_model(models=["control"], scales=["n", "n"], sizes=[32, 64, 32], batches=[1, 2, 1], rounds=1)
    assert timed == [(32, 1), (64, 1), (32, 2)]


@pytest.mark.slow
def test_what_does_not_fit_is_said(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 TiB")

    monkeypatch.setattr(module, "measure", full)
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match=r"^scale n, 32 px, batch 9 does not fit into memory$"):
        bench_model(models=["control"], sizes=[32], batches=[9], rounds=1, threads=before + 1)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            {"models": ["side"]},
            "models: expected some of control, neck, residual, head, neck-head, one-level, one-level-plain, got 'side'",
        ),
        ({"offsets": ["sparse"]}, "offsets: expected some of dense, separable, none, features, got 'sparse'"),
        ({"scales": ["n", "q"]}, "scales: expected some of n, s, m, l, x, got 'q'"),
        ({"sizes": [320, 100]}, "sizes: expected multiples of 32 from 32 to 4096, got 320, 100"),
        ({"sizes": []}, "sizes: expected .* got none"),
        ({"batches": [1, 0]}, "batches, rounds and threads: expected at least 1"),
        ({"batches": []}, "batches, rounds and threads: expected at least 1"),
        ({"rounds": 0}, "batches, rounds and threads: expected at least 1"),
        ({"threads": 0}, "batches, rounds and threads: expected at least 1"),
        ({"device": "abacus"}, "device: expected cpu, cuda or mps, of which torch finds cpu.*; got 'abacus'"),
        ({"backends": ["abacus"]}, "backends: expected some of .*, got 'abacus'"),
        ({"backends": ["triton"]}, "backends: triton cannot run here: it is away"),
    ],
    ids=str,
)
def test_words_that_are_none_are_refused(arguments, says, monkeypatch):
    monkeypatch.setitem(BACKENDS, "triton", BACKENDS["torch"].__class__(lambda device: "it is away", lambda: None))
    with pytest.raises(ValueError, match=says):
        bench_model(**{**TINY, **arguments})
