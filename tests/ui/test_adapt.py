"""What becomes of objects and samples when the picture is changed, without gradio."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice, pairwise
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from render_builders import detections

from dlka.analysis import adapt, adapt_curve
from dlka.analysis import analysis as analysis_module
from dlka.analysis.analysis import Settings, analyse_pixels
from dlka.analysis.examples import examples
from dlka.analysis.pairing import best_score
from dlka.analysis.stages import NO_STAGES
from dlka.analysis.transforms import Change, apply, map_boxes, map_points, matrix
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.inference.kernel_shape import kernel_shape
from dlka.inference.predictor import load_predictor
from dlka.render import close_ups, reads_at
from dlka.ui import tab_adapt

SETTINGS = Settings(size=320)


@pytest.fixture(scope="module")
def analysis():
    return analyse_pixels(read_image(examples()["Bus stop"])[::2, ::2].copy(), SETTINGS)


def test_no_change_keeps_every_object_and_runs_no_model(analysis, monkeypatch):
    monkeypatch.setattr(analysis_module, "load_predictor", None)
    seen = adapt.follow(analysis, Change(), 0, (0, 0))
    assert seen.after is analysis
    assert len(seen.dlka.kept) == len(analysis.dlka.detections) > 0
    assert seen.scores == seen.target.scores
    assert "Nothing is changed yet" in adapt.headline(seen)


def test_targets_are_what_both_found_smallest_first(analysis):
    found = adapt.targets(analysis)
    assert [t.side for t in found] == sorted(t.side for t in found)
    assert len(found) == len(analysis.pairing.pairs) == len(adapt.labels(found))
    scores = {round(score, 4) for t in found for score in t.scores if score}
    assert {round(float(s), 4) for s in analysis.dlka.detections.scores} <= scores
    place = found[-1].point
    assert adapt.nearest(found, (place[0] + 1, place[1] - 1)) == len(found) - 1
    assert adapt.nearest([], (3, 4)) is None


def test_the_chosen_place_goes_through_the_matrix(analysis):
    change, last = Change(shrink=0.6, rotate=10, right=5), len(adapt.targets(analysis)) - 1
    seen = adapt.follow(analysis, change, last, (0, 0))
    size = analysis.image.shape[:2]
    np.testing.assert_allclose(seen.point, map_points(np.array(seen.target.point), matrix(change, size)))
    height, width = size
    hull = map_boxes(seen.target.box, matrix(change, size)).clip(0, [width, height, width, height])
    np.testing.assert_allclose(seen.box, hull)
    samples = adapt.sides(seen, analysis.stage_labels[0])[1]
    assert samples.point == seen.point
    assert samples.image is seen.after.image is not analysis.image


def test_headline_and_table_count_the_same(analysis):
    seen = adapt.follow(analysis, Change(shrink=0.3, brightness=0.5), 0, (0, 0))
    fate, count = seen.dlka, len(analysis.dlka.detections)
    assert len(fate.kept) + len(fate.class_changed) + len(fate.lost) + len(fate.left_frame) == count
    assert fate.lost, "at this size something must be lost, or this test sees nothing"
    text, table = adapt.headline(seen), adapt.object_table(seen)
    assert f"D-LKA keeps {len(fate.kept)} of {count}" in text
    assert f"loses {len(fate.lost)}, finds {len(fate.new)} new" in text
    assert table.count("<td>lost</td>") == len(fate.lost) + len(seen.baseline.lost)
    assert table.count("<td>new</td>") == len(fate.new) + len(seen.baseline.new)
    legends = [adapt.boxes(seen, side).legend_text for side in ("baseline", "dlka")]
    assert f"lost {len(fate.lost)}: where it must be" in legends[1]
    assert "0.3 x the size, 0.5 x the brightness" in legends[0]


def test_an_object_that_leaves_the_picture_is_told(analysis):
    found = adapt.targets(analysis)
    left = int(np.argmin([t.point[0] for t in found]))
    seen = adapt.follow(analysis, Change(right=-50), left, (0, 0))
    assert not seen.inside
    assert seen.scores == (0, 0)
    assert f"The {seen.target.name} has left the picture" in adapt.headline(seen)
    assert adapt.samples(seen, analysis.stage_labels[0]) is None
    assert "<td>-</td>" in adapt.sample_table(seen, analysis.stage_labels[0])


def test_numbers_of_samples_are_those_of_the_offsets(analysis):
    seen = adapt.follow(analysis, Change(shrink=0.5), 0, (0, 0))
    label = analysis.stage_labels[0]
    side = adapt.sides(seen, label)[1]
    told = dict(close_ups.numbers(*adapt.sides(seen, label)))
    reads = reads_at([side.capture], side.point, side.letterbox)
    row, column = reads.cell
    dy, dx = side.capture.offset[0::2, row, column], side.capture.offset[1::2, row, column]
    px = side.capture.stage.stride / side.letterbox.scale_xy
    assert told["taps moved by, px"][1] == pytest.approx(np.hypot(dx * px[0], dy * px[1]).mean(), rel=1e-5)
    grid = np.array([(y, x) for y in range(-2, 3) for x in range(-2, 3)], float)
    ys, xs = (grid[:, 0] + dy) * px[1], (grid[:, 1] + dx) * px[0]
    spread = np.sqrt(xs.var() + ys.var())
    assert told["samples spread by, px"][1] == pytest.approx(spread, rel=1e-5)
    within = (reads.samples + 0.5 >= side.box[:2]) & (reads.samples + 0.5 <= side.box[2:])
    assert told["samples in the box of the object"][1] == pytest.approx(within.all(axis=1).mean())
    side = seen.target.side
    assert f"<td>size of the object, px</td><td>{side:.2f}</td><td>{side / 2:.2f}</td><td>0.50</td>" in (
        adapt.sample_table(seen, label)
    )


@pytest.mark.parametrize(("zoom", "turn"), [(1, 0), (1.7, 25), (0.4, -130)])
def test_zoom_and_rotation_of_a_kernel(zoom, turn):
    """Known ones, with noise that no affine map explains: it leaves them alone where it is the same in all corners."""
    grid = np.array([(x, y) for y in range(-3, 4) for x in range(-3, 4)], float) * 24
    moved = matrix(Change(rotate=turn), (1, 1))[:, :2] * zoom
    noise = np.where((np.abs(grid) == 72).all(axis=1)[:, None], (9.0, 4.0), 0)
    shape = kernel_shape((grid + 500)[:, ::-1], (grid @ moved.T + noise + (530, 470))[:, ::-1])
    assert (float(shape.zoom), float(shape.rotation)) == pytest.approx((zoom, turn))


def test_without_objects_the_place_is_followed(analysis):
    nothing = analyse_pixels(analysis.image, Settings(size=320, confidence=0.95))
    assert adapt.targets(nothing) == []
    shown = tab_adapt.draw(nothing, (100.0, 80.0), None, nothing.stage_labels[1], (0.5, 0, 0, 0, 0, 1))
    assert "There is no object to follow" in shown["headline"]
    assert "<img" in shown["boxes"]
    assert "<img" in shown["samples"]
    assert "size of the object" not in shown["numbers"]
    with pytest.raises(DlkaError, match="no object to follow"):
        adapt_curve.chosen(nothing, None)


def test_without_stages_boxes_are_followed_all_the_same(analysis):
    rigid = replace(analysis, dlka=replace(analysis.dlka, captures=(), gates=()))
    shown = tab_adapt.draw(rigid, (100.0, 80.0), 0, None, (0.5, 0, 0, 0, 0, 1))
    assert NO_STAGES in shown["samples"]
    assert shown["numbers"] == ""
    assert shown["boxes"].count("<img") == 2


def test_the_pictures_have_words_and_their_true_size(analysis):
    shown = tab_adapt.draw(analysis, (0, 0), 0, analysis.stage_labels[0], (0.5, 0, 0, 0, 0, 1))
    assert set(shown) == set(tab_adapt.PICTURE_OUTPUTS)
    image = r'<img src="gradio_api/file=([^"]+)" alt="([^"]+)" width="(\d+)" height="(\d+)">'
    for source, alt, width, height in re.findall(image, shown["boxes"] + shown["samples"]):
        assert cv2.imread(source).shape[:2] == (int(height), int(width))
        assert len(alt) > 40


@pytest.mark.slow
def test_a_curve_is_single_predictions(analysis):
    chosen = adapt_curve.chosen(analysis, len(adapt.targets(analysis)) - 1)
    steps = list(adapt_curve.measure(analysis, chosen))
    assert len(steps) == adapt_curve.STEPS
    assert steps[0].side == pytest.approx(chosen.side)
    assert steps[-1].side == pytest.approx(4)
    ratios = [b.side / a.side for a, b in pairwise(steps)]
    np.testing.assert_allclose(ratios, ratios[0])
    assert max(steps[0].dlka, steps[0].baseline) == pytest.approx(max(chosen.scores), abs=1e-6)
    assert steps[0].dlka > 0.25 > steps[-1].dlka
    for step in (steps[3], steps[7]):
        image, moved = apply(analysis.image, Change(shrink=step.factor))
        for model, score in (("head", step.dlka), ("control", step.baseline)):
            found = load_predictor(model)[0].predict(image, confidence=0.01, iou=0.7, size=320).detections
            assert best_score(found, map_boxes(chosen.box, moved), chosen.class_id, 0.3) == score


def test_what_counts_as_the_object_on_a_curve(analysis, monkeypatch):
    """A box that overlaps the object's place by 0.4 counts, one by 0.25 does not."""
    chosen = adapt_curve.chosen(analysis, len(adapt.targets(analysis)) - 1)
    height, width = analysis.image.shape[:2]

    class Found:
        def __init__(self, part):
            self.part, self.factors = part, iter(adapt_curve.factors(chosen.side))

        def predict(self, image, **settings):
            x1, y1, x2, y2 = map_boxes(chosen.box, matrix(Change(shrink=next(self.factors)), (height, width)))
            row = [x1, y1, x1 + self.part * (x2 - x1), y2, 0.7, chosen.class_id]
            return SimpleNamespace(detections=detections([row]))

    models = {analysis.settings.dlka: (Found(0.4), None), analysis.settings.baseline: (Found(0.25), None)}
    monkeypatch.setattr(analysis_module, "load_predictor", models.get)
    assert {(round(s.dlka, 3), s.baseline) for s in adapt_curve.measure(analysis, chosen)} == {(0.7, 0.0)}


def test_a_curve_that_is_cancelled_says_how_far_it_got(analysis):
    chosen = adapt_curve.chosen(analysis, len(adapt.targets(analysis)) - 1)
    walk = adapt_curve.measure(analysis, chosen)
    steps = list(islice(walk, 3))
    walk.close()
    assert f"3 of {adapt_curve.STEPS} sizes, down to {steps[-1].side:.0f} px" in adapt_curve.told(analysis, steps)
    assert adapt_curve.table(steps).count("<tr>") == 1 + 3
    axes = adapt_curve.chart(analysis, chosen, steps).axes[0]
    curves = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert [list(line.get_ydata()) for line in curves] == [[s.dlka for s in steps], [s.baseline for s in steps]]
    low, high = axes.get_xlim()
    assert low < 4 < chosen.side < high, "the axis is that of the whole curve from the first step on"


def test_where_a_model_loses_the_object(analysis):
    def steps(*scores):
        return [adapt_curve.Step(1, 100 / (i + 1), score, 0) for i, score in enumerate(scores)]

    assert adapt_curve.last_seen(analysis, steps(0.9, 0.3, 0.2, 0.6), "dlka") == "found down to 50 px, not at 33 px"
    assert adapt_curve.last_seen(analysis, steps(0.9, 0.3), "dlka") == "found at every size down to 50 px"
    assert adapt_curve.last_seen(analysis, steps(0.1), "dlka") == "not found at its own size of 100 px"


def test_too_small_to_shrink():
    with pytest.raises(DlkaError, match=r"only 3\.5 px large"):
        adapt_curve.factors(3.5)


def test_a_number_that_the_picture_does_not_have(analysis):
    with pytest.raises(DlkaError, match="Object: expected 1 to"):
        adapt.follow(analysis, Change(), 99, (0, 0))
