"""The charts of the evidence, read back from what was put on the axes."""

from __future__ import annotations

import numpy as np
import pytest

from dlka import palette
from dlka.render.chart import chart_png, chart_svg
from dlka.render.forest import Candidate, Estimate, Group, Row, forest, tradeoff
from dlka.render.recall import Curve, RecallPanel, recall_chart

GROUPS = [
    Group(
        "first set",
        [
            Row("neck", "dense", (Estimate(1, 0.5, 1.5, (0.8, 1.2)), Estimate(2, -0.5, 4.5))),
            Row("rigid twin", "none", (Estimate(0.2, -0.4, 0.8), None), first=False),
        ],
    ),
    Group("empty", []),
    Group("second set", [Row("head", "separable", (Estimate(-7, -8, -6), Estimate(-6, -7, -5)))]),
]


def lines(axes, points):
    """Data of the lines with so many points."""
    return [np.asarray(line.get_xdata()).tolist() for line in axes.lines if len(line.get_xdata()) == points]


def texts(figure):
    return [text.get_text() for text in figure.texts]


def legend(figure):
    return [text.get_text() for part in figure.legends for text in part.get_texts()]


def test_forest_shows_every_estimate_and_zero():
    figure = forest(GROUPS, ["AP, points", "AP_S, points"], "95 % interval")
    assert len(figure.axes) == 4, "two columns for each group that has rows"
    first = figure.axes[0]
    assert [0.5, 1.5] in lines(first, 2)
    assert [0, 0] in lines(first, 2), "the zero line"
    assert [0.8, 1.2] in lines(first, 2), "single seeds"
    assert [1] in lines(first, 1)
    assert [0.2] in lines(first, 1)
    assert [2] in lines(figure.axes[1], 1)
    assert len(lines(figure.axes[1], 1)) == 1, "no point where there is no estimate"
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim(), "one scale a group"
    low, high = figure.axes[2].get_xlim()
    assert low < -8
    assert high > 0
    assert {"first set", "second set", "neck", "rigid twin", "head", "AP, points"} <= set(texts(figure))
    assert "empty" not in texts(figure)
    assert legend(figure) == [
        *("D-LKA, dense offsets", "D-LKA, separable offsets", "rigid twin: no offsets"),
        *("95 % interval", "single seeds"),
    ]


def test_the_legend_has_only_what_is_drawn():
    figure = forest(GROUPS[2:], ["AP", "AP_S"], "95 % interval")
    assert legend(figure) == ["D-LKA, separable offsets", "95 % interval"]


def test_forest_refuses_nothing_and_uneven_rows():
    with pytest.raises(ValueError, match="at least one row"):
        forest(GROUPS[1:2], ["AP"], "interval")
    with pytest.raises(ValueError, match="expected 1 estimates in every row"):
        forest(GROUPS, ["AP"], "interval")


def boxes(figure):
    """Every text of a chart as (left, low, right, high) in pixels, and the sheet's size."""
    chart_png(figure)
    renderer = figure.canvas.get_renderer()
    found = [t for t in figure.findobj(lambda a: hasattr(a, "get_text")) if t.get_text() and t.get_visible()]
    return [(t.get_text(), t.get_window_extent(renderer)) for t in found], figure.bbox


@pytest.mark.parametrize("swap", [False, True])
def test_names_keep_off_each_other_and_on_the_sheet(swap):
    near = [Candidate(f"neck-head {n}", "dense", 1.5 + 0.02 * n, 50 + 0.02 * n, 49.9, 50.2) for n in range(3)]
    edge = [Candidate("residual", "none", 2.4, 51, 51, 51), Candidate("control", "", 1.0, 49, 48.5, 49.5)]
    figure = tradeoff([("a set", [*edge, *near] if swap else [*near, *edge])], "time", "AP, %", "the seeds")
    found, sheet = boxes(figure)
    names = [box for text, box in found if text.startswith(("neck-head", "residual"))]
    assert len(names) == 4
    assert not any(a.overlaps(b) for i, a in enumerate(names) for b in names[:i])
    assert all(sheet.x0 <= box.x0 and box.x1 <= sheet.x1 for box in names)
    assert "control" in legend(figure)


def test_tradeoff_bars_span_the_seeds():
    one = Candidate("neck", "dense", 2.0, 50.5, 50.1, 50.8)
    figure = tradeoff([("a set", [one]), ("none", [])], "time", "AP, %", "the seeds")
    assert len(figure.axes) == 1
    assert [2.0, 2.0] in lines(figure.axes[0], 2)
    with pytest.raises(ValueError, match="at least one model"):
        tradeoff([("none", [])], "time", "AP, %", "the seeds")


def test_recall_is_in_per_cent_on_a_log_axis():
    sides, share = np.array([8.0, 16.0, 48.0]), np.array([0.1, 0.5, 0.9])
    curve = Curve("dlka", "residual", share, share - 0.05, share + 0.05)
    gain = Curve("dlka", "residual", share / 10, share / 10 - 0.02, share / 10 + 0.02)
    figure = recall_chart([RecallPanel("a set", sides, [curve], [gain])], "band: something\nand more")
    axes = figure.axes[0]
    drawn = next(line for line in axes.lines if len(line.get_xdata()) == 3)
    assert drawn.get_ydata().tolist() == pytest.approx([10, 50, 90])
    assert drawn.get_color() == palette.DLKA
    assert axes.get_xscale() == "log"
    assert [32, 32] in lines(axes, 2), "small ends at 32 px"
    below = figure.axes[1]
    assert [9.0] in [np.asarray(line.get_ydata())[-1:].tolist() for line in below.lines], "the difference, in points"
    assert [0, 0] in [np.asarray(line.get_ydata()).tolist() for line in below.lines], "the zero line"
    assert below.get_xlim() == axes.get_xlim()
    assert "px" in below.get_xlabel()
    assert legend(figure) == ["residual"]
    assert {"band: something", "and more"} <= set(texts(figure))
    figure.draw_without_rendering()
    assert all(text.get_window_extent().x1 <= figure.bbox.x1 for text in figure.texts)
    with pytest.raises(ValueError, match="expected 2 values in every curve"):
        recall_chart([RecallPanel("a set", sides[:2], [curve], [])], "band")
    with pytest.raises(ValueError, match="at least one curve"):
        recall_chart([], "band")


def test_bytes_depend_on_nothing_but_the_drawing():
    one, two = (forest(GROUPS, ["AP", "AP_S"], "95 % interval") for _ in range(2))
    assert chart_png(one) == chart_png(two)
    svg = chart_svg(one, "What it shows")
    assert svg == chart_svg(two, "What it shows")
    assert b"What it shows" in svg
    assert b"date" not in svg.lower().split(b"<defs>")[0]


def test_type_is_legible_on_a_phone():
    """The sheet is 360 points wide: at 390 px on a screen a point is a little more than a pixel."""
    figure = forest(GROUPS, ["AP", "AP_S"], "95 % interval")
    assert figure.get_size_inches()[0] * 72 == 360
    chart_png(figure)
    sizes = [t.get_fontsize() for t in figure.findobj(lambda a: hasattr(a, "get_fontsize")) if t.get_text()]
    assert min(sizes) >= 8
