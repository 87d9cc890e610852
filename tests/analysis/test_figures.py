"""Figures by kind: the numbers behind them, their captions, and drawings with vector points."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from dlka import render
from dlka.analysis.analysis import Settings, analyse_pixels, source_of
from dlka.analysis.examples import examples
from dlka.analysis.figures import KINDS, changes, figure, one_box
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.ui.figure_row import take_figure

OFFSETS = {"stage": "P3 5x5", "overlay": "Arrows", "tap": 0, "opacity": 1, "scale": 2.0, "x": 80.0, "y": 90.0}
EVERY = {
    "boxes": {"side": "baseline"},
    "difference": {},
    "crops": {},
    "offsets": OFFSETS,
    "samples": {"x": 80.0, "y": 90.0},
    "reads": {"view": "P3 composed", "row": 5, "column": 6},
    "attention": {"block": "P4", "reduction": "mean abs", "channel": 0, "opacity": 0.5},
    "receptive field": {"stage": "P4 5x5", "row": 3, "column": 4},
    "box cells": {"box": "dlka 0"},
    "box samples": {"box": "dlka 0"},
    "box evidence": {"box": "dlka 0", "side": "dlka", "of": "layercam"},
    "condensation": {"stage": "P4 composed"},
    "spread": {},
}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def analysis():
    file = examples()["Bus stop"]
    return analyse_pixels(read_image(file), Settings(size=320, strength=1.5), source_of(file))


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVERY)
def test_every_kind_can_be_taken(analysis, kind):
    made = figure(kind, EVERY[kind]).drawn(analysis)
    assert made.arrays
    assert "Bus stop" in made.caption
    assert kind == "boxes" or "offsets x 1.5" in made.caption
    assert kind == "receptive field" or made.caption == figure(kind, EVERY[kind]).caption(analysis)
    root = ElementTree.fromstring(made.paper.to_svg(made.caption))
    assert root.find(f"{SVG}desc").text == made.caption
    assert made.paper.to_pdf(made.caption).startswith(b"%PDF")


def test_kinds_are_all_tested():
    assert {*EVERY, *(figure.name for figure in (*one_box.FIGURES, *changes.FIGURES))} == set(KINDS)


def test_points_of_a_drawing_are_vectors(analysis):
    """As many marks as samples stand in the SVG, each at its place: in pixels of the sheet, which are points."""
    arguments = {"view": "P4 5x5", "row": 8, "column": 7}
    made = figure("reads", arguments).drawn(analysis)
    root = ElementTree.fromstring(made.paper.to_svg())
    marks = [tuple(float(use.get(axis)) for axis in "xy") for use in root.iter(f"{SVG}use") if use.get("y")]
    points = made.arrays["samples"][~made.arrays["zero"]]
    places = np.column_stack([(points[:, 0] - made.paper.view.left), (points[:, 1] - made.paper.view.top)])
    places *= made.paper.scale
    assert len(places) > 15
    for place in places:
        assert np.hypot(*(np.array(marks) - place).T).min() < 0.01
    assert len(list(root.iter(f"{SVG}image"))) == 1, "only the photograph is pixels"


def test_arrays_are_the_numbers_of_the_look(analysis):
    reads = figure("reads", {"view": "P3 5x5", "row": 5, "column": 6}).drawn(analysis)
    capture = analysis.capture("P3 5x5")
    np.testing.assert_array_equal(reads.arrays["offset"], capture.offset[:, 5, 6])
    wanted = render.sample_points([capture], (5, 6), analysis.dlka.letterbox)
    np.testing.assert_array_equal(reads.arrays["samples"], wanted)
    mean = np.hypot(*(wanted - reads.arrays["regular"]).T).mean()
    told = float(re.search(r"= ([\d.]+) px on average", reads.caption).group(1))
    assert told == pytest.approx(mean, rel=0.02)
    pairs = figure("difference", {}).drawn(analysis).arrays["pairs"]
    assert [(p.first, p.second) for p in analysis.pairing.pairs] == [
        tuple(None if i < 0 else i for i in pair) for pair in pairs.tolist()
    ]


@pytest.mark.parametrize(
    ("kind", "arguments", "says"),
    [
        ("magic", {}, "Figure: expected one of boxes"),
        ("boxes", {"side": "left"}, "Side: expected dlka or baseline"),
        ("boxes", {}, "expected side; got"),
        ("boxes", {"side": 3}, "Figure boxes, side: expected text; got 3."),
        ("samples", {"x": True, "y": 1.0}, "x: expected a number; got True"),
        ("samples", {"x": float("nan"), "y": 1.0}, "x: expected a number; got nan"),
        ("reads", {"view": "P9", "row": 0, "column": 0}, "Stage: expected one of P3 5x5, P3 7x7 d3, P3 composed"),
        ("reads", {"view": "P3 5x5", "row": 999, "column": 0}, "Cell: expected"),
        ("offsets", OFFSETS | {"tap": 99}, "Tap: expected 0"),
        ("attention", EVERY["attention"] | {"block": "P9"}, "Block: expected one of"),
        ("receptive field", {"stage": "P3 5x5", "row": -1, "column": 0}, "Row: expected a whole number"),
    ],
)
def test_what_does_not_exist_is_refused(analysis, kind, arguments, says):
    with pytest.raises(DlkaError, match=re.escape(says)):
        figure(kind, arguments).drawn(analysis)


@pytest.mark.parametrize("asked", [{}, {"form": "exe"}, {"form": "svg", "kind": 3}, {"form": "svg", "key": "x"}])
def test_the_page_is_told_what_cannot_be_taken(asked):
    assert set(take_figure(asked)) == {"error"}
