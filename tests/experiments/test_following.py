"""Rank correlations and shares against kernels that follow objects by construction, by chance, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from dlka.analysis.bootstrap import resamples
from dlka.experiments.following import Following, rank_correlation
from dlka.ops.sampling import tap_grid
from dlka.types import Capture, Stage

STAGE = Stage("b.conv0", "b", "P3", 8, (5, 5), (1, 1), (2, 2), 4)
TAPS = tap_grid((1, 1), (5, 5), (1, 1), (2, 2), (1, 1))[:, :, 0, 0]  # [25, 2], (y, x) from -2 to 2
SIDE = 40  # cells of the map, both ways
PICTURES = 20
WIDTH = 40  # px that the undeformed kernel covers


def objects(seed, count=6):
    """Boxes [count, 4] in input px, apart from each other; middles are those of cells."""
    draw = np.random.default_rng(seed)
    cells = draw.choice(np.arange(4, SIDE - 4, 5), (count, 2)) + draw.integers(0, 2, (count, 2))
    cells = np.unique(cells, axis=0)
    middle = (cells[:, ::-1] + 0.5) * STAGE.stride
    sides = draw.uniform(14, 38, (len(cells), 2))
    return cells, np.concatenate([middle - sides / 2, middle + sides / 2], axis=1)


def followed(kernel, pictures=PICTURES, noise=0.1):
    """The row of a stage whose offsets [25, 2] at an object's cell are kernel(width, height in px), elsewhere noise."""
    following = Following()
    for number in range(pictures):
        cells, boxes = objects(number)
        draw = np.random.default_rng([1, number])
        offset = draw.normal(0, noise, (25, 2, SIDE, SIDE)) if noise else np.zeros((25, 2, SIDE, SIDE))
        for (row, column), (x1, y1, x2, y2) in zip(cells, boxes):
            if kernel is not None:
                offset[:, :, row, column] = kernel(x2 - x1, y2 - y1)
        following.add(number, [Capture(STAGE, offset.reshape(50, SIDE, SIDE).astype(np.float32))], boxes)
    (row,) = following.rows(resamples(pictures))
    return row


def fills(width, height):
    """Offsets that stretch the grid over the box."""
    return TAPS * (np.array([height, width]) / WIDTH - 1)


def test_kernels_that_fill_the_box_follow_it():
    row = followed(fills)
    assert (row["stage"], row["label"]) == ("b.conv0", "P3 5x5")
    assert row["size_rho"] > 0.9  # not one: oblong boxes are filled across more than down
    assert row["size_rho_95"][0] > 0.85
    assert row["aspect_rho"] == pytest.approx(1)
    assert row["aspect_rho_95"] == pytest.approx([1, 1])
    assert row["spread_small"] < row["spread_large"] < 1
    assert row["in_box"] == pytest.approx(1)
    assert row["in_box_grid"] < row["in_box_chance"] + 0.05 < 0.6
    assert row["in_box_minus_grid"] == pytest.approx(row["in_box"] - row["in_box_grid"], abs=2e-5)
    assert row["in_box_minus_chance_95"][0] > 0.4


def test_a_square_zoom_goes_with_size_exactly():
    row = followed(lambda width, height: TAPS * (np.sqrt(width * height) / WIDTH - 1))
    assert row["size_rho"] == pytest.approx(1)
    assert row["size_rho_95"] == pytest.approx([1, 1])
    assert row["aspect_rho"] is None  # it never varies


def test_a_kernel_that_shrinks_where_objects_grow_goes_against_them():
    assert followed(lambda width, height: TAPS * (WIDTH / np.sqrt(width * height) - 1))["size_rho"] == pytest.approx(-1)


def test_random_offsets_follow_nothing():
    row = followed(None, noise=0.5)
    for name in ("size_rho", "aspect_rho", "in_box_minus_chance"):
        low, high = row[f"{name}_95"]
        assert low < 0 < high, name
        assert abs(row[name]) < 0.25, name
    assert row["in_box_minus_grid_95"][1] < 0.02  # noise leads out of boxes, if anywhere


def test_a_rigid_kernel_has_no_correlation():
    row = followed(None, noise=0)
    assert (row["size_rho"], row["size_rho_95"], row["aspect_rho"]) == (None, None, None)
    assert row["spread_small"] == row["spread_large"] == 1
    assert row["in_box"] == row["in_box_grid"] == row["in_box_chance"]
    assert row["in_box_minus_grid_95"] == [0, 0]


def test_the_share_in_the_box_is_counted_tap_by_tap():
    """A box of three cells square, of 25 taps it holds nine; moved by two cells to the right, two columns of three."""
    following, offset = Following(), np.zeros((25, 2, SIDE, SIDE), np.float32)
    offset[:, 1] = 2
    box = np.array([[160, 160, 184, 184]])
    for number in range(10):
        following.add(number, [Capture(STAGE, offset.reshape(50, SIDE, SIDE))], box)
    (row,) = following.rows(resamples(10))
    assert (row["in_box_grid"], row["in_box"], row["in_box_chance"]) == pytest.approx((9 / 25, 6 / 25, 6 / 25))


@pytest.mark.parametrize(
    ("middle", "side", "counted", "judged"),
    [
        ((20, 20), 20, 10, 10),
        ((2, 37), 20, 10, 10),
        ((1, 20), 20, 0, 0),
        ((20, 38), 20, 0, 0),
        ((20, 20), 11.9, 10, 0),  # under 0.3 of the kernel's 40 px
        ((20, 20), 12.1, 10, 10),
        ((20, 20), 40.1, 10, 0),
    ],
)
def test_which_objects_count(middle, side, counted, judged):
    following, (row, column) = Following(), middle
    centre = np.array([column + 0.5, row + 0.5]) * STAGE.stride
    box = np.concatenate([centre - side / 2, centre + side / 2])
    for number in range(10):
        following.add(number, [Capture(STAGE, np.zeros((50, SIDE, SIDE), np.float32))], box[None])
    (seen,) = following.rows(resamples(10))
    assert (seen["objects"], seen["in_box_objects"]) == (counted, judged)


def test_a_map_that_is_small_for_the_kernel_keeps_its_middle_half():
    stage = Stage("b.conv_spatial", "b", "P5", 32, (7, 7), (3, 3), (9, 9), 4)
    following = Following()
    for number in range(10):
        boxes = np.array([[32 * c + 8, 32 * c + 8, 32 * c + 24, 32 * c + 24] for c in range(12)])
        following.add(number, [Capture(stage, np.zeros((98, 12, 12), np.float32))], boxes)
    (row,) = following.rows(resamples(10))
    assert row["objects"] == 10 * 6


def test_stages_of_one_label_are_told_apart_by_their_path():
    other = Stage("c.conv0", "c", "P3", 8, (5, 5), (1, 1), (2, 2), 4)
    following = Following()
    for number in range(2):
        field = np.zeros((50, SIDE, SIDE), np.float32)
        following.add(number, [Capture(STAGE, field), Capture(other, field)], objects(number)[1])
    assert [(row["stage"], row["label"]) for row in following.rows(resamples(2))] == [
        ("b.conv0", "P3 5x5"),
        ("c.conv0", "P3 5x5"),
    ]


def test_of_few_objects_nothing_is_said():
    row = followed(fills, pictures=1)
    assert 0 < row["objects"] < 10
    assert {row[n] for n in ("size_rho", "size_rho_95", "spread_small", "in_box", "in_box_minus_grid_95")} == {None}


def test_pictures_without_objects_and_without_any():
    following = Following()
    for number in range(3):
        following.add(number, [Capture(STAGE, np.zeros((50, SIDE, SIDE), np.float32))], np.zeros((0, 4)))
    (row,) = following.rows(resamples(3))
    assert (row["objects"], row["in_box_objects"], row["size_rho"]) == (0, 0, None)


@pytest.mark.parametrize("ties", [False, True])
def test_ranks_are_those_of_objects_that_stand_there_several_times(ties):
    draw = np.random.default_rng(3)
    first, second = draw.normal(size=(2, 40))
    second += first
    if ties:
        first, second = first.round(), second.round()
    weights = draw.integers(0, 4, (25, 40)).astype(float)
    for row, weight in zip(rank_correlation(first, second, weights), weights.astype(int)):
        assert row == pytest.approx(spearmanr(np.repeat(first, weight), np.repeat(second, weight)).statistic)
