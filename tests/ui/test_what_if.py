"""The model with its offsets or gates changed, as the page's functions without gradio do it."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import numpy as np
import pytest

from dlka.analysis import four_ways
from dlka.analysis.analysis import Settings, analyse, analyse_pixels
from dlka.analysis.examples import examples, first
from dlka.analysis.pairing import box_iou, match_detections
from dlka.analysis.stages import NO_STAGES
from dlka.analysis.suited import settings_for
from dlka.analysis.what_if import (
    AS_LEARNED,
    LOST,
    RIGID,
    Change,
    asked,
    detections,
    headline,
    lost_at_zero,
    object_rows,
    offsets_of,
    title,
    what_if,
)
from dlka.images import read_image
from dlka.inference.interventions import GATE_OFF, GIVEN, LEARNED, SHUFFLED, Intervention
from dlka.inference.predictor import Predictor, load_predictor
from dlka.models import catalog
from dlka.models.build import build_model
from dlka.models.weights import Card, load_model, save_weights
from dlka.types import BOTH, ONLY_SECOND, Detections
from dlka.ui import tab_what_if

OTHER = str(examples()["Two people"])


@pytest.fixture(scope="module")
def crowd():
    """An analysis in which some boxes are lost without deformation."""
    image = read_image(examples()["Far crowd: bus stop, 4 x 3 small copies"])
    return analyse_pixels(image, Settings(dlka="neck", confidence=0.1))


@pytest.fixture(scope="module")
def nothing():
    return analyse_pixels(np.full((64, 96, 3), 90, np.uint8), Settings(size=96))


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("boxes", "scores", "classes", "cells"))


def test_what_changes_nothing_changes_no_box(crowd):
    own = crowd.settings.dlka, crowd.settings.size, crowd.settings.confidence
    seen = load_predictor(own[0])[0].predict(crowd.image, size=own[1], confidence=own[2], intervention=Intervention())
    assert same(seen.detections, detections(crowd, AS_LEARNED))
    result = what_if(crowd, AS_LEARNED)
    assert {pair.kind for pair in result.pairing.pairs} == {BOTH}
    assert all(pair.score_change == 0 for pair in result.pairing.pairs)
    assert "Nothing is changed yet" in headline(crowd, result)


def test_offsets_at_zero_are_the_rigid_model_with_the_same_weights(crowd):
    model, card = load_model(catalog.find("neck"))
    twin = build_model("neck", card.scale, len(card.names), "none")
    twin.load_state_dict({k: v for k, v in model.state_dict().items() if ".offset_net." not in k})
    rigid = Predictor(twin).predict(crowd.image, confidence=0.1).detections
    off = detections(crowd, asked(crowd, LEARNED, 0.0, [], 0, ""))
    assert len(rigid) == len(off) > 0
    np.testing.assert_allclose(rigid.boxes, off.boxes, atol=0.05)
    np.testing.assert_allclose(rigid.scores, off.scores, atol=1e-4)
    assert same(off, detections(crowd, Change(SHUFFLED, 0.0, seed=5))), "no offset, wherever it would come from"


def test_marks_are_the_boxes_that_are_lost_at_zero():
    image = read_image(examples()["Dots and curves, 4 to 64 px"])
    analysis = analyse_pixels(image, Settings(dlka="neck", confidence=0.05))
    learned, rigid = detections(analysis, AS_LEARNED), detections(analysis, RIGID)
    kept = (box_iou(learned.boxes, rigid.boxes) >= 0.5) & (learned.classes[:, None] == rigid.classes[None])
    expected = set(np.flatnonzero(~kept.any(axis=1)).tolist())
    assert 0 < len(expected) < len(learned)
    for change in (RIGID, Change(strength=2.0), Change(GATE_OFF)):
        result = what_if(analysis, change)
        assert result.lost == expected, "whatever the change is, they are about offsets at zero"
        assert sum(str(row[-1]).endswith(LOST) for row in object_rows(analysis, result)) == len(expected)
    assert f"{len(expected)} of the {len(learned)} learned boxes vanish" in headline(analysis, what_if(analysis, RIGID))


@pytest.mark.parametrize(
    ("lost", "learned", "says"),
    [
        (0, 12, "none of the 12 learned boxes vanishes."),
        (1, 12, "1 of the 12 learned boxes vanishes (*)."),
        (2, 12, "2 of the 12 learned boxes vanish (*)."),
        (0, 1, "the only learned box stays."),
        (1, 1, "the only learned box vanishes (*)."),
    ],
)
def test_how_many_are_lost_at_zero(crowd, lost, learned, says):
    seen = what_if(crowd, RIGID)
    assert len(seen.learned) >= learned
    few = Detections(*(getattr(seen.learned, field.name)[:learned] for field in fields(Detections)))
    some = replace(seen, pairing=match_detections(seen.changed, few), lost=frozenset(range(lost)))
    assert lost_at_zero(some, " (*)") == f"With all offsets at zero, {says}"


def test_scores_at_zero(crowd):
    result = what_if(crowd, Change(GATE_OFF))
    lost = np.isin(np.arange(len(result.learned)), sorted(result.lost))
    left = result.at_zero[lost]
    assert (left[~np.isnan(left)] < crowd.settings.confidence).all()
    assert (result.at_zero[~lost] > crowd.settings.confidence).all()
    off = what_if(crowd, RIGID)
    for pair in off.pairing.pairs:
        if pair.kind == BOTH:
            assert off.at_zero[pair.second] == off.changed.scores[pair.first]


def test_of_two_boxes_on_one_place_the_one_without_partner_is_lost(crowd):
    off = what_if(crowd, RIGID)
    assert off.lost
    assert {pair.second for pair in off.pairing.pairs if pair.kind == ONLY_SECOND} == off.lost


@pytest.mark.parametrize(
    ("change", "intervention"),
    [
        (Change(strength=-1.0), Intervention(strength=-1.0)),
        (Change(SHUFFLED, 0.5, seed=3), Intervention(SHUFFLED, 0.5, seed=3)),
        (Change(GATE_OFF), Intervention(GATE_OFF)),
        (Change(strength=2.0, stages=("P3 5x5",)), "P3 5x5"),
    ],
)
def test_a_change_is_the_intervention_of_its_name(crowd, change, intervention):
    if isinstance(intervention, str):
        intervention = Intervention(strength=2.0, where=(crowd.capture(intervention).stage.name,))
    expected = load_predictor("neck")[0].predict(crowd.image, confidence=0.1, intervention=intervention).detections
    assert same(detections(crowd, change), expected)
    assert not np.array_equal(expected.scores, detections(crowd, AS_LEARNED).scores)


def test_offsets_of_another_picture(crowd):
    own = {c.stage.name: c.offset for c in crowd.dlka.captures}
    other = offsets_of("neck", 640, OTHER)
    assert other.keys() == own.keys()
    used = Intervention(GIVEN, fields=other)
    expected = load_predictor("neck")[0].predict(crowd.image, confidence=0.1, intervention=used).detections
    assert same(detections(crowd, asked(crowd, GIVEN, 1.0, [], 0, OTHER)), expected)
    assert not same(expected, detections(crowd, AS_LEARNED))


def test_the_same_question_runs_no_model_again(crowd, monkeypatch):
    first = what_if(crowd, RIGID)
    monkeypatch.setattr("dlka.analysis.analysis.load_predictor", None)
    assert same(what_if(crowd, RIGID).changed, first.changed)


def test_learned_is_the_model_as_trained_whatever_the_page_shows(crowd):
    half = analyse_pixels(crowd.image, Settings(dlka="neck", confidence=0.1, strength=0.5))
    result = what_if(half, AS_LEARNED)
    assert same(result.learned, crowd.dlka.detections)
    assert not same(result.learned, half.dlka.detections)
    assert "deformation stands at 0.5" in headline(half, result)
    assert "stands at" not in headline(crowd, what_if(crowd, AS_LEARNED))


def test_settings_of_the_look_are_kept(crowd):
    buses = analyse_pixels(crowd.image, Settings(dlka="neck", classes=("bus",), confidence=0.6))
    changed = what_if(buses, Change(strength=2.0)).changed
    assert {buses.names[c] for c in changed.classes} == {"bus"}
    assert changed.scores.min() >= 0.6


def test_what_is_asked_for(crowd):
    assert asked(crowd, LEARNED, 1, ["P3 5x5"], 7, OTHER) == AS_LEARNED
    assert asked(crowd, GATE_OFF, 0.3, [], 7, OTHER) == Change(GATE_OFF)
    assert asked(crowd, LEARNED, 2, crowd.stage_labels, 7, OTHER) == Change(strength=2)
    assert asked(crowd, SHUFFLED, 1, ["P4 5x5", "P3 5x5"], 7, OTHER) == Change(SHUFFLED, 1, ("P3 5x5", "P4 5x5"), 7)


def test_titles(crowd):
    assert title(RIGID, crowd) == "Offsets at zero, the rigid large kernel"
    assert title(Change(GATE_OFF, stages=("P3 5x5", "P3 7x7 d3", "P5 5x5")), crowd) == "Gate off in P3, P5"
    assert title(Change(SHUFFLED, 2.0, ("P3 5x5",), 4), crowd) == "Shuffled offsets (seed 4) x 2 in P3 5x5"
    assert title(Change(GIVEN, other=OTHER), crowd) == "Offsets of Two people x 1"


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ((LEARNED, 2.5, [], 0, ""), "Strength: expected -1 to 2; got 2.5"),
        ((GIVEN, 1, [], 0, ""), "There is no other picture yet"),
        ((GIVEN, 1, [], 0, __file__), "The file is not in a format that is read here"),
        (("magic", 0.5, [], 0, ""), "kind: expected one of"),
    ],
)
def test_refusals(crowd, question, says):
    with pytest.raises(ValueError, match=says):
        what_if(crowd, asked(crowd, *question))


def test_no_box_is_said(nothing):
    result = what_if(nothing, RIGID)
    assert len(result.learned) == len(result.changed) == 0
    assert "found anything at this confidence" in headline(nothing, result)
    assert object_rows(nothing, result) == []
    ways = four_ways.four_ways(nothing.key)
    assert "None of the four found anything" in four_ways.sentence(nothing, ways)
    assert all(four_ways.drawing(nothing, ways, way).legend_text for way in four_ways.NAMES)


def test_a_model_without_deform_stages_says_so(tmp_path, monkeypatch):
    (tmp_path / "control.safetensors").symlink_to(catalog.WEIGHTS / "control.safetensors")
    names = load_predictor("control")[0].names
    card = Card("neck", "n", "none", names, 640, "", "none", "AGPL-3.0", 1, {}, {})
    save_weights(tmp_path / "rigid.safetensors", build_model("neck", "n", 80, "none").state_dict(), card)
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path)
    analysis = analyse_pixels(np.full((64, 96, 3), 90, np.uint8), Settings(dlka="rigid", size=96))
    assert NO_STAGES in headline(analysis, what_if(analysis, Change(SHUFFLED)))
    assert headline(analysis, what_if(analysis, Change(GATE_OFF))).startswith('<div class="headline"><p><b>Gate off.')
    shown = tab_what_if.values(analysis, ["P3 5x5"], "Two people")
    assert (shown["stages"]["choices"], shown["stages"]["value"], shown["example"]) == ([], [], "Two people")
    assert (shown["apart"], shown["apart_figures"]) == ("", "[]")


def test_the_other_picture_is_one_that_the_model_knows(crowd):
    drawn = first("shapes")
    assert tab_what_if.values(crowd, [], drawn)["example"] == "Bus stop", "not a drawn scene"
    scene = analyse(examples()[drawn], settings_for(drawn))
    assert tab_what_if.values(scene, [], "Bus stop")["example"] == "Drawn scene: E of 12 to 90 px", "not itself"


def test_a_rigid_twin_has_the_large_kernels_too(crowd):
    drawn = first("shapes")
    scene = analyse(examples()[drawn], settings_for(drawn))
    said = four_ways.sentence(scene, four_ways.four_ways(scene.key))
    assert said.startswith("Weights learned with offsets (2 against 1)")
    assert four_ways.sentence(crowd, four_ways.four_ways(crowd.key)).startswith("Large kernel (2 against 1)")


def test_four_ways_tell_apart_what_they_say(crowd):
    ways = four_ways.four_ways(crowd.key)
    assert same(ways.found["baseline"], crowd.baseline.detections)
    assert same(ways.found["rigid LKA"], detections(crowd, RIGID))
    assert same(ways.found["D-LKA"], crowd.dlka.detections)
    sliced = ways.found["sliced baseline"]
    assert len(ways.slices) == 4
    for box, number in zip(sliced.boxes, ways.fired):
        assert box_iou(box[None], ways.slices[number][None])[0, 0] > 0
    table = {row[0]: dict(zip(four_ways.COLUMNS, row)) for row in four_ways.rows(ways)}
    for row, found in zip(table.values(), ways.found.values()):
        assert row["boxes"] == len(found) == row["S"] + row["M"] + row["L"]
    lost = len(what_if(crowd, RIGID).lost)
    assert table["3. D-LKA"]["new"] == lost
    assert f"Deformation (3 against 2): {lost} new" in four_ways.sentence(crowd, ways)
    legends = [four_ways.drawing(crowd, ways, way).legend_text for way in four_ways.NAMES]
    assert [text[:2] for text in legends] == ["1.", "2.", "3.", "4."]
    assert "4 slices, #1 to #4" in legends[3]


def test_labels_say_what_boxes_without_offsets_are_worth():
    analysis = analyse(examples()["Drawn scene: letters and curves"], Settings("scenes", "scenes-rigid"))
    said = headline(analysis, what_if(analysis, Change(strength=0.0)))
    only, wrong = (int(n) for n in re.search(r"Only changed: (\d+)<.*By the labels, (\d+) of these are", said).groups())
    assert 0 < wrong <= only
    assert "By the labels" not in headline(analysis, what_if(analysis, AS_LEARNED))
