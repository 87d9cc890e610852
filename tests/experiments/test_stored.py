"""Stored runs come back as they were, and damaged ones are told from whole ones."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from dlka.analysis.bootstrap import interval
from dlka.errors import DlkaError
from dlka.experiments.stored import METRICS, StoredRun, load, load_all


def a_run(seed: int = 1, count: int = 1000, objects: int = 40) -> StoredRun:
    rng = np.random.default_rng(seed)

    def replicates(middle):
        values = rng.normal(middle, 0.01, (count, 5)).clip(0, 1).astype(np.float32)
        values[:: max(1, count // 7), 4] = np.nan
        return values

    return StoredRun(
        run=f"toys/residual-separable-s{seed}",
        data="toys",
        model="residual-separable",
        placement="residual",
        offsets="separable",
        seed=seed,
        card={"file": "toys-residual-separable-s1.safetensors", "sha256": "0" * 64},
        versions={"dlka": "0"},
        machine={"cores": 2},
        settings={"size": 640},
        pictures=9,
        objects=objects,
        parameters=3_000_000,
        multiply_adds=4_000_000_000,
        metrics={**dict.fromkeys(METRICS, 0.35), "AP_L": None},
        classes={"square": {"AP": 0.35, "objects": objects}},
        stage_offsets=[{"stage": "model.16.conv0", "varies": 0.4, "content": None}],
        replicates=replicates(0.35),
        object_side=rng.uniform(4, 200, objects).astype(np.float32),
        found=rng.random(objects) < 0.5,
        interventions={"offsets x0.5": dict.fromkeys(METRICS, 0.3)},
        intervention_replicates={"offsets x0.5": replicates(0.3)},
    )


def test_what_is_saved_comes_back(tmp_path):
    run = a_run()
    path = run.save(tmp_path / "runs")
    assert path == tmp_path / "runs" / "toys-residual-separable-s1.json"
    back = load(path)
    for name in (f.name for f in fields(StoredRun) if "replicates" not in f.name):
        np.testing.assert_array_equal(getattr(back, name), getattr(run, name))
    assert (back.found.dtype, back.object_side.dtype) == (bool, np.float32)
    assert back.replicates.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(back.replicates), np.isnan(run.replicates))
    np.testing.assert_allclose(back.replicates, run.replicates, rtol=2**-17, atol=0)
    other = "offsets x0.5"
    np.testing.assert_allclose(back.intervention_replicates[other], run.intervention_replicates[other], rtol=2**-17)
    assert back.save(tmp_path / "again").read_bytes() == path.read_bytes()
    assert (tmp_path / "again" / path.name).with_suffix(".npz").read_bytes() == path.with_suffix(".npz").read_bytes()


def test_rounding_shows_in_no_report(tmp_path):
    run = a_run()
    back = load(run.save(tmp_path))
    before, after = (
        interval(r.replicates[:, 0] - r.intervention_replicates["offsets x0.5"][:, 0]) for r in (run, back)
    )
    assert np.abs(np.subtract(before, after)).max() < 1e-5  # a report shows 1e-4
    assert (tmp_path / "toys-residual-separable-s1.npz").stat().st_size < 32_000


def test_all_runs_of_a_folder(tmp_path):
    with pytest.raises(DlkaError, match="expected stored runs"):
        load_all(tmp_path)
    for seed in (2, 0, 1):
        a_run(seed, count=3).save(tmp_path)
    assert [run.seed for run in load_all(tmp_path)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": "toys/residual-s1"}, "run: expected toys/residual-separable-s1, got 'toys/residual-s1'"),
        ({"interventions": {}}, "interventions: expected metrics and replicates of the same ones"),
        ({"objects": 41}, r"object_side: expected \[41\] float32, got \[40\] float32"),
        ({"found": np.zeros(40)}, r"found: expected \[40\] bool, got \[40\] float64"),
        ({"replicates": np.zeros((1000, 4), np.float32)}, r"replicates: expected \[1000, 5\] float32"),
        ({"replicates": np.zeros((99, 5), np.float32)}, r"offsets x0.5: expected \[99, 5\] float32, got \[1000, 5\]"),
    ],
)
def test_a_run_is_checked_when_it_is_made(change, message):
    with pytest.raises(ValueError, match=message):
        replace(a_run(), **change)


def rewritten(path, change):
    text = json.loads(path.read_text())
    change(text)
    path.write_text(json.dumps(text))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.unlink(), r"s1\.json: there is no such file"),
        (lambda p: p.write_text(p.read_text()[:-40]), r"run: Invalid JSON: .*; measure it again"),
        (lambda p: p.write_bytes(b"\xff\xfe"), "run: Invalid JSON"),
        (lambda p: p.write_text("[]"), "run: Input should be an object"),
        (lambda p: rewritten(p, lambda t: t.pop("metrics")), "run.metrics: Field required"),
        (lambda p: rewritten(p, lambda t: t.update(more=1)), "run.more: Unexpected keyword argument"),
        (lambda p: rewritten(p, lambda t: t.update(objects=3)), r"run: object_side: expected \[3\] float32"),
        (lambda p: rewritten(p, lambda t: t.update(seed="one")), "run.seed: Input should be a valid integer.*'one'"),
        (lambda p: rewritten(p, lambda t: t.update(metrics=[])), "run.metrics: Input should be a valid dictionary"),
        (lambda p: rewritten(p, lambda t: t.update(metrics={"AP": 0.3})), "run.metrics: expected AP, AP50"),
        (lambda p: rewritten(p, lambda t: t["metrics"].update(AP=35.0)), "run.metrics.AP.*less than or equal to 1"),
        (lambda p: rewritten(p, lambda t: t.update(interventions={"a": 3})), "do not make a stored run"),
        (lambda p: p.with_suffix(".npz").unlink(), r"s1\.npz: there is no such file"),
        (lambda p: p.with_suffix(".npz").write_bytes(b""), "not a whole NPZ"),
        (lambda p: np.savez(p.with_suffix(".npz"), found=np.zeros(3)), "run.replicates: Field required"),
        (lambda p: np.savez(p.with_suffix(".npz"), found=np.array([{}])), "not a whole NPZ archive of plain arrays"),
    ],
)
def test_damaged_files_are_refused(tmp_path, damage, message):
    path = a_run(count=20).save(tmp_path)
    damage(path)
    with pytest.raises(DlkaError, match=message):
        load(path)


def test_a_truncated_or_changed_archive_is_refused(tmp_path):
    path = a_run(count=20).save(tmp_path)
    archive = path.with_suffix(".npz")
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DlkaError, match="not a whole NPZ"):
        load(path)
    middle = len(whole) // 3
    archive.write_bytes(whole[:middle] + bytes(b ^ 0xFF for b in whole[middle : middle + 9]) + whole[middle + 9 :])
    with pytest.raises(DlkaError, match="not a whole NPZ"):
        load(path)
