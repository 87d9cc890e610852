"""The report from stored runs whose differences are known."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from stored_builders import some_runs, stored

from dlka.errors import DlkaError
from dlka.experiments.deltas import LEAST, collect, difference, intervened, recall, recall_gain, size_bins
from dlka.experiments.plan import Experiment
from dlka.experiments.report import write_report
from dlka.experiments.sentences import against, findings
from dlka.experiments.tables import causes_table, differences_table, figures_table, load_latency, offsets_table

PLAN = (
    Experiment("hit-uav", ("control", "residual", "residual-separable", "residual-rigid"), (0, 1, 2), {}),
    Experiment("coco-mini", ("control", "neck"), (0,), {}, stock=True),
)


@pytest.fixture(scope="module")
def models():
    return collect(some_runs(), PLAN).models


def rows(table):
    return {line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]] for line in table.splitlines()}


def test_seeds_are_averaged_before_the_resamples_are_compared(models):
    delta = difference(models["hit-uav"]["residual"], models["hit-uav"]["control"], "AP")
    assert delta.value == pytest.approx(1.0)
    assert delta.seeds == pytest.approx((0.6, 1.0, 1.4))
    replicates = {
        word: np.mean([run.replicates[:, 0] for run in models["hit-uav"][word].runs], axis=0)
        for word in ("residual", "control")
    }
    expected = np.percentile(100.0 * (replicates["residual"] - replicates["control"]), [2.5, 97.5])
    assert (delta.low, delta.high) == pytest.approx(expected, abs=1e-3)
    # All models share the noise of the pictures, 1 AP of it, which a comparison without pairs would be drowned in.
    assert delta.high - delta.low < 0.6


def test_only_seeds_that_both_have_are_compared(models):
    control = models["hit-uav"]["control"]
    residual = replace(models["hit-uav"]["residual"], runs=models["hit-uav"]["residual"].runs[2:])
    delta = difference(residual, control, "AP")
    assert delta.seeds == pytest.approx((1.4,))
    assert delta.value == pytest.approx(1.4)
    other = replace(control, runs=control.runs[:2])
    assert difference(residual, other, "AP") is None
    assert "no seed in common" in against("residual", residual, "control", other)
    assert difference(residual, other, "AP", by_seed=False).value == pytest.approx(1.7)


def test_a_measure_without_objects_has_no_difference(models):
    assert difference(models["hit-uav"]["residual"], models["hit-uav"]["control"], "AP_L") is None


def test_interventions_are_told_from_the_learned_model(models):
    delta = intervened(models["hit-uav"]["residual"], "offsets x0")
    assert (delta.value, delta.low, delta.high) == pytest.approx((-3, -3, -3), abs=1e-3)
    assert intervened(models["hit-uav"]["control"], "offsets x0") is None
    table = rows(causes_table(models["hit-uav"]))
    assert table["model"] == ["AP, learned", "offsets x0", "offsets x0.5", "gate off"]
    assert table["residual"] == ["51.0", *(f"**{v} [{v}, {v}]**" for v in ("-3.0", "-1.0", "-20.0"))]
    assert "control" not in table


def test_tables(models):
    figures = rows(figures_table(models["hit-uav"], None))
    assert figures["residual"] == [
        *("3,000,000", "4.40", "-", "3", "51.0", "71.0", "31.0", "61.0", "-", "50.4 to 51.6")
    ]
    table = rows(differences_table(models["hit-uav"]))
    assert table["residual"][0].startswith("**+1.0 [+0.")
    assert table["residual"][2] == "+0.6, +1.0, +1.4"
    assert table["residual"][4].startswith("**+0.4 [")
    assert table["residual-separable"][0].startswith("+0.3 [-0.")
    assert table["residual-rigid"][4:] == ["-", "-"]
    assert "control" not in table
    alone = rows(differences_table({w: models["coco-mini"][w] for w in ("control", "neck")}))
    assert alone["neck"][2:] == ["-", "-", "-", "-"]
    offsets = [[c.strip() for c in line.split("|")[1:-1]] for line in offsets_table(models["hit-uav"]).splitlines()]
    assert ["residual", "P3 5x5", "0.50", "50", "0.20", "25", "yes"] in offsets
    assert ["residual-separable", "P3 7x7 d3", "0.10", "50", "0.04", "25", "no"] in offsets
    assert not any(row[0] == "residual-rigid" for row in offsets)


def test_sentences_follow_from_the_numbers(models):
    told = list(findings(models["hit-uav"]))
    assert told[0] == (
        "By AP, of 2 D-LKA models: 1 above control (residual) and 1 not distinguishable from control "
        "(residual-separable)."
    )
    text = "\n".join(told)
    assert re.search(
        r"^residual is above control by \+1\.0 \[.*\] AP and \+1\.0 \[.*\] AP_S; by seed \+0\.6", text, re.M
    )
    assert re.search(r"^residual-separable is not distinguishable from control in AP .* intervals include", text, re.M)
    assert re.search(r"^residual is above its rigid twin .* not with every seed", text, re.M)
    assert "picked on these very pictures" in text
    assert "With the offsets of residual set to zero its AP falls: -3.0" in text
    assert "more than 0.2 cell in the mean in 1 of 2 stages, and differently from picture to picture in 1 of 2" in text
    assert "is not shown to come from deforming" not in text
    below = "\n".join(findings({w: models["coco-mini"][w] for w in ("control", "neck")}))
    assert "neck is below control by -7.0" in below
    assert "one seed, so the noise of training is not known" in below


def test_a_gain_that_the_twin_shares_is_not_the_offsets(models):
    shared = dict(models["hit-uav"]) | {"residual-rigid": replace(models["hit-uav"]["residual"], word="residual-rigid")}
    assert "So what residual gains over control is not shown to come from deforming." in list(findings(shared))


def test_runs_that_were_not_measured_alike_are_refused():
    runs = [stored("hit-uav", "control", 0), replace(stored("hit-uav", "neck", 0), settings={"size": 320})]
    with pytest.raises(DlkaError, match=r"hit-uav/neck-s0 was measured with settings .*320.*measure one of them"):
        collect(runs, PLAN)
    runs[1] = replace(stored("hit-uav", "neck", 0), replicates=runs[0].replicates[:50])
    with pytest.raises(DlkaError, match="50 resamples and hit-uav/control-s0 200"):
        collect(runs, PLAN)


def test_missing_runs_are_told(models):
    runs = [run for run in some_runs() if run.run not in ("hit-uav/residual-s1", "coco-mini/neck-s0")]
    assert collect(some_runs(), PLAN).missing == []
    assert collect(runs, PLAN).missing == ["hit-uav/residual-s1", "coco-mini/neck-s0"]


def test_recall_by_size(models):
    run = models["hit-uav"]["control"].runs[0]
    number, sides = size_bins(run.object_side)
    counts = np.bincount(number)
    assert len(counts) == len(sides) == 8
    assert counts.min() >= LEAST
    assert (np.diff(sides) > 0).all()
    seen = recall(replace(models["hit-uav"]["control"], runs=(run,)), number)
    assert seen.mean[3] == pytest.approx(run.found[number == 3].mean())
    # Wilson's interval for 0 and for half of n, from its closed form.
    none = replace(run, found=np.zeros(run.objects, bool))
    edge_model = replace(models["hit-uav"]["control"], runs=(none,))
    edge = recall(edge_model, number)
    assert edge.low[0] == pytest.approx(0)
    assert edge.high[0] == pytest.approx(1.96**2 / (counts[0] + 1.96**2))
    # One more of the objects of a bin found, every one of them: a certain gain; half of them lost: minus a half.
    everything = replace(run, found=np.ones(run.objects, bool))
    sure = recall_gain(replace(edge_model, runs=(everything,)), edge_model, number)
    assert (sure.mean[0], sure.low[0], sure.high[0]) == pytest.approx((1, 1, 1))
    half = replace(run, found=np.arange(run.objects) % 2 == 0)
    lost = recall_gain(replace(edge_model, runs=(half,)), replace(edge_model, runs=(everything,)), np.zeros(600, int))
    assert lost.mean[0] == pytest.approx(-0.5)
    assert lost.high[0] - lost.mean[0] == pytest.approx(1.96 * 0.5 / 599**0.5)
    assert len(size_bins(run.object_side[:10])[1]) == 1
    assert len(size_bins(np.full(600, 7.0, np.float32))[1]) == 1
    few_sizes = np.repeat(np.float32([4, 5]), [60, 120])  # a quantile may fall between two sizes that occur
    assert np.bincount(size_bins(few_sizes)[0]).min() > 0


def bench(file, **change):
    row = {"scale": "n", "backend": "-", "bfloat16": False, "size": 640, "batch": 1}
    rows = [
        row | {"placement": p, "offsets": o, "milliseconds": 30 * r, "ratio": r} | change
        for p, o, r in (("control", "none", 1.0), ("residual", "dense", 2.0), ("residual", "none", 1.1))
    ]
    file.write_text(json.dumps({"rows": rows, "device": "cpu", "machine": {"cpu": "one", "threads": 2}}))


def test_latency(tmp_path):
    file = tmp_path / "latency.json"
    assert load_latency(file) is None
    bench(file)
    found = load_latency(file)
    assert [found.ratio(w) for w in ("control", "residual", "residual-rigid", "neck")] == [1.0, 2.0, 1.1, None]
    assert found.where == "one, threads: 2"
    for content in ("[]", "{}", "no json"):
        file.write_text(content)
        with pytest.raises(DlkaError, match="bench model --json"):
            load_latency(file)
    bench(file, size=320)
    with pytest.raises(DlkaError, match="with 640 px"):
        load_latency(file)


@pytest.mark.slow
def test_the_report_is_written_the_same_twice(tmp_path):
    for run in some_runs():
        run.save(tmp_path / "runs")
    bench(tmp_path / "latency.json")
    names = ["report.md", *(f"{c}.{s}" for c in ("forest", "latency", "recall") for s in ("png", "svg"))]
    made = [write_report(tmp_path / "runs", tmp_path / out, PLAN) for out in ("one", "two")]
    assert [file.name for file in made[0]] == names
    assert [file.read_bytes() for file in made[0]] == [file.read_bytes() for file in made[1]]
    text = made[0][0].read_text()
    assert "All 15 planned runs are stored." in text
    assert all(f"]({name}.png)" in text for name in ("forest", "latency", "recall"))
    assert "control takes 30 ms" in text
    assert "residual | 3,000,000 | 4.40 | 2.00 |" in text
    assert "### coco-mini: above the stock weights" in text
    assert "hit-uav, recipe: epochs 12." in text


def test_a_report_of_few_runs_says_what_is_missing(tmp_path):
    bench(tmp_path / "latency.json")
    for name in ("control", "residual"):
        stored("hit-uav", name, 0, causes=True).save(tmp_path / "runs")
    write_report(tmp_path / "runs", tmp_path, PLAN)
    (tmp_path / "latency.json").unlink()
    (tmp_path / "runs" / "hit-uav-residual-s0.json").unlink()
    written = write_report(tmp_path / "runs", tmp_path, PLAN)
    assert [file.name for file in written] == ["report.md"]
    assert not (tmp_path / "forest.png").exists(), "a chart of other runs would not belong to this report"
    text = written[0].read_text()
    assert "1 of 15 planned runs are stored" in text
    assert "Not stored: hit-uav/residual-s0, s1, s2; " in text.replace("hit-uav/control-s1, s2; ", "")
    assert "No times are stored" in text
    assert "No run of a D-LKA model is stored" in text
    assert "](" not in text


def test_no_runs_are_one_sentence(tmp_path):
    with pytest.raises(DlkaError, match="expected stored runs"):
        write_report(tmp_path / "none", tmp_path / "out", PLAN)
    assert not (tmp_path / "out").exists()
