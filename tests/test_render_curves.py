"""The curves of a training run."""

from __future__ import annotations

import pytest

from dlka.render.chart import chart_png, curves_chart

LOSSES = [{"epoch": 1, "box_loss": 2.0, "soft_cls": 0.0}, {"epoch": 2, "box_loss": 1.0, "soft_cls": 0.0}]
OFFSETS = [
    {"epoch": epoch, "stage": f"model.{block}.conv0", "label": label, "mean": 0.1 * epoch}
    for epoch in (1, 2)
    for block, label in ((15, "P3 5x5"), (18, "P4 5x5"), (22, "P3 5x5"))
]


def lines(axes):
    return [line.get_ydata().tolist() for line in axes.get_lines()]


def names(figure):
    return [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]


def test_a_panel_for_each_thing_that_was_seen():
    figure = curves_chart([{**row, "AP": 0.2, "AP50": 0.4} for row in LOSSES], OFFSETS)
    assert names(figure) == [["box_loss"], ["AP", "AP50"], ["P3 5x5 (1)", "P4 5x5", "P3 5x5 (2)"]]
    losses, measured, offsets = figure.axes
    assert lines(losses) == [[2.0, 1.0]], "what is zero all along is left out"
    assert lines(measured) == [[20.0, 20.0], [40.0, 40.0]]
    assert lines(offsets) == [pytest.approx([0.1, 0.2])] * 3
    assert chart_png(figure).startswith(b"\x89PNG")


def test_what_was_not_seen_has_no_panel():
    assert names(curves_chart(LOSSES)) == [["box_loss"]]
    with pytest.raises(ValueError, match="expected at least one epoch"):
        curves_chart([])


def test_losses_that_begin_at_zero_are_drawn_from_where_they_rise():
    figure = curves_chart([{"epoch": 1, "offset_mean": 0.0}, {"epoch": 2, "offset_mean": 0.5}])
    first, second = lines(figure.axes[0])[0]
    assert first != first
    assert second == 0.5
    chart_png(figure)


def test_many_stages_are_told_apart():
    many = [{"epoch": 1, "stage": str(i), "label": str(i), "mean": float(i)} for i in range(24)]
    axes = curves_chart(LOSSES, many).axes[1]
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}) == 24
