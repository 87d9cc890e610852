"""The page's functions without gradio."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from dlka.analysis import analysis as analysis_module
from dlka.analysis import cache, report
from dlka.analysis.analysis import Settings, Source, analyse, analyse_pixels, get_analysis, load_predictor
from dlka.analysis.cache import Kept
from dlka.analysis.examples import examples
from dlka.analysis.figures import pictures
from dlka.analysis.figures.views import Difference
from dlka.analysis.recipes import recipe_of
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.inference.predictor import Predictor
from dlka.ui import tab_numbers


@pytest.fixture(scope="module")
def bus():
    return read_image(examples()["Bus stop"])


@pytest.fixture(scope="module")
def analysis(bus):
    return analyse_pixels(bus, Settings(size=320))


def forget(monkeypatch):
    """As if everything had made room."""
    store = Kept(2**30)
    for module in (cache, analysis_module):
        monkeypatch.setattr(module, "STORE", store)
    monkeypatch.setattr(analysis_module, "PICTURES", Kept(2**30))


def test_the_same_question_runs_no_model_again(bus, analysis, monkeypatch):
    monkeypatch.setattr(analysis_module, "load_predictor", None)
    assert analyse_pixels(bus.copy(), Settings(size=320)) is analysis
    assert get_analysis(analysis.key) is analysis


def test_the_name_of_a_file_is_nobody_elses(bus):
    mine, yours = (
        analyse_pixels(bus, Settings(size=320), Source(name, "0" * 64)) for name in ("my-house.png", "yours.png")
    )
    for seen, name in ((mine, "my-house.png"), (yours, "yours.png")):
        again = get_analysis(seen.key)
        assert again.source.name == name
        recipe = recipe_of(again, Difference(), Difference().drawn(again))
        assert recipe["picture"]["file"] == name


def test_what_has_made_room_is_made_again_the_same(monkeypatch):
    file = examples()["Two people"]
    before = analyse(file, Settings(size=320, strength=1.25, classes=("person",)))
    forget(monkeypatch)
    again = get_analysis(before.key)
    assert again is not before
    assert (again.key, again.settings, again.source) == (before.key, before.settings, before.source)
    np.testing.assert_array_equal(again.image, before.image)
    for side in ("dlka", "baseline"):
        was, now = getattr(before, side), getattr(again, side)
        for part in ("boxes", "scores", "classes", "levels", "cells"):
            np.testing.assert_array_equal(getattr(now.detections, part), getattr(was.detections, part))
        for left, right in zip(was.captures, now.captures, strict=True):
            np.testing.assert_array_equal(right.offset, left.offset)
        for left, right in zip(was.gates, now.gates, strict=True):
            np.testing.assert_array_equal(right.values, left.values)


def test_a_picture_in_the_place_of_another_is_no_look_again(tmp_path, monkeypatch):
    file = tmp_path / "a.png"
    cv2.imwrite(str(file), np.zeros((40, 40, 3), np.uint8))
    seen = analyse(file, Settings(size=64))
    forget(monkeypatch)
    cv2.imwrite(str(file), np.full((40, 40, 3), 9, np.uint8))
    with pytest.raises(DlkaError, match="has changed since"):
        get_analysis(seen.key)


def test_a_picture_whose_file_has_made_room_is_asked_for_again(tmp_path, monkeypatch):
    file = tmp_path / "a.png"
    cv2.imwrite(str(file), np.zeros((40, 40, 3), np.uint8))
    seen = analyse(file, Settings(size=64))
    forget(monkeypatch)
    file.unlink()
    with pytest.raises(DlkaError, match="drop the picture once more"):
        get_analysis(seen.key)
    with pytest.raises(DlkaError, match="drop the picture once more"):
        analyse(file, Settings(size=64))


def test_a_key_of_another_process_is_told():
    with pytest.raises(DlkaError, match="load it again"):
        get_analysis("gone")


def test_the_name_of_a_file_stays_with_its_sender(tmp_path):
    """Two visitors with the same picture: neither sees what the other calls it."""
    for name in ("mine.png", "yours.png"):
        cv2.imwrite(str(tmp_path / name), np.full((40, 40, 3), 77, np.uint8))
    mine, yours = (analyse(tmp_path / name, Settings(size=64)) for name in ("mine.png", "yours.png"))
    assert [get_analysis(seen.key).source.name for seen in (mine, yours)] == ["mine.png", "yours.png"]


def test_redrawing_runs_no_model(analysis, monkeypatch):
    monkeypatch.setattr(analysis.dlka.__class__, "__call__", None, raising=False)
    monkeypatch.setattr(analysis_module, "load_predictor", None)
    for kind in pictures.OVERLAYS:
        assert pictures.offset_overlay(analysis, analysis.stage_labels[1], kind, 3, 0.5, "This stage").to_array().any()
    assert pictures.gate_overlay(analysis, "P3", "mean", 0, 0.5).to_array().any()


def test_both_halves_of_the_slider_have_one_size(analysis):
    left, right = pictures.both_boxes(analysis)
    assert left.shape == right.shape


def test_settings_decide(bus):
    everything = analyse_pixels(bus, Settings(size=320, confidence=0.05))
    nothing = analyse_pixels(bus, Settings(size=320, confidence=0.95))
    persons = analyse_pixels(bus, Settings(size=320, confidence=0.05, classes=("person",)))
    assert len(everything.baseline.detections) > len(persons.baseline.detections) > 0
    assert set(persons.baseline.detections.classes) == {0}
    assert len(nothing.baseline.detections) == 0
    assert "Neither model found what it knows" in report.headline(nothing)
    assert pictures.crops_of(nothing) == []
    assert pictures.default_point(nothing) == (404.5, 539.5)


def test_deformation_off_has_no_offsets_and_says_so(bus):
    off = analyse_pixels(bus, Settings(size=320, strength=0.0))
    assert all(not c.offset.any() for c in off.dlka.captures)
    assert {s.maximum for s in off.stats} == {0}
    assert "x 0" in pictures.strength_note(off)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(dlka="nonsense"), "D-LKA model: expected one of head, neck, residual.*; got 'nonsense'"),
        (Settings(baseline="neck"), "Baseline: expected one of control"),
        (Settings(classes=("dragon",)), "'dragon' is not one of the 80 classes"),
        (Settings(size=33), "multiple of 32"),
        (Settings(strength=9.0), "Deformation strength: expected 0 to 2"),
    ],
)
def test_refusals(bus, settings, says):
    with pytest.raises(ValueError, match=says):
        analyse_pixels(bus, settings)


def test_shared_scale_is_the_same_for_all_stages(analysis):
    scales = {
        pictures.scale_cells(analysis, analysis.capture(label), "All stages", None, False)
        for label in analysis.stage_labels
    }
    assert len(scales) == 1


@pytest.mark.slow
def test_downloads(analysis):
    paths = {path.rsplit("/", 1)[1]: path for path in tab_numbers.downloads(analysis)}
    with open(paths["report.json"]) as file:
        told = json.load(file)
    assert len(told["stages"]) == 6
    arrays = np.load(paths["offsets-and-gates.npz"])
    first = analysis.dlka.captures[0]
    np.testing.assert_array_equal(arrays[f"offset/{first.stage.name}"], first.offset)
    with open(paths["stages.csv"], encoding="utf-8-sig") as file:
        assert file.readline().strip() == ",".join(report.STAGE_COLUMNS)


def test_whether_offsets_are_used_is_said_from_the_card(analysis):
    uses = {"verdict": "small", "why": "AP changes by <1>.", "data": "d val", "pictures": 9, "size": 64}
    card, other = analysis.cards
    measured = replace(analysis, cards=(replace(card, uses=uses), other))
    shown = report.badge(measured)
    assert "Offsets: small</span>" in shown
    assert (
        shown.count("AP changes by &lt;1&gt;. Measured on 9 pictures of d val at 64 px.") == 2
    )  # shown, and as a title
    assert report.report(measured)["offsets"]["use"] == "small"
    unknown = replace(analysis, cards=(replace(card, uses=None), other))
    assert "Offsets: not measured</span>" in report.badge(unknown)
    assert f"python -m dlka uses {analysis.settings.dlka} --data DIR --write" in report.badge(unknown)
    assert report.report(unknown)["offsets"]["use"] == "not measured"


def test_a_model_without_stages_has_no_word_on_offsets(analysis):
    assert "no deform stages" in report.badge(replace(analysis, dlka=analysis.baseline))


@pytest.mark.parametrize("size", [(320, 256), (32, 640)])
@pytest.mark.parametrize("model", ["residual", "control"])
def test_cost_from_one_tile_is_the_counted_cost(model, size):
    assert report.multiply_adds(model, size) == load_predictor(model)[0].multiply_adds(size)


def test_costs_stand_beside_each_other(analysis):
    rows = {row[0]: row[1:] for row in report.cost_rows(analysis)}
    assert rows["parameters"][1] == "3,157,200"
    assert float(rows["G multiply-adds, total"][0]) > float(rows["G multiply-adds, total"][1])


def test_warming_up_sees_the_first_looks_own_picture(monkeypatch):
    """Convolutions are prepared anew for every shape: another one would leave the first look with the waiting."""
    from dlka.ui import app

    shapes = []
    predict = Predictor.predict_all

    def seen(self, images, **how):
        sizes = how["size"] if isinstance(how["size"], list) else [how["size"]] * len(images)
        shapes.extend((image.shape, size) for image, size in zip(images, sizes))
        return predict(self, images, **how)

    monkeypatch.setattr(Predictor, "predict_all", seen)
    monkeypatch.setattr(analysis_module, "STORE", Kept(2**30))
    app.first_look()
    assert len(shapes) == 4  # both models, twice
    assert len(set(shapes)) == 1
