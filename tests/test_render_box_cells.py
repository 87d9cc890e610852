"""From samples to boxes: shares, spreads and pictures from literals."""

from __future__ import annotations

import numpy as np
import pytest
from render_builders import block_captures, capture, picture, stage

from dlka import palette
from dlka.inference.kernel_shape import spread
from dlka.inference.letterbox import Letterbox
from dlka.render.box_cells import (
    BoxCells,
    Evidence,
    close_view,
    draw_box_samples,
    draw_cells,
    evidence_overlay,
    lively_edges,
    share_inside,
)
from dlka.render.box_samples import box_samples, cell_spreads, inside, shares_inside
from dlka.render.geometry import cell_squares, sample_points
from dlka.render.offsets import density_overlay, sample_density, splat
from dlka.render.recall import SpreadPoint, spread_chart

PLAIN = Letterbox.fit((64, 96), 96)  # one to one
HALF = Letterbox.fit((128, 192), 96)  # one letterboxed pixel is two of the picture
THREE = stage()  # 3x3 on P3: cell (3, 4) has its centre at (35.5, 27.5)
CELL = (3, 4)


def colour(code):
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)])


def test_points_inside_any_box_against_the_plain_comparison():
    random = np.random.default_rng(0)
    corner = random.uniform(0, 50, (9, 2))
    boxes = np.concatenate([corner, corner + random.uniform(0, 30, (9, 2))], axis=1)
    points = random.uniform(-10, 90, (40, 50, 2))
    x, y = points[..., 0, None] + 0.5, points[..., 1, None] + 0.5
    plain = ((x >= boxes[:, 0]) & (x < boxes[:, 2]) & (y >= boxes[:, 1]) & (y < boxes[:, 3])).any(-1)
    assert 0.1 < plain.mean() < 0.9
    np.testing.assert_array_equal(inside(points, boxes), plain)
    assert not inside(points, np.zeros((0, 4))).any()
    assert not inside(np.array([[np.nan, 5], [np.inf, 5], [5, -np.inf]]), np.array([[0, 0, 99, 99]])).any()


def test_pixel_centres_and_box_edges():
    box = np.array([[3, 3, 4, 4]])  # the pixel (3, 3) alone
    assert inside(np.array([[3, 3], [4, 3], [3, 2]]), box).tolist() == [True, False, False]


def test_share_and_spread_of_one_cell():
    seen = capture(THREE, PLAIN, offset=(0, 1))  # every tap one cell to the right
    box = np.array([30, 22, 60, 36], np.float32)  # x: 35.5, 43.5, 51.5; y: 27.5 alone
    samples = box_samples([seen], CELL, box, PLAIN)
    assert samples.share == pytest.approx(3 / 9)
    assert samples.regular_share == pytest.approx(2 / 9)
    assert samples.spread == samples.regular_spread == pytest.approx(8 * np.sqrt(4 / 3))
    np.testing.assert_allclose(samples.shape.shift, (0, 1), atol=1e-6)
    assert box_samples([seen], CELL, 2 * box, HALF).spread == pytest.approx(16 * np.sqrt(4 / 3))


def test_spreads_of_many_cells_are_those_of_each():
    captures = block_captures(PLAIN, spread=1.5)
    box = np.array([20, 20, 60, 50], np.float32)
    cells = np.array([[3, 4], [0, 0], [7, 11]])
    for chosen in ([captures[0]], captures):
        learned, regular = cell_spreads(chosen, cells, PLAIN)
        for i, cell in enumerate(cells):
            one = box_samples(chosen, tuple(cell), box, PLAIN)
            assert (learned[i], regular[i]) == pytest.approx((one.spread, one.regular_spread))
    paths = sample_points(captures, (3, 4), PLAIN)
    assert learned[0] == pytest.approx(spread(paths[np.isfinite(paths).all(1)]))


def test_share_of_all_samples_inside_boxes():
    box = np.array([[0, 0, 48, 64]], np.float32)  # the left six of twelve columns
    still, right = capture(THREE, PLAIN, offset=(0, 0)), capture(THREE, PLAIN, offset=(0, 1))
    # Of each row's 36 taps 5 + 6 + 6 read columns 0 to 5, moved by one 6 + 5 + 4; of a column's 24, 22 are on the map.
    regular = 17 / 36 * 22 / 24
    assert shares_inside([still], box, PLAIN) == pytest.approx((regular, regular))
    assert shares_inside([right], box, PLAIN) == pytest.approx((15 / 36 * 22 / 24, regular))
    assert shares_inside([right], box[:0], PLAIN) == (0, 0)


def test_composed_share_follows_every_path():
    """Whole-cell offsets, so that no read is mixed: the paths can be counted one by one."""
    first, second = capture(THREE, PLAIN, offset=(1, 0)), capture(stage(name="conv_spatial"), PLAIN, offset=(0, -2))
    boxes = np.array([[0, 0, 40, 30]], np.float32)
    counts = []
    for pair in ((first, second), (capture(THREE, PLAIN, offset=(0, 0)), capture(THREE, PLAIN, offset=(0, 0)))):
        paths = [sample_points(pair, (r, c), PLAIN) for r in range(8) for c in range(12)]
        counts.append(float(inside(np.array(paths), boxes).mean()))
    assert counts[0] != pytest.approx(counts[1], abs=0.02)
    assert shares_inside([first, second], boxes, PLAIN) == pytest.approx(counts)


def test_composed_density_counts_reads_of_reads():
    first, second = capture(THREE, PLAIN, offset=(0, 0)), capture(stage(name="conv_spatial"), PLAIN, offset=(0, 2))
    learned, regular = sample_density([first, second], PLAIN)
    assert regular[4, 6] == 81
    assert learned[4, 6] == 81
    assert learned[4, 0] < regular[4, 0], "nobody reads at the left edge any more"
    once = splat(np.array([[[[1.5]], [[1.0]]]]), (3, 3), np.array([[4.0]]))
    np.testing.assert_allclose(once, [[0, 0, 0], [0, 2, 0], [0, 2, 0]])
    drawn = density_overlay(picture(64, 96), [first, second], PLAIN)
    assert "all 9 x 9 paths" in drawn.legend_text


def test_squares_of_cells_in_pixels_of_the_picture():
    squares = cell_squares(np.array([[3, 4], [1, 0]]), np.array([8, 16]), HALF)
    np.testing.assert_allclose(squares, [[64, 48, 80, 64], [0, 32, 32, 64]])


def test_the_winning_cell_is_filled_where_it_lies():
    winner, merged = np.array([32, 24, 40, 32.0]), np.array([[48, 24, 56, 32.0]])
    box = np.array([24, 16, 64, 48.0])
    panels = [
        BoxCells("D-LKA: car 0.90", palette.DLKA, "-", box, winner, merged),
        BoxCells("baseline: not found", palette.DLKA, "-", box, winner, merged[:0]),
    ]
    paper = draw_cells(np.full((64, 96, 3), 128, np.uint8), panels, "The cells")
    pixels, view, side = paper.to_array().astype(float), close_view([box, winner, *merged]), (960 - 6) // 2

    def at(x, y, panel=0):
        scale = side / (view.right - view.left)
        return pixels[int((y - view.top) * scale), int((x - view.left) * scale) + panel * (side + 6)]

    assert np.abs(at(35.5, 27.5) - colour(palette.DLKA)).max() < 60
    assert np.abs(at(51.5, 27.5) - at(43.5, 27.5)).max() < 5, "the merged cell is an outline"
    edge = pixels[int((27.5 - view.top) * side / (view.right - view.left))]
    assert (edge[:side] != edge[side + 6 :]).any(), "which the other panel does not have"
    assert "winning cell" in paper.legend_text


def test_samples_are_drawn_against_the_box_and_shares_are_told():
    captures = block_captures(PLAIN, spread=0.5)
    box = np.array([20, 16, 60, 48], np.float32)
    row = [(n, box_samples(c, CELL, box, PLAIN)) for n, c in (("5x5", captures[:1]), ("composed", captures))]
    paper = draw_box_samples(picture(64, 96), [row], box, palette.DLKA, "-", "Reads")
    assert "reads inside the box\nreads outside" in paper.legend_text
    alone = draw_box_samples(picture(64, 96), [row[:1]], box + 1000, palette.DLKA, "-", "Reads")
    assert alone.to_array().shape[1] == 960


def evidence(values, box=(16, 16, 32, 32)):
    return Evidence(values, 8, np.array(box, np.float32), palette.DLKA, "-", np.array([23.5, 23.5]), "Title", "")


def test_the_same_value_has_the_same_colour_on_a_shared_scale():
    weak, strong = np.zeros((8, 12), np.float32), np.zeros((8, 12), np.float32)
    weak[5, 8], strong[5, 8], strong[2, 2] = 1, 1, 4
    view = close_view([np.array([0, 0, 96, 64.0])], np.zeros((64, 96, 3), np.uint8))
    assert tuple(view) == (-0.5, -0.5, 95.5, 63.5)
    image = np.full((64, 96, 3), 128, np.uint8)
    drawn = [evidence_overlay(image, evidence(v), PLAIN, 4.0, "logits", view) for v in (weak, strong)]
    one, other = (d.to_array()[330, 510] for d in drawn)  # the middle of cell (5, 8)
    np.testing.assert_array_equal(one, other)
    dark = drawn[0].to_array()[330, 450]
    assert np.abs(one.astype(int) - dark).max() > 30
    assert "0 | 1 | 4 logits" in drawn[0].legend_text
    assert "0% of it is inside the box." in drawn[0].legend_text
    assert "80% of it is inside the box." in drawn[1].legend_text
    nothing = evidence_overlay(image, evidence(np.zeros((8, 12))), PLAIN, 4.0, "logits", view)
    assert "nothing here speaks for this class" in nothing.legend_text


def test_share_and_extent_of_a_map():
    values = np.zeros((8, 12))
    values[2, 2], values[3, 5], values[7, 11] = 6, 3, 1
    assert share_inside(values, 8, PLAIN, np.array([16, 16, 24, 24])) == pytest.approx(0.6)
    np.testing.assert_allclose(lively_edges(values, 8, PLAIN, 0.8), [16, 16, 48, 32])
    np.testing.assert_allclose(lively_edges(values, 8, HALF, 0.5), [32, 32, 48, 48])
    assert lively_edges(0 * values, 8, PLAIN) is None
    assert share_inside(0 * values, 8, PLAIN, np.array([16, 16, 24, 24])) is None


def test_the_chart_has_a_panel_a_kind_of_stage():
    points = [SpreadPoint(20.0, 30.0, 25.0, True), SpreadPoint(200.0, 90.0, 90.0, False)]
    figure = spread_chart({"5x5": points, "7x7 d3": points[:1], "none": []})
    assert len(figure.axes) == 2
    drawn = {tuple(np.round(line.get_xydata().ravel(), 3)) for line in figure.axes[0].lines}
    assert {(20, 30), (200, 90), (20, 25, 200, 90)} <= drawn
    with pytest.raises(ValueError, match="at least one box"):
        spread_chart({"5x5": []})
