"""A measured run against looks that are made one by one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled import data_set, four_toys, lively_residual

from dlka.analysis.bootstrap import MEASURES, resamples
from dlka.errors import DlkaError
from dlka.experiments.measure import another, measure, visits
from dlka.experiments.stored import load
from dlka.images import read_image
from dlka.inference.interventions import Intervention
from dlka.inference.predictor import Predictor, load_predictor
from dlka.models.build import build_model
from dlka.models.catalog import find
from dlka.models.weights import Card, load_card, save_weights
from dlka.train.dataset import read_val
from dlka.train.val import LOOK, Validation, average_precision, run_val

SIZE = 160
CAUSES = ["offsets x0", "offsets x0.5", "offsets x1.5", "offsets shuffled", "offsets of another picture", "gate off"]


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    """A model whose blocks and offsets matter more than in the one that it is made of."""
    return lively_residual(tmp_path_factory.mktemp("weights"), gates=5.0, offsets=4.0)


@pytest.fixture(scope="module")
def toys(tmp_path_factory, lively):
    """Four pictures of two shapes, labelled with what the model itself finds."""
    return four_toys(lively, tmp_path_factory.mktemp("data") / "toys", SIZE)


@pytest.fixture(scope="module")
def analyses(toys, lively):
    """A measured run, and what the predictor was asked for it: (picture, intervention, captures)."""
    asked, predict = [], Predictor.predict_all

    def watched(self, images, **options):
        results = predict(self, images, **options)
        asked.extend((image, options["intervention"], one.captures) for image, one in zip(images, results))
        return results

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Predictor, "predict_all", watched)
        run = measure(lively, toys, "toys/residual-s0", size=SIZE, device="cpu")
    return run, asked


@pytest.fixture(scope="module")
def run(analyses):
    return analyses[0]


@pytest.mark.slow
def test_as_learned_it_is_what_val_gives(run, toys, lively):
    report = run_val(lively, toys, SIZE, device="cpu")
    assert run.metrics == report["metrics"]
    assert np.mean([row["AP"] for row in run.classes.values()]) == pytest.approx(run.metrics["AP"])
    assert sum(row["objects"] for row in run.classes.values()) == run.objects
    assert (run.pictures, run.objects) == (report["pictures"], report["objects"])
    assert run.settings | report["settings"] == run.settings
    assert run.card == report["weights"]
    for row, expected in zip(run.stage_offsets, report["stage_offsets"], strict=True):
        assert {key: row[key] for key in expected} == expected
        assert row["pictures"] == 2
        assert 0 < row["content"] < 1
    assert run.metrics["AP"] == pytest.approx(1)
    assert run.found.all()
    part = read_val(toys)
    areas = [
        box[2] * box[3] * math.prod(read_image(picture).shape[:2])
        for picture, rows in zip(part.pictures, part.rows)
        for box in rows.boxes
    ]
    np.testing.assert_allclose(run.object_side, np.sqrt(areas), rtol=1e-4)  # by picture, whatever the order of looks


@pytest.mark.slow
def test_replicates_are_of_the_same_pictures_for_all(run):
    once = (resamples(4) == 1).all(axis=1)
    assert once.sum() > 50
    for metrics, replicates in (
        (run.metrics, run.replicates),
        *((run.interventions[name], run.intervention_replicates[name]) for name in CAUSES),
    ):
        expected = np.array([np.nan if metrics[m] is None else metrics[m] for m in MEASURES], np.float32)
        np.testing.assert_allclose(replicates[once], np.tile(expected, (once.sum(), 1)), rtol=1e-6)


@pytest.mark.slow
def test_every_picture_gets_every_intervention_once(analyses, toys):
    run, asked = analyses
    assert list(run.interventions) == CAUSES
    pictures = [read_image(toys / "images/val" / f"{stem}.png") for stem in "abcd"]
    learned = Intervention()
    own = {}
    for image, intervention, captures in asked:
        if intervention == learned:
            own[next(i for i, p in enumerate(pictures) if np.array_equal(p, image))] = captures
    assert len(asked) == 4 * 7
    for number, picture in enumerate(pictures):
        mine = [i for image, i, _ in asked if np.array_equal(picture, image)]
        assert [i.kind for i in mine].count("gate off") == 1
        assert [i.seed for i in mine if i.kind == "shuffled"] == [number]
        assert sorted(i.strength for i in mine if i.kind == "learned") == [0, 0.5, 1, 1.5]
        (given,) = [i for i in mine if i.kind == "given"]
        for capture in own[(number + 2) % 4]:
            np.testing.assert_array_equal(given.fields[capture.stage.name], capture.offset)


@pytest.mark.slow
def test_an_intervention_is_measured_as_if_alone(run, toys, lively):
    predictor = load_predictor(lively, "cpu")[0]
    part = Validation(predictor, lively, toys, SIZE)
    truth, found = [], []
    for number, picture in enumerate(part.pictures):
        prediction = predictor.predict(
            read_image(picture),
            size=SIZE,
            classes=sorted(part.category),
            intervention=Intervention("gate off"),
            **LOOK,
        )
        truth += part.truth(number, prediction)
        found += part.found(number, prediction)
    assert run.interventions["gate off"] == average_precision(4, sorted(part.names), truth, found)
    assert run.interventions["gate off"]["AP"] < run.metrics["AP"]
    assert len({metrics["AP"] for metrics in run.interventions.values()}) >= 4


@pytest.mark.slow
def test_a_run_is_stored_without_paths(run, tmp_path, toys, lively):
    path = run.save(tmp_path)
    assert path.name == "toys-residual-s0.json"
    text = path.read_text()
    assert str(Path(lively).parent) not in text
    assert str(toys.parent) not in text
    assert load(path).interventions == json.loads(text)["interventions"] == run.interventions


@pytest.mark.slow
def test_a_stock_model_has_nothing_to_intervene_in(toys, monkeypatch):
    analyses, predict = [], Predictor.predict_all
    monkeypatch.setattr(Predictor, "predict_all", lambda self, _, **k: analyses.append(k) or predict(self, _, **k))
    run = measure("control", toys, "toys/start-s7", size=SIZE, device="cpu")
    assert (run.run, run.model, run.placement, run.seed, run.pictures) == ("toys/start-s7", "start", "control", 7, 4)
    assert (run.interventions, run.intervention_replicates, run.stage_offsets) == ({}, {}, [])
    assert len(analyses) == 4
    assert run.parameters == 3_157_200
    assert not run.found.all()


@pytest.mark.slow
def test_a_rigid_twin_has_gates_alone(toys, tmp_path):
    names = load_card(find("residual")).names
    torch.manual_seed(0)
    card = Card("residual", "n", "none", names, 160, "none", "{}", "AGPL-3.0", 4, {})
    save_weights(tmp_path / "rigid.safetensors", build_model("residual", "n", len(names), "none").state_dict(), card)
    what = (tmp_path / "rigid.safetensors", toys, "toys/residual-rigid-s4")
    run = measure(*what, size=SIZE, device="cpu")
    assert run.run == "toys/residual-rigid-s4"
    assert list(run.interventions) == ["gate off"]
    assert run.stage_offsets == []
    plain = measure(
        tmp_path / "rigid.safetensors", toys, "toys/residual-rigid-s4", size=SIZE, device="cpu", interventions=False
    )
    assert plain.interventions == {}
    assert plain.metrics == run.metrics


def test_refusals(toys, tmp_path):
    blank = np.zeros((40, 40, 3), np.uint8)
    alone = data_set(tmp_path / "alone", ["person"], {"a": (blank, [])})
    with pytest.raises(DlkaError, match="expected two validation pictures or more, got 1"):
        measure("control", alone, "alone/control-s0", size=SIZE)


@pytest.mark.parametrize("count", [2, 3, 4, 7, 10, 51, 420])
def test_pictures_that_need_each_other_are_visited_together(count):
    """With room for eight, hardly a picture is looked at twice for its offsets."""
    order = visits(count)
    assert sorted(order) == list(range(count))
    assert sorted(another(number, count) for number in order) == list(range(count))
    assert all(another(number, count) != number for number in order)
    kept, looked = [], 0
    for number in order:
        for wanted in (number, another(number, count)):
            looked += wanted not in kept
            kept = [*(k for k in kept if k != wanted), wanted][-8:]
    assert looked <= count + 1
