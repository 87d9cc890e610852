"""The page's functions without gradio."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dlka.images import read_image
from dlka.inference.predictor import Predictor
from dlka.ui import files, pictures, session, tables
from dlka.ui.examples import examples
from dlka.ui.session import Refused, Settings


@pytest.fixture(scope="module")
def bus():
    return read_image(examples()["Bus stop"])


@pytest.fixture(scope="module")
def look(bus):
    return session.look(bus, Settings(size=320))


def test_the_same_question_runs_no_model_again(bus, look, monkeypatch):
    monkeypatch.setattr(session, "load_predictor", None)
    assert session.look(bus.copy(), Settings(size=320)) is look
    assert session.recall(look.key) is look


def test_only_some_looks_are_kept(look, monkeypatch):
    monkeypatch.setattr(session, "KEPT", 1)
    session.look(np.zeros((40, 40, 3), np.uint8), Settings(size=64))
    with pytest.raises(Refused, match="no longer in memory"):
        session.recall(look.key)


def test_redrawing_runs_no_model(look, monkeypatch):
    monkeypatch.setattr(look.dlka.__class__, "__call__", None, raising=False)
    monkeypatch.setattr(session, "load_predictor", None)
    for kind in pictures.OVERLAYS:
        assert pictures.offset_overlay(look, look.stage_labels[1], kind, 3, 0.5, "This stage").to_array().any()
    assert pictures.gate_overlay(look, "P3", "mean", 0, 0.5).to_array().any()


def test_both_halves_of_the_slider_have_one_size(look):
    left, right = pictures.both_boxes(look)
    assert left.shape == right.shape


def test_settings_decide(bus):
    everything = session.look(bus, Settings(size=320, confidence=0.05))
    nothing = session.look(bus, Settings(size=320, confidence=0.95))
    persons = session.look(bus, Settings(size=320, confidence=0.05, classes=("person",)))
    assert len(everything.baseline.detections) > len(persons.baseline.detections) > 0
    assert set(persons.baseline.detections.classes) == {0}
    assert len(nothing.baseline.detections) == 0
    assert "Neither model found anything" in tables.headline(nothing)
    assert pictures.crops(nothing) is None
    assert pictures.default_point(nothing) == (404.5, 539.5)


def test_deformation_off_has_no_offsets_and_says_so(bus):
    off = session.look(bus, Settings(size=320, strength=0.0))
    assert all(not c.offset.any() for c in off.dlka.captures)
    assert {s.health for s in off.stats} == {"dead"}
    assert "x 0" in pictures.strength_note(off)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(dlka="nonsense"), "D-LKA model: expected one of head, neck, residual.*; got 'nonsense'"),
        (Settings(baseline="neck"), "Baseline: expected one of control"),
        (Settings(classes=("dragon",)), "'dragon' is not one of the 80 classes"),
        (Settings(size=33), "multiple of 32"),
        (Settings(strength=9.0), "Deformation: expected 0 to 2"),
    ],
)
def test_refusals(bus, settings, says):
    with pytest.raises(ValueError, match=says):
        session.look(bus, settings)


def test_shared_scale_is_the_same_for_all_stages(look):
    scales = {
        pictures._scale_cells(look, look.capture(label), "All stages", None, False) for label in look.stage_labels
    }
    assert len(scales) == 1


def test_downloads(look):
    paths = {path.rsplit("/", 1)[1]: path for path in files.downloads(look)}
    with open(paths["report.json"]) as file:
        report = json.load(file)
    assert len(report["stages"]) == 6
    arrays = np.load(paths["offsets-and-gates.npz"])
    first = look.dlka.captures[0]
    np.testing.assert_array_equal(arrays[f"offset/{first.stage.name}"], first.offset)
    with open(paths["stages.csv"], encoding="utf-8-sig") as file:
        assert file.readline().strip() == ",".join(tables.STAGE_COLUMNS)


def test_old_files_make_room(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "KEPT", 3)
    made = [files.write(b"x", "a.txt") for _ in range(5)]
    alive = [path for path in made if files.Path(path).exists()]
    assert alive == made[-3:]


@pytest.mark.parametrize("size", [(320, 256), (32, 640)])
@pytest.mark.parametrize("model", ["residual", "control"])
def test_cost_from_one_tile_is_the_counted_cost(model, size):
    assert tables.multiply_adds(model, size) == session.load_predictor(model)[0].multiply_adds(size)


def test_costs_stand_beside_each_other(look):
    rows = {row[0]: row[1:] for row in tables.cost_rows(look)}
    assert rows["parameters"][1] == "3,157,200"
    assert float(rows["G multiply-adds, total"][0]) > float(rows["G multiply-adds, total"][1])


def test_warming_up_sees_the_first_looks_own_picture(monkeypatch):
    """Convolutions are prepared anew for every shape: another one would leave the first look with the waiting."""
    from dlka.ui import app

    shapes = []
    predict = Predictor.predict
    monkeypatch.setattr(
        Predictor,
        "predict",
        lambda self, image, **how: (shapes.append((image.shape, how["size"])), predict(self, image, **how))[1],
    )
    monkeypatch.setattr(session, "_kept", type(session._kept)())
    app.first_look()
    assert len(shapes) == 4  # both models, twice
    assert len(set(shapes)) == 1
