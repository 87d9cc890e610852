"""The drawn point is where torchvision reads, to 1e-4 px of the original picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from render_builders import capture, stage
from torchvision.ops import deform_conv2d

from dlka.inference.letterbox import Letterbox
from dlka.render.geometry import (
    cell_at,
    cell_centres,
    cells_under,
    map_edges,
    pixels_per_cell,
    reads_of,
    sample_points,
    sampled_size,
)

TOLERANCE = 1e-4  # pixels of the original picture
PICTURES = [(480, 640), (500, 375), (333, 517)]  # (height, width)


def read_all_taps(maps: np.ndarray, of) -> np.ndarray:
    """What torchvision reads at every tap: maps [N, H, W] -> [N, K, Ho, Wo], float64."""
    s = of.stage
    weight = torch.eye(s.taps, dtype=torch.float64).reshape(s.taps, 1, *s.kernel)
    offset = torch.from_numpy(of.offset.astype(np.float64))[None].expand(len(maps), -1, -1, -1).contiguous()
    x = torch.from_numpy(maps.astype(np.float64))[:, None]
    return deform_conv2d(x, offset, weight, stride=s.step, padding=s.padding, dilation=s.dilation).numpy()


def ramps(letterbox: Letterbox, stride: int) -> np.ndarray:
    """[3, H, W]: every cell's own centre (x, y) in original pixels, written out independently, and ones."""
    rows, columns = (side // stride for side in letterbox.padded)
    wide, high = (letterbox.resized[i] / letterbox.original[i] for i in (1, 0))
    # Edge coordinates: (p + 1/2) * stride is the cell's middle; a pixel's centre is half a pixel off its edge.
    x = ((np.arange(columns) + 0.5) * stride - letterbox.left) / wide - 0.5
    y = ((np.arange(rows) + 0.5) * stride - letterbox.top) / high - 0.5
    return np.stack([np.tile(x, (rows, 1)), np.tile(y[:, None], (1, columns)), np.ones((rows, columns))])


def some_cells(of) -> list[tuple[int, int]]:
    """Corners, edges and inner cells of a map."""
    height, width = of.offset.shape[1:]
    rows = sorted({0, 1, height // 2, height - 1})
    columns = sorted({0, 2, width // 3, width - 1})
    return [(r, c) for r in rows for c in columns]


def assert_points_are_reads(of, letterbox: Letterbox) -> None:
    x, y, inside = read_all_taps(ramps(letterbox, of.stage.stride), of)
    fully = np.abs(inside - 1) < 1e-9  # the read mixes cells of the map only: a ramp is read exactly
    assert fully.any()
    for row, column in some_cells(of):
        points = sample_points([of], (row, column), letterbox)
        keep = fully[:, row, column]
        np.testing.assert_allclose(points[keep, 0], x[keep, row, column], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(points[keep, 1], y[keep, row, column], rtol=0, atol=TOLERANCE)
        np.testing.assert_array_equal(reads_of([of], (row, column), letterbox).zero, inside[:, row, column] == 0)
        # At the border the zero outside takes part; the share that it leaves tells how far outside the point lies.
        edges = np.array(map_edges(sampled_size(of, letterbox), of.stage.stride, letterbox))
        cell = of.stage.stride / letterbox.scale_xy
        beyond = np.maximum(edges[:2] + cell / 2 - points, points - (edges[2:] - cell / 2)) / cell
        share = np.clip(1 - np.clip(beyond, 0, None), 0, None).prod(axis=1)
        np.testing.assert_allclose(share, inside[:, row, column], rtol=0, atol=1e-5)


@pytest.mark.parametrize("original", PICTURES)
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_samples_are_where_torchvision_reads(kernel, dilation, step, original):
    letterbox = Letterbox.fit(original, 320)
    of = stage((kernel, kernel), (dilation, dilation), (step, step))
    assert_points_are_reads(capture(of, letterbox, spread=2.5, seed=kernel), letterbox)


@pytest.mark.parametrize(
    ("kernel", "dilation", "step", "padding", "stride"),
    [
        ((3, 2), (2, 1), (2, 1), (1, 1), 8),
        ((1, 5), (1, 3), (1, 2), (0, 2), 16),
        ((7, 3), (1, 2), (1, 1), (3, 2), 16),
        ((4, 4), (1, 1), (2, 2), (0, 3), 8),
    ],
)
def test_asymmetric_kernels(kernel, dilation, step, padding, stride):
    letterbox = Letterbox.fit((333, 517), 320)
    of = stage(kernel, dilation, step, padding, stride)
    assert_points_are_reads(capture(of, letterbox, spread=1.7, seed=3), letterbox)


@pytest.mark.parametrize("tap", [0, 1, 7, 24])
def test_one_pixel_picture(tap):
    """Only one cell of the map is lit; one tap is moved by hand to a quarter and a half cell beside it."""
    letterbox = Letterbox.fit((480, 640), 640)  # unscaled, no padding: original pixels are letterboxed pixels
    of = capture(stage((5, 5)), letterbox, offset=(0.0, 0.0))
    lit, cell = (31, 42), (28, 40)
    row, column = divmod(tap, 5)
    of.offset[2 * tap, cell[0], cell[1]] = lit[0] + 0.25 - (cell[0] + row - 2)  # dy
    of.offset[2 * tap + 1, cell[0], cell[1]] = lit[1] - 0.5 - (cell[1] + column - 2)  # dx
    one = np.zeros((60, 80))
    one[lit] = 1
    assert read_all_taps(one[None], of)[0, tap, cell[0], cell[1]] == pytest.approx(0.75 * 0.5, abs=1e-6)
    point = sample_points([of], cell, letterbox)[tap]
    np.testing.assert_allclose(point, [(42 - 0.5 + 0.5) * 8 - 0.5, (31 + 0.25 + 0.5) * 8 - 0.5], rtol=0, atol=TOLERANCE)
    moved = sample_points([of], cell, letterbox) - sample_points([of], cell, letterbox, deformed=False)
    assert np.flatnonzero(np.abs(moved).max(axis=1) > 1e-9).tolist() == [tap]


@pytest.mark.parametrize("original", PICTURES)
def test_cells_through_a_real_letterbox(original):
    """A picture whose pixels hold their own coordinate, resized, padded and pooled: cells hold their centre."""
    letterbox = Letterbox.fit(original, 320)
    height, width = original
    for axis in (0, 1):
        ramp = np.tile(np.arange(width, dtype=np.float64), (height, 1))
        if axis == 1:
            ramp = np.tile(np.arange(height, dtype=np.float64)[:, None], (1, width))
        resized = cv2.resize(ramp, letterbox.resized[::-1], interpolation=cv2.INTER_LINEAR)
        padded = np.full(letterbox.padded, np.nan)
        padded[letterbox.top : letterbox.top + resized.shape[0], letterbox.left : letterbox.left + resized.shape[1]] = (
            resized
        )
        cells = padded.reshape(padded.shape[0] // 8, 8, padded.shape[1] // 8, 8).mean(axis=(1, 3))
        inner = np.zeros(cells.shape, bool)
        inner[2:-2, 2:-2] = True  # the resize repeats the outermost pixels
        inner &= np.isfinite(cells)
        assert inner.sum() > 500
        centres = cell_centres(capture(stage(), letterbox), letterbox)[..., axis]
        np.testing.assert_allclose(centres[inner], cells[inner], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("original", PICTURES)
@pytest.mark.parametrize(
    ("first", "second"),
    [(((5, 5), (1, 1)), ((7, 7), (3, 3))), (((3, 3), (2, 2)), ((5, 5), (1, 1))), (((3, 5), (1, 2)), ((1, 7), (1, 3)))],
)
def test_composed_paths_are_where_two_convolutions_read(first, second, original):
    letterbox = Letterbox.fit(original, 320)
    a = capture(stage(*first), letterbox, spread=1.5, seed=5)
    b = capture(stage(*second, name="conv_spatial"), letterbox, spread=1.5, seed=6)
    x, y, inside = (read_all_taps(taps, b) for taps in read_all_taps(ramps(letterbox, 8), a))  # each [K1, K2, H, W]
    seen = 0
    for row, column in some_cells(b):
        paths = sample_points([a, b], (row, column), letterbox).reshape(b.stage.taps, a.stage.taps, 2)
        fully = np.abs(inside[:, :, row, column] - 1).T < 1e-9
        seen += fully.sum()
        np.testing.assert_allclose(paths[fully, 0], x[:, :, row, column].T[fully], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(paths[fully, 1], y[:, :, row, column].T[fully], rtol=0, atol=TOLERANCE)
    assert seen > 100


def test_composed_grid_is_composed_without_offsets():
    letterbox = Letterbox.fit((480, 640), 320)
    a, b = capture(stage((5, 5)), letterbox), capture(stage((7, 7), (3, 3), name="conv_spatial"), letterbox)
    a0 = capture(a.stage, letterbox, offset=(0, 0))
    b0 = capture(b.stage, letterbox, offset=(0, 0))
    for cell in [(0, 0), (15, 20), (29, 39)]:
        np.testing.assert_allclose(
            sample_points([a, b], cell, letterbox, deformed=False),
            sample_points([a0, b0], cell, letterbox),
            rtol=0,
            atol=1e-9,
        )
    middle = sample_points([a, b], (15, 20), letterbox, deformed=False)
    assert np.ptp(middle[..., 0]) == pytest.approx(22 * pixels_per_cell(8, letterbox))  # 2 * 3 * 3 + 2 * 2 cells


@given(
    height=st.integers(8, 900),
    width=st.integers(8, 900),
    row=st.floats(0, 1, exclude_max=True),
    column=st.floats(0, 1, exclude_max=True),
    step=st.sampled_from([(1, 1), (2, 2), (1, 2)]),
)
@settings(deadline=None, max_examples=40)
def test_cell_at_finds_every_cell_again(height, width, row, column, step):
    letterbox = Letterbox.fit((height, width), 320)
    of = capture(stage(step=step), letterbox, offset=(0, 0))
    cell = int(row * of.offset.shape[1]), int(column * of.offset.shape[2])
    x, y = cell_centres(of, letterbox)[cell]
    assert cell_at((x, y), of, letterbox) == cell


def test_cell_at_is_clamped_to_the_map():
    letterbox = Letterbox.fit((480, 640), 640)
    of = capture(stage(), letterbox, offset=(0, 0))
    assert cell_at((-500, -500), of, letterbox) == (0, 0)
    assert cell_at((5000, 5000), of, letterbox) == (59, 79)
    assert cell_at((8 * 3 + 3.4, 8 * 2 + 7.6), of, letterbox) == (3, 3)


def test_cells_under_agrees_with_the_nearest_centre():
    letterbox = Letterbox.fit((333, 517), 320)
    of = capture(stage(), letterbox, offset=(0, 0))
    x = np.linspace(0, 516, 200)
    under = cells_under(x, of.offset.shape[2], 8, letterbox, axis=0)
    assert under.tolist() == [cell_at((v, 0.0), of, letterbox)[1] for v in x]
    assert cells_under(np.array([-2000.0, 2000.0]), 40, 8, letterbox, axis=0).tolist() == [-1, -1]


def test_a_capture_of_another_picture_is_refused():
    of = capture(stage(), Letterbox.fit((480, 640), 640))
    with pytest.raises(ValueError, match=r"expected an offset map of 80 x 60 .* got 60 x 80"):
        sampled_size(of, Letterbox.fit((640, 480), 640))
    with pytest.raises(ValueError, match="row, column"):
        sample_points([of], (60, 0), Letterbox.fit((480, 640), 640))
