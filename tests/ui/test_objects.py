"""The tab "Objects" without gradio: choosing, tracing, and what is said when something is missing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from dlka.analysis import analysis as analysis_module
from dlka.analysis import box_figures, boxes, condensation
from dlka.analysis.analysis import Settings, analyse_pixels, get_analysis
from dlka.analysis.examples import examples
from dlka.analysis.pairing import match_detections
from dlka.analysis.stages import NO_STAGES
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.types import BOTH, Detections
from dlka.ui import tab_objects

SIZE = 320


@pytest.fixture(scope="module")
def image():
    return read_image(examples()["Bus stop"])


@pytest.fixture(scope="module")
def analysis(image):
    return analyse_pixels(image, Settings(size=SIZE))


def kept(analysis, key):
    analysis_module.STORE.put(("analysis", key), replace(analysis, key=key))
    return get_analysis(key)


def test_boxes_of_both_models_smallest_first(analysis):
    listed = boxes.listed(analysis)
    assert len(listed) == len(analysis.dlka.detections) + len(analysis.baseline.detections)
    areas = [np.prod([float(v) for v in re.search(r"(\d+)x(\d+) px", label).groups()]) for label, _ in listed]
    assert all(a <= b * 1.02 for a, b in pairwise(areas))  # sides are rounded on the label
    found = analysis.dlka.detections
    label = next(label for label, name in listed if name == "dlka 0")
    row, column = found.cells[0]
    assert label.startswith(f"D-LKA: {analysis.names[int(found.classes[0])]} {found.scores[0]:.2f}")
    assert label.endswith(f"P{found.levels[0]} ({row}, {column})")


def test_a_click_takes_the_smallest_box_there(analysis):
    bus = next(i for i, c in enumerate(analysis.dlka.detections.classes) if analysis.names[int(c)] == "bus")
    person = analysis.dlka.detections.boxes[analysis.dlka.detections.classes == 0]
    inner = max(person, key=lambda box: box[0])  # overlaps the bus
    x, y = (inner[:2] + inner[2:]) / 2
    name = boxes.at_point(analysis, (float(x), float(y)))
    side, index = name.split()
    assert boxes.prediction(analysis, side).detections.classes[int(index)] == 0
    assert boxes.at_point(analysis, (1.0, 1.0)) is None
    assert bus != int(index)


def test_an_object_of_both_models_is_shown_of_both(analysis):
    pair = next(p for p in analysis.pairing.pairs if p.kind == BOTH)
    own, other = boxes.find(analysis, f"baseline {pair.second}")
    assert (own.side, own.index, other.side, other.index) == ("baseline", pair.second, "dlka", pair.first)
    assert own.found
    assert other.found
    rows = box_figures.box_rows(analysis, (own, other))
    assert [row[0] for row in rows] == ["D-LKA", "baseline"], "whichever was chosen"
    html = tab_objects.cells_part(analysis, (own, other))
    assert (
        f"The baseline does not deform: the samples are those of the D-LKA model at the same cell {own.where}" in html
    )
    assert html.count("<img") == html.count('alt="') == 2
    with pytest.raises(DlkaError, match="choose another one"):
        boxes.find(analysis, "dlka 99")


def test_every_candidate_of_the_picture_is_behind_one_box(analysis):
    for side in boxes.SIDES:
        names = [name for _, name in boxes.listed(analysis) if name.startswith(side)]
        traces = [boxes.find(analysis, name)[0] for name in names]
        cells = [(t.level, *t.cell) for t in traces]
        for t in traces:
            cells += [(int(level), int(r), int(c)) for level, (r, c) in zip(t.levels, t.cells)]
            assert (np.diff(t.scores) <= 0).all()
            assert (t.scores <= t.score).all()
            assert (t.overlaps > analysis.settings.iou).all()
        assert len(set(cells)) == len(cells) == len(boxes.origins(analysis.key, side).candidates.index)
        assert len(cells) > len(names)


def test_what_a_model_missed_is_traced_to_its_best_cell(analysis):
    """A box of the baseline alone: its D-LKA twin is taken away."""
    found, theirs = analysis.dlka.detections, analysis.baseline.detections
    both = [p for p in analysis.pairing.pairs if p.kind == BOTH]
    pair = next(p for p in both if (found.cells[p.first] != theirs.cells[p.second]).any())
    left = Detections(*(np.delete(getattr(found, n), pair.first, axis=0) for n in found.__dataclass_fields__))
    less = replace(analysis.dlka, detections=left)
    alone = kept(
        replace(analysis, dlka=less, pairing=match_detections(left, analysis.baseline.detections)),
        f"{analysis.key} less",
    )
    own, other = boxes.find(alone, f"baseline {pair.second}")
    assert not other.found
    np.testing.assert_array_equal(other.box, own.box)
    # The best cell of those that overlap is the one that had won.
    assert (other.level, *other.cell) == (found.levels[pair.first], *found.cells[pair.first])
    assert other.score == pytest.approx(found.scores[pair.first], abs=1e-5)
    html = tab_objects.cells_part(alone, (own, other))
    assert "The D-LKA model has no box of this object." in html
    drawn, rows = box_figures.evidence(alone, (own, other))
    assert [c.legend[0].split(":")[0] for c in drawn] == ["D-LKA", "Baseline"] * 2
    bars = [next(line for line in c.legend if line.endswith("logits")) for c in drawn]
    assert bars[0] == bars[1], "one scale for both models"
    assert bars[2] == bars[3]
    assert rows[1][1].endswith("not found")


def test_the_logit_behind_the_pictures_is_that_of_the_box(analysis):
    own, _ = boxes.find(analysis, boxes.listed(analysis)[0][1])
    seen = boxes.gradients(analysis.key, own.side, own.level, own.cell, own.number)
    assert 1 / (1 + np.exp(-seen.logit)) == pytest.approx(own.score, abs=1e-4)


def test_all_stages_and_composed_fields_can_be_chosen(analysis):
    assert list(analysis.views) == [f"P{p} {kind}" for p in (3, 4, 5) for kind in ("5x5", "7x7 d3", "composed")]
    composed = analysis.views["P4 composed"]
    assert [c.stage.label for c in composed] == ["P4 5x5", "P4 7x7 d3"]
    assert "boxes of baseline" in condensation.condensation(analysis, "P5 composed").legend_text
    with pytest.raises(DlkaError, match=r"Stage: expected one of P3 5x5, .*; got 'P9'"):
        condensation.condensation(analysis, "P9")
    html = tab_objects.tables_part(analysis) + tab_objects.chart_part(analysis)
    assert "Of all samples of all stages" in html
    assert html.count("<tr>") == 1 + 9 + 1 + 6


def test_deformation_off_moves_nothing_into_boxes(image):
    off = analyse_pixels(image, Settings(size=SIZE, strength=0.0))
    for row in condensation.boxes_rows(off):
        assert row[1] == row[2]
        assert row[3] == "+0.00 points"
    own, _ = boxes.find(off, boxes.listed(off)[0][1])
    for row in box_figures.shape_rows(box_figures.samples_of(off, own)):
        assert row[1:] == ["(0.00, 0.00)", "1.000", "0.0°", "0.000", "0.00"]


def test_no_box_at_all_is_drawn_and_told(image):
    nothing = analyse_pixels(image, Settings(size=SIZE, confidence=0.95))
    shown = tab_objects.draw(nothing.key)
    assert shown["box"]["choices"] == []
    assert shown["box"]["value"] is None
    assert shown["picture"].endswith(".jpg")
    assert "Neither model has a box here: none scores above the confidence of 0.95." in shown["cells"]
    assert shown["evidence"] == shown["chart"] == ""
    assert shown["figures"] == "[]"
    assert [figure["kind"] for figure in json.loads(shown["map_figures"])] == ["condensation"]
    assert shown["stage"]["value"] == "P3 5x5"
    assert "<img" in shown["map"]
    assert "0.00% do: +0.00 points" in shown["tables"]
    assert "none scores above" in box_figures.overview(nothing).legend_text


def test_a_model_without_stages_keeps_cells_and_gradients(analysis):
    stock = replace(analysis, settings=replace(analysis.settings, dlka="control"), dlka=analysis.baseline)
    both = match_detections(analysis.baseline.detections, analysis.baseline.detections)
    stock = kept(replace(stock, pairing=both), f"{analysis.key} stock")
    shown = tab_objects.draw(stock.key)
    assert NO_STAGES in shown["cells"]
    assert shown["cells"].count("<img") == 1
    assert shown["evidence"].count("<img") == 4
    assert shown["stage"]["choices"] == []
    assert NO_STAGES in shown["map"]
    assert shown["chart"] == shown["tables"] == ""
    assert shown["map_figures"] == "[]"


def test_a_new_look_leaves_nothing_of_the_last_one(analysis):
    assert set(tab_objects.values(analysis)) == set(tab_objects.draw(analysis.key)) == set(tab_objects.OUTPUTS)
