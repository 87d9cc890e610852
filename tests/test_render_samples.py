"""Pictures of one point: the marks that are really in the figure lie at the sampling locations."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from render_builders import block_captures, capture, picture, stage

from dlka import palette
from dlka.inference.letterbox import Letterbox
from dlka.render import cell_at, draw_samples, draw_samples_grid, mark_point, sample_points
from dlka.render.canvas import Canvas
from dlka.render.geometry import Reads, reads_at

LETTERBOX = Letterbox.fit((333, 517), 320)
IMAGE = picture(333, 517)


def drawn(axes, colour: str, shape: str = "o") -> np.ndarray:
    """[n, 2] data coordinates of all marks of a shape and colour in a figure, wherever they are."""
    layers = [
        a
        for a in axes.get_children()
        if isinstance(a, Line2D)
        and a.get_marker() == shape
        and to_hex(a.get_markeredgecolor()).upper() == colour.upper()
    ]
    return np.concatenate([layer.get_xydata() for layer in layers])


@pytest.mark.parametrize("stage_index", [0, 1])
def test_one_stage(stage_index):
    of = block_captures(LETTERBOX)[stage_index]
    canvas = draw_samples(IMAGE, [of], LETTERBOX, (250, 160))
    cell = cell_at((250, 160), of, LETTERBOX)
    np.testing.assert_allclose(drawn(canvas.axes, palette.DLKA), sample_points([of], cell, LETTERBOX), atol=1e-9)
    np.testing.assert_allclose(
        drawn(canvas.axes, palette.REGULAR), sample_points([of], cell, LETTERBOX, deformed=False), atol=1e-9
    )
    text = canvas.legend_text
    assert f"cell (row {cell[0]}, column {cell[1]}): {of.stage.taps} taps" in text
    assert "cells = " in text
    assert "px" in text
    assert "outside the map" not in text
    canvas.to_array()


def test_zero_reads_are_marked_differently():
    of = capture(stage((7, 7), (3, 3)), LETTERBOX, offset=(0, 0))
    canvas = draw_samples(IMAGE, [of], LETTERBOX, (0, 0))
    row, column = cell_at((0, 0), of, LETTERBOX)
    positions = np.stack(np.meshgrid(np.arange(7) * 3 - 9 + row, np.arange(7) * 3 - 9 + column, indexing="ij"))
    zero = (positions < 0).any(0).ravel()  # whole cells: everything before the first row or column
    assert 0 < zero.sum() < 49
    points = sample_points([of], (row, column), LETTERBOX)
    np.testing.assert_allclose(drawn(canvas.axes, palette.DLKA, "x"), points[zero], atol=1e-9)
    np.testing.assert_allclose(drawn(canvas.axes, palette.DLKA, "o"), points[~zero], atol=1e-9)
    assert f"outside the map, reads zero ({zero.sum()})" in canvas.legend_text


def test_composed_field():
    first, second = block_captures(LETTERBOX, spread=0.8)
    canvas = draw_samples(IMAGE, [first, second], LETTERBOX, (250, 160))
    cell = cell_at((250, 160), second, LETTERBOX)
    paths = sample_points([first, second], cell, LETTERBOX)
    through = np.isfinite(paths).all(1)
    marks = np.concatenate([drawn(canvas.axes, palette.DLKA), drawn(canvas.axes, palette.DLKA, "x")])
    assert len(marks) == through.sum() > 1000
    marks, wanted = (points[np.lexsort(points.round(6).T)] for points in (marks, paths[through]))
    np.testing.assert_allclose(marks, wanted, atol=1e-9)
    grid = sample_points([first, second], cell, LETTERBOX, deformed=False)
    regular = drawn(canvas.axes, palette.REGULAR)
    assert {tuple(p) for p in regular.round(6)} == {tuple(p) for p in grid[np.isfinite(grid).all(1)].round(6)}
    assert "49 x 25 paths" in canvas.legend_text
    assert "7x7 d3 through 5x5" in canvas.legend_text


def test_lost_paths_are_counted():
    first, second = block_captures(LETTERBOX, spread=0.0)
    reads = reads_at([first, second], (0, 0), LETTERBOX)
    # At a corner of the padded map's picture part all 49 x 25 paths are either drawn or lost, none forgotten.
    assert len(reads.samples) + reads.lost == 49 * 25
    assert reads.lost > 0
    assert reads.zeros == reads.lost + reads.zero.sum()
    canvas = draw_samples(IMAGE, [first, second], LETTERBOX, (0, 0))
    assert f"reads zero ({reads.zeros})" in canvas.legend_text


def test_wild_offsets_do_not_shrink_the_closeup():
    tame, wild = capture(stage(), LETTERBOX, spread=0.5), capture(stage(), LETTERBOX, spread=0.5)
    wild.offset[0], wild.offset[1], wild.offset[2] = 1e30, np.inf, np.nan
    assert reads_at([wild], (250, 160), LETTERBOX).reach <= 2.5 * reads_at([tame], (250, 160), LETTERBOX).reach
    with np.errstate(all="ignore"):
        draw_samples(IMAGE, [wild], LETTERBOX, (250, 160)).to_array()


def test_grid_of_all_stages():
    captures = [*block_captures(LETTERBOX), *block_captures(LETTERBOX, level="P4", stride=16, block="model.18")]
    paper = draw_samples_grid(IMAGE, captures, LETTERBOX, (250, 160))
    panels = [axes for axes, _ in paper.panels]
    labels = [axes.texts[0].get_text().split(",")[0] for axes in panels]
    assert labels == ["P3 5x5", "P3 7x7 d3", "P3 composed", "P4 5x5", "P4 7x7 d3", "P4 composed"]
    for axes, of in zip((panels[0], panels[1], panels[3], panels[4]), captures):
        expected = sample_points([of], cell_at((250, 160), of, LETTERBOX), LETTERBOX)
        got = [drawn(axes, palette.DLKA), drawn(axes, palette.DLKA, "x")]
        assert {tuple(p) for p in np.concatenate(got).round(6)} == {tuple(p) for p in expected.round(6)}
    assert panels[0].get_xlim() == panels[1].get_xlim() == panels[2].get_xlim()
    assert "P3: 1 cell = 12.9 px · P4: 1 cell = 25.9 px" in paper.legend_text
    assert paper.to_array().shape[1] == 960


def test_blocks_of_the_same_level_are_told_apart():
    captures = [*block_captures(LETTERBOX), *block_captures(LETTERBOX, block="model.21")]
    paper = draw_samples_grid(IMAGE, captures, LETTERBOX, (250, 160))
    labels = [axes.texts[0].get_text().split(",")[0] for axes, _ in paper.panels]
    assert labels[0] == "P3 (1) 5x5"
    assert labels[3] == "P3 (2) 5x5"


def test_wrong_stages_are_refused():
    first, _ = block_captures(LETTERBOX)
    _, other = block_captures(LETTERBOX, block="model.21")
    with pytest.raises(ValueError, match=r"two stages of one block, got model\.15 and model\.21"):
        draw_samples(IMAGE, [first, other], LETTERBOX, (250, 160))
    with pytest.raises(ValueError, match="no deform stage"):
        draw_samples_grid(IMAGE, [], LETTERBOX, (250, 160))


def test_chosen_point_is_marked():
    canvas = Canvas(IMAGE)
    mark_point(canvas, (123.0, 45.0))
    np.testing.assert_array_equal(drawn(canvas.axes, palette.DLKA), [[123.0, 45.0]])


def test_inputs_stay_unchanged():
    captures, image = block_captures(LETTERBOX), IMAGE.copy()
    before = [c.offset.copy() for c in captures]
    draw_samples(image, captures, LETTERBOX, (250, 160)).to_array()
    draw_samples_grid(image, captures, LETTERBOX, (250, 160)).to_array()
    for of, offset in zip(captures, before):
        np.testing.assert_array_equal(of.offset, offset)
    np.testing.assert_array_equal(image, IMAGE)


@pytest.mark.parametrize(("moved", "reach"), [(5, 10), (15, 15), (50, 20), (np.nan, 10)])
def test_a_square_holds_the_grid_and_samples_up_to_twice_as_far(moved, reach):
    points = {"centre": np.zeros(2), "samples": np.array([[moved, 0.0]]), "regular": np.array([[0.0, -10.0]])}
    rest = {"zero": np.zeros(1, bool), "lost": 0, "edges": (0, 0, 1, 1), "per_cell": 4.0}
    assert Reads(stage(), False, (0, 0), **points, **rest).reach == pytest.approx(reach + 1.2 * 4)
