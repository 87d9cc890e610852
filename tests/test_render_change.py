"""Pictures of what changes between two looks."""

from __future__ import annotations

import numpy as np
from render_builders import NAMES, detections, pairing, picture
from test_render_boxes import outlines, texts

from dlka import palette
from dlka.render import draw_change, draw_sliced
from dlka.render.change import LEARNED_CHANGED, NEEDS_DEFORMATION
from dlka.types import BOTH, CLASS_CHANGED, ONLY_FIRST, ONLY_SECOND

IMAGE = picture(300, 400)
LEARNED = detections([(20, 30, 220, 260, 0.9, 5), (300, 40, 320, 60, 0.5, 0), (250, 200, 270, 220, 0.3, 0)])
CHANGED = detections([(22, 31, 222, 262, 0.8, 5), (100, 270, 120, 290, 0.4, 2), (251, 201, 271, 221, 0.32, 2)])
PAIRS = pairing(CHANGED, LEARNED, [(BOTH, 0, 0), (ONLY_SECOND, None, 1), (ONLY_FIRST, 1, None), (CLASS_CHANGED, 2, 2)])


def stars(canvas):
    """Points that carry the mark of boxes that need deformation, [n, 2]."""
    lines = [line for line in canvas.axes.lines if line.get_markerfacecolor() == NEEDS_DEFORMATION.colour]
    return np.concatenate([line.get_xydata() for line in lines]) if lines else np.zeros((0, 2))


def test_each_side_has_its_colour_and_its_words():
    canvas = draw_change(IMAGE, PAIRS, NAMES, "Off")
    (gone,), (new,) = outlines(canvas, palette.DLKA), outlines(canvas, palette.WHAT_IF)
    assert gone.min(0).tolist() == [299.5, 39.5]
    assert new.min(0).tolist() == [99.5, 269.5]
    assert set(texts(canvas)) == {"person 0.50", "car 0.40", "car, learned person", "+0.10"}
    said = canvas.legend_text
    assert "only learned 1 (S 1, M 0, L 0)" in said
    assert "only changed 1 (S 1, M 0, L 0)" in said
    assert "D-LKA" not in said
    assert "baseline" not in said
    assert "only with deformation" not in said


def test_marks_are_on_the_boxes_that_need_deformation():
    canvas = draw_change(IMAGE, PAIRS, NAMES, "Off", lost={0, 1})
    assert sorted(stars(canvas).tolist()) == [[221.5, 30.5], [319.5, 39.5]], "upper right corners, as they are drawn"
    assert "only with deformation: 2" in canvas.legend_text
    empty = draw_change(IMAGE, PAIRS, NAMES, "Off", lost=())
    assert len(stars(empty)) == 0
    assert "only with deformation: 0" in empty.legend_text


def test_nothing_found_is_drawn():
    nothing = detections([])
    canvas = draw_change(IMAGE, pairing(nothing, nothing, []), NAMES, "Off", lost=())
    assert "both 0" in canvas.legend_text
    assert canvas.to_array().any()


def test_slices_are_drawn_and_named_at_their_boxes():
    slices = np.array([(0, 0, 240, 300), (160, 0, 400, 300)])
    canvas = draw_sliced(IMAGE, PAIRS, NAMES, "Sliced", LEARNED_CHANGED, slices, fired=np.array([1, 0, 1]))
    assert set(texts(canvas)) == {"#1", "#2", "car 0.40 #1", "car, learned person #2", "person 0.50"}
    assert texts(canvas).count("#2") == 2, "in the middle of its slice and at the box that both have"
    assert len(outlines(canvas, palette.RIM)) == 2
    assert "2 slices, #1 to #2" in canvas.legend_text
